"""Which filters the server can apply with exactly the meaning they have on the Arrow result."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from psycopg import sql

from dvengine.connectors._protocols import Filter
from dvengine.connectors.postgres._types import Column

__all__ = ["push_down"]

_COMPARE = ("=", "!=", "<", "<=", ">", ">=")
_INT8 = range(-(2**63), 2**63)


def push_down(
    where: Sequence[Filter],
    columns: Mapping[str, Column],
    reference: Mapping[str, str],
    *,
    bytes_in_order: bool,
) -> tuple[list[str], tuple[Filter, ...]]:
    """Split filters into conditions for the server, and those that the caller must (also) apply.

    A condition may let more rows through than its filter, never fewer; then the filter is in the second list too.

    Args:
        where: The filters, AND-ed.
        columns: By name.
        reference: How the statement spells each column.
        bytes_in_order: Whether text sorted by its bytes on the server is sorted as Arrow sorts it.
    """
    pushed: list[str] = []
    residual: list[Filter] = []
    for asked in where:
        column = columns.get(asked.column)
        if asked.op in ("<", "<=", ">", ">=") and column is not None and not bytes_in_order:
            column = None if column.family in ("text", "spelled") else column
        condition, exact = (
            (None, False) if column is None else _condition(asked, column, reference[asked.column])
        )
        if condition is not None:
            pushed.append(condition)
        if not exact:
            residual.append(asked)
    return pushed, tuple(residual)


def _condition(asked: Filter, column: Column, spelled: str) -> tuple[str | None, bool]:
    if asked.op == "is_null":
        return (None, False) if column.infinity_null else (f"{spelled} is null", True)
    if asked.op == "not_null":
        return f"{spelled} is not null", not column.infinity_null
    values = (
        list(asked.value)
        if asked.op == "in" and isinstance(asked.value, list | tuple | set | frozenset)
        else [asked.value]
    )
    if asked.op == "in" and not isinstance(asked.value, list | tuple | set | frozenset):
        return None, False
    if not all(_fits(value, column.family) for value in values):
        return None, False
    if not values:
        return "false", True
    literals = [_literal(value, column.family) for value in values]
    exact = not column.infinity_null
    if asked.op == "in":
        parts = [_compare("=", spelled, literal, column.family) for literal in literals]
        return "(" + " or ".join(parts) + ")", exact
    if asked.op not in _COMPARE:
        return None, False
    # PostgreSQL has NaN above every number; Arrow has it beside them.
    exact = exact and not (column.family == "float" and asked.op in (">", ">="))
    return _compare(asked.op, spelled, literals[0], column.family), exact


def _compare(op: str, spelled: str, literal: str, family: str) -> str:
    op = "<>" if op == "!=" else op
    if family == "spelled":
        return f'({spelled}::text collate "C" {op} {literal})'
    if family != "text":
        return f"({spelled} {op} {literal})"
    bytewise = f'({spelled} collate "C" {op} {literal})'
    # The plain comparison lets an index help; the other makes it exact where the collation folds case or accents.
    return f"({spelled} = {literal} and {bytewise})" if op == "=" else bytewise


def _fits(value: Any, family: str) -> bool:
    match family:
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool) and value in _INT8
        case "float":
            number = isinstance(value, float) or (
                isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
            )
            return number and math.isfinite(value)
        case "number":
            return (isinstance(value, Decimal) and value.is_finite()) or (
                isinstance(value, int) and not isinstance(value, bool)
            )
        case "text" | "spelled":
            return (
                isinstance(value, str)
                and "\x00" not in value
                and not any("\ud800" <= char <= "\udfff" for char in value)
            )
        case "date":
            return isinstance(value, dt.date) and not isinstance(value, dt.datetime)
        case "naive":
            return isinstance(value, dt.datetime) and value.tzinfo is None
        case "aware":
            return isinstance(value, dt.datetime) and value.tzinfo is not None
        case _:
            return False


def _literal(value: Any, family: str) -> str:
    if family in ("int", "number"):
        return f"({value:d})" if isinstance(value, int) else f"({value:f})"
    if family == "aware":
        value = value.astimezone(dt.UTC)
    quoted = sql.Literal(value).as_string(None)
    return {
        "date": f"{quoted}::date",
        "naive": f"{quoted}::timestamp",
        "aware": f"{quoted}::timestamptz",
        "float": f"({value!r})::float8",
    }.get(family, quoted)
