"""Ctrl-C while an engine keeps the main thread: Python's own handler waits for that thread, so a pipe tells another."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator

from dvengine._waiting import join

__all__ = ["listen", "stopping"]

_EVERY = 0.1


class _Signals:
    """The numbers of the signals that arrive, as Python's lowest handler writes them, in whatever thread it runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: tuple[socket.socket, socket.socket] | None = None
        self._count = 0

    def listen(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        if self._ends is None:
            self._ends = socket.socketpair()
            for end in self._ends:
                end.setblocking(False)
        ours = self._ends[1].fileno()
        before = signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
        if before not in (-1, ours):
            signal.set_wakeup_fd(before)

    def interrupts(self) -> int:
        """Return how often Ctrl-C was pressed so far."""
        with self._lock, contextlib.suppress(BlockingIOError):
            while self._ends and (numbers := self._ends[0].recv(64)):
                self._count += numbers.count(signal.SIGINT)
        return self._count


_signals = _Signals()


def listen() -> None:
    """Have signals told to `stopping`; idempotent, and a program that has a use of its own for them keeps it."""
    _signals.listen()


@contextlib.contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """While inside, have ``stop`` called, in a thread of its own, soon after Ctrl-C is pressed.

    Example:
        >>> with stopping(lambda: print("stopped")):
        ...     pass
    """
    before, over = _signals.interrupts(), threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY):
            # Who handles Ctrl-C in another way may not want the read to end.
            usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
            if _signals.interrupts() > before and usual:
                stop()
                return

    watcher = threading.Thread(target=watch, name="dvengine-interrupt", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        join(watcher)
