"""Listeners that draw the event stream: a terminal, a notebook, plain lines, JSON logs."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable
from html import escape
from types import TracebackType
from typing import Literal, Protocol, Self, TextIO

from dvengine._arguments import typed
from dvengine._errors import InputError
from dvengine._events import Event, subscribe
from dvengine._extras import require

__all__ = ["Progress", "peak_mb", "show_progress"]

Mode = Literal["auto", "rich", "notebook", "plain", "json", "none"]

_VERB = {
    "load": "loading", "read": "reading", "write": "writing", "tabulate": "tabulating", "suppress": "suppressing",
    "audit": "proving", "stage": "staging", "verify": "verifying", "commit": "committing", "index": "indexing", "build": "building",
}  # fmt: skip


class Progress:
    """A running display; `stop` it, or use it as a context manager.

    Example:
        >>> with show_progress("none") as progress:
        ...     progress.mode
        'none'
    """

    def __init__(self, mode: str, listener: _Listener | None) -> None:
        self.mode = mode
        self._listener = listener
        self._stop = subscribe(listener) if listener else None

    def stop(self) -> None:
        """End the display; idempotent."""
        if self._stop is not None and self._listener is not None:
            self._stop()
            self._listener.close()
            self._stop = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@typed()
def show_progress(mode: Mode = "auto", *, file: TextIO | None = None) -> Progress:
    """Draw the work under way, on standard error by default, so that standard output holds results only.

    Args:
        mode: ``auto`` picks ``notebook`` inside Jupyter, ``rich`` on a terminal, else ``plain`` (one line at each start and
            end, and every 30 s). ``json`` writes one JSON object a line for log collectors. ``none`` draws nothing.
        file: Where to; default standard error.

    Returns:
        A `Progress`; use it as a context manager, or call its ``stop()``.

    Raises:
        InputError: Unknown mode.
        MissingExtra: ``rich`` was asked for and is not installed.

    Example:
        >>> import io
        >>> from dvengine._events import stage
        >>> text = io.StringIO()
        >>> with show_progress("plain", file=text), stage("read", "person") as span:
        ...     span.advance(rows=3)
        >>> text.getvalue().splitlines()[-1]
        'reading person: done, 3 rows, 0.0 s'
    """
    stream = sys.stderr if file is None else file
    if mode == "auto":
        mode = _detect(stream)
    if mode == "none":
        return Progress(mode, None)
    if mode == "rich":
        return Progress(mode, _Rich(stream))
    if mode == "notebook":
        return Progress(mode, _Notebook())
    if mode == "plain":
        return Progress(mode, _Plain(stream))
    if mode == "json":
        return Progress(mode, _Json(stream))
    raise InputError(f"unknown progress mode {mode!r}", hint="auto, rich, notebook, plain, json or none")


def peak_mb() -> float:
    """Return this process's peak resident memory in MB (10**6 bytes).

    Example:
        >>> peak_mb() > 1
        True
    """
    import resource  # POSIX only, and progress is drawn elsewhere too

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(
        peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6, 1
    )  # bytes there, KiB elsewhere


class _Listener(Protocol):
    def __call__(self, event: Event) -> None: ...
    def close(self) -> None: ...


def _detect(stream: TextIO) -> Mode:
    # Recognised by what is loaded already: importing IPython to ask would cost more than it tells.
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None and type(shell).__name__ == "ZMQInteractiveShell":
        return "notebook"
    from importlib.util import find_spec

    return "rich" if stream.isatty() and find_spec("rich") else "plain"


def _amount(event: Event) -> str:
    parts = []
    if event.rows:
        parts.append(f"{event.rows:,} rows")
    if event.nbytes:
        parts.append(f"{event.nbytes / 1e6:,.1f} MB")
        if event.seconds > 0.05:
            parts.append(f"{event.nbytes / 1e6 / event.seconds:,.0f} MB/s")
    if event.parts and event.total_parts:
        parts.append(f"{event.parts}/{event.total_parts} parts")
    return ", ".join(parts)


class _Plain:
    """One line when work ends, and one every 30 s while it lasts: readable in a batch job's log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._last: dict[int, float] = {}

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        if event.state == "start":
            self._last[event.span] = now
            return
        if event.state == "progress" and now - self._last.get(event.span, now) < 30:
            return
        self._last[event.span] = now
        state = {"end": "done, ", "fail": f"failed ({event.note}), ", "progress": ""}[event.state]
        amount = _amount(event)
        line = f"{_VERB[event.stage]} {event.name}: {state}{amount}{', ' if amount else ''}{event.seconds:.1f} s\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()

    def close(self) -> None:
        pass


class _Json:
    """One object a line, for log collectors; progress at most once a second per span."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._last: dict[int, float] = {}

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        if event.state == "progress" and now - self._last.get(event.span, 0.0) < 1:
            return
        self._last[event.span] = now
        fields = {name: getattr(event, name) for name in Event.__slots__}
        with self._lock:
            self._stream.write(json.dumps({"v": 1, "event": fields}) + "\n")
            self._stream.flush()

    def close(self) -> None:
        pass


class _Rich:
    """Bars on a terminal; where the total is not known the bar pulses, for a guess would be a lie."""

    def __init__(self, stream: TextIO) -> None:
        progress = require("rich.progress", extra="cli")
        console = require("rich.console", extra="cli").Console(file=stream)
        self._progress = progress.Progress(
            progress.TextColumn("{task.fields[verb]:>11}", style="bold"),
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=24),
            progress.TextColumn("{task.fields[amount]}", style="cyan"),
            progress.TimeElapsedColumn(),
            console=console,
            refresh_per_second=8,
        )
        self._tasks: dict[int, int] = {}
        self._lock = threading.Lock()
        self._progress.start()

    def __call__(self, event: Event) -> None:
        with self._lock:
            if event.span not in self._tasks:
                self._tasks[event.span] = self._progress.add_task(
                    event.name, verb=_VERB[event.stage], amount="", total=None
                )
            task = self._tasks[event.span]
            total = event.total_parts or event.total_rows
            done = event.parts if event.total_parts else event.rows
            if event.state in ("end", "fail"):
                total = done = 1
            amount = _amount(event) if event.state != "fail" else f"failed: {event.note}"
            self._progress.update(task, completed=done, total=total, amount=amount)
            if event.state in ("end", "fail"):
                self._progress.stop_task(task)

    def close(self) -> None:
        self._progress.stop()


class _Notebook:
    """A small table that updates in place; names are escaped, there is no script."""

    def __init__(self) -> None:
        display = require("IPython.display", extra="notebook")
        self._html = display.HTML
        self._handle = display.display(self._html(""), display_id=True)
        self._rows: dict[int, Event] = {}
        self._lock, self._drawn = threading.Lock(), 0.0

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._rows[event.span] = event
            if event.state == "progress" and time.monotonic() - self._drawn < 0.25:
                return
            self._drawn = time.monotonic()
            self._handle.update(self._html(_table(self._rows.values())))

    def close(self) -> None:
        with self._lock:
            self._handle.update(self._html(_table(self._rows.values())))


def _table(events: Iterable[Event]) -> str:
    mark = {"start": "…", "progress": "…", "end": "✓", "fail": "✗"}
    rows = "".join(
        f"<tr><td>{mark[e.state]}</td><th scope='row' style='text-align:left'>{_VERB[e.stage]} {escape(e.name)}</th>"
        f"<td>{escape(_amount(e))}</td><td>{e.seconds:.1f} s</td></tr>"
        for e in events
    )
    return f"<table aria-live='polite'>{rows}</table>"
