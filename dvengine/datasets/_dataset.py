"""Dataset: one table of data, wherever it lies, with every exit exact."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from dvengine._arguments import typed
from dvengine._errors import InputError
from dvengine.arrow import BatchStream, unified
from dvengine.config import Settings
from dvengine.datasets import _lazy, _write
from dvengine.datasets._objects import origin_of
from dvengine.datasets._origins import Origin, Run, TableOrigin, Want
from dvengine.datasets._plan import Plan, plan_of
from dvengine.datasets._polars import categories, frame_of, polars_schema

if TYPE_CHECKING:
    import pandas as pd

    from dvengine.arrow._pandas import Dtypes
    from dvengine.datasets._write import WriteReceipt
    from dvengine.stores import PartReceipt, Store

__all__ = ["Dataset"]


class Dataset:
    """Rows that are read when an exit is called, and only then.

    Guarantees: making one reads no rows, and neither does its ``repr``; every exit gives the same values under the schema's
    types, also when there are no rows; an exit that fails gives nothing, never fewer rows; each exit reads the data anew,
    except where it came from a single-use stream, which then raises `StreamConsumed`.

    Attributes:
        name: What to call it; never a value.
        lineage: One dictionary a scan (``source``, ``table``, ``snapshot``, ``consistent``) of the latest completed reading;
            empty before.

    Example:
        >>> import dvengine as dv
        >>> import pyarrow as pa
        >>> people = dv.dataset(pa.table({"kommune": ["0301", "1103", "0301"], "antall": [12, 7, 3]}), name="people")
        >>> people.sql("select kommune, sum(antall)::bigint as antall from self group by 1 order by 1").to_arrow().to_pylist()
        [{'kommune': '0301', 'antall': 15}, {'kommune': '1103', 'antall': 7}]
    """

    def __init__(self, origin: Origin, *, name: str | None = None) -> None:
        self._origin = origin
        self.name = name or origin.label
        self.lineage: tuple[dict[str, Any], ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """Names and types; reads no rows."""
        return self._origin.schema()

    def _done(self, run: Run) -> None:
        self.lineage = run.lineage

    def _stream(self, want: Want) -> BatchStream:
        run = Run()
        schema = self._origin.schema()
        stream = self._origin.stream(want, run)

        def deliver() -> Iterator[pa.RecordBatch]:
            with closing(stream):
                yield from stream
            self._done(run)

        return BatchStream(stream.schema if want.columns is not None else schema, deliver(), close=run.stop)

    @typed()
    def batches(self, *, batch_rows: int | None = None) -> BatchStream:
        """Return a single-use stream of record batches in bounded memory; closing it early stops the source.

        Args:
            batch_rows: At most so many rows a batch; None takes them as the source cuts them.
        """
        stream = self._stream(Want())
        if batch_rows is None:
            return stream
        if batch_rows < 1:
            raise InputError("batch_rows must be at least 1", hint="or None: as the source cuts them")
        return BatchStream(stream.schema, _sliced(stream, batch_rows))

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.batches().__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def to_arrow(self) -> pa.Table:
        """Read everything into memory as an Arrow table."""
        return self.batches().read_all()

    def to_polars(self) -> pl.DataFrame:
        """Read everything into a Polars frame; ordered categories become an Enum.

        Raises:
            TypeMapError: A column has a type that Polars does not have; the message names it.
        """
        polars_schema(self.schema, {})
        table = unified(self.to_arrow())
        return frame_of(table, categories(table))

    @typed()
    def to_pandas(self, *, dtypes: Dtypes = "exact") -> pd.DataFrame:
        """Read everything into a pandas frame whose dtypes follow from the schema, never from the values.

        Args:
            dtypes: ``exact``: integers and booleans are nullable, text is ``str``, dates are datetime64, decimals are Arrow-backed,
                floats are NumPy without a copy (a null float is NaN). ``arrow``: every column Arrow-backed. ``numpy``: pandas'
                classic form; integers with nulls become float64, and it is an error where that would change a value.
        """
        from dvengine.arrow._pandas import to_pandas

        return to_pandas(self.to_arrow(), dtypes=dtypes)

    def lazy(self) -> pl.LazyFrame:
        """Return a Polars lazy frame over the dataset: projection, filters and limit reach the source.

        Each ``collect`` reads anew. Filters that a source can apply exactly go there; Polars filters again in every case. A plan
        that reads a dataset twice reads it at two moments; `dvengine.snapshot` makes them one, and `pipe` tells in its lineage.
        """
        return _lazy.scan(self._origin, done=self._done)

    @typed()
    def pipe(
        self, function: Callable[[pl.LazyFrame], pl.LazyFrame], *, schema: pa.Schema | None = None
    ) -> Dataset:
        """Return a dataset of what ``function`` makes of the lazy frame; nothing runs yet.

        Args:
            function: From `polars.LazyFrame` to `polars.LazyFrame`, without side effects: it is called once for the schema and
                once for each reading. Other datasets join in by their ``lazy()``.
            schema: What comes out, if the function calls Python code on the rows: the plan is then closed to optimisation from
                outside, so that no column is taken away from that code, and what comes out is held to the schema.

        Example:
            >>> import dvengine as dv
            >>> import polars as pl
            >>> dv.dataset(pl.DataFrame({"n": [1, 2, 3]})).pipe(lambda lf: lf.filter(pl.col("n") > 1)).to_polars().height
            2
        """
        origin = self._origin
        ordered = (lambda: categories(origin.table)) if isinstance(origin, TableOrigin) else dict
        made = _lazy.LazyOrigin(
            lambda: function(self.lazy()), self._origin.schema, self.name, declared=schema, ordered=ordered
        )
        return Dataset(made, name=self.name)

    @typed(texts=("query",))
    def sql(self, query: str, /, **others: Any) -> Dataset:
        """Return a dataset of a DuckDB query over this one, which is called ``self`` there; nothing runs yet.

        Args:
            query: One SELECT. It cannot reach files, the network or Python variables.
            others: More tables by the name they have in the query: datasets, or anything that `dvengine.dataset` takes.

        Raises:
            QueryError: The statement is not one SELECT, or DuckDB does not accept it; literals are not repeated.
            InputError: Columns whose names differ by letter case only, which SQL cannot tell apart.
            TypeMapError: A type that DuckDB does not have, such as a decimal of more than 38 digits.
        """
        from dvengine.datasets._sql import SqlOrigin  # brings DuckDB, and pandas with it

        tables = {"self": self._origin}
        for name, other in others.items():
            tables[name] = other._origin if isinstance(other, Dataset) else origin_of(other, name)
        return Dataset(SqlOrigin(query, tables, self.name), name=self.name)

    @typed()
    def head(self, n: int = 10) -> pl.DataFrame:
        """Read the first ``n`` rows, in no particular order, and stop the source."""
        if n < 0:
            raise InputError("head's n must not be negative", hint="for example head(10)")
        polars_schema(self.schema, {})
        table = unified(self._stream(Want(limit=n)).read_all())
        return frame_of(table, categories(table))

    def explain(self) -> Plan:
        """Return how the data would be read: source, partitions, moment, statements with literals masked; reads no rows."""
        return plan_of(self._origin, self.name)

    @typed()
    def write_parquet(
        self, target: str | Path | Store, *, overwrite: bool = False, settings: Settings | None = None
    ) -> WriteReceipt:
        """Write Parquet, whole or not at all.

        A target that ends in ``.parquet`` becomes exactly one file. Any other is a folder of parts, written in parallel where
        the source has partitions; a manifest in ``_dvengine/`` is written last, and readers see the parts that it lists.

        Args:
            target: A local path, an address such as ``s3://bucket/prefix/``, a store's alias, or a store.
            overwrite: Replace what an earlier ``write_parquet`` left there; its readers see the old or the new, never a mix.
            settings: `dvengine.config.Settings`; None reads the settings file.

        Raises:
            Conflict: The target already holds something; said before any row is read.
            Incomplete: The rows written are not the rows read; nothing is left behind.
        """
        return _write.write_parquet(
            self._origin, self._done, self.name, target, overwrite=overwrite, settings=settings
        )

    def write_parts(
        self,
        store: Store,
        path_for: Callable[[int], str],
        *,
        feed: Callable[[pa.RecordBatch], None] | None = None,
    ) -> tuple[PartReceipt, ...]:
        """Write the rows as Parquet parts; on any error the parts already written are removed, and the error is raised.

        Args:
            store: Where to.
            path_for: Gives the key of part 0, 1, …; keys must be unique.
            feed: Sees every batch once, one at a time, before it is written; for scanners.

        Returns:
            One receipt a part, at least one: without rows there is one part with the schema.
        """
        return _write.write_parts(self._origin, self._done, self.name, store, path_for, feed=feed)

    def __repr__(self) -> str:
        shown = getattr(self._origin, "_schema", None)
        if isinstance(self._origin, TableOrigin):
            shown = self._origin.schema()
        if shown is None:
            return f"Dataset({self.name}: not read, schema not asked for yet)"
        columns = "\n".join(f"  {f.name}: {f.type}" for f in shown)
        return f"Dataset({self.name}: {len(shown)} columns, rows are read at an exit)\n{columns}"

    def _repr_html_(self) -> str:
        head, _, rest = repr(self).partition("\n")
        rows = "".join(
            f"<tr><th scope='row'>{html.escape(name)}</th><td>{html.escape(kind)}</td></tr>"
            for name, _, kind in (line.strip().rpartition(": ") for line in rest.splitlines()[:200])
        )
        return (
            f"<div><p><code>{html.escape(head)}</code></p>"
            f"<table><thead><tr><th scope='col'>column</th><th scope='col'>type</th></tr></thead><tbody>{rows}</tbody></table></div>"
        )


def _sliced(stream: BatchStream, rows: int) -> Iterator[pa.RecordBatch]:
    with closing(stream):
        for batch in stream:
            for start in range(0, batch.num_rows, rows):
                yield batch.slice(start, rows)
