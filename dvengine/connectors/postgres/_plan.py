"""How a request is cut: which statements, together, give each row exactly once."""

# ruff: noqa: S608 - statements are built here on purpose, from quoted names and bound literals only

from __future__ import annotations

import difflib
import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from dvengine._errors import InputError, QueryError
from dvengine.connectors._protocols import Filter, Request
from dvengine.connectors.postgres._filters import push_down
from dvengine.connectors.postgres._snapshot import Leader
from dvengine.connectors.postgres._statement import depends_on_time_or_chance, quoted
from dvengine.connectors.postgres._types import Column

__all__ = ["Piece", "Plan", "make_plan"]

_PART_BYTES = 64 << 20
_SMALL_BYTES = 4 << 20
_MOST_PARTS = 512
#: Encodings whose bytes sort as the characters do in UTF-8.
_ORDERED = frozenset(("UTF8", "LATIN1", "SQL_ASCII"))


@dataclass(frozen=True, slots=True)
class Piece:
    """One statement; ``counts`` says that it gives one number, the rows of a result without columns."""

    name: str
    statement: str
    counts: bool = False
    rows_estimate: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All pieces of a request, and why they are cut like that."""

    pieces: tuple[Piece, ...]
    reason: str | None
    residual: tuple[Filter, ...]
    rows_estimate: int | None


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A relation that holds rows itself."""

    name: str
    spelled: str
    kind: str
    pages: int
    nbytes: int
    rows: int | None


@dataclass(frozen=True, slots=True)
class _Cut:
    """A source of rows and a condition on it."""

    name: str
    origin: str
    condition: str | None = None
    rows: int | None = None


def make_plan(
    leader: Leader, request: Request, columns: Sequence[Column], known: Sequence[Column], body: str
) -> Plan:
    """Cut a request.

    Args:
        leader: Holds the moment; asked for sizes and boundaries.
        request: As given.
        columns: Those wanted, in order.
        known: All that the table or query has.
        body: What to select from as a whole: a quoted table, or the bracketed query.
    """
    spelled = {column.name: "t." + quoted(column.name) for column in known}
    conditions, residual = push_down(
        request.where,
        {column.name: column for column in known},
        spelled,
        bytes_in_order=leader.encoding in _ORDERED,
    )
    # Rows are counted after filtering, so a limit below a filter of the caller's own would give too few.
    limit = request.limit if not residual else None
    cuts, reason = _cut(leader, request, {column.name: column for column in known}, body, limit)
    selected = [spelled[column.name] + column.cast + " as " + quoted(column.name) for column in columns]
    selected += [
        f'array_ndims({spelled[column.name]}) as "dims{i}"'
        for i, column in enumerate(columns)
        if column.array
    ]
    pieces = []
    for cut in cuts:
        where = [*([cut.condition] if cut.condition else []), *conditions]
        tail = (" where " + " and ".join(where) if where else "") + (
            f" limit {limit:d}" if limit is not None else ""
        )
        origin = f"from {cut.origin} as t{tail}"
        statement = (
            f"select {', '.join(selected)} {origin}"
            if columns
            else f"select count(*) from (select 1 {origin}) as n"
        )
        rows = None if conditions else cut.rows
        if rows is not None and limit is not None:
            rows = min(rows, limit)
        pieces.append(Piece(cut.name, statement, not columns, rows))
    estimates = [piece.rows_estimate for piece in pieces]
    total = None if None in estimates else sum(rows for rows in estimates if rows is not None)
    return Plan(tuple(pieces), reason, residual, total)


def _cut(
    leader: Leader, request: Request, known: dict[str, Column], body: str, limit: int | None
) -> tuple[list[_Cut], str | None]:
    whole = [_Cut(request.label, body)]
    if request.partitions is not None and request.partitions < 1:
        raise InputError("partitions must be at least 1")
    if request.limit is not None and request.limit < 0:
        raise InputError("limit must not be negative")
    if leader.snapshot is None:
        return whole, leader.why_not_exported or "one partition: no snapshot was shared"
    if limit is not None:
        return whole, "one partition: a limit counts over the whole"
    if request.partition_on is not None:
        return _on_key(leader, request, known, body)
    if request.table is None:
        return whole, "one partition: a query is cut only with partition_on"
    return _by_place(leader, request, whole)


# --- by place -----------------------------------------------------------------------------------------------------


def _by_place(leader: Leader, request: Request, whole: list[_Cut]) -> tuple[list[_Cut], str | None]:
    relation = leader.relation(request)
    kinds = {"v": "a view", "f": "a foreign table"}
    if relation.kind in kinds:
        return (
            whole,
            f"one partition: {kinds[relation.kind]} has no places to cut at; partition_on cuts it by a column",
        )
    if leader.version < 140000:
        return whole, "one partition: the server is older than PostgreSQL 14"
    leaves = [_Leaf(*row) for row in leader.leaves(relation.oid, only=bool(request.options.get("only")))]
    if blocked := leader.leaves_differ(relation.oid, only=bool(request.options.get("only"))):
        return whole, f"one partition: {blocked}"
    size = sum(leaf.nbytes for leaf in leaves)
    wanted = request.partitions or _default_parts(size)
    cuts: list[_Cut] = []
    pages = sum(leaf.pages for leaf in leaves) or 1
    for leaf in leaves:
        share = max(1, round(wanted * leaf.pages / pages)) if leaf.kind in ("r", "m") else 1
        cuts += _ranges(leaf, min(share, max(leaf.pages, 1)))
    if not cuts:
        return [_Cut(request.label, whole[0].origin, "false", 0)], "no partition of the table holds rows"
    return cuts, None


