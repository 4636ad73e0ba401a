"""A few rows of a table, and how many of its values are missing: read from Parquet, a few rows and the footers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dvengine._errors import DvengineError
from dvengine.catalog._describe import Resource
from dvengine.package._parts import null_counts
from dvengine.stores import Store

__all__ = ["Cell", "Preview", "preview"]

ROWS = 20
#: Where hidden cells come later than that: so many first rows, and so many of those that have some.
FIRST, HIDING = 12, 8
_SEARCHED = 200_000
COLUMNS = 30
_LONGEST = 160
_FOOTERS = 64


@dataclass(frozen=True, slots=True)
class Cell:
    """One value as it is shown."""

    text: str
    kind: Literal["number", "text", "null", "hidden"]


@dataclass(frozen=True, slots=True)
class Preview:
    """A few rows of a table.

    Attributes:
        columns: Names, in order; at most `COLUMNS`.
        numeric: For each of them, whether it holds numbers.
        rows: At most `ROWS`: the first ones, and the first that have hidden cells where the first ones have none.
        hiding: How many rows, at the end, are there for their hidden cells.
        more_columns: How many columns are not shown.
        nulls: Column -> how many values are missing in the whole table; a column that is not counted is not there.
    """

    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[Cell, ...], ...]
    more_columns: int
    nulls: dict[str, int]
    hiding: int = 0


def preview(store: Store, resource: Resource) -> Preview | None:
    """Read the first rows of a resource; and the null counts, from all its footers, where the descriptor does not tell them.

    Returns:
        None where the parts are not there or are no Parquet: the page then says so, and is still built. No rows where a
        column holds identity numbers.
    """
    paths = [part.path for part in resource.parts]
    if not paths:
        return None
    counted = {column.name: column.nulls for column in resource.columns if column.nulls is not None}
    try:
        first = pq.ParquetFile(store.open_parquet(paths[0]))
        shown = first.schema_arrow.names[:COLUMNS]
        batch = _first_rows(first, shown, wanted=not resource.sensitive)
        batch, hiding = (
            (batch, 0) if resource.certificate is None else _with_hidden(first, batch, resource.status)
        )
        nulls = counted or _nulls(store, paths, first)
    except (DvengineError, pa.ArrowException, OSError, ValueError):
        return None
    kinds = [_is_number(kind) for kind in batch.schema.types]
    columns = [list(_cells(column, number)) for column, number in zip(batch.columns, kinds, strict=True)]
    hidden = (
        [False] * batch.num_rows if resource.certificate is None else _hidden_rows(batch, resource.status)
    )
    rows = tuple(
        tuple(
            Cell(resource.symbol, "hidden") if hides and number and cell.kind == "null" else cell
            for cell, number in zip(cells, kinds, strict=True)
        )
        for cells, hides in zip(zip(*columns, strict=True), hidden, strict=True)
    )
    return Preview(
        tuple(shown), tuple(kinds), rows, len(first.schema_arrow.names) - len(shown), nulls, hiding
    )


def _first_rows(file: pq.ParquetFile, columns: list[str], *, wanted: bool) -> pa.RecordBatch:
    for batch in file.iter_batches(batch_size=ROWS, columns=columns) if wanted else ():
        if batch.num_rows:
            return batch
    return pa.RecordBatch.from_pylist(
        [], schema=pa.schema([file.schema_arrow.field(name) for name in columns])
    )


def _with_hidden(file: pq.ParquetFile, start: pa.RecordBatch, status: str) -> tuple[pa.RecordBatch, int]:
    """Return the rows to show, and how many at their end were sought out: totals come first, and nothing is hidden in them."""
    if start.num_rows < ROWS or any(_hiding(start, status)):
        return start, 0
    found: list[pa.RecordBatch] = []
    seen = 0
    for batch in file.iter_batches(batch_size=4096, columns=start.schema.names):
        places = [place for place, hides in enumerate(_hiding(batch, status)) if hides]
        if places:
            found.append(batch.take(pa.array(places[: HIDING - sum(b.num_rows for b in found)], pa.int64())))
        seen += batch.num_rows
        if sum(b.num_rows for b in found) >= HIDING or seen >= _SEARCHED:
            break
    if not found:
        return start, 0
    shown = pa.Table.from_batches([start.slice(0, FIRST), *found]).combine_chunks().to_batches()[0]
    return shown, shown.num_rows - FIRST


def _hiding(batch: pa.RecordBatch, status: str) -> list[bool]:
    """Return, for each row, whether it has a hidden cell."""
    missing = [column.is_null().to_pylist() for column in batch.columns if _is_number(column.type)]
    return [said and any(nulls) for said, *nulls in zip(_hidden_rows(batch, status), *missing, strict=True)]


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _nulls(store: Store, paths: Sequence[str], first: pq.ParquetFile) -> dict[str, int]:
    if len(paths) > _FOOTERS:
        return {}
    counts = dict.fromkeys(first.schema_arrow.names, 0)
    for index, path in enumerate(paths):
        metadata = (first if index == 0 else pq.ParquetFile(store.open_parquet(path))).metadata
        if metadata.num_row_groups:  # without one there are no statistics, and no nulls either
            found = null_counts(metadata)
            counts = {name: count + found[name] for name, count in counts.items() if name in found}
    return counts


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


def _hidden_rows(batch: pa.RecordBatch, status: str) -> list[bool]:
    if status not in batch.schema.names:
        return [True] * batch.num_rows
    said = batch.column(batch.schema.get_field_index(status)).to_pylist()
    return [text is not None and str(text) != "" for text in said]
