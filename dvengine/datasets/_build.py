"""Datasets out of what the caller has: a source and a request, an object in memory, stored Parquet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from dvengine._errors import InputError
from dvengine.connectors import Request, Source
from dvengine.datasets._dataset import Dataset
from dvengine.datasets._lazy import LazyOrigin
from dvengine.datasets._origins import SourceOrigin, StreamOrigin, TableOrigin
from dvengine.stores import Store

__all__ = ["from_object", "from_parquet", "from_source"]


def from_source(source: Source, request: Request, *, name: str | None = None) -> Dataset:
    """Return a dataset of what ``request`` asks of ``source``; nothing is opened."""
    if request.where:
        raise InputError(
            "filters are not part of the request", hint="filter with pipe(lambda lf: lf.filter(…))"
        )
    return Dataset(SourceOrigin(source, request, name or request.label), name=name or request.label)


def from_object(obj: Any, *, name: str | None = None) -> Dataset:
    """Return a dataset of a pandas, Polars, pyarrow or DuckDB object, or of anything with ``__arrow_c_stream__``.

    A pandas frame's named index becomes columns; see `dvengine.arrow`'s pandas edge for the rest. A record batch reader and
    any other stream of unknown kind can be read once.

    Raises:
        InputError: The object offers no Arrow stream.

    Example:
        >>> from_object(pa.table({"n": [1]}), name="tall").schema.names
        ['n']
    """
    label = name or "data"
    if isinstance(obj, Dataset):
        return obj if name in (None, obj.name) else Dataset(obj._origin, name=name)
    if isinstance(obj, pa.RecordBatch):
        obj = pa.Table.from_batches([obj])
    if isinstance(obj, pa.Table):
        return Dataset(TableOrigin(obj, label))
    # A library that is not loaded cannot have made the object: so none is imported to find out.
    if (polars := sys.modules.get("polars")) is not None:
        if isinstance(obj, polars.LazyFrame):
            return Dataset(LazyOrigin(lambda: obj, lambda: pa.schema([]), label))
        if isinstance(obj, polars.Series):
            obj = obj.to_frame()
        if isinstance(obj, polars.DataFrame):
            return _from_polars(obj, label)
    if (pandas := sys.modules.get("pandas")) is not None:
        if isinstance(obj, pandas.Series):
            obj = obj.to_frame(obj.name if obj.name is not None else "value")
        if isinstance(obj, pandas.DataFrame):
            from dvengine.arrow._pandas import from_pandas

            return Dataset(TableOrigin(from_pandas(obj), label))
    if not hasattr(obj, "__arrow_c_stream__"):
        raise InputError(
            f"a {type(obj).__name__} cannot be read as a table",
            hint="give a pandas, Polars, pyarrow or DuckDB table, or any object with __arrow_c_stream__",
        )
    again = hasattr(obj, "__len__") or hasattr(obj, "num_rows") or type(obj).__name__ == "DuckDBPyRelation"
    return Dataset(StreamOrigin(lambda: pa.RecordBatchReader.from_stream(obj), label, again=again))


def _from_polars(frame: Any, label: str) -> Dataset:
    from dvengine.datasets._polars import arrow_schema, batches_of

    schema = arrow_schema(frame.schema, pa.schema([]), {})
    batches = list(batches_of(frame, schema))
    return Dataset(TableOrigin(pa.Table.from_batches(batches, schema if schema.names else None), label))


def from_parquet(
    store: Store, paths: Sequence[str], *, name: str | None = None, schema: pa.Schema | None = None
) -> Dataset:
    """Return a dataset of the Parquet objects at ``paths``, read in parallel; nothing is opened.

    Args:
        store: Where they lie.
        paths: Exact keys, never patterns.
        name: Defaults to ``parquet``.
        schema: What they must have; None takes the first one's, and the others must agree.

    Raises:
        TypeMapError: When read: an object has another schema; the message names it and the column.
    """
    from dvengine.connectors.files import Files

    source = Files(store, tuple(paths), schema=schema)
    label = name or "parquet"
    return Dataset(SourceOrigin(source, Request(table=label), label), name=label)
