"""Arrow to Polars and back, exactly: what cannot cross is refused before it can panic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import polars as pl
import pyarrow as pa

from dvengine._errors import DvengineError, InputError, NotSupported, QueryError, TypeMapError
from dvengine.arrow import contains, plain_schema, rows_only, with_schema

__all__ = ["arrow_schema", "batches_of", "categories", "frame_of", "mapped", "polars_schema"]

Categories = Mapping[str, list[str]]


def _refused(kind: pa.DataType) -> bool:
    t = pa.types
    return (
        t.is_decimal256(kind)
        or "interval" in str(kind)  # pyarrow itself knows only one of the three
        or t.is_union(kind)
        or t.is_run_end_encoded(kind)
        or t.is_list_view(kind)
        or t.is_large_list_view(kind)
        or (t.is_decimal(kind) and not 0 <= kind.scale <= kind.precision)
    )


def polars_schema(schema: pa.Schema, ordered: Categories) -> pl.Schema:
    """Return the Polars types of an Arrow schema; ordered categories become an Enum, which sorts by them.

    Raises:
        TypeMapError: A type that Polars does not have; the message names the column.
    """
    for column in schema:
        if contains(column.type, _refused):
            raise TypeMapError(
                f"column {column.name!r} is {column.type}, which Polars does not have",
                hint="leave the column out, or ask for another type with types={…}, for example string",
            )
    dtypes = dict(frame_of(schema.empty_table(), {}).schema)
    return pl.Schema(
        {**dtypes, **{name: pl.Enum(values) for name, values in ordered.items() if name in dtypes}}
    )


def categories(table: pa.Table) -> dict[str, list[str]]:
    """Return the categories, in their order, of each column that is an ordered dictionary of texts."""
    found: dict[str, list[str]] = {}
    for column in table.schema:
        kind = column.type
        if not (pa.types.is_dictionary(kind) and kind.ordered and pa.types.is_string(kind.value_type)):
            continue
        chunks: Any = table.column(column.name).chunks
        values = chunks[0].dictionary.to_pylist() if chunks else []
        alike = all(chunk.dictionary.equals(chunks[0].dictionary) for chunk in chunks)
        if alike and None not in values and len(set(values)) == len(values):
            found[column.name] = values
    return found


def frame_of(data: pa.Table | pa.RecordBatch, ordered: Categories) -> pl.DataFrame:
    """Return a Polars frame over the same buffers where the layouts agree."""
    if not data.schema.names:
        return pl.DataFrame(height=data.num_rows)
    table = pa.Table.from_batches([data]) if isinstance(data, pa.RecordBatch) else data
    for i, column in enumerate(table.schema):
        if isinstance(column.type, pa.BaseExtensionType):
            found: Any = table.column(i)
            storage = pa.chunked_array([c.storage for c in found.chunks], found.type.storage_type)
            table = table.set_column(i, column.name, storage)
    frame = pl.DataFrame(table)
    for column in table.schema:
        # Polars makes a null of 24:00, without a word.
        if pa.types.is_time(column.type) and frame[column.name].null_count() != table[column.name].null_count:
            raise TypeMapError(
                f"column {column.name!r} holds a time of day that Polars does not have, such as 24:00",
                hint="ask for text with types={…}, or use .sql(…)",
            )
    enums = {name: pl.Enum(values) for name, values in ordered.items() if name in frame.columns}
    return frame.cast(enums) if enums else frame  # type: ignore[arg-type]


def arrow_schema(schema: pl.Schema, inputs: pa.Schema, ordered: Categories) -> pa.Schema:
    """Return the Arrow schema of a Polars result, in this house's spelling.

    A column that has the name and the Polars type of an input column gets the input's Arrow type back, so that seconds,
    fixed sizes, narrow indices and zone names survive the passage.
    """
    for name, dtype in schema.items():
        if dtype.base_type() in (pl.Int128, pl.Object) or "128" in str(dtype):
            raise TypeMapError(
                f"column {name!r} is {dtype} in Polars, which has no Arrow counterpart",
                hint="cast it, for example to pl.Decimal(38, 0) or pl.String",
            )
    plain = plain_schema(pl.DataFrame(schema=schema).to_arrow().schema) if schema else pa.schema([])
    before = polars_schema(inputs, ordered)
    return pa.schema(
        [
            inputs.field(f.name)
            if f.name in before and before[f.name] == schema[f.name]
            else f.with_nullable(True)
            for f in plain
        ]
    )


def batches_of(frame: pl.DataFrame, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield a Polars frame as batches of ``schema``."""
    if not schema.names:
        yield rows_only(frame.height)
        return
    for batch in frame.to_arrow().to_batches():
        yield with_schema(batch, schema)


@contextmanager
def boundary() -> Iterator[None]:
    """Run a Polars plan; what it raises leaves as `mapped` has it. Also a decorator."""
    try:
        yield
    except BaseException as error:
        other = mapped(error)
        if other is error:
            raise
        raise other from None


def mapped(error: BaseException) -> BaseException:
    """Return what a caller should see instead of Polars' error, whose text may hold values; others pass as they are."""
    kind = type(error).__name__
    if isinstance(error, DvengineError) or not isinstance(error, pl.exceptions.PolarsError):
        if (
            kind == "PanicException"
        ):  # derives from BaseException: it would slip through every except Exception
            return NotSupported(
                "Polars panicked while running this plan", hint="try .sql(…), which runs in DuckDB"
            )
        return error
    if isinstance(error, pl.exceptions.ColumnNotFoundError):
        first = str(error).splitlines()[0] if str(error) else ""
        return QueryError(f"Polars found no such column: {first}", hint="see dataset.schema for the names")
    return InputError(
        f"Polars refused the plan: {kind}",
        hint="the details may hold values and are left out; run the same steps on .head() to see them",
    )
