"""From a real PostgreSQL through every exit (E05, E06, E09, E10)."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pyarrow as pa
import pytest

import dvengine as dv

pytestmark = pytest.mark.service

SETUP = """
create table nullbar(id bigint, i int, b boolean, d date);
insert into nullbar values (9007199254740993,1,true,'2024-02-29'),(null,null,null,null),(-9223372036854775808,2,false,'0001-01-01');
create table vakt(id int, t timestamptz, l timestamp);
insert into vakt values (1,'2025-10-26 02:30:00+02','2025-10-26 02:30'),(2,'2025-10-26 02:30:00+01','2025-10-26 02:30'),
 (3,'2025-03-30 03:30:00+02','2025-03-30 02:30'),(4,'1894-12-31 23:30:00+00','1894-12-31 23:30');
create table vedtak(id int, kommune text, belop numeric(10,2), aar int);
insert into vedtak select g, lpad((300 + g % 357)::text, 4, '0'), g / 4.0, 2015 + g % 10 from generate_series(1, 20000) g;
"""


@pytest.fixture(scope="module")
def registry(postgres: Any) -> str:
    url: str = postgres.fresh_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SETUP)
    return url


def test_e06_nullable_integers_reach_pandas_exactly(registry: str) -> None:
    frame = dv.read_sql(registry, table="nullbar").to_pandas()
    assert [str(kind) for kind in frame.dtypes][:3] == ["Int64", "Int32", "boolean"]
    assert set(frame["id"].dropna()) == {9007199254740993, -9223372036854775808}
    empty = dv.read_sql(registry, "select * from nullbar where false").to_pandas()
    assert empty.dtypes.tolist() == frame.dtypes.tolist()


def test_e05_the_hour_that_happens_twice_survives_every_exit(registry: str, tmp_path: Path) -> None:
    data = dv.read_sql(registry, table="vakt")
    data.write_parquet(tmp_path / "vakt.parquet")
    at = {
        1: (2025, 10, 26, 0, 30),
        2: (2025, 10, 26, 1, 30),
        3: (2025, 3, 30, 1, 30),
        4: (1894, 12, 31, 23, 30),
    }
    want = {number: dt.datetime(*when, tzinfo=dt.UTC) for number, when in at.items()}
    for out in (
        data,
        data.pipe(lambda lf: lf.filter(pl.col("id") > 0)),
        data.sql("select * from self"),
        dv.read_files(tmp_path / "vakt.parquet"),
    ):
        assert out.schema.field("t").type == pa.timestamp("us", "UTC")
        assert out.schema.field("l").type == pa.timestamp("us")
        rows = {row["id"]: row for row in out.to_arrow().to_pylist()}
        assert {number: row["t"] for number, row in rows.items()} == want
        assert rows[3]["l"] == dt.datetime(2025, 3, 30, 2, 30)
        frame = out.to_pandas().set_index("id")
        assert (frame.loc[2, "t"] - frame.loc[1, "t"]).total_seconds() == 3600


def test_e09_an_empty_result_keeps_its_schema(registry: str) -> None:
    full = dv.read_sql(registry, "select * from vedtak")
    none = dv.read_sql(registry, "select * from vedtak where false")
    assert none.schema == full.schema == none.to_arrow().schema
    assert none.schema.field("belop").type == pa.decimal128(10, 2)
    assert none.sql("select count(*) as n from self").to_arrow().to_pylist() == [{"n": 0}]


def test_e10_names_that_occur_twice_are_refused_with_the_alias(registry: str) -> None:
    query = "select a.id, b.id, a.navn, b.navn from (values (1,'x')) a(id,navn) join (values (2,'y')) b(id,navn) on true"
    with pytest.raises(dv.InputError, match=r"'id'.*'navn'") as caught:
        dv.read_sql(registry, query).to_arrow()
    assert " as " in str(caught.value.hint)


def test_a_table_is_read_in_parallel_and_pushed_down(registry: str) -> None:
    data = dv.read_sql(registry, table="vedtak", partitions=3)
    assert data.to_arrow().num_rows == 20000
    assert [scan["consistent"] for scan in data.lineage] == [True]
    want = sum(Decimal(g) / 4 for g in range(1, 20001) if 2015 + g % 10 >= 2023)
    piped = data.pipe(lambda lf: lf.filter(pl.col("aar") >= 2023).select(pl.col("belop").sum()))
    assert piped.to_arrow().to_pylist() == [{"belop": want}]
    assert data.sql("select sum(belop) as s from self where aar >= 2023").to_arrow()["s"].to_pylist() == [
        want
    ]
    plan = str(
        data.pipe(lambda lf: lf.filter((pl.col("aar") >= 2023) & (pl.col("kommune") == "0301"))).explain()
    )
    assert "aar >=" in plan
    assert "2023" not in plan
    assert "0301" not in plan


def test_one_snapshot_for_several_reads(registry: str) -> None:
    with dv.snapshot(registry) as moment:
        first = dv.read_sql(moment, table="vedtak")
        with psycopg.connect(registry, autocommit=True) as connection:
            connection.execute("insert into vedtak values (0, '0000', 0, 1900)")
        joined = first.pipe(lambda lf: lf.join(first.lazy(), on="id"))
        assert first.sql("select count(*) as n from self").to_arrow().to_pylist() == [{"n": 20000}]
        assert joined.to_arrow().num_rows == 20000
        assert {scan["consistent"] for scan in joined.lineage} == {True}
    with psycopg.connect(registry, autocommit=True) as connection:
        connection.execute("delete from vedtak where id = 0")


def test_a_query_may_be_a_file(registry: str, tmp_path: Path) -> None:
    (tmp_path / "antall.sql").write_text(
        "-- vedtak per år\nselect aar, count(*) as n from vedtak where aar = %(aar)s group by aar;\n"
    )
    for query in (tmp_path / "antall.sql", str(tmp_path / "antall.sql")):
        data = dv.read_sql(registry, query, params={"aar": 2020})
        assert data.name == "antall"
        assert data.to_arrow().to_pylist() == [{"aar": 2020, "n": 2000}]
    with pytest.raises(dv.NotFound, match=r"borte\.sql"):
        dv.read_sql(registry, tmp_path / "borte.sql")


def test_errors_come_with_their_class_and_without_literals(registry: str, tmp_path: Path) -> None:
    bad = dv.read_sql(registry, "select id, 10 / (id - 20000) as q from vedtak where kommune <> 'hemmelig'")
    for way_out in (
        bad.to_arrow, lambda: bad.lazy().collect(), lambda: bad.pipe(lambda lf: lf.sort("id")).to_arrow(),
        lambda: bad.sql("select sum(q) from self").to_arrow(), lambda: bad.write_parquet(tmp_path / "ut"),
    ):  # fmt: skip
        with pytest.raises(dv.QueryError) as caught:
            way_out()
        assert caught.value.sqlstate == "22012"
        assert "hemmelig" not in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    with pytest.raises(dv.InputError):
        dv.read_sql(registry)
    with pytest.raises(dv.InputError):
        dv.read_sql(registry, table="vedtak", params={"a": 1})
    with pytest.raises(dv.ConfigError):
        dv.read_sql("nowhere://x/y", table="t")
    with pytest.raises(dv.InputError):
        dv.read_sql(7, table="t")  # type: ignore[arg-type]


INTERRUPTED = """
import signal, sys
import dvengine as dv
import polars as pl
signal.signal(signal.SIGINT, signal.default_int_handler)
data = dv.read_sql(sys.argv[1], "select g, pg_sleep(0.02)::text as s from generate_series(1, 100000) g")
out = {
    "pipe": lambda: data.pipe(lambda lf: lf.group_by("g").len()).to_arrow(),
    "sql": lambda: data.sql("select count(*) from self").to_arrow(),
    "both": lambda: data.pipe(lambda lf: lf.sort("g")).sql("select count(*) from self").to_arrow(),
    "lazy": lambda: data.lazy().group_by("g").len().collect(engine="streaming"),
    "memory": lambda: data.lazy().collect(engine="in-memory"),
}[sys.argv[2]]
_ = data.schema
print("reading", flush=True)
try:
    out()
finally:
    print("over")
"""
ACTIVE = "select count(*) from pg_stat_activity where state = 'active' and datname = current_database() and pid <> pg_backend_pid()"


@pytest.mark.parametrize("way", ["pipe", "sql", "both", "lazy", "memory"])
def test_ctrl_c_ends_the_plan_and_the_servers_statement(registry: str, way: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, registry, way], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as job:
        assert job.stdout is not None
        assert job.stderr is not None
        try:
            job.stdout.readline()
            with psycopg.connect(registry, autocommit=True) as connection:
                wait_for(lambda: connection.execute(ACTIVE).fetchone() == (1,), 20)
                job.send_signal(signal.SIGINT)
                began = time.monotonic()
                job.wait(timeout=20)
                assert time.monotonic() - began < 10
                assert b"KeyboardInterrupt" in job.stderr.read()
                wait_for(lambda: connection.execute(ACTIVE).fetchone() == (0,), 5)
        finally:
            job.kill()


def wait_for(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
