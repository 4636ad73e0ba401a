"""PostgreSQL to an Arrow table in memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from importlib import import_module
from shutil import which
from typing import Any
from urllib.parse import unquote, urlsplit

from benchmarks._case import OURS, Absent, Case, Contender, Job
from benchmarks._duckdb import connect


def load_drivers() -> None:
    """Import what dvengine loads at first use: the others have imported their drivers before the clock starts, too."""
    for module in ("adbc_driver_postgresql.dbapi", "psycopg", "dvengine.connectors.postgres"):
        import_module(module)


def _dvengine(job: Job, **options: Any) -> Callable[[], Any]:
    import dvengine as dv

    load_drivers()
    return dv.read_sql(job.url, table=f"public.{job.table}", **options).to_arrow


def dvengine(job: Job) -> Callable[[], Any]:
    return _dvengine(job)


def dvengine_one(job: Job) -> Callable[[], Any]:
    return _dvengine(job, partitions=1)


def copy_binary(job: Job) -> Callable[[], Any]:
    if which("psql") is None:
        raise Absent("psql is not installed")
    parts = urlsplit(job.url)
    environ = {
        **os.environ, "PGPASSWORD": unquote(parts.password or ""), "PGUSER": unquote(parts.username or ""),
        "PGHOST": parts.hostname or "", "PGPORT": str(parts.port), "PGDATABASE": parts.path[1:],
    }  # fmt: skip
    command = f"copy public.{job.table} to stdout (format binary)"

    def work() -> None:
        subprocess.run(["psql", "-qXc", command], stdout=subprocess.DEVNULL, env=environ, check=True)

    return work


def adbc(job: Job) -> Callable[[], Any]:
    import adbc_driver_postgresql.dbapi as driver

    def work() -> Any:
        with driver.connect(job.url) as connection, connection.cursor() as cursor:
            cursor.execute(f"select * from public.{job.table}")
            return cursor.fetch_arrow_table()

    return work


def _connectorx(job: Job, **options: Any) -> Callable[[], Any]:
    import connectorx as cx

    def work() -> Any:
        return cx.read_sql(job.url, f"select * from public.{job.table}", return_type="arrow", **options)

    return work


def connectorx(job: Job) -> Callable[[], Any]:
    return _connectorx(job)


def connectorx_cut(job: Job) -> Callable[[], Any]:
    return _connectorx(job, partition_on="id", partition_num=os.cpu_count() or 2)


def duckdb(job: Job) -> Callable[[], Any]:
    connection = connect("postgres")

    def work() -> Any:
        connection.execute("attach ? as source (type postgres, read_only)".replace("?", f"'{job.url}'"))
        table = connection.sql(f"from source.public.{job.table}").arrow()
        return table if hasattr(table, "combine_chunks") else table.read_all()

    return work


def pandas(job: Job) -> Callable[[], Any]:
    import pandas as pd
    import sqlalchemy

    engine = sqlalchemy.create_engine(job.url.replace("postgresql://", "postgresql+psycopg://", 1))

    def work() -> Any:
        with engine.connect() as connection:
            return pd.read_sql(f"select * from public.{job.table}", connection)

    return work


def arrow_of(job: Job, result: Any) -> Any:
    return result


def arrow_of_pandas(job: Job, frame: Any) -> Any:
    import pyarrow as pa

    for column in frame.columns:
        if (
            frame[column].dtype == object
            and len(frame)
            and type(frame[column].iloc[0]).__name__ in ("dict", "UUID")
        ):
            import json

            frame[column] = [
                None if v is None else json.dumps(v) if isinstance(v, dict) else str(v) for v in frame[column]
            ]
    return pa.Table.from_pandas(frame, preserve_index=False)


CASE = Case(
    name="to_arrow",
    title="PostgreSQL to Arrow in memory",
    tables=("plain", "rich"),
    contenders=(
        Contender(OURS, dvengine, arrow_of),
        Contender("dvengine, 1 partition", dvengine_one, arrow_of),
        Contender(
            "psql COPY BINARY > /dev/null", copy_binary, None, "the limit of one connection; decodes nothing"
        ),
        Contender("ADBC alone", adbc, arrow_of),
        Contender("connectorx", connectorx, arrow_of),
        Contender("connectorx, cut on id", connectorx_cut, arrow_of, "no common snapshot"),
        Contender("DuckDB postgres", duckdb, arrow_of),
        Contender("pandas.read_sql", pandas, arrow_of_pandas),
    ),
)
