"""Where a dataset's rows come from: memory, a stream that can be read once, or a source of another system."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from dvengine import run as _run
from dvengine._errors import Cancelled, DvengineError, InputError, StreamConsumed
from dvengine.arrow import BatchStream, check_names, plain_schema, rows_only, unified, with_schema
from dvengine.connectors import Filter, Request, Scan, Source

__all__ = ["Engine", "Origin", "Run", "SourceOrigin", "StreamOrigin", "TableOrigin", "Want", "merged"]

Lineage = tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """What the reader can do without. ``where`` may be ignored; ``columns`` and ``limit`` may not."""

    columns: tuple[str, ...] | None = None
    where: tuple[Filter, ...] = ()
    limit: int | None = None


ALL = Want()


class Run:
    """One reading of one dataset: which scans it opened, and how to stop them. Thread-safe.

    A query inside a query has a run of its own, so that the end of one reading of a table never ends another; scans are told
    to the outer run, and stopping the outer one stops those inside.
    """

    def __init__(self, *, outer: Run | None = None, dry: bool = False) -> None:
        self._lock = threading.Lock()
        self._outer = outer
        self._scans: list[dict[str, Any]] = []
        self._stops: list[Callable[[], None]] = []
        self.stopped = False
        self.dry = dry  # scans note what they were asked for, and give no rows
        self.inputs: list[Origin] = []
        self.wants: list[tuple[Origin, Want]] = []

    def inner(self) -> Run:
        """Return a run within this one."""
        run = Run(outer=self)
        self.on_stop(run.stop)
        return run

    def saw(self, scan: dict[str, Any]) -> None:
        """Note a scan."""
        with self._lock:
            if scan not in self._scans:
                self._scans.append(scan)
        if self._outer is not None:
            self._outer.saw(scan)

    def opened(self, stream: BatchStream) -> BatchStream:
        """Keep a stream, to be closed if the run stops early."""
        self.on_stop(stream.close)
        return stream

    def on_stop(self, stop: Callable[[], None]) -> None:
        """Have ``stop`` called when the run stops; at once, if it has."""
        with self._lock:
            if not self.stopped:
                self._stops.append(stop)
                return
        stop()

    def check(self) -> None:
        """Raise if the run was stopped: a stream closed from outside looks like one that ended.

        Raises:
            Cancelled: Stopped.
        """
        if self.stopped:
            raise Cancelled("the read was stopped")

    def stop(self) -> None:
        """Close every stream of this run, and of the runs within; idempotent."""
        with self._lock:
            self.stopped = True
            stops, self._stops = self._stops, []
        for stop in stops:
            stop()

    @property
    def lineage(self) -> Lineage:
        """The scans seen, merged."""
        with self._lock:
            return merged(self._scans)


def merged(scans: Sequence[dict[str, Any]]) -> Lineage:
    """Return the distinct scans; where one source was read at more than one moment, none of its scans is consistent.

    Example:
        >>> a = {"source": "s", "table": "t", "snapshot": "1", "consistent": True}
        >>> [scan["consistent"] for scan in merged([a, a | {"snapshot": "2"}])]
        [False, False]
    """
    distinct: list[dict[str, Any]] = []
    moments: dict[str, set[Any]] = {}
    for scan in scans:
        if scan not in distinct:
            distinct.append(scan)
        if scan["snapshot"] is not None:
            moments.setdefault(scan["source"], set()).add(scan["snapshot"])
    torn = {source for source, seen in moments.items() if len(seen) > 1}
    return tuple({**s, "consistent": False} if s["source"] in torn else dict(s) for s in distinct)


class Origin(Protocol):
    """What a dataset asks of the place its rows come from."""

    label: str

    def schema(self) -> pa.Schema:
        """Return the schema; reads no rows."""
        ...

    def stream(self, want: Want, run: Run) -> BatchStream:
        """Start one reading. Nothing is opened before the first batch is asked for."""
        ...


@runtime_checkable
class Engine(Origin, Protocol):
    """An origin that runs a plan over other origins.

    Attributes:
        engine: What runs it, by name.
    """

    engine: str

    def wants(self) -> list[tuple[Origin, Want]]:
        """Return what the plan asks each input for; reads no rows."""
        ...


def _named(scan_source: str, label: str, snapshot: str | None, consistent: bool) -> dict[str, Any]:
    return {"source": scan_source, "table": label, "snapshot": snapshot, "consistent": consistent}


def shape(
    batches: Iterator[pa.RecordBatch], want: Want, have: pa.Schema, out: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Cut columns and rows to what is wanted."""
    left = want.limit
    same = have.names == out.names
    for batch in batches:
        if left is not None:
            batch = batch.slice(0, left)
            left -= batch.num_rows
        if not same:
            batch = batch.select(out.names) if out.names else rows_only(batch.num_rows)
        yield with_schema(batch, out)
        if left == 0:
            return


