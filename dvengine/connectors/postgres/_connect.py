"""Connections: libpq's parameters, our name, and settings that live and die with one transaction."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import threading
from collections.abc import Generator
from typing import Any

import adbc_driver_manager as adbc
import adbc_driver_postgresql  # type: ignore[import-untyped]
import psycopg
import pyarrow as pa
from adbc_driver_manager._reader import AdbcRecordBatchReader
from psycopg import pq
from psycopg.conninfo import make_conninfo

from dvengine._errors import ConfigError, Unavailable
from dvengine.config import SourceSettings
from dvengine.connectors._protocols import Cancel
from dvengine.connectors.postgres._errors import from_connect, from_statement, sqlstate_of
from dvengine.connectors.postgres._statement import literal

__all__ = ["Driver", "Workers", "connect_leader", "conninfo", "own_option", "session_settings"]

#: Ours, beside libpq's own: all optional, all from the source's settings.
OWN_OPTIONS = {"batch_bytes": 4 << 20, "lock_timeout": "30s", "snapshot_idle": "2h", "timezone": "UTC"}


def conninfo(settings: SourceSettings) -> str:
    """Build libpq's connection string. It holds the password: never show it.

    Raises:
        ConfigError: An option that neither libpq nor we know.
    """
    url = settings.url
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    given: dict[str, Any] = {**url.options, **settings.options}
    for name in given:
        if name not in known and name not in OWN_OPTIONS:
            close = difflib.get_close_matches(name, [*known, *OWN_OPTIONS], 1)
            raise ConfigError(
                f"{settings.name}: no such option: {name!r}",
                hint=f"did you mean {close[0]!r}?" if close else "options are libpq's, such as sslmode",
            )
    size = str(own_option(settings, "batch_bytes"))
    if not (size.isascii() and size.isdigit() and 0 < int(size) < 1 << 31):
        raise ConfigError(
            f"{settings.name}: batch_bytes must be a number of bytes below 2 GiB", hint="for example 4194304"
        )
    parameters = {name: value for name, value in given.items() if name in known}
    for name, secret in (url.secrets or {}).items():
        if name in known:
            parameters[name] = secret.reveal()
    named = {"host": url.host, "port": url.port, "user": url.user, "dbname": url.path.lstrip("/") or None}
    parameters |= {name: value for name, value in named.items() if value is not None}
    password = settings.password or url.password
    if password is not None:
        parameters["password"] = password.reveal()
    parameters.setdefault("connect_timeout", 10)
    # The leader is silent for as long as the read takes, and firewalls forget silent connections; a server that is gone
    # is noticed in two minutes and not in the system's two hours.
    for name, value in (("idle", 60), ("interval", 10), ("count", 6)):
        parameters.setdefault(f"keepalives_{name}", value)
    parameters.setdefault("application_name", "dvengine")
    # Whatever the database is kept in: libpq would otherwise send its bytes as they are, and Arrow text is UTF-8.
    parameters["client_encoding"] = "UTF8"
    try:
        return make_conninfo(**parameters)
    except psycopg.Error:
        raise ConfigError(f"{settings.name}: these connection parameters do not fit together") from None


def own_option(settings: SourceSettings, name: str) -> Any:
    """Return one of our own options, or its default."""
    return settings.options.get(name, settings.url.options.get(name, OWN_OPTIONS[name]))


def session_settings(settings: SourceSettings, version: int, *, idle: str = "0") -> dict[str, str]:
    """Return what holds inside each transaction of ours, so that a pooler cannot lose it.

    Args:
        settings: The source's.
        version: The server's.
        idle: How long the server lets the transaction wait between statements; ``0`` is for ever.
    """
    made = {
        "TimeZone": str(own_option(settings, "timezone")),
        # Output only: the field order in which the user's own literals are read (DMY, MDY) stays the server's.
        "datestyle": "ISO",
        "intervalstyle": "iso_8601",
        "extra_float_digits": "1",
        "bytea_output": "hex",
        "standard_conforming_strings": "on",
        # Else a large table is read from where somebody else's scan happens to be: another order each time.
        "synchronize_seqscans": "off",
        "statement_timeout": "0",
        "lock_timeout": str(own_option(settings, "lock_timeout")),
        "idle_in_transaction_session_timeout": idle,
        # libpq prints notices to standard error, and a function may put values into them.
        "client_min_messages": "error",
    }
    return made | ({"transaction_timeout": "0"} if version >= 170000 else {})


def connect_leader(settings: SourceSettings) -> psycopg.Connection[tuple[Any, ...]]:
    """Open the connection that plans, locks and holds the snapshot."""
    try:
        return psycopg.connect(conninfo(settings), autocommit=True, prepare_threshold=None)
    except psycopg.Error as error:
        mapped = from_connect(error, settings.name)
    raise mapped


class Driver:
    """Makes the COPY driver's connections. It reads the server's type catalogue once, not once a read: 36 of 48 ms.

    A type made later does no harm, because a column whose type has no row in our own table is selected as text.
    """

    def __init__(self, settings: SourceSettings) -> None:
        self.settings = settings
        self._made_for = b""
        self._database: adbc.AdbcDatabase | None = None
        self._lock = threading.Lock()

    def connect(self) -> adbc.AdbcConnection:
        """Open a connection, with the password as it is now."""
        address = conninfo(self.settings)
        made_for = hashlib.sha256(address.encode()).digest()
        try:
            with self._lock:
                if self._database is None or made_for != self._made_for:
                    self._database = adbc_driver_postgresql.connect(address)
                    self._made_for = made_for
                database = self._database
            return adbc.AdbcConnection(database)
        except adbc.Error as error:
            mapped = from_connect(error, self.settings.name)
        raise mapped


class Workers:
    """The driver's connections of one moment: each imports the snapshot once and then reads many partitions."""

    def __init__(self, driver: Driver, snapshot: str | None, version: int, *, idle: str = "0") -> None:
        self._driver, self._snapshot, self._version, self._idle_limit = driver, snapshot, version, idle
        self._settings = driver.settings
        self._idle: list[adbc.AdbcConnection] = []
        self._lock = threading.Lock()
        self._closed = False

    def read(self, statement: str, label: str, cancel: Cancel) -> Generator[pa.RecordBatch, None, None]:
        """Run one statement and give its batches as the driver decodes them; the server stops when we do."""
        connection = self._take(cancel)
        running = _Running(connection)
        clean = False
        try:
            with cancel.waking(running.cancel):
                yield from self._batches(running, statement, label, cancel)
                clean = not running.cancelled
        finally:
            running.close(abort=not clean)
            self._give(connection, clean=clean)

    def _batches(
        self, running: _Running, statement: str, label: str, cancel: Cancel
    ) -> Generator[pa.RecordBatch, None, None]:
        cancel.check()
        try:
            reader = running.execute(statement, int(own_option(self._settings, "batch_bytes")))
            while True:
                cancel.check()
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    break
                yield batch
            cancel.check()
        except (adbc.Error, pa.ArrowException, OSError) as error:
            mapped = from_statement(error, label, cancelled=cancel.is_set)
        else:
            return
        raise mapped

    def _take(self, cancel: Cancel) -> adbc.AdbcConnection:
        cancel.check()
        with self._lock:
            if self._closed:
                raise Unavailable("the moment of this read is over", hint="read again")
            if self._idle:
                return self._idle.pop()
        connection = self._driver.connect()
        try:
            self._begin(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin(self, connection: adbc.AdbcConnection) -> None:
        settings = session_settings(self._settings, self._version, idle=self._idle_limit)
        pairs = ", ".join(f"set_config({literal(k)}, {literal(v)}, true)" for k, v in settings.items())
        try:
            _run(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if self._snapshot is not None:
                self._import(connection, self._snapshot)
            _run(connection, f"select {pairs}")
        except adbc.Error as error:
            mapped = from_statement(error, self._settings.name)
        else:
            return
        raise mapped

    def _import(self, connection: adbc.AdbcConnection, snapshot: str) -> None:
        try:
            _run(connection, f"SET TRANSACTION SNAPSHOT {literal(snapshot)}")
        except adbc.Error as error:
            if sqlstate_of(error) not in ("22023", "42704", "55000"):
                raise
        else:
            return
        raise Unavailable(
            f"{self._settings.name}: the moment that this read began in is gone",
            hint="its leading connection ended; start the read again from the beginning",
        )

    def _give(self, connection: adbc.AdbcConnection, *, clean: bool) -> None:
        with self._lock:
            if clean and not self._closed:
                self._idle.append(connection)
                return
        with contextlib.suppress(adbc.Error):
            connection.close()

    def close(self) -> None:
        """Close what is idle; what is still reading closes when it ends."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            with contextlib.suppress(adbc.Error):
                connection.close()


def _run(connection: adbc.AdbcConnection, statement: str) -> None:
    made = adbc.AdbcStatement(connection)
    try:
        made.set_sql_query(statement)
        made.execute_update()
    finally:
        made.close()


class _Running:
    """A statement that another thread may cancel while this one waits for it, or after it is gone."""

    def __init__(self, connection: adbc.AdbcConnection) -> None:
        # The low-level statement on purpose: the DB-API cursor swaps the process's SIGINT handler around each blocking
        # call, so in a worker thread it would take Ctrl-C away from the main one.
        self._statement = adbc.AdbcStatement(connection)
        self._reader: AdbcRecordBatchReader | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.cancelled = False

    def execute(self, statement: str, batch_bytes: int) -> AdbcRecordBatchReader:
        self._statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(batch_bytes)})
        self._statement.set_sql_query(statement)
        handle, _ = self._statement.execute_query()
        self._reader = AdbcRecordBatchReader._import_from_c(handle.address)
        return self._reader

    def cancel(self) -> None:
        """Ask the server to stop, and go on asking: a request that arrives between two statements is forgotten."""
        with self._lock:
            if self.cancelled:
                return
            self.cancelled = True
        self._ask()
        threading.Thread(target=self._insist, name="dvengine-cancel", daemon=True).start()

    def _insist(self) -> None:
        while not self._ended.wait(0.1):
            self._ask()

    def _ask(self) -> None:
        with self._lock:
            if not self._ended.is_set():
                with contextlib.suppress(adbc.Error):
                    self._statement.cancel()

    def close(self, *, abort: bool) -> None:
        # Closing a half-read COPY without cancelling would first drain it.
        if abort:
            self.cancel()
        if self._reader is not None:
            with contextlib.suppress(adbc.Error, pa.ArrowException, OSError):
                self._reader.close()
        with self._lock:
            self._ended.set()
        with contextlib.suppress(adbc.Error):
            self._statement.close()
