"""Postgres: a database as a source of one moment, cut in partitions."""

from __future__ import annotations

import base64
import difflib
import json
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from dvengine._errors import InputError, NotSupported, QueryError, Unavailable
from dvengine.config import SourceSettings
from dvengine.connectors._protocols import Cancel, Capabilities, Filter, Partition, Request, Source
from dvengine.connectors.postgres._connect import Driver, Workers, own_option
from dvengine.connectors.postgres._decode import decode, empty_batches
from dvengine.connectors.postgres._plan import Plan, make_plan
from dvengine.connectors.postgres._snapshot import Leader
from dvengine.connectors.postgres._statement import masked, quoted, table_name
from dvengine.connectors.postgres._types import Column, column

__all__ = ["Postgres"]

_OPTIONS = {"infinity": ("raise", "null", "string"), "only": (True, False)}
_RESTARTS = 5


@dataclass(slots=True, kw_only=True)
class _Scan:
    """See `dvengine.connectors.Scan`."""

    schema: pa.Schema
    partitions: tuple[Partition, ...]
    snapshot: str | None
    consistent: bool
    reason: str | None
    residual: tuple[Filter, ...]
    rows_estimate: int | None
    _statements: tuple[str, ...] = field(repr=False)

    def statements(self) -> list[str]:
        return [masked(statement) for statement in self._statements]


