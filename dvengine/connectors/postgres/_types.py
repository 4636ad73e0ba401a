"""The type table: what PostgreSQL declares, what we select, what arrives, what it becomes.

One row a type. Whatever has no row is selected as the server's own text, which is exact for every type there is, also
for one created after we connected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

from dvengine._errors import TypeMapError

__all__ = ["BASE_TYPES", "Column", "Declared", "column"]

#: How a decoded column must be looked at before it is believed: ``number`` is text that becomes a decimal, ``days`` and
#: ``micros`` may hold the wrapped ``infinity``, ``clock`` may hold 24:00, ``cast`` must survive the way there and back.
Guard = Literal["none", "number", "days", "micros", "clock", "cast"]

_UTC = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True)
class _Row:
    name: str  # as `cast(... as name[])` spells it
    cast: str | None  # what is appended to the column; None = the driver reads it as it is
    type: pa.DataType
    guard: Guard = "none"
    array_as_is: bool = True  # the driver reads arrays of it as they are


_TEXT = _Row("text", "::text", pa.string(), array_as_is=False)

#: By the fixed OID of the built-in type. numeric is not here: it depends on its typmod.
BASE_TYPES: Mapping[int, _Row] = {
    16: _Row("bool", None, pa.bool_()),
    17: _Row("bytea", None, pa.binary()),
    19: _Row("name", "::text", pa.string(), array_as_is=False),
    20: _Row("int8", None, pa.int64()),
    21: _Row("int2", None, pa.int16()),
    23: _Row("int4", None, pa.int32()),
    25: _Row("text", None, pa.string()),
    26: _Row("int8", "::int8", pa.int64(), array_as_is=False),  # oid: unsigned, the driver reads it signed
    700: _Row("float4", None, pa.float32()),
    701: _Row("float8", None, pa.float64()),
    # char(n) is not cast: `::text` would drop the trailing blanks that `select` shows.
    1042: _Row("bpchar", None, pa.string()),
    1043: _Row("varchar", None, pa.string()),
    1082: _Row("date", None, pa.date32(), "days"),
    1083: _Row("time", None, pa.time64("us"), "clock"),
    1114: _Row("timestamp", None, pa.timestamp("us"), "micros"),
    1184: _Row("timestamptz", None, _UTC, "micros"),
}
_NUMERIC, _MONEY = 1700, 790
_LIKE_TEXT = {25, 1043}  # whose equality and order under COLLATE "C" are those of the Arrow strings


@dataclass(frozen=True, slots=True)
class Declared:
    """A result column as the server describes it, domains and arrays resolved.

    Attributes:
        name: The column's.
        oid, typmod: Of the base type; of the element where ``array``.
        array: Whether it is an array (of any number of dimensions; the server does not say).
        spelled: The type's own name, for messages.
    """

    name: str
    oid: int
    typmod: int
    array: bool
    spelled: str


@dataclass(frozen=True, slots=True)
class Column:
    """How one column is selected and decoded.

    Attributes:
        name: In the result.
        type: In the result.
        arrives: The Arrow type that the driver delivers for ``cast``.
        cast: Appended to the column's reference in the select list; empty where nothing is.
        guard: See `Guard`.
        array: Whether the guard looks at elements.
        infinity_null: Whether infinity becomes NULL instead of an error.
        family: What kind of literal may be compared with it on the server; empty where none.
    """

    name: str
    type: pa.DataType
    arrives: pa.DataType
    cast: str
    guard: Guard
    array: bool
    infinity_null: bool = False
    family: str = ""


def numeric_type(typmod: int) -> pa.DataType | None:
    """Return decimal128(p, s), or None where no decimal holds every value of the declared type."""
    if typmod < 4:
        return None
    precision, scale = (typmod - 4) >> 16, (typmod - 4) & 0x7FF
    scale = (scale ^ 1024) - 1024  # eleven bits, signed since PostgreSQL 15
    # numeric(2, 5) holds 0.00099: its digits after the point exceed the precision, which Arrow cannot say.
    if precision > 38 or scale < 0:
        return None
    return pa.decimal128(max(precision, scale), scale) if max(precision, scale) <= 38 else None


def column(declared: Declared, asked: pa.DataType | None, *, infinity: str) -> Column:
    """Choose how to read a column.

    Raises:
        TypeMapError: The asked-for type cannot hold the declared one exactly.
    """
    own = _own(declared, infinity_null=infinity == "null")
    if asked is None and infinity == "string" and own.guard in ("days", "micros"):
        asked = pa.string()
    if asked is None or asked == own.type:
        return own
    return _asked(declared, own, asked)


def _own(declared: Declared, *, infinity_null: bool) -> Column:
    guard: Guard
    if declared.oid == _NUMERIC:
        number = numeric_type(declared.typmod)
        row = _Row("text", "::text", number or pa.string(), "number" if number else "none", array_as_is=False)
        arrives: pa.DataType = pa.string()
    elif declared.oid == _MONEY:
        # Not ::text, which is spelled by the server's locale; how many decimals there are is the locale's too.
        row, arrives = _Row("text", "::numeric::text", pa.string(), array_as_is=False), pa.string()
    else:
        row = BASE_TYPES.get(declared.oid, _TEXT)
        arrives = row.type
    guard = row.guard
    if not declared.array:
        family = _family(declared.oid, row)
        return Column(
            declared.name, row.type, arrives, row.cast or "", guard, array=False,
            infinity_null=infinity_null and guard in ("days", "micros"), family=family,
        )  # fmt: skip
    if declared.oid == _MONEY:
        cast = "::numeric[]::text[]"
    elif row.array_as_is and declared.oid in BASE_TYPES:
        cast = f"::{row.name}[]"  # also turns an array of a domain into one the driver knows
    else:
        cast = "::int8[]" if declared.oid == 26 else "::text[]"
    return Column(
        declared.name, pa.list_(row.type), pa.list_(arrives), cast, guard, array=True,
        infinity_null=infinity_null and guard in ("days", "micros"),
    )  # fmt: skip


def _family(oid: int, row: _Row) -> str:
    if oid in _LIKE_TEXT:
        return "text"
    if row.cast == "::text" and row.type == pa.string() and oid != _NUMERIC:
        return "spelled"
    families = {16: "bool", 20: "int", 21: "int", 23: "int", 26: "int", 701: "float", 1082: "date", 1114: "naive", 1184: "aware"}  # fmt: skip
    return "number" if row.guard == "number" else families.get(oid, "")


def _asked(declared: Declared, own: Column, asked: pa.DataType) -> Column:
    def refuse(hint: str) -> TypeMapError:
        return TypeMapError(
            f"column {declared.name!r} of type {declared.spelled} has no exact {asked}", hint=hint
        )

    own = replace(own, family="")
    if pa.types.is_string(asked) or pa.types.is_large_string(asked):
        if declared.oid == 17:
            raise refuse("bytes have no one spelling; cast in the query, for example encode(c, 'hex')")
        text = "" if own.arrives == pa.string() and not own.cast else "::text"
        if declared.array or declared.oid != _MONEY:
            return replace(own, type=asked, arrives=pa.string(), cast=text, guard="cast", array=False)
        return replace(own, type=asked, guard="cast")
    if declared.array:
        raise refuse("ask for pa.string() to get the server's spelling, or cast in the query")
    if pa.types.is_decimal(asked) and declared.oid in (_NUMERIC, _MONEY, 20, 21, 23, 25, 1043):
        if not pa.types.is_decimal128(asked):
            raise refuse("decimal128 holds up to 38 digits; beyond that ask for pa.string()")
        cast = own.cast or "::text"
        return replace(own, type=asked, arrives=pa.string(), cast=cast, guard="number")
    if pa.types.is_floating(asked) and not pa.types.is_floating(own.type):
        raise refuse(
            "a float holds some decimals and large integers only nearly; cast in the query if near is enough"
        )
    if pa.types.is_integer(asked) and pa.types.is_decimal(own.type) and own.type.scale > 0:
        raise refuse("it has digits after the point; ask for a decimal, or cast in the query")
    if pa.types.is_temporal(own.type) != pa.types.is_temporal(asked):
        raise refuse("cast in the query")
    try:
        pa.array([], own.type).cast(asked)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        raise refuse("cast in the query") from None
    if own.guard in ("none", "cast"):
        return replace(own, type=asked, guard="cast")
    return replace(own, type=asked)  # its own guard first, then the checked cast
