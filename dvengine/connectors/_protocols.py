"""The door between a system that holds data and the rest of the house.

A connector is one package with one row in `dvengine.connectors._registry`. It splits a request into partitions of one
moment and reads a partition as record batches; threads, queues, retries and writing are not its business.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import pyarrow as pa

from dvengine._errors import Cancelled

__all__ = ["Cancel", "Capabilities", "Filter", "Partition", "Request", "Scan", "Source"]

Op = Literal["=", "!=", "<", "<=", ">", ">=", "in", "is_null", "not_null"]


class Filter(NamedTuple):
    """``column op value``. A source may return a superset; whoever asked filters again. The value never shows."""

    column: str
    op: Op
    value: Any = None

    def __repr__(self) -> str:
        return f"Filter({self.column} {self.op} …)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to read. Exactly one of ``query`` and ``table``.

    Attributes:
        query: The user's statement, byte for byte. Secret: it may hold literals.
        table: ``table`` or ``schema.table``.
        params: Bound as ``%(name)s``; None means that the query has no placeholders at all.
        columns: Projection, in this order; None means all.
        where: AND-ed filters that the source may push down.
        limit: At most so many rows (of the whole, not per partition).
        partition_on: A column to cut on, where the rows cannot be cut by place.
        partitions: How many; None lets the source choose.
        types: Asked-for Arrow types by column; exact, or an error.
        options: Choices that only this kind of source knows, e.g. ``{"infinity": "null"}``.
    """

    query: str | None = field(default=None, repr=False)
    table: str | None = None
    params: Mapping[str, Any] | None = field(default=None, repr=False)
    columns: tuple[str, ...] | None = None
    where: tuple[Filter, ...] = field(default=(), repr=False)
    limit: int | None = None
    partition_on: str | None = None
    partitions: int | None = None
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """A name that may be shown: the table's, or ``query``."""
        return self.table or "query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One piece of a scan: picklable, without credentials; ``token`` is opaque and only its own source reads it."""

    id: str
    index: int
    token: bytes = field(repr=False)
    snapshot: str | None = None
    rows_estimate: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Facts about a kind of source."""

    snapshot: Literal["exported", "scn", "offsets", "none"]
    resumable: bool
    pushdown: frozenset[Literal["columns", "where", "limit"]] = frozenset()


class Cancel:
    """Asks work to stop: set once, from any thread; whoever blocks registers how to be woken.

    Example:
        >>> cancel = Cancel()
        >>> with cancel.waking(lambda: print("woken")):
        ...     cancel.set()
        woken
        >>> cancel.is_set
        True
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = False
        self._wakers: dict[int, Callable[[], None]] = {}

    @property
    def is_set(self) -> bool:
        """Whether somebody asked to stop."""
        return self._set

    def set(self) -> None:
        """Ask to stop and wake every blocked call; idempotent."""
        with self._lock:
            self._set = True
            wakers, self._wakers = list(self._wakers.values()), {}
        for wake in wakers:
            wake()

    def check(self) -> None:
        """Raise `Cancelled` if somebody asked to stop."""
        if self._set:
            raise Cancelled("the read was cancelled")

    def waking(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """While inside, have ``wake`` called (once, in the cancelling thread) when somebody asks to stop."""
        return _Waking(self, wake)


class _Waking(AbstractContextManager[None]):
    def __init__(self, cancel: Cancel, wake: Callable[[], None]) -> None:
        self._cancel, self._wake = cancel, wake

    def __enter__(self) -> None:
        with self._cancel._lock:
            if not self._cancel._set:
                self._cancel._wakers[id(self)] = self._wake
                return
        self._wake()

    def __exit__(self, *_: object) -> None:
        with self._cancel._lock:
            self._cancel._wakers.pop(id(self), None)


class Scan(Protocol):
    """A planned read of one moment, held open by the context manager that gave it.

    Attributes:
        schema: What every batch has.
        partitions: At least one, unless there is nothing to read.
        snapshot: Identifies the moment, or None.
        consistent: Whether all partitions see one moment.
        reason: Why it is cut as it is, or not consistent; for people.
        residual: Filters of the request that the source does not apply exactly; the caller must.
        rows_estimate: Over all partitions, or None.
    """

    schema: pa.Schema
    partitions: tuple[Partition, ...]
    snapshot: str | None
    consistent: bool
    reason: str | None
    residual: tuple[Filter, ...]
    rows_estimate: int | None

    def statements(self) -> list[str]:
        """The statements that will run, with every literal masked; for `explain`."""
        ...


@runtime_checkable
class Source(Protocol):
    """A system that holds data. Thread-safe; holds no connection between calls, except under `pin`.

    Attributes:
        name: The alias or safe URL.
        capabilities: Facts.
    """

    name: str
    capabilities: Capabilities

    def schema(self, request: Request) -> pa.Schema:
        """Return the result's schema; reads no rows."""
        ...

    def open(self, request: Request, *, cancel: Cancel) -> AbstractContextManager[Scan]:
        """Plan the read and hold its moment until the context ends."""
        ...

    def read(self, partition: Partition, *, cancel: Cancel) -> Generator[pa.RecordBatch, None, None]:
        """Read one partition on a connection of its own; may be called again for the same partition, from any thread."""
        ...

    def pin(self) -> AbstractContextManager[Source]:
        """Give a source all of whose scans see one moment, until the context ends.

        Raises:
            NotSupported: This source has no snapshot.
        """
        ...

    def check(self) -> dict[str, str]:
        """Connect and return facts that may be shown (version, role, read-only, …); for `doctor`."""
        ...
