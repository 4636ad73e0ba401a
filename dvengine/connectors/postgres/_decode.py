"""The one seam where what the driver decoded from a COPY stream becomes exact record batches.

The driver turns PostgreSQL's ``infinity`` into a wrapped finite instant and flattens two-dimensional arrays without a
word, so nothing that it delivers passes here unseen. A faster decoder replaces this module and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from dvengine._errors import Incomplete, TypeMapError
from dvengine.connectors.postgres._types import Column

__all__ = ["decode", "empty_batches"]

# PostgreSQL counts from 2000-01-01 and keeps the extremes for ±infinity; the driver adds the offset to 1970 with
# wrap-around. The earliest date that PostgreSQL has is 4714 BC, so everything before it was wrapped.
_DAYS_INFINITE = (-2147472692, -2147472691)
_MICROS_INFINITE = (-9222425352054775809, -9222425352054775808)
_EARLIEST_DAY = -2_440_589
_EARLIEST_MICRO = _EARLIEST_DAY * 86_400_000_000
_MIDNIGHT = 86_400_000_000
_EMPTY_BATCH_ROWS = 1 << 20


def decode(
    batches: Iterable[pa.RecordBatch], columns: Sequence[Column], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Check and convert batches; array columns are followed, after the last column, by their ``array_ndims``.

    Args:
        batches: As the driver gives them.
        columns: How each is to be decoded.
        schema: Of the result.

    Raises:
        TypeMapError: A value has no exact counterpart; names the column, never the value.
        Incomplete: The driver delivered another shape than was planned.
    """
    lists = [i for i, column in enumerate(columns) if column.array]
    for batch in batches:
        if batch.num_columns != len(columns) + len(lists):
            raise Incomplete("the driver delivered another number of columns than was planned")
        for place, i in enumerate(lists):
            deepest = pc.max(batch.column(len(columns) + place)).as_py()
            if deepest is not None and deepest > 1:
                raise TypeMapError(
                    f"column {columns[i].name!r} holds a {deepest}-dimensional array, which a list cannot say",
                    hint=f"types={{{columns[i].name!r}: pa.string()}} gives the server's spelling; or cast in the query",
                )
        arrays = [_column(batch.column(i), column) for i, column in enumerate(columns)]
        made = pa.RecordBatch.from_arrays(arrays, schema=schema)
        if made.num_rows != batch.num_rows:
            raise Incomplete("rows were lost while decoding")
        if made.num_rows:
            yield made


def empty_batches(rows: int) -> Iterator[pa.RecordBatch]:
    """Say how many rows a result without columns has."""
    while rows > 0:
        step = min(rows, _EMPTY_BATCH_ROWS)
        yield pa.RecordBatch.from_struct_array(
            cast("pa.StructArray", pa.Array.from_buffers(pa.struct([]), step, [None]))
        )
        rows -= step


def _column(array: pa.Array[Any], column: Column) -> pa.Array[Any]:
    if array.type != column.arrives:
        # Extension types and other zones are spelled the same in memory; anything else is a surprise.
        raise TypeMapError(
            f"column {column.name!r} arrived as {array.type}, not as {column.arrives}",
            hint="cast it to text in the query",
        )
    if not column.array:
        return _values(array, column, column.type)
    if column.guard == "none":
        return array if array.type == column.type else array.cast(column.type)
    if array.offset:
        raise Incomplete("the driver delivered a sliced list")
    lists, target = cast("pa.ListArray[Any]", array), cast("pa.ListType[Any]", column.type)
    # Not flatten(), which would lose the offsets of nulls; what the raw child has beside them is never looked at.
    values = _values(lists.values, column, target.value_type)
    return pa.ListArray.from_arrays(lists.offsets, values, type=target, mask=lists.is_null())


def _values(array: pa.Array[Any], column: Column, target: pa.DataType) -> pa.Array[Any]:
    match column.guard:
        case "none":
            return array
        case "number":
            return _number(array, column, target)
        case "days":
            array = _finite(array, column, pa.int32(), _DAYS_INFINITE, _EARLIEST_DAY)
        case "micros":
            array = _finite(array, column, pa.int64(), _MICROS_INFINITE, _EARLIEST_MICRO)
        case "clock":
            latest = pc.max(array.view(pa.int64())).as_py()
            if latest is not None and latest >= _MIDNIGHT:
                raise TypeMapError(
                    f"column {column.name!r} holds 24:00, which no Arrow time can say", hint=_as_text(column)
                )
    return array if array.type == target else _exact(array, column, target)


def _number(array: pa.Array[Any], column: Column, target: pa.DataType) -> pa.Array[Any]:
    try:
        return pc.cast(array, target)
    except pa.ArrowInvalid:
        # Its message repeats the value, so ours is raised outside, with no link to it.
        special = pc.any(pc.is_in(array, pa.array(["NaN", "Infinity", "-Infinity"]))).as_py()
    what = "NaN or Infinity" if special else f"a value that {target} cannot hold exactly"
    raise TypeMapError(f"column {column.name!r} holds {what}", hint=_as_text(column))


def _finite(
    array: pa.Array[Any], column: Column, whole: pa.DataType, infinite: tuple[int, int], earliest: int
) -> pa.Array[Any]:
    numbers = array.view(whole)
    least = pc.min(numbers).as_py()
    if least is None or least >= earliest:
        return array
    endless = pc.is_in(numbers, pa.array(infinite, whole))
    if pc.any(pc.and_(pc.less(numbers, pa.scalar(earliest, whole)), pc.invert(endless))).as_py():
        raise TypeMapError(
            f"column {column.name!r} holds an instant later than Arrow can say", hint=_as_text(column)
        )
    if not column.infinity_null:
        raise TypeMapError(
            f"column {column.name!r} holds infinity, which is no instant",
            hint=f"infinity='null' makes it NULL, infinity='string' gives such columns as text; {_as_text(column)}",
        )
    made: pa.Array[Any] = pc.if_else(endless, pa.scalar(None, array.type), array)
    return made


def _exact(array: pa.Array[Any], column: Column, target: pa.DataType) -> pa.Array[Any]:
    try:
        made = pc.cast(array, target)
        back = pc.cast(made, array.type)
        # Bit by bit for floats: NaN is unequal to itself.
        bits = {pa.float32(): pa.int32(), pa.float64(): pa.int64()}.get(array.type)
        same = back.equals(array) if bits is None else back.view(bits).equals(array.view(bits))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        same = False
    if not same:
        raise TypeMapError(
            f"column {column.name!r} holds a value that {target} cannot hold exactly", hint=_as_text(column)
        )
    return made


def _as_text(column: Column) -> str:
    return f"types={{{column.name!r}: pa.string()}} gives the server's spelling"
