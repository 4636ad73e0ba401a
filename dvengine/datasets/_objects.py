"""Where the rows of an object in memory come from, whoever made it."""

from __future__ import annotations

import sys
from typing import Any

import pyarrow as pa

from dvengine._errors import InputError
from dvengine.datasets._lazy import LazyOrigin
from dvengine.datasets._origins import Origin, StreamOrigin, TableOrigin
from dvengine.datasets._polars import arrow_schema, batches_of

__all__ = ["origin_of"]


def origin_of(obj: Any, label: str) -> Origin:
    """Return the origin of a pandas, Polars, pyarrow or DuckDB object; see `dvengine.dataset`.

    Raises:
        InputError: The object offers no Arrow stream.
    """
    if isinstance(obj, pa.RecordBatch):
        obj = pa.Table.from_batches([obj])
    if isinstance(obj, pa.Table):
        return TableOrigin(obj, label)
    # A library that is not loaded cannot have made the object: so none is imported to find out.
    if (polars := sys.modules.get("polars")) is not None:
        if isinstance(obj, polars.LazyFrame):
            return LazyOrigin(lambda: obj, lambda: pa.schema([]), label)
        if isinstance(obj, polars.Series):
            obj = obj.to_frame()
        if isinstance(obj, polars.DataFrame):
            return _from_polars(obj, label)
    if (pandas := sys.modules.get("pandas")) is not None:
        if isinstance(obj, pandas.Series):
            obj = obj.to_frame(obj.name if obj.name is not None else "value")
        if isinstance(obj, pandas.DataFrame):
            from dvengine.arrow._pandas import from_pandas

            return TableOrigin(from_pandas(obj), label)
    if not hasattr(obj, "__arrow_c_stream__"):
        raise InputError(
            f"a {type(obj).__name__} cannot be read as a table",
            hint="give a pandas, Polars, pyarrow or DuckDB table, or any object with __arrow_c_stream__",
        )
    again = hasattr(obj, "__len__") or hasattr(obj, "num_rows") or type(obj).__name__ == "DuckDBPyRelation"
    return StreamOrigin(lambda: pa.RecordBatchReader.from_stream(obj), label, again=again)


def _from_polars(frame: Any, label: str) -> Origin:
    schema = arrow_schema(frame.schema, pa.schema([]), {})
    batches = list(batches_of(frame, schema))
    return TableOrigin(pa.Table.from_batches(batches, schema if schema.names else None), label)
