"""Waits that Ctrl-C gets through."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["join", "wait_until"]

# Importing Polars replaces the SIGINT action by one with SA_RESTART: the kernel then resumes a wait without time-out
# instead of ending it, and Python never gets to raise KeyboardInterrupt. A wait that wakes by itself lets it.
_WAKE = 0.1


def wait_until(condition: threading.Condition, predicate: Callable[[], object]) -> None:
    """Wait, holding ``condition``, until ``predicate`` is true.

    Raises:
        KeyboardInterrupt: In the main thread, within a tenth of a second of Ctrl-C.

    Example:
        >>> condition = threading.Condition()
        >>> with condition:
        ...     wait_until(condition, lambda: True)
    """
    while not condition.wait_for(predicate, timeout=_WAKE):
        pass


def join(thread: threading.Thread) -> None:
    """Wait for a thread to end; a second Ctrl-C gets through as well.

    Example:
        >>> thread = threading.Thread(target=print)
        >>> thread.start(); join(thread)
        <BLANKLINE>
    """
    while thread.is_alive():
        thread.join(_WAKE)
