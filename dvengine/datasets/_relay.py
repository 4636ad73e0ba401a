"""A thread that produces, a reader that may leave: so that Ctrl-C finds Python, not an engine, waiting."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

from dvengine._errors import Cancelled
from dvengine._waiting import join, wait_until

__all__ = ["Relay"]

T = TypeVar("T")

_DEPTH = 3


class Relay(Generic[T]):
    """Runs ``produce`` in a thread of its own, at most three items ahead of the reader.

    Args:
        produce: Gets ``put``, which waits for room and returns True when the reader has left. What it raises reaches the reader.
        stop: Makes what ``produce`` waits for let go; called once the reader is done or gone, before the thread is waited for.
        name: Of the thread.

    Example:
        >>> def count(put):
        ...     for number in range(5):
        ...         put(number)
        >>> list(Relay(count, stop=lambda: None, name="example"))
        [0, 1, 2, 3, 4]
    """

    def __init__(
        self, produce: Callable[[Callable[[T], bool]], None], *, stop: Callable[[], None], name: str
    ) -> None:
        self._produce, self._stop, self._name = produce, stop, name
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = self._ended = False
        self._error: BaseException | None = None

    def _put(self, item: T) -> bool:
        with self._changed:
            wait_until(self._changed, lambda: self._closed or len(self._items) < _DEPTH)
            if not self._closed:
                self._items.append(item)
                self._changed.notify_all()
            return self._closed

    def _work(self) -> None:
        error: BaseException | None = None
        try:
            self._produce(self._put)
        except BaseException as caught:  # noqa: BLE001 - carried to the reader, whatever it is
            error = caught
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Tell both sides to stop, from any thread; idempotent."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Generator[T, None, None]:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        thread.start()
        try:
            while True:
                with self._changed:
                    wait_until(self._changed, lambda: self._items or self._ended or self._closed)
                    if self._closed and not self._ended:
                        raise Cancelled("the read was stopped")
                    if not self._items:
                        break
                    item = self._items.popleft()
                    self._changed.notify_all()
                yield item
            if self._error is not None:
                raise self._error
            if self._closed:  # what was waiting is gone: an end here would look like the whole
                raise Cancelled("the read was stopped")
        finally:
            self.close()
            self._stop()
            join(thread)