class Postgres:
    """A PostgreSQL database (tested on 15 and 18) as a source.

    Guarantees: all partitions of one scan see one moment; values are exact or an error names the column; the server stops
    when the reader does; no password, statement or value in an error.

    Args:
        settings: Address and password. Options are libpq's, and ours: ``batch_bytes`` (hint for the size of a batch),
            ``lock_timeout`` (how long to wait for a locked table), ``snapshot_idle`` (after how long the server ends a snapshot that
            nobody reads from, default ``2h``), ``timezone`` (the session's, default UTC).

    Raises:
        ConfigError: An option that is not known; raised at the first connection.

    Example:
        >>> from dvengine.config import Settings
        >>> Postgres(Settings({}).source("postgresql://reader:secret@db/registry"))
        Postgres('postgresql://reader@db/registry')
    """

    capabilities = Capabilities(
        snapshot="exported", resumable=False, pushdown=frozenset(("columns", "where", "limit"))
    )

    def __init__(self, settings: SourceSettings) -> None:
        self.name = settings.name
        self._driver = Driver(settings)
        self._moments: dict[str, Leader] = {}
        self._pinned: Leader | None = None
        self._over = False

    def __repr__(self) -> str:
        return f"Postgres({self.name!r})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a source does not pickle; ship its alias")

    # --- Source -------------------------------------------------------------------------------------------------

    def schema(self, request: Request) -> pa.Schema:
        """Return the result's schema; reads no rows."""
        with self._planned(request, Cancel(), export=False) as planned:
            return planned.schema

    @contextmanager
    def open(self, request: Request, *, cancel: Cancel) -> Iterator[_Scan]:
        """Plan the read and hold its moment until the context ends.

        Raises:
            QueryError: The table, a column or the statement is not right; nothing was read.
            TypeMapError: An asked-for type cannot be exact.
            AccessDenied, Unavailable, NotFound: The server does not let us in, or does not answer.
        """
        with self._planned(request, cancel, export=True) as planned:
            plan = planned.pieces
            assert plan is not None
            yield _Scan(
                schema=planned.schema,
                partitions=tuple(planned.partition(i) for i in range(len(plan.pieces))),
                snapshot=planned.leader.snapshot,
                consistent=True,
                reason=plan.reason,
                residual=plan.residual,
                rows_estimate=plan.rows_estimate,
                _statements=tuple(piece.statement for piece in plan.pieces),
            )

    def read(self, partition: Partition, *, cancel: Cancel) -> Generator[pa.RecordBatch, None, None]:
        """Read one partition; may be called again for the same one, from any thread.

        Raises:
            Unavailable: The connection was cut, or the moment is over.
            TypeMapError: A value has no exact counterpart.
            QueryError: The server stopped at a value, such as a division by zero.
        """
        token = json.loads(partition.token)
        schema = _unpacked(token["schema"])
        leader = self._moments.get(token["moment"])
        workers = leader.workers if leader else Workers(self._driver, partition.snapshot, token["version"])
        if workers is None or (leader is None and partition.snapshot is None):
            raise Unavailable(f"{self.name}: the moment of this partition is over", hint="read again")
        try:
            raw = workers.read(token["statement"], token["label"], cancel)
            if token["counts"]:
                rows = sum(batch.column(0)[0].as_py() for batch in raw)
                yield from empty_batches(rows)
            else:
                with closing(raw):
                    for batch in decode(raw, _columns(token, schema), schema):
                        if leader is not None:
                            leader.keep()
                        yield batch
            if leader is not None:
                leader.check_alive()
        finally:
            if leader is None:
                workers.close()

    @contextmanager
    def pin(self) -> Iterator[Source]:
        """Give a source all of whose scans see one moment, until the context ends.

        Raises:
            NotSupported: This server does not share a snapshot between connections.
        """
        if self._pinned is not None:
            self._still()
            yield self
            return
        idle = str(own_option(self._driver.settings, "snapshot_idle"))
        with self._leader(None, Cancel(), export=True, idle=idle) as leader:
            if leader.snapshot is None:
                raise NotSupported(
                    f"{self.name} does not share a snapshot between connections",
                    hint="read each table on its own",
                )
            pinned = Postgres(self._driver.settings)
            pinned._driver = self._driver
            pinned._pinned = leader
            pinned._moments = {leader.id: leader}
            try:
                yield pinned
            finally:
                pinned._over = True

    def check(self) -> dict[str, str]:
        """Connect and return facts that may be shown: version, database, user, whether it is a standby, encryption."""
        with self._leader(None, Cancel(), export=False) as leader, leader.planning(Cancel(), self.name):
            version, database, user, standby, encrypted = leader.one(
                "select current_setting('server_version'), current_database(), current_user, pg_is_in_recovery(),"
                " coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false)"
            )
        return {
            "server": f"PostgreSQL {version}",
            "database": str(database),
            "user": str(user),
            "standby": "yes" if standby else "no",
            "encrypted": "yes" if encrypted else "no",
        }

    def _still(self) -> None:
        if self._over:
            raise InputError(
                f"the snapshot of {self.name} has ended",
                hint="read inside its with block, or begin another snapshot",
            )

    # --- inside -------------------------------------------------------------------------------------------------

    @contextmanager
    def _planned(self, request: Request, cancel: Cancel, *, export: bool) -> Iterator[_Planned]:
        """Plan in a fixed moment; begins again if a table was rewritten between the moment and our lock on it."""
        _check_request(request)
        if self._pinned is not None:
            self._still()
            planned = _plan(self._pinned, request, cancel, pieces=export)
            if planned.rewritten:
                raise Unavailable(
                    f"{planned.rewritten[0]!r} was truncated or rewritten after this moment",
                    hint="its rows of that moment are gone; begin again with a new snapshot",
                )
            yield planned
            return
        for _ in range(_RESTARTS):
            with self._leader(request, cancel, export=export) as leader:
                planned = _plan(leader, request, cancel, pieces=export)
                if not planned.rewritten:
                    yield planned
                    return
        raise Unavailable(
            f"{planned.rewritten[0]!r} is being rewritten again and again", hint="try again later"
        )

    @contextmanager
    def _leader(
        self, request: Request | None, cancel: Cancel, *, export: bool, idle: str = "0"
    ) -> Iterator[Leader]:
        cancel.check()
        leader = Leader(self._driver)
        try:
            with cancel.waking(leader.cancel):
                try:
                    leader.begin(request, export=export, idle=idle)
                except Unavailable:
                    cancel.check()  # ours was the hand that stopped it
                    raise
            self._moments[leader.id] = leader
            yield leader
        finally:
            self._moments.pop(leader.id, None)
            leader.close()


