"""The first rows of a table, and how many of its values are missing: read from Parquet, a few rows and the footers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dvengine._errors import DvengineError
from dvengine.stores import Store

__all__ = ["SYMBOL", "Cell", "Preview", "preview"]

#: How a hidden cell is shown; null in the data.
SYMBOL = ":"

ROWS = 20
COLUMNS = 40
_LONGEST = 160
_FOOTERS = 64
_STATUS = "status"
#: What a row's status may say without anything being hidden in it.
_SHOWN = frozenset(["", "published", "ok", "shown", "visible", "free"])


@dataclass(frozen=True, slots=True)
class Cell:
    """One value as it is shown."""

    text: str
    kind: Literal["number", "text", "null", "hidden"]


@dataclass(frozen=True, slots=True)
class Preview:
    """The first rows of a table.

    Attributes:
        columns: Names, in order; at most `COLUMNS`.
        numeric: For each of them, whether it holds numbers.
        rows: At most `ROWS`.
        more_columns: How many columns are not shown.
        nulls: Column -> how many values are missing in the whole table; a column that is not counted is not there.
    """

    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[Cell, ...], ...]
    more_columns: int
    nulls: dict[str, int]


def preview(store: Store, paths: Sequence[str], *, suppressed: bool) -> Preview | None:
    """Read the first rows of a resource, and the null counts from all its footers (up to 64 parts).

    Returns:
        None where the parts are not there or are no Parquet: the page then says so, and is still built.
    """
    if not paths:
        return None
    try:
        first = pq.ParquetFile(store.open_parquet(paths[0]))
        shown = first.schema_arrow.names[:COLUMNS]
        batch = _first_rows(first, shown)
        nulls = _nulls(store, paths, first)
    except (DvengineError, pa.ArrowException, OSError, ValueError):
        return None
    kinds = [
        pa.types.is_integer(t) or pa.types.is_floating(t) or pa.types.is_decimal(t)
        for t in batch.schema.types
    ]
    columns = [list(_cells(column, number)) for column, number in zip(batch.columns, kinds, strict=True)]
    hidden = _hidden_rows(batch) if suppressed else [False] * batch.num_rows
    rows = tuple(
        tuple(
            Cell(SYMBOL, "hidden") if hides and number and cell.kind == "null" else cell
            for cell, number in zip(cells, kinds, strict=True)
        )
        for cells, hides in zip(zip(*columns, strict=True), hidden, strict=True)
    )
    return Preview(tuple(shown), tuple(kinds), rows, len(first.schema_arrow.names) - len(shown), nulls)


def _first_rows(file: pq.ParquetFile, columns: list[str]) -> pa.RecordBatch:
    schema = pa.schema([file.schema_arrow.field(name) for name in columns])
    for batch in file.iter_batches(batch_size=ROWS, columns=columns):
        if batch.num_rows:
            return batch
    return pa.RecordBatch.from_pylist([], schema=schema)


def _nulls(store: Store, paths: Sequence[str], first: pq.ParquetFile) -> dict[str, int]:
    if len(paths) > _FOOTERS:
        return {}
    counts: dict[str, int | None] = dict.fromkeys(first.schema_arrow.names, 0)
    for index, path in enumerate(paths):
        metadata = (first if index == 0 else pq.ParquetFile(store.open_parquet(path))).metadata
        for group in range(metadata.num_row_groups):
            for leaf in range(metadata.num_columns):
                column = metadata.row_group(group).column(leaf)
                # A nested column has leaves, whose nulls are not its own: such a column is left uncounted.
                known = counts.get(column.path_in_schema)
                stats = column.statistics
                count = None if stats is None else stats.null_count
                if known is not None:
                    counts[column.path_in_schema] = None if count is None else known + count
    leaves = {first.metadata.schema.column(i).path for i in range(first.metadata.num_columns)}
    return {name: count for name, count in counts.items() if count is not None and name in leaves}


def _cells(column: pa.Array[Any], number: bool) -> Iterator[Cell]:
    for text in _texts(column):
        if text is None:
            yield Cell("", "null")
        else:
            cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
            yield Cell(cut, "number" if number else "text")


def _texts(column: pa.Array[Any]) -> list[str | None]:
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return [None if value is None else f"{len(value)} bytes" for value in column.to_pylist()]
    try:
        # Arrow writes integers, decimals and moments exactly, and knows every time zone.
        return [None if text is None else str(text) for text in pc.cast(column, pa.string()).to_pylist()]
    except pa.ArrowException:
        return [
            None if value is None else json.dumps(value, ensure_ascii=False, default=str)
            for value in column.to_pylist()
        ]


def _hidden_rows(batch: pa.RecordBatch) -> list[bool]:
    if _STATUS not in batch.schema.names:
        return [True] * batch.num_rows
    said = batch.column(batch.schema.get_field_index(_STATUS)).to_pylist()
    return [status is not None and str(status) not in _SHOWN for status in said]