def project(schema: pa.Schema, columns: tuple[str, ...] | None) -> pa.Schema:
    """Return the schema of some of the columns, in their order."""
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])


class TableOrigin:
    """An Arrow table in memory."""

    def __init__(self, table: pa.Table, label: str) -> None:
        check_names(table.column_names)
        schema = plain_schema(table.schema)
        self.label = label
        if table.column_names:
            table = pa.Table.from_batches([with_schema(b, schema) for b in table.to_batches()], schema)
            self.table = unified(table)
        else:
            self.table = pa.Table.from_batches([rows_only(table.num_rows)])

    def schema(self) -> pa.Schema:
        """Return the table's schema."""
        return self.table.schema

    def stream(self, want: Want, run: Run) -> BatchStream:
        """Give the table's batches; no copy."""
        out = project(self.schema(), want.columns)

        def deliver() -> Iterator[pa.RecordBatch]:
            run.saw(_named("memory", self.label, None, True))
            # A table without columns has no batches, but it has rows.
            batches = self.table.to_batches() if self.schema().names else [rows_only(self.table.num_rows)]
            yield from shape(iter(batches), want, self.schema(), out)

        return BatchStream(out, deliver())


class StreamOrigin:
    """An object with ``__arrow_c_stream__``: asked anew for each reading if it ``again`` can be, else read once."""

    def __init__(
        self,
        open_reader: Callable[[], pa.RecordBatchReader],
        label: str,
        *,
        again: bool,
        schema: pa.Schema | None = None,
    ) -> None:
        self._open, self.label, self._again = open_reader, label, again
        self._schema = schema
        self._first: pa.RecordBatchReader | None = None
        self._used = False
        self._lock = threading.Lock()

    @contextmanager
    def _boundary(self) -> Iterator[None]:
        """Whatever a foreign stream raises becomes ours, without its text: that is not ours to vouch for."""
        try:
            yield
        except DvengineError:
            raise
        except Exception as error:  # noqa: BLE001 - anything can hang at the other end
            raise InputError(
                f"{self.label!r} could not be read to its end: its stream raised {type(error).__name__}",
                hint="the details may hold values and are left out; read it on its own to see them",
            ) from None

    def schema(self) -> pa.Schema:
        """Open the object, if need be, and return its schema; reads no rows."""
        with self._lock:
            if self._schema is None:
                with self._boundary():
                    self._first = self._open()
                self._schema = plain_schema(self._first.schema)
                check_names(self._schema.names)
            return self._schema

    def _batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        while True:
            with self._boundary():
                batch = next(reader, None)
            if batch is None:
                return
            yield batch

    def _reader(self) -> pa.RecordBatchReader:
        with self._lock:
            if self._used and not self._again:
                raise StreamConsumed(
                    f"{self.label} is a stream that has been read",
                    hint="read it into memory first (pyarrow: reader.read_all()), or hand over an object that can be read again",
                )
            self._used = True
            first, self._first = self._first, None
        if first is not None:
            return first
        with self._boundary():
            return self._open()

    def stream(self, want: Want, run: Run) -> BatchStream:
        """Ask the object for its rows."""
        have = self.schema()
        out = project(have, want.columns)

        def deliver() -> Iterator[pa.RecordBatch]:
            run.saw(_named("memory", self.label, None, True))
            with self._reader() as reader:
                yield from shape(self._batches(reader), want, have, out)

        return BatchStream(out, deliver())


@dataclass
class SourceOrigin:
    """A request to a source, read by `dvengine.run` in partitions of one moment."""

    source: Source
    request: Request
    label: str
    _schema: pa.Schema | None = field(default=None, repr=False)

    def schema(self) -> pa.Schema:
        """Ask the source, once."""
        if self._schema is None:
            schema = plain_schema(self.source.schema(self.request))
            check_names(schema.names, what=f"the result of {self.request.label!r}")
            self._schema = schema
        return self._schema

    def wanted(self, want: Want) -> Request:
        """Return the request with projection, filters and limit pushed down."""
        limits = [n for n in (self.request.limit, want.limit) if n is not None]
        # A filter after the request's own limit must not run before it.
        where = () if self.request.limit is not None else want.where
        columns = self.request.columns if want.columns is None else want.columns
        return replace(self.request, columns=columns, where=where, limit=min(limits) if limits else None)

    def stream(self, want: Want, run: Run) -> BatchStream:
        """Read the source."""
        out = project(self.schema(), want.columns)
        request = self.wanted(want)

        def saw(scan: Scan) -> None:
            run.saw(_named(self.source.name, self.request.label, scan.snapshot, scan.consistent))

        def deliver() -> Iterator[pa.RecordBatch]:
            with closing(run.opened(_run.stream(self.source, request, on_scan=saw))) as upstream:
                yield from shape(iter(upstream), replace(want, limit=request.limit), upstream.schema, out)
                run.check()

        return BatchStream(out, deliver())
