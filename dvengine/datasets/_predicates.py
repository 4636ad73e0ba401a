"""Polars' predicate to filters for a source: only what means exactly the same there, the rest stays behind.

Polars filters again in every case, so leaving a condition out costs time and never rows; translating one wrongly would
cost rows. Hence a whitelist: AND-ed ``column op literal`` with a literal of the column's own kind.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

import polars as pl
import pyarrow as pa

from dvengine.connectors import Filter

__all__ = ["filters_of"]

_OPS = {"Eq": "=", "NotEq": "!=", "Lt": "<", "LtEq": "<=", "Gt": ">", "GtEq": ">="}
_MOST_VALUES = 1000
_MIRROR = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def filters_of(predicate: pl.Expr, schema: pa.Schema) -> tuple[Filter, ...]:
    """Return the conditions that a source may apply; the empty tuple where none is understood.

    Example:
        >>> schema = pa.schema([("aar", pa.int32()), ("navn", pa.string())])
        >>> filters_of((pl.col("aar") >= 2024) & pl.col("navn").str.contains("x"), schema)
        (Filter(aar >= …),)
    """
    try:
        tree = json.loads(predicate.meta.serialize(format="json"))
    except Exception:  # noqa: BLE001 - a predicate that cannot be written out (a Python function in it) stays with Polars
        return ()
    found: list[Filter] = []
    for node in _conjuncts(tree):
        found += _one(node, schema)
    return tuple(found)


def _conjuncts(node: Any) -> list[Any]:
    inner = node.get("BinaryExpr") if isinstance(node, dict) else None
    if inner and inner["op"] in ("And", "LogicalAnd"):
        return [*_conjuncts(inner["left"]), *_conjuncts(inner["right"])]
    return [node]


def _one(node: Any, schema: pa.Schema) -> list[Filter]:
    if not isinstance(node, dict):
        return []
    if (binary := node.get("BinaryExpr")) and binary["op"] in _OPS:
        op = _OPS[binary["op"]]
        column, literal = binary["left"], binary["right"]
        if "Column" not in column:
            column, literal, op = literal, column, _MIRROR[op]
        return _compared(column, op, literal, schema)
    if function := node.get("Function"):
        kind, inputs = function["function"], function["input"]
        boolean = kind.get("Boolean") if isinstance(kind, dict) else None
        if boolean in ("IsNull", "IsNotNull") and "Column" in inputs[0]:
            return [Filter(inputs[0]["Column"], "is_null" if boolean == "IsNull" else "not_null")]
        if isinstance(boolean, dict) and "IsIn" in boolean:
            return _among(inputs[0], inputs[1], schema)
        if isinstance(boolean, dict) and "IsBetween" in boolean:
            closed = boolean["IsBetween"]["closed"]
            low = ">=" if closed in ("Both", "Left") else ">"
            high = "<=" if closed in ("Both", "Right") else "<"
            lower = _compared(inputs[0], low, inputs[1], schema)
            upper = _compared(inputs[0], high, inputs[2], schema)
            return lower + upper
    return []


def _among(column: Any, literal: Any, schema: pa.Schema) -> list[Filter]:
    if "Column" not in column or column["Column"] not in schema.names:
        return []
    try:
        with pa.ipc.open_stream(bytes(literal["Literal"]["Scalar"]["List"])) as stream:
            found = stream.read_all().column(0).combine_chunks()
    except (KeyError, TypeError, ValueError, pa.ArrowException):
        return []
    kind, have = (
        schema.field(column["Column"]).type,
        found.type.value_type if hasattr(found.type, "value_type") else found.type,
    )
    values = found.flatten() if hasattr(found, "flatten") and pa.types.is_nested(found.type) else found
    t = pa.types
    texts = t.is_string(kind) and (t.is_string(have) or t.is_large_string(have) or t.is_string_view(have))
    same = texts or (t.is_integer(kind) and t.is_integer(have)) or (t.is_date32(kind) and t.is_date32(have))
    # A null among the values never matches in SQL; what Polars makes of it is Polars' business.
    if not same or values.null_count or not 0 < len(values) <= _MOST_VALUES:
        return []
    listed = values.to_pylist()
    if texts and any("\x00" in str(text) for text in listed):
        return []
    return [Filter(column["Column"], "in", tuple(listed))]


def _compared(column: Any, op: str, literal: Any, schema: pa.Schema) -> list[Filter]:
    if not (isinstance(column, dict) and isinstance(literal, dict)) or "Column" not in column:
        return []
    name = column["Column"]
    if name not in schema.names or not isinstance(value := literal.get("Literal"), dict):
        return []
    [(kind, inner)] = value.items()
    if kind == "Dyn":
        [(kind, inner)] = inner.items()
        kind = {"Int": "Int64", "Str": "String"}.get(kind, "")
    elif kind == "Scalar" and isinstance(inner, dict):
        [(kind, inner)] = inner.items()
    known, exact = _value(kind, inner, schema.field(name).type, op)
    return [Filter(name, op, exact)] if known else []  # type: ignore[arg-type]


def _value(kind: str, inner: Any, column: pa.DataType, op: str) -> tuple[bool, Any]:
    """Return the literal as a Python value, if comparing it means the same in every system."""
    t = pa.types
    if t.is_integer(column) and kind.lstrip("U").startswith("Int") and isinstance(inner, int):
        return True, inner
    # Polars orders text by its bytes; a source that orders otherwise leaves the filter behind.
    if t.is_string(column) and kind in ("String", "StringOwned") and isinstance(inner, str):
        return "\x00" not in inner, inner
    if t.is_boolean(column) and kind == "Boolean" and op in ("=", "!="):
        return isinstance(inner, bool), inner
    if t.is_date32(column) and kind == "Date" and isinstance(inner, int):
        try:
            return True, date(1970, 1, 1) + timedelta(days=inner)
        except OverflowError:
            return False, None
    if t.is_timestamp(column) and column.unit == "us" and kind == "Datetime" and isinstance(inner, list):
        count, unit, zone = inner
        if unit == "Microseconds" and (zone is None) == (column.tz is None):
            try:
                return True, datetime(1970, 1, 1, tzinfo=UTC if zone else None) + timedelta(
                    microseconds=count
                )
            except OverflowError:
                return False, None
    if t.is_decimal(column) and kind == "Decimal" and isinstance(inner, list):
        return True, Decimal(inner[0]).scaleb(-inner[2], Context(prec=76))
    return False, None
