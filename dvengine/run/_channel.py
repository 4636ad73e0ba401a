"""A bounded channel: what is under way is counted in bytes, and a reader who leaves wakes the writers."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

from dvengine._errors import Cancelled
from dvengine._waiting import wait_until

__all__ = ["Channel"]

T = TypeVar("T")


class Channel(Generic[T]):
    """Many writers, one reader. Holds at most ``capacity`` bytes, or one item that alone is larger.

    Example:
        >>> channel = Channel(10)
        >>> channel.put("large", 99)
        >>> channel.get()
        'large'
    """

    def __init__(self, capacity: int) -> None:
        self._items: deque[tuple[T, int]] = deque()
        self._capacity, self._held = capacity, 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T, nbytes: int) -> None:
        """Wait for room, then add an item.

        Raises:
            Cancelled: The reader has left.
        """
        with self._changed:
            wait_until(
                self._changed,
                lambda: self._closed or not self._items or self._held + nbytes <= self._capacity,
            )
            if self._closed:
                raise Cancelled("the reader has left")
            self._items.append((item, nbytes))
            self._held += nbytes
            self._changed.notify_all()

    def get(self) -> T:
        """Wait for an item; Ctrl-C gets through.

        Raises:
            Cancelled: Closed.
        """
        with self._changed:
            wait_until(self._changed, lambda: self._closed or self._items)
            if self._closed:
                raise Cancelled("this stream was closed")
            item, nbytes = self._items.popleft()
            self._held -= nbytes
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Drop what is held and wake everybody; idempotent."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._held = 0
            self._changed.notify_all()
