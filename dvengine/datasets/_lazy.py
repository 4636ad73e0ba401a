"""Datasets as Polars plans: a Python source that takes projection, filter and limit, and a bounded way out again."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from contextvars import ContextVar

import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from dvengine._errors import InputError
from dvengine.arrow import BatchStream, check_names
from dvengine.datasets._origins import Origin, Run, TableOrigin, Want, project
from dvengine.datasets._polars import arrow_schema, batches_of, categories, frame_of, mapped, polars_schema
from dvengine.datasets._predicates import filters_of

__all__ = ["LazyOrigin", "scan"]

#: The run that plans built here and now belong to.
_current: ContextVar[Run | None] = ContextVar("dvengine_run", default=None)
#: Runs under way; a plan built outside any run reports its scans to all of them.
_active: list[Run] = []

_CHUNK_ROWS = 65_536
_DEPTH = 3


@contextmanager
def building(run: Run) -> Iterator[None]:
    """Let every plan built inside belong to ``run``."""
    token = _current.set(run)
    try:
        yield
    finally:
        _current.reset(token)


def scan(origin: Origin, *, done: Callable[[Run], None]) -> pl.LazyFrame:
    """Return a lazy frame that reads ``origin`` each time it is collected.

    Guarantees: the columns, the filter and the limit of the plan reach the origin; Polars filters again in every case; the
    origin is closed as soon as the plan has enough; its errors keep their class.
    """
    bound = _current.get()
    if isinstance(origin, LazyOrigin) and origin.transparent:
        return origin.plan(bound)
    if bound is not None:
        bound.inputs.append(origin)
    schema = origin.schema()
    ordered = categories(origin.table) if isinstance(origin, TableOrigin) else {}
    dtypes = polars_schema(schema, ordered)

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, limit: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        run = bound or Run()
        # Polars takes the limit before the filter, so a filter must not be pushed below a limit.
        where = filters_of(predicate, schema) if predicate is not None and limit is None else ()
        want = Want(columns=tuple(columns) if columns is not None else None, where=where, limit=limit)
        if run.dry:
            run.wants.append((origin, want))
            yield frame_of(project(schema, want.columns).empty_table(), ordered)
            return
        empty = True
        with closing(origin.stream(want, run)) as stream:
            for batch in stream:
                frame = frame_of(batch, ordered)
                empty = False
                yield frame if predicate is None else frame.filter(predicate)
        run.check()
        if empty:
            yield frame_of(project(schema, want.columns).empty_table(), ordered)
        if bound is None:
            done(run)
            for other in tuple(_active):
                for seen in run.lineage:
                    other.saw(seen)

    return register_io_source(read, schema=dtypes)


class LazyOrigin:
    """A Polars plan over another dataset.

    Args:
        build: Makes the plan, anew for each run, so that its scans belong to the run and stop with it.
        inputs: Schema of the dataset that the plan starts from.
        label: A name to be shown.
        declared: What the plan must give; it then is a wall that no projection passes.
    """

    def __init__(
        self,
        build: Callable[[], pl.LazyFrame],
        inputs: Callable[[], pa.Schema],
        label: str,
        *,
        declared: pa.Schema | None = None,
        ordered: Callable[[], dict[str, list[str]]] = dict,
    ) -> None:
        self._build, self._inputs, self.label = build, inputs, label
        self._declared, self._ordered = declared, ordered
        self._schema: pa.Schema | None = None

    @property
    def transparent(self) -> bool:
        """Whether a plan on top may be optimised together with this one."""
        return self._declared is None

    def plan(self, run: Run | None) -> pl.LazyFrame:
        """Build the plan, for one run if there is one."""
        with nullcontext() if run is None else building(run):
            frame = self._build()
        if not isinstance(frame, pl.LazyFrame):
            raise InputError(
                f"pipe's function gave a {type(frame).__name__}, not a LazyFrame",
                hint="leave out .collect(); the dataset stays lazy",
            )
        return frame

    def schema(self) -> pa.Schema:
        """Resolve the plan's types; reads no rows."""
        if self._schema is None:
            try:
                found = arrow_schema(self.plan(Run()).collect_schema(), self._inputs(), self._ordered())
            except BaseException as error:
                other = mapped(error)
                if other is error:
                    raise
                raise other from None
            if self._declared is not None:
                check_names(self._declared.names)
                if found.names != self._declared.names:
                    raise InputError(
                        "the plan's columns are not those declared: it has "
                        f"{', '.join(found.names)}; declared are {', '.join(self._declared.names)}",
                        hint="schema= lists what the function returns, in order",
                    )
            self._schema = self._declared or found
        return self._schema

    def stream(self, want: Want, run: Run) -> BatchStream:
        """Run the plan in a thread of its own; at most a few chunks wait for the reader."""
        out = project(self.schema(), want.columns)
        inner = run.inner()
        plan = self.plan(inner)
        if want.columns is not None:
            plan = plan.select(want.columns)
        if want.limit is not None:
            plan = plan.head(want.limit)
        return BatchStream(out, _deliver(plan, out, inner))


class _Channel:
    """A bounded hand-over from Polars' thread to the reader."""

    def __init__(self) -> None:
        self._items: deque[pl.DataFrame] = deque()
        self._changed = threading.Condition()
        self.closed = self.ended = False
        self.error: BaseException | None = None

    def put(self, frame: pl.DataFrame) -> bool:
        """Wait for room; True tells Polars to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed or len(self._items) < _DEPTH)
            if not self.closed:
                self._items.append(frame)
                self._changed.notify_all()
            return self.closed

    def end(self, error: BaseException | None) -> None:
        with self._changed:
            self.ended, self.error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self.closed = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[pl.DataFrame]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self.ended)
                if not self._items:
                    break
                frame = self._items.popleft()
                self._changed.notify_all()
            yield frame
        if self.error is not None:
            other = mapped(self.error)
            if other is self.error:
                raise self.error
            raise other from None


def _deliver(plan: pl.LazyFrame, schema: pa.Schema, run: Run) -> Iterator[pa.RecordBatch]:
    channel = _Channel()

    def work() -> None:
        error: BaseException | None = None
        try:
            plan.sink_batches(channel.put, chunk_size=_CHUNK_ROWS, maintain_order=True, engine="streaming")
        except BaseException as caught:  # noqa: BLE001 - carried to the reader, whatever it is
            error = caught
        channel.end(error)

    thread = threading.Thread(target=work, name="dvengine-polars", daemon=True)
    _active.append(run)
    thread.start()
    try:
        for frame in channel:
            yield from batches_of(frame, schema)
    finally:
        channel.close()
        run.stop()
        thread.join()
        _active.remove(run)
