"""What a command says: text for people, or one versioned JSON document for machines; and the exit code."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import IntEnum
from typing import Any

from dvengine._errors import Cancelled, DvengineError, Incomplete, InputError, Unavailable, VerificationFailed

__all__ = ["Exit", "Output", "exit_code"]


class Exit(IntEnum):
    """Exit codes, one per reaction of the caller."""

    DONE = 0
    REFUSED = 1  # bad input, or the safety rules said no: change something, then call again
    BUG = 2
    UNAVAILABLE = 3  # a source or store did not answer: call again later
    VERIFICATION = 4
    INTERRUPTED = 130


def exit_code(error: BaseException) -> Exit:
    """Return the exit code for an error.

    Example:
        >>> from dvengine._errors import Unavailable
        >>> int(exit_code(Unavailable("the server did not answer")))
        3
    """
    if isinstance(error, KeyboardInterrupt | Cancelled):
        return Exit.INTERRUPTED
    if isinstance(error, VerificationFailed | Incomplete):
        return Exit.VERIFICATION
    if isinstance(error, Unavailable) or (isinstance(error, DvengineError) and error.retryable):
        return Exit.UNAVAILABLE
    return Exit.REFUSED if isinstance(error, DvengineError) else Exit.BUG


class Output:
    """Prints exactly one result or one error.

    Args:
        as_json: One JSON document on standard output, errors included.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def result(self, data: Mapping[str, Any], *, text: str | None = None) -> None:
        """Print a result: ``text``, or the data as aligned lines."""
        if self.as_json:
            self._document({"v": 1, "ok": True, **data})
        else:
            _print((aligned(data) if text is None else text).rstrip("\n") + "\n")

    def error(self, error: BaseException) -> None:
        """Print an error. One that is not ours is a bug; its text may hold data, so only its class is shown."""
        if isinstance(error, DvengineError):
            fields: dict[str, Any] = error.to_dict()
        elif isinstance(error, KeyboardInterrupt):
            fields = {"kind": "Interrupted", "message": "interrupted", "hint": None, "retryable": True}
        else:
            fields = {
                "kind": type(error).__name__,
                "message": f"unexpected {type(error).__name__}; this is a bug in dvengine",
                "hint": "set DVENGINE_TRACEBACK=1 to see where; the text may hold data, so look before you share it",
                "retryable": False,
            }
        fields |= {key: _as_options(fields[key]) for key in ("message", "hint")}
        with suppress(
            OSError, InputError
        ):  # nobody can be told that nobody can be told; the exit code stands
            if self.as_json:
                self._document({"v": 1, "ok": False, "error": fields})
            else:
                hint = f"\n  hint: {fields['hint']}" if fields["hint"] else ""
                sys.stderr.write(f"error: {fields['message']}{hint}\n")
                sys.stderr.flush()

    @staticmethod
    def _document(data: Mapping[str, Any]) -> None:
        _print(json.dumps(data, ensure_ascii=False, allow_nan=False, default=str) + "\n")


#: The library's hints speak of arguments; whoever types commands has options.
_OPTIONS = (
    (re.compile(r"\boverwrite=True\b"), "--overwrite"),
    (re.compile(r"\breason=(?:'…')?"), '--reason "…"'),
    (re.compile(r'\btable="([\w.]+)"'), r"--table \1"),
    (re.compile(r"\ba query or table=(?=$|[ ,;])"), "--query or --table"),
)


def _as_options(text: str | None) -> str | None:
    for argument, option in _OPTIONS:
        text = argument.sub(option, text) if text else text
    return text


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:
        raise InputError(
            "the result cannot be written to standard output", hint="is the disk that it goes to full?"
        ) from None


def aligned(data: Mapping[str, Any]) -> str:
    """Return ``name  value`` lines.

    Example:
        >>> print(aligned({"rows": 10, "seconds": 0.5}))
        rows     10
        seconds  0.5
    """
    width = max((len(name) for name in data), default=0)
    return "\n".join(f"{name:<{width}}  {_shown(value)}" for name, value in data.items())


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as a plain aligned table with a header."""
    cells = [[_shown(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *cells]) for i in range(len(columns))]
    lines = [list(columns), ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)
