"""Datasets as Polars plans: a Python source that takes projection, filter and limit, and a bounded way out again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from contextvars import ContextVar

import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from dvengine._errors import InputError
from dvengine.arrow import BatchStream, check_names
from dvengine.datasets._interrupt import listen, stopping
from dvengine.datasets._origins import Origin, Run, TableOrigin, Want, project
from dvengine.datasets._polars import arrow_schema, batches_of, categories, frame_of, mapped, polars_schema
from dvengine.datasets._predicates import filters_of
from dvengine.datasets._relay import Relay

__all__ = ["LazyOrigin", "scan"]

#: The run that plans built here and now belong to.
_current: ContextVar[Run | None] = ContextVar("dvengine_run", default=None)
#: Runs under way; a plan built outside any run reports its scans to all of them.
_active: list[Run] = []

_CHUNK_ROWS = 16_384


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
    else:
        listen()
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
        # A bound run is stopped by its reader; nobody but Ctrl-C stops this one, and its plan keeps the main thread.
        with nullcontext() if bound else stopping(run.stop), closing(origin.stream(want, run)) as stream:
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

    engine = "Polars"

    def wants(self) -> list[tuple[Origin, Want]]:
        """Let Polars optimise and run the plan over empty inputs, to see what it asks each input for."""
        run = Run(dry=True)
        plan = self.plan(run)
        # A frame that was made outside the function cannot be told to stay dry: then say only what is read.
        if plan.explain().count("PYTHON SCAN") == len(run.inputs):
            with suppress(Exception):  # Python code in the plan may not like empty frames
                plan.collect()
        return run.wants or [(inner, Want()) for inner in run.inputs]

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
        return BatchStream(out, _deliver(plan, out, inner), close=inner.stop)


def _deliver(plan: pl.LazyFrame, schema: pa.Schema, run: Run) -> Iterator[pa.RecordBatch]:
    def produce(put: Callable[[pl.DataFrame], bool]) -> None:
        plan.sink_batches(put, chunk_size=_CHUNK_ROWS, maintain_order=True, engine="streaming")

    relay = Relay(produce, stop=run.stop, name="dvengine-polars")
    run.on_stop(relay.close)
    _active.append(run)
    try:
        with closing(iter(relay)) as frames:
            for frame in frames:
                yield from batches_of(frame, schema)
    except BaseException as error:
        other = mapped(error)
        if other is error:
            raise
        raise other from None
    finally:
        _active.remove(run)
