"""The leader: one connection that locks, fixes the moment, plans in it, and keeps it until the read is over."""

# ruff: noqa: S608 - statements are built here on purpose, from quoted names and bound literals only

from __future__ import annotations

import difflib
import re
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psycopg

from dvengine._errors import DvengineError, QueryError, Unavailable
from dvengine.connectors._protocols import Cancel, Request
from dvengine.connectors.postgres._connect import Driver, Workers, connect_leader, session_settings
from dvengine.connectors.postgres._errors import from_statement, sqlstate_of
from dvengine.connectors.postgres._statement import bind, literal, one_statement, table_name
from dvengine.connectors.postgres._types import Declared

__all__ = ["Leader", "Relation"]

_KEEP_SECONDS = 60.0


class Relation(NamedTuple):
    """What a table's name stands for; ``kind`` is pg_class.relkind."""

    oid: int
    kind: str
    schema: str
    name: str


class Leader:
    """Holds one REPEATABLE READ READ ONLY transaction open. Thread-safe; use as a context manager."""

    def __init__(self, driver: Driver) -> None:
        self.id = uuid.uuid4().hex
        self.settings = driver.settings
        self._driver = driver
        self.snapshot: str | None = None
        self.why_not_exported: str | None = None
        self._using = threading.RLock()
        self._relations: dict[str, Relation] = {}
        self._idle = "0"
        self._asked = time.monotonic()
        self._connection = connect_leader(driver.settings)
        self.version = self._connection.info.server_version
        self.encoding = self._connection.info.parameter_status("server_encoding") or "UTF8"
        self.workers: Workers | None = None

    # --- the moment ---------------------------------------------------------------------------------------------

    def begin(self, request: Request | None, *, export: bool, idle: str = "0") -> None:
        """Lock the table, then fix the moment, then (``export``) let workers share it.

        A moment that nobody asked anything of for ``idle`` is ended by the server, which has to keep every row version of it.
        """
        self._idle = idle
        # A TRUNCATE that commits between the snapshot and our first touch of the table would read as an empty table,
        # so the lock comes before the snapshot. LOCK TABLE takes none; the first query does.
        lock = (
            f"LOCK TABLE {table_name(request.table)} IN ACCESS SHARE MODE"
            if request is not None and request.table
            else None
        )
        refused = self._tried(lock, request.label if request else self.settings.name)
        if refused:
            # Foreign tables and materialized views take no LOCK; what is not there is told apart by the lookup.
            self._connection.execute("ROLLBACK")
            self._begin()
        if export:
            self._export()
            self.workers = Workers(self._driver, self.snapshot, self.version, idle=idle)

    def _tried(self, lock: str | None, label: str) -> bool:
        """Begin with a lock; say whether the server would not give it."""
        try:
            self._begin()
            if lock is not None:
                self._connection.execute(lock.encode())
        except psycopg.Error as error:
            if sqlstate_of(error) in ("42809", "42P01", "42501", "3F000", "25006"):
                return True
            mapped = self._mapped(error, label)
        else:
            return False
        raise mapped

    def _begin(self) -> None:
        local = "".join(
            f"SET LOCAL {name} = {literal(value)};"
            for name, value in session_settings(self.settings, self.version, idle=self._idle).items()
        )
        self._connection.execute(f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;{local}".encode())

    def _export(self) -> None:
        try:
            row = self._connection.execute("select pg_export_snapshot()").fetchone()
            self.snapshot = str(row[0]) if row else None
        except psycopg.Error as error:
            state = sqlstate_of(error)
            mapped = self._mapped(error, self.settings.name)
        else:
            return
        if isinstance(mapped, Unavailable):
            raise mapped
        # Some managed replicas refuse; one statement on one connection is a moment by itself.
        self.why_not_exported = f"one partition: the server does not share a snapshot (SQLSTATE {state})"
        self._connection.execute("ROLLBACK")
        self._begin()

    def keep(self) -> None:
        """Show the server, once a minute, that the moment is being read."""
        if time.monotonic() - self._asked > _KEEP_SECONDS:
            self.check_alive()

    def check_alive(self) -> None:
        """Raise `Unavailable` if the moment's transaction is gone: without its locks a TRUNCATE reads as an empty table."""
        with self._using:
            self._asked = time.monotonic()
            try:
                self._connection.execute("select 1")
            except psycopg.Error:
                gone = True
            else:
                gone = False
        if gone:
            raise Unavailable(
                f"{self.settings.name}: the connection that held this moment was cut",
                hint="start the read again from the beginning",
            )

    def close(self) -> None:
        """End the moment; idempotent."""
        if self.workers is not None:
            self.workers.close()
        self._connection.close()

    @contextmanager
    def planning(self, cancel: Cancel, label: str) -> Iterator[None]:
        """Use the connection alone; an error inside leaves the moment whole, and is mapped."""
        with self._using, cancel.waking(self.cancel):
            try:
                with self._savepoint():
                    yield
            except psycopg.Error as error:
                mapped = self._mapped(error, label, cancelled=cancel.is_set)
            else:
                return
        raise mapped

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        # Not psycopg's transaction(): after Ctrl-C it tries to roll back a busy connection, and logs that it cannot.
        self._connection.execute("SAVEPOINT planning")
        try:
            yield
        except Exception:
            with suppress(psycopg.Error):
                self._connection.execute("ROLLBACK TO SAVEPOINT planning")
                self._connection.execute("RELEASE SAVEPOINT planning")
            raise
        self._connection.execute("RELEASE SAVEPOINT planning")

    def cancel(self) -> None:
        """Stop what the connection is doing, from any thread."""
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=5)

    def _mapped(self, error: psycopg.Error, label: str, *, cancelled: bool = False) -> DvengineError:
        return from_statement(error, label, cancelled=cancelled)

    # --- questions ----------------------------------------------------------------------------------------------

    def one(self, statement: str) -> tuple[Any, ...]:
        """Run a statement that gives one row."""
        row = self._connection.execute(statement.encode()).fetchone()
        assert row is not None
        return row

    def all(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a catalogue query of ours."""
        return self._connection.execute(statement.encode(), parameters).fetchall()

    def describe(self, body: str) -> list[Declared]:
        """Ask for the columns of a source of rows; reads no rows, and locks all that it touches."""
        cursor = self._connection.execute(f"select * from {body} as t limit 0".encode())
        result = cursor.pgresult
        assert result is not None
        raw = [(str(d[0]), int(d[1]), result.fmod(i)) for i, d in enumerate(cursor.description or ())]
        types = self._types({oid for _, oid, _ in raw})
        made = []
        for name, oid, typmod in raw:
            spelled, element = types.get(oid, ("unknown", 0))
            made.append(Declared(name, element or oid, typmod, element != 0, spelled))
        return made

    def describe_query(self, request: Request) -> tuple[str, list[Declared]]:
        """Bind and wrap the user's query, and describe it; errors say where in it the server stopped."""
        text = one_statement(request.query or "")
        if request.params is not None:
            text = bind(self._connection, text, request.params)
        body = f"(\n{text}\n)"
        try:
            with self._savepoint():
                return body, self.describe(body)
        except psycopg.Error as error:
            mapped = from_statement(error, request.label, **self._whereabouts(error, text, request))
        raise mapped

    def _whereabouts(self, error: psycopg.Error, text: str, request: Request) -> dict[str, Any]:
        position = error.diag.statement_position
        at = int(position) - 1 - len("select * from (\n") if position else -1
        hint = None
        # Names that the server proposes are names it has; names that it repeats may be a value in the wrong quotes.
        if match := re.search(r'the column "([^"]+)"', error.diag.message_hint or ""):
            hint = f"did you mean {match[1]!r}?"
        if not 0 <= at <= len(text):
            return {"hint": hint}
        if error.sqlstate == "42P01" and (match := re.compile(r"[a-zA-Z_0-9.]+").match(text, at)):
            hint = self._nearest(match[0])
        line, column = text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1
        # Bound values shift what follows them on their line.
        place = f"at line {line}" + (f", column {column}" if request.params is None else "")
        return {"place": place, "hint": hint}

    def _types(self, oids: set[int]) -> dict[int, tuple[str, int]]:
        """By OID: the type's name, and the base type of its elements if it is a true array."""
        rows = self.all(
            """
            with recursive base(start, oid, kind, next) as (
              select e.oid, e.oid, e.typtype, e.typbasetype from pg_type t join pg_type e on e.oid = t.typelem and e.typarray = t.oid
              where t.oid = any(%s)
              union all select b.start, d.oid, d.typtype, d.typbasetype from base b join pg_type d on d.oid = b.next where b.kind = 'd'
            )
            select t.oid, format_type(t.oid, null), coalesce((select b.oid from base b where b.start = t.typelem and t.typelem <> 0
              and b.kind <> 'd' and exists (select from pg_type e where e.oid = t.typelem and e.typarray = t.oid)), 0)
            from pg_type t where t.oid = any(%s)
            """,
            (list(oids), list(oids)),
        )
        return {int(oid): (str(name), int(element)) for oid, name, element in rows}

    def relation(self, request: Request) -> Relation:
        """Look the table up.

        Raises:
            QueryError: Not there; the hint names the nearest.
        """
        spelled = table_name(request.table or "")
        if spelled not in self._relations:
            rows = self.all(
                "select c.oid, c.relkind::text, n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
                " where c.oid = to_regclass(%s) and c.relkind in ('r', 'p', 'v', 'm', 'f')",
                (spelled,),
            )
            if not rows:
                raise QueryError(
                    f"there is no table {request.table!r}",
                    hint=self._nearest(request.table or ""),
                    sqlstate="42P01",
                )
            self._relations[spelled] = Relation(*rows[0])
        return self._relations[spelled]

    def _nearest(self, table: str) -> str:
        rows = self.all(
            "select n.nspname, c.relname, pg_table_is_visible(c.oid) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema')"
            " and n.nspname !~ '^pg_' limit 10000"
        )
        names = {f"{schema}.{name}" for schema, name, _ in rows} | {
            name for _, name, visible in rows if visible
        }
        exact = sorted(
            f"{schema}.{name}" for schema, name, _ in rows if name.lower() == table.lower().rpartition(".")[2]
        )
        close = exact or difflib.get_close_matches(table, sorted(names), 1)
        return (
            f"did you mean {close[0]!r}?"
            if close
            else "check the schema and the name; they are case sensitive"
        )

    def leaves(self, oid: int, *, only: bool) -> list[tuple[str, str, str, int, int, int | None]]:
        """Return name, quoted name, kind, pages, bytes and estimated rows of each relation that holds rows of this one."""
        return self.all(
            f"""
            with recursive tree(oid) as (select %s::oid {"" if only else "union select i.inhrelid from tree t join pg_inherits i on i.inhparent = t.oid"})
            select c.relname, format('%%I.%%I', n.nspname, c.relname), c.relkind::text,
                   case when c.relkind in ('r', 'm') then pg_relation_size(c.oid) / current_setting('block_size')::int else 0 end,
                   case when c.relkind in ('r', 'm') then pg_table_size(c.oid) else 0 end,
                   case when c.reltuples >= 0 and c.relpages > 0
                        then (c.reltuples / c.relpages * (pg_relation_size(c.oid) / current_setting('block_size')::int))::int8 end
            from tree join pg_class c on c.oid = tree.oid join pg_namespace n on n.oid = c.relnamespace
            where c.relkind in ('r', 'm', 'f') order by c.oid
            """,
            (oid,),
        )

    def leaves_differ(self, oid: int, *, only: bool) -> str | None:
        """Say why the leaves may not be read one by one: then they would not mean what the table means."""
        if only:
            return None
        secured, hidden, children = self.all(
            """
            with recursive tree(oid) as (select %s::oid union select i.inhrelid from tree t join pg_inherits i on i.inhparent = t.oid)
            select coalesce(bool_or(row_security_active(c.oid)), false), coalesce(bool_or(not has_table_privilege(c.oid, 'select')), false), count(*) - 1
            from tree join pg_class c on c.oid = tree.oid
            """,
            (oid,),
        )[0]
        if children and secured:
            return "row security of the parent and of its partitions may differ"
        if children and hidden:
            return "this user may read the table but not each of its partitions"
        return None

    def rewritten(self) -> list[str]:
        """Name the relations we hold that were truncated or rewritten after the moment: they no longer hold its rows."""
        rows = self.all(
            "select c.relname from pg_locks l join pg_class c on c.oid = l.relation"
            " where l.pid = pg_backend_pid() and l.locktype = 'relation' and c.relkind in ('r', 'm')"
            " and l.database = (select oid from pg_database where datname = current_database())"
            # pg_class is read in our moment, pg_relation_filenode is the present.
            " and c.relfilenode <> 0 and c.relfilenode is distinct from pg_relation_filenode(c.oid) order by 1"
        )
        return [str(name) for (name,) in rows]

    def dearer(self, single: str, parts: Sequence[str]) -> float | None:
        """Return how many times the single plan's cost the parts have together, if that is too much; else None."""
        cost = self._cost(single)
        if cost < 2_000:
            return None
        ratio = sum(self._cost(part) for part in parts) / cost
        return ratio if ratio > 1.5 else None

    def cheap(self, statement: str, whole: str) -> bool:
        """Whether a statement costs little beside reading the whole."""
        return self._cost(statement) <= self._cost(whole) / 4

    def _cost(self, statement: str) -> float:
        return float(self.one(f"explain (format json) {statement}")[0][0]["Plan"]["Total Cost"])
