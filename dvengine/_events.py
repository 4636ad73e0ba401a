"""One stream of progress events: rooms emit counts and names, listeners draw them.

No room prints. A value of the data cannot get in here, because the only fields are names of things and numbers.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from dvengine._arguments import typed

__all__ = ["Event", "Stage", "emit", "stage", "subscribe"]

#: What a job is doing. ``read`` to ``index`` are the stages of the main job, in order.
Stage = Literal[
    "load", "read", "write", "tabulate", "suppress", "audit", "stage", "verify", "commit", "index", "build"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One observation of work under way.

    Attributes:
        stage: What kind of work.
        name: The thing worked on: a table, resource or catalogue by its name; never a value, a statement or a URL with credentials.
        state: ``start``, ``progress``, ``end`` or ``fail``. Every start is followed by exactly one end or fail.
        span: Identifies one start…end pair within the process.
        rows, nbytes, parts: Cumulative within the span (nbytes: of Arrow buffers, uncompressed, where reading; as stored where writing).
        total_rows, total_parts: What is expected, or None where that is not known; never a guess dressed as a fact.
        seconds: Since the span's start.
        time: Wall clock at emission, seconds since the epoch.
        note: A short fixed phrase such as ``consistent`` or an error's kind.

    Example:
        >>> event = Event(stage="read", name="person", state="end", span=1, rows=2_000_000, seconds=1.6)
        >>> f"{event.name}: {event.rows:,} rows, {event.rows / event.seconds:,.0f} a second"
        'person: 2,000,000 rows, 1,250,000 a second'
    """

    stage: Stage
    name: str
    state: Literal["start", "progress", "end", "fail"]
    span: int
    rows: int = 0
    nbytes: int = 0
    parts: int = 0
    total_rows: int | None = None
    total_parts: int | None = None
    seconds: float = 0.0
    time: float = field(default_factory=time.time)
    note: str | None = None


_listeners: list[Callable[[Event], None]] = []
_lock = threading.Lock()
_spans = itertools.count(1)


@typed()
def subscribe(listener: Callable[[Event], None]) -> Callable[[], None]:
    """Call ``listener`` for each event from now on, in whichever thread emits it.

    A listener must be quick and must not raise; one that raises is ignored for that event, so that drawing progress
    can never break an extract.

    Returns:
        A function that ends the subscription; calling it twice is harmless.

    Example:
        >>> seen = []
        >>> stop = subscribe(seen.append)
        >>> with stage("read", "person") as span:
        ...     span.advance(rows=10)
        >>> stop()
        >>> [(event.state, event.rows) for event in seen]
        [('start', 0), ('progress', 10), ('end', 10)]
    """
    with _lock:
        _listeners.append(listener)

    def stop() -> None:
        with _lock, contextlib.suppress(ValueError):
            _listeners.remove(listener)

    return stop


def emit(event: Event) -> None:
    """Hand one event to every listener."""
    for listener in tuple(_listeners):
        # Drawing progress must never break an extract.
        with contextlib.suppress(Exception):
            listener(event)


class Span:
    """One start…end pair; counts are cumulative and safe to advance from several threads."""

    def __init__(self, stage: Stage, name: str, total_rows: int | None, total_parts: int | None) -> None:
        self._stage, self._name = stage, name
        self._id = next(_spans)
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self.rows = self.nbytes = self.parts = 0
        self.total_rows, self.total_parts = total_rows, total_parts

    def advance(self, *, rows: int = 0, nbytes: int = 0, parts: int = 0, note: str | None = None) -> None:
        """Add to the counts and tell the listeners."""
        with self._lock:
            self.rows += rows
            self.nbytes += nbytes
            self.parts += parts
        self.tell("progress", note)

    def tell(self, state: Literal["start", "progress", "end", "fail"], note: str | None = None) -> None:
        """Emit the counts as they stand."""
        if not _listeners:
            return
        emit(
            Event(
                stage=self._stage, name=self._name, state=state, span=self._id, rows=self.rows, nbytes=self.nbytes,
                parts=self.parts, total_rows=self.total_rows, total_parts=self.total_parts,
                seconds=time.monotonic() - self._began, note=note,
            )
        )  # fmt: skip


@contextlib.contextmanager
def stage(
    stage: Stage, name: str, *, total_rows: int | None = None, total_parts: int | None = None
) -> Iterator[Span]:
    """Emit start, then end (or fail, with the error's kind as note) around a piece of work."""
    span = Span(stage, name, total_rows, total_parts)
    span.tell("start")
    try:
        yield span
    except BaseException as error:
        span.tell("fail", type(error).__name__)
        raise
    span.tell("end")