@dataclass(frozen=True, slots=True)
class _Planned:
    leader: Leader
    columns: list[Column]
    schema: pa.Schema
    pieces: Plan | None
    rewritten: list[str]

    def partition(self, index: int) -> Partition:
        assert self.pieces is not None
        piece, leader = self.pieces.pieces[index], self.leader
        token = {
            "v": 1,
            "moment": leader.id,
            "version": leader.version,
            "label": piece.name,
            "statement": piece.statement,
            "counts": piece.counts,
            "schema": _packed(self.schema),
            "arrives": _packed(pa.schema([(made.name, made.arrives) for made in self.columns])),
            "guards": [(made.guard, made.array, made.infinity_null) for made in self.columns],
        }
        return Partition(
            id=f"{index:05d}-{piece.name}", index=index, token=json.dumps(token).encode(),
            snapshot=leader.snapshot, rows_estimate=piece.rows_estimate,
        )  # fmt: skip


def _packed(schema: pa.Schema) -> str:
    return base64.b64encode(schema.serialize()).decode()


def _unpacked(text: str) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def _columns(token: Mapping[str, Any], schema: pa.Schema) -> list[Column]:
    arrives = _unpacked(token["arrives"])
    return [
        Column(made.name, made.type, arrives.field(i).type, "", *token["guards"][i])
        for i, made in enumerate(schema)
    ]


def _check_request(request: Request) -> None:
    if (request.query is None) == (request.table is None):
        raise InputError("give a query or a table, and not both")
    if request.table is not None and request.params is not None:
        raise InputError("params belong to a query")
    if request.query is not None and "only" in request.options:
        raise InputError("the option 'only' belongs to a table")
    for name, value in request.options.items():
        if name not in _OPTIONS:
            close = difflib.get_close_matches(name, _OPTIONS, 1)
            raise InputError(
                f"no such option: {name!r}",
                hint=f"did you mean {close[0]!r}?" if close else f"known: {', '.join(_OPTIONS)}",
            )
        if value not in _OPTIONS[name]:
            raise InputError(f"option {name!r} must be one of {', '.join(map(repr, _OPTIONS[name]))}")


def _plan(leader: Leader, request: Request, cancel: Cancel, *, pieces: bool) -> _Planned:
    with leader.planning(cancel, request.label):
        if request.table is not None:
            leader.relation(request)
            body = ("only " if request.options.get("only") else "") + table_name(request.table)
            declared = leader.describe(body)
        else:
            body, declared = leader.describe_query(request)
        _refuse_doubles(request, [made.name for made in declared])
        names = {made.name for made in declared}
        wanted = names if request.columns is None else set(request.columns)
        for what, asked in (
            ("columns", wanted),
            ("types", set(request.types)),
            ("where", {f.column for f in request.where}),
        ):
            _refuse_unknown(request, what, asked - names, names)
        if request.columns is not None and len(wanted) < len(request.columns):
            raise QueryError(f"{request.label}: columns names a column twice")
        infinity = str(request.options.get("infinity", "raise"))
        known = {
            made.name: column(made, request.types.get(made.name), infinity=infinity) for made in declared
        }
        columns = (
            list(known.values()) if request.columns is None else [known[name] for name in request.columns]
        )
        schema = pa.schema([pa.field(made.name, made.type) for made in columns])
        plan = make_plan(leader, request, columns, list(known.values()), body) if pieces else None
        return _Planned(leader, columns, schema, plan, leader.rewritten() if pieces else [])


def _refuse_doubles(request: Request, names: list[str]) -> None:
    doubles = [name for name, count in Counter(names).items() if count > 1]
    if doubles:
        name = doubles[0]
        example = "x" if name == "?column?" else name
        raise QueryError(
            f"{request.label}: more than one column is named {', '.join(map(repr, doubles))}",
            hint=f"give each a name of its own, for example: … as {quoted(example + '_1')}, … as {quoted(example + '_2')}",
        )


def _refuse_unknown(request: Request, what: str, unknown: set[str], names: set[str]) -> None:
    if not unknown:
        return
    name = min(unknown)
    close = difflib.get_close_matches(name, sorted(names), 1) or [
        n for n in sorted(names) if n.lower() == name.lower()
    ]
    listed = ", ".join(sorted(names)[:20]) or "none"
    raise QueryError(
        f"{request.label}: there is no column {name!r} (asked for in {what})",
        hint=f"did you mean {close[0]!r}?" if close else f"columns: {listed}",
        sqlstate="42703",
    )