def _default_parts(nbytes: int) -> int:
    parallel = (
        2 * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2 * (os.cpu_count() or 1)
    )
    few = min(parallel, nbytes // _SMALL_BYTES)
    return int(min(_MOST_PARTS, max(1, few, math.ceil(nbytes / _PART_BYTES))))


def _ranges(leaf: _Leaf, parts: int) -> list[_Cut]:
    origin = f"only {leaf.spelled}"
    if parts == 1:
        return [_Cut(leaf.name, origin, None, leaf.rows)]
    edges = [leaf.pages * i // parts for i in range(parts)]
    rows = None if leaf.rows is None else leaf.rows // parts
    cuts = []
    for i, low in enumerate(edges):
        condition = f"t.ctid >= '({low},0)'::tid"
        if i + 1 < parts:  # the last stays open: the file may have grown since it was measured
            condition += f" and t.ctid < '({edges[i + 1]},0)'::tid"
        cuts.append(_Cut(f"{leaf.name}#{i}", origin, condition, rows))
    return cuts


# --- by a key -----------------------------------------------------------------------------------------------------

_STEPPED = frozenset(("int", "date", "naive", "aware"))


def _on_key(
    leader: Leader, request: Request, known: dict[str, Column], body: str
) -> tuple[list[_Cut], str | None]:
    name = request.partition_on or ""
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        raise QueryError(
            f"{request.label}: partition_on names no column: {name!r}",
            hint=f"did you mean {close[0]!r}?" if close else None,
        )
    if request.query is not None and depends_on_time_or_chance(request.query):
        return [
            _Cut("query", body)
        ], "one partition: the query depends on the clock or on chance, which differ between workers"
    parts = request.partitions or _default_parts(_PART_BYTES)
    key = "t." + quoted(name)
    conditions = [f"{key} is null"]
    conditions += _steps(leader, known[name], key, body, parts) or _buckets(key, parts)
    cuts = [_Cut(f"{request.label}#{i}", body, condition) for i, condition in enumerate(conditions)]
    reason = f"cut on {name!r}, with one partition for is null"
    if request.query is not None or leader.relation(request).kind in "vf":
        dearer = leader.dearer(
            f"select * from {body} as t", [f"select * from {body} as t where {c}" for c in conditions]
        )
        if dearer is not None:
            return [
                _Cut(request.label, body)
            ], f"one partition: cut on {name!r} the server would work {dearer:.1f} times as much"
    return cuts, reason


def _steps(leader: Leader, column: Column, key: str, body: str, parts: int) -> list[str] | None:
    """Ranges of equal width between the least and the greatest finite key, open at both ends."""
    if column.family not in _STEPPED:
        return None
    if parts == 1:
        return [f"{key} is not null"]
    finite = "" if column.family == "int" else f" where isfinite({key})"
    number = {"int": "{0}::numeric", "date": "({0} - date '2000-01-01')::numeric"}.get(
        column.family, "trunc(extract(epoch from {0}) * 1000000)"
    )
    ends = f"select {number.format(f'min({key})')}, {number.format(f'max({key})')} from {body} as t{finite}"
    # With an index the ends are there for the asking; without one they cost a read of everything, and then parts by
    # range cost no less than parts by hash.
    if not leader.cheap(ends, f"select * from {body} as t"):
        return None
    low, high = leader.one(ends)
    if low is None or high is None or low == high:
        return [f"{key} is not null"]
    low, high = int(low), int(high)
    steps = sorted({low + (high - low) * i // parts for i in range(1, parts)} - {low})
    if not steps:
        return [f"{key} is not null"]
    edge = {
        "int": "{0}::int8",
        "date": "date '2000-01-01' + ({0})",
        "naive": "timestamp 'epoch' + ({0}) * interval '1 microsecond'",
        "aware": "timestamptz 'epoch' + ({0}) * interval '1 microsecond'",
    }[column.family]
    edges = [f"({edge.format(f'({step})')})" for step in steps]
    made = [f"{key} < {edges[0]}"]
    made += [f"{key} >= {left} and {key} < {right}" for left, right in itertools.pairwise(edges)]
    return [*made, f"{key} >= {edges[-1]}"]


def _buckets(key: str, parts: int) -> list[str]:
    """Any type that has a text can be dealt out by a hash of it, without a value in the statement."""
    if parts == 1:
        return [f"{key} is not null"]
    dealt = f'mod(hashtextextended({key}::text collate "C", 0) & 9223372036854775807, {parts})'
    return [f"{dealt} = {i}" for i in range(parts)]
