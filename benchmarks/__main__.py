"""``python -m benchmarks [case …] [--quick | --full] [--rows N] [--rounds N]``."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import obstore

from benchmarks import _duckdb
from benchmarks._case import OURS, Case, Job
from benchmarks._data import load
from benchmarks._harness import Line, keep, measure
from benchmarks._machine import machine
from benchmarks.cases import CASES

_LONGER = {("to_arrow", "plain"), ("to_parquet", "rich")}
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="case", help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument(
        "--quick", action="store_true", help="50 000 rows, 2 rounds: do they run, not how fast"
    )
    parser.add_argument("--full", action="store_true", help="adds the table ten times the size, for memory")
    parser.add_argument("--rows", type=int, help="of each table (default 1 000 000)")
    parser.add_argument("--rounds", type=int, help="pairs per contender (default 5)")
    parser.add_argument("--only", metavar="WORD", help="contenders whose name holds this word, and ours")
    parser.add_argument("--table", choices=["plain", "rich"], help="one of the tables")
    asked = parser.parse_args()
    rows = asked.rows or (50_000 if asked.quick else 1_000_000)
    rounds = asked.rounds or (2 if asked.quick else 5)
    cases = [_narrowed(CASES[name], asked.only) for name in (asked.cases or CASES)]
    jobs = [
        (case, table) for case in cases for table in case.tables if asked.full or not table.endswith("_x10")
    ]
    if not asked.full:
        jobs = [(case, table) for case, table in jobs if case.name != "memory" or asked.cases]
    if asked.quick:  # one table for each case, and each table once
        jobs = [(case, table) for case, table in jobs if (case.name, table) not in _LONGER]
    if asked.table:
        jobs = [(case, table) for case, table in jobs if table.startswith(asked.table)]
    tables = {table for _, table in jobs if table != "none"}

    from services import S3, Postgres

    facts: dict[str, Any] = {"rows": rows, "rounds": rounds, "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "machine": machine()}  # fmt: skip
    if trouble := _duckdb.install() if tables else "":
        _say(f"DuckDB: {trouble}")
    began, lines = time.monotonic(), []
    settings = {"shared_buffers": "512MB", "max_parallel_workers_per_gather": "0", "work_mem": "64MB"}
    with Postgres.running(settings=settings) as server, S3.running() as s3:
        _say(f"making {', '.join(sorted(tables)) or 'nothing'} of {rows:,} rows")
        url = load(server, rows, tables)
        store = {"endpoint": s3.endpoint, "access_key": s3.access_key, "secret_key": s3.secret_key, "bucket": s3.fresh_bucket(), "prefix": ""}  # fmt: skip
        _warm(store)
        try:
            for case, table in jobs:
                lines += measure(case, table, Job(url, table, store), rounds=rounds, say=_say)
        except KeyboardInterrupt:
            _say("interrupted: what was finished is kept")
    facts["seconds"] = round(time.monotonic() - began)
    facts["load_average_after"] = machine()["load_average"]
    path = keep(lines, facts, RESULTS / ("local" if asked.quick else "."))
    _table(lines, rows, facts)
    print(f"kept in {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return (
        1
        if any(line.contender == OURS and not line.verdict.startswith("the measure") for line in lines)
        else 0
    )


def _narrowed(case: Case, word: str | None) -> Case:
    kept = tuple(c for c in case.contenders if word is None or word in c.name or c.name == OURS)
    return replace(case, contenders=kept)


def _warm(store: dict[str, str]) -> None:
    """Let the server set up the bucket's storage now, rather than in the first contender's time."""
    from benchmarks.cases.to_parquet import bucket_of

    bucket = bucket_of(Job("", "", store))
    for number in range(8):
        obstore.put(bucket, f"warm/{number}", bytes(1 << 20))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _table(lines: list[Line], rows: int, facts: dict[str, Any]) -> None:
    about = facts["machine"]
    print(
        f"\n{about['processor']}, {about['cores']} cores, {about['memory_gb']} GB, load {about['load_average'][0]} before and "
        f"{facts['load_average_after'][0]} after; {rows:,} rows, {facts['rounds']} rounds in turns, fresh processes"
    )
    print(
        f"{'':34}{'seconds':>9}{'M rows/s':>10}{'peak MB':>9}   their time / ours [95 %]    answer\n"
        + "-" * 132
    )
    shown = None
    for line in lines:
        if (line.case, line.table) != shown:
            shown = (line.case, line.table)
            print(f"{CASES[line.case].title}: {line.table}")
        size = rows * int(line.table.partition("_x")[2] or 1)
        seconds = f"{line.seconds:9.3f}" if line.seconds is not None else f"{'':>9}"
        speed = (
            f"{size / line.seconds / 1e6:10.2f}" if line.seconds and line.case != "imports" else f"{'':>10}"
        )
        peak = f"{line.peak_mb:9.0f}" if line.peak_mb else f"{'':>9}"
        ratio = ""
        if line.ratio is not None and line.interval:
            low, high = line.interval
            # Of one or two pairs an interval says nothing.
            word = "" if facts["rounds"] < 3 else "loss" if high < 1 else "win" if low > 1 else "even"
            ratio = f"{line.ratio:6.2f} [{low:.2f}, {high:.2f}] {word if line.comparable else ''}"
        print(f"  {line.contender:32}{seconds}{speed}{peak}   {ratio:27} {'; '.join(filter(None, (line.verdict, line.note)))}")  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
