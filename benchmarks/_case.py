"""What a measurement is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

#: The contender that all ratios are taken against.
OURS = "dvengine"


class Absent(Exception):
    """This contender cannot be had on this machine; the text says why."""


@dataclass(frozen=True)
class Job:
    """What a contender is told, in a process of its own.

    Attributes:
        url: The database.
        table: In the schema ``public``.
        store: Fields of an S3 store: ``endpoint``, ``access_key``, ``secret_key``, ``bucket``, and a fresh ``prefix``.
    """

    url: str = field(repr=False)
    table: str
    store: dict[str, str] = field(repr=False)


@dataclass(frozen=True)
class Contender:
    """One way of doing the job.

    Attributes:
        prepare: Imports and opens whatever a long-running job has open already; not timed. Returns the timed part, which
            returns something that ``answer`` can read.
        answer: Turns that into an Arrow table, after the clock has stopped; None where there is no answer to compare.
    """

    name: str
    prepare: Callable[[Job], Callable[[], Any]]
    answer: Callable[[Job, Any], Any] | None
    note: str = ""


@dataclass(frozen=True)
class Case:
    """One job, and several ways of doing it; ``ratios`` where it makes sense to divide their times by ours."""

    name: str
    title: str
    tables: tuple[str, ...]
    contenders: tuple[Contender, ...]
    ratios: bool = True
