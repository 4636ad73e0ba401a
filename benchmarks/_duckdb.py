"""DuckDB with its postgres and httpfs extensions, which its own server gives out, and the package index for one version.

They go into a folder of their own beside the environment: their DuckDB is older than the one that dvengine uses.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks._case import Absent

VERSION = "1.4.4"
_WANTED = (
    f"duckdb=={VERSION}",
    f"duckdb-ext-postgres=={VERSION}.20260205",
    f"duckdb-ext-httpfs=={VERSION}.20260205",
)


def folder() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "dvengine-bench" / f"duckdb-{VERSION}-cp{sys.version_info[0]}{sys.version_info[1]}"


def install() -> str:
    """Fetch them if they are not there; return an empty string, or why it could not be done."""
    target = folder()
    if (target / ".complete").exists():
        return ""
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "pip", "install", "-q", "--python", sys.executable] if uv.exists() else [sys.executable, "-m", "pip", "install", "-q"]  # fmt: skip
    done = subprocess.run(
        [*command, "--target", str(target), *_WANTED],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if done.returncode:
        return "its extensions could not be installed"
    (target / ".complete").touch()
    return ""


def connect(*extensions: str) -> Any:
    """Open a connection with the extensions loaded; call it before any other DuckDB is imported.

    Raises:
        Absent: They are not installed.
    """
    if not (folder() / ".complete").exists():
        raise Absent("the postgres extension of DuckDB could not be installed")
    sys.path.insert(0, str(folder()))
    import duckdb

    if duckdb.__version__ != VERSION:
        raise Absent(f"another DuckDB ({duckdb.__version__}) was imported first")
    connection = duckdb.connect()
    connection.execute(f"set extension_directory = '{folder() / 'duckdb_ext' / 'extensions'}'")
    connection.execute("set autoinstall_known_extensions = false")
    for name in extensions:
        connection.execute(f"load {'postgres_scanner' if name == 'postgres' else name}")
    connection.execute("set timezone = 'UTC'")
    return connection
