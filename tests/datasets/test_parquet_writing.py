"""Writing is whole or not at all, and never over another thing (E20)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dvengine as dv
from dvengine.connectors import Request
from dvengine.datasets import from_source
from dvengine.stores import CommitLog, Manifest, Store, open_store

ROWS = pa.table({"id": range(3000), "kommune": [f"{i % 357:04d}" for i in range(3000)]})


@pytest.fixture(params=["memory", "local", pytest.param("s3", marks=pytest.mark.service)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return open_store(f"memory://{tmp_path.name}")
    if request.param == "local":
        return open_store(tmp_path / "folder")
    s3 = request.getfixturevalue("s3")
    return open_store(s3.settings(s3.fresh_bucket(), "prefix"))


def keys(store: Store) -> list[str]:
    return [info.path for info in store.list()]


def read(store: Store) -> pa.Table:
    manifest = CommitLog(store, "").latest()
    assert manifest is not None
    from dvengine.datasets import from_parquet

    paths = [part.path for parts in manifest.parts.values() for part in parts]
    return from_parquet(store, paths).to_arrow().sort_by("id")


def test_a_partitioned_source_is_written_in_parallel_and_counted(store: Store, memory_source: Any) -> None:
    source = memory_source(ROWS, parts=5, batch_rows=100)
    data = from_source(source, Request(table="person"), name="person")
    receipt = data.write_parquet(store)
    assert (receipt.rows, receipt.parts) == (3000, 5)
    assert read(store).equals(ROWS)
    assert receipt.nbytes == sum(info.nbytes for info in store.list() if info.path.endswith(".parquet"))
    manifest = CommitLog(store, "").latest()
    assert manifest is not None
    assert sorted(part.partition_id for part in manifest.parts["person"]) == list("01234")
    assert manifest.source["scans"][0]["snapshot"] == "moment-1"
    assert data.lineage[0]["snapshot"] == "moment-1"
    assert [key for key in keys(store) if "unfinished" in key] == []


def test_e20_a_failed_write_leaves_nothing(store: Store, memory_source: Any) -> None:
    for source in (memory_source(ROWS, parts=1, fail_at=20), memory_source(ROWS, parts=5, fail_at=20)):
        for data in (
            from_source(source, Request(table="t")),
            from_source(source, Request(table="t")).pipe(lambda lf: lf.filter(pl.col("id") >= 0)),
        ):
            source.given = 0
            with pytest.raises(RuntimeError, match="stopp"):
                data.write_parquet(store)
            assert keys(store) == []


def test_e20_a_failed_replacement_leaves_the_old_version_byte_for_byte(
    store: Store, memory_source: Any
) -> None:
    dv.dataset(ROWS, name="t").write_parquet(store)
    before = {key: store.get(key) for key in keys(store)}
    with pytest.raises(RuntimeError, match="stopp"):
        from_source(memory_source(ROWS, fail_at=20), Request(table="t")).write_parquet(store, overwrite=True)
    assert {key: store.get(key) for key in keys(store)} == before
    dv.dataset(ROWS.slice(0, 10), name="t").write_parquet(store, overwrite=True)
    assert read(store).equals(ROWS.slice(0, 10))
    assert sum(key.endswith(".parquet") for key in keys(store)) == 1


def test_a_target_that_holds_another_thing_is_refused_before_any_row_is_read(
    store: Store, memory_source: Any
) -> None:
    source = memory_source(ROWS)
    data = from_source(source, Request(table="t"))
    store.put("viktig.txt", b"annet")
    for overwrite in (False, True):
        with pytest.raises(dv.Conflict, match="other things"):
            data.write_parquet(store, overwrite=overwrite)
    store.delete("viktig.txt")
    data.write_parquet(store)
    opened = source.opened
    with pytest.raises(dv.Conflict, match="already holds a dataset"):
        data.write_parquet(store)
    assert source.opened == opened


def test_one_file_is_created_whole_and_only_once(tmp_path: Path, memory_source: Any) -> None:
    data = from_source(memory_source(ROWS, parts=4), Request(table="t"))
    receipt = data.write_parquet(tmp_path / "ut" / "vedtak.parquet")
    assert (receipt.rows, receipt.parts) == (3000, 1)
    assert pq.read_table(tmp_path / "ut" / "vedtak.parquet").sort_by("id").equals(ROWS)
    assert sorted(path.name for path in (tmp_path / "ut").iterdir()) == ["vedtak.parquet"]
    with pytest.raises(dv.AlreadyExists):
        data.write_parquet(tmp_path / "ut" / "vedtak.parquet")
    failing = from_source(memory_source(ROWS, fail_at=20), Request(table="t"))
    with pytest.raises(RuntimeError):
        failing.write_parquet(tmp_path / "ut" / "vedtak.parquet", overwrite=True)
    with pytest.raises(RuntimeError):
        failing.write_parquet(tmp_path / "ut" / "ny.parquet")
    assert sorted(path.name for path in (tmp_path / "ut").iterdir()) == ["vedtak.parquet"]
    assert pq.read_table(tmp_path / "ut" / "vedtak.parquet").num_rows == 3000
    dv.dataset(ROWS.slice(0, 5)).write_parquet(str(tmp_path / "ut" / "vedtak.parquet"), overwrite=True)
    assert pq.read_table(tmp_path / "ut" / "vedtak.parquet").num_rows == 5


@pytest.mark.service
def test_one_file_in_s3_by_its_address(s3: Any) -> None:
    bucket = s3.fresh_bucket()
    options = f"endpoint={s3.endpoint}&region=us-east-1&allow_http=true&access_key_id={s3.access_key}&secret_access_key={s3.secret_key}"
    address = f"s3://{bucket}/a%20b/vedtak%2525.parquet?{options}"
    receipt = dv.dataset(ROWS).write_parquet(address)
    assert s3.secret_key not in f"{receipt!r}"
    store = open_store(s3.settings(bucket))
    assert keys(store) == ["a b/vedtak%25.parquet"]
    assert dv.read_files(address).to_arrow().equals(ROWS)
    assert dv.read_files(f"s3://{bucket}/**/*.parquet?{options}").to_arrow().equals(ROWS)
    with pytest.raises(dv.AlreadyExists):
        dv.dataset(ROWS).write_parquet(address)


def test_readers_see_only_what_a_manifest_lists(tmp_path: Path) -> None:
    folder = tmp_path / "ut"
    dv.dataset(ROWS, name="t").write_parquet(folder)
    pq.write_table(ROWS, folder / "part-00000000-00000.parquet")  # what a killed job would leave
    for files in (folder, f"{folder}/", folder / "*.parquet", tmp_path / "**/*.parquet", f"file://{folder}/"):
        assert dv.read_files(files).to_arrow().num_rows == 3000
    for manifest in (folder / "_dvengine").iterdir():
        manifest.rename(folder / "_dvengine" / "unfinished-0")
    with pytest.raises(dv.NotFound, match="no file"):
        dv.read_files(folder / "*.parquet")


KILLED = """
import os, sys, threading, time
import pyarrow as pa
import dvengine as dv
def slow():
    for i in range(1000):
        yield pa.record_batch({"id": list(range(200_000))})
        print(i, flush=True)
reader = pa.RecordBatchReader.from_batches(pa.schema([("id", pa.int64())]), slow())
dv.dataset(reader, name="t").write_parquet(sys.argv[1], overwrite=True)
"""


def test_e20_a_killed_write_is_never_read_and_can_be_cleared(tmp_path: Path) -> None:
    folder = tmp_path / "ut"
    job = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(folder)], stdout=subprocess.PIPE
    )
    try:
        assert job.stdout is not None
        for _ in range(8):
            job.stdout.readline()
    finally:
        os.kill(job.pid, signal.SIGKILL)
        job.wait()
        job.stdout.close()
    with pytest.raises(dv.NotFound):
        dv.read_files(folder)
    with pytest.raises(dv.Conflict, match="unfinished write") as caught:
        dv.dataset(ROWS).write_parquet(folder)
    assert "overwrite=True" in str(caught.value.hint)
    dv.dataset(ROWS).write_parquet(folder, overwrite=True)
    assert dv.read_files(folder).to_arrow().equals(ROWS)


def test_two_writers_of_one_folder_give_one_winner_and_no_mix(tmp_path: Path) -> None:
    store = open_store(tmp_path / "ut")
    dv.dataset(ROWS.slice(0, 1), name="t").write_parquet(store)
    outcomes: list[Any] = []
    start = threading.Barrier(4)

    def writer(rows: int) -> None:
        start.wait()
        try:
            outcomes.append(
                dv.dataset(ROWS.slice(0, rows), name="t").write_parquet(store, overwrite=True).rows
            )
        except dv.DvengineError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=writer, args=(rows,)) for rows in (10, 20, 30, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert won
    assert all(isinstance(outcome, int | dv.Conflict) for outcome in outcomes)
    assert read(store).num_rows in won


def test_parts_are_cut_by_size_and_scanned_once(memory_source: Any) -> None:
    from dvengine.datasets import _write

    seen: list[int] = []
    source = memory_source(ROWS, parts=2, batch_rows=100)
    data = from_source(source, Request(table="t"))
    store = open_store("memory://cut")
    receipts = _write.write_parts(
        data._origin, data._done, "t", store, lambda i: f"p/{i}.parquet", feed=lambda batch: seen.append(batch.num_rows), cut=4000
    )  # fmt: skip
    assert len(receipts) > 4
    assert sum(seen) == sum(receipt.rows for receipt in receipts) == 3000
    assert sorted(keys(store)) == sorted(receipt.path for receipt in receipts)


def test_a_scanner_that_refuses_stops_the_write_and_takes_it_back(memory_source: Any) -> None:
    def refuse(batch: pa.RecordBatch) -> None:
        if 1500 in batch["id"].to_pylist():
            raise dv.Refused("column 'id' matches a rule")

    store = open_store("memory://refuse")
    data = from_source(memory_source(ROWS, parts=3), Request(table="t"))
    with pytest.raises(dv.Refused):
        data.write_parts(store, lambda i: f"p/{i}.parquet", feed=refuse)
    assert keys(store) == []


def test_a_target_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "fil").write_text("x")
    with pytest.raises(dv.DvengineError):
        dv.dataset(ROWS).write_parquet(tmp_path / "fil" / "under")
    with pytest.raises(dv.InputError):
        dv.dataset(ROWS).write_parquet(7)  # type: ignore[arg-type]
    with pytest.raises(dv.ConfigError):
        dv.dataset(ROWS).write_parquet("nosuch://x/")


def test_progress_is_told_and_memory_is_bounded_by_batches() -> None:
    events: list[dv.Event] = []
    stop = dv.subscribe(events.append)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from ROWS.to_batches(max_chunksize=500)

    try:
        reader = pa.RecordBatchReader.from_batches(ROWS.schema, batches())
        dv.dataset(reader, name="person").write_parquet("memory://events/x")
    finally:
        stop()
    written = [event for event in events if event.stage == "write"]
    assert (written[0].state, written[-1].state, written[-1].rows, written[-1].parts) == (
        "start",
        "end",
        3000,
        1,
    )


def test_files_of_a_published_version_are_those_of_its_manifest(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    receipts = {}
    for version, rows in ((1, 10), (2, 20)):
        with store.part(f"fisk/data/fangst-{version}.parquet", ROWS.schema) as part:
            part.write(ROWS.slice(0, rows).to_batches()[0])
            receipts[version] = part.finish()
        manifest = Manifest(
            version=version,
            parent=version - 1,
            run_id=f"r{version}",
            created="2026-01-01T00:00:00Z",
            parts={"fangst": (receipts[version],)},
        )
        CommitLog(store, "fisk").commit(manifest)
    for files in (
        tmp_path,
        tmp_path / "fisk",
        tmp_path / "fisk/data",
        tmp_path / "fisk/data/*.parquet",
        tmp_path / "**/fangst-*.parquet",
    ):
        assert dv.read_files(files).to_arrow().num_rows == 20
    with pytest.raises(dv.Conflict, match="published package"):
        dv.dataset(ROWS).write_parquet(tmp_path / "fisk", overwrite=True)
    CommitLog(store, "fisk").commit(
        Manifest(version=3, parent=2, run_id="r3", created="2026-01-01T00:00:00Z", state="withdrawn")
    )
    with pytest.raises(dv.NotFound):
        dv.read_files(tmp_path / "fisk")


def test_a_job_whose_folder_was_cleared_does_not_commit(tmp_path: Path) -> None:
    store = open_store(tmp_path / "ut")

    def batches() -> Iterator[pa.RecordBatch]:
        yield from ROWS.to_batches(max_chunksize=1000)
        dv.dataset(ROWS.slice(0, 7), name="t").write_parquet(store, overwrite=True)  # another job, in between

    with pytest.raises(dv.Conflict, match="another job"):
        dv.dataset(pa.RecordBatchReader.from_batches(ROWS.schema, batches()), name="t").write_parquet(store)
    assert read(store).num_rows == 7


@pytest.mark.parametrize("after", [dv.Unavailable("the store does not answer"), KeyboardInterrupt()])
def test_a_commit_that_may_have_happened_keeps_its_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: BaseException
) -> None:
    data = dv.dataset(pa.table({"n": [1, 2, 3]}), name="n")
    really = CommitLog.commit

    def commit(log: CommitLog, manifest: Any) -> None:
        really(log, manifest)
        raise after

    with monkeypatch.context() as patch:
        patch.setattr(CommitLog, "commit", commit)
        with pytest.raises(type(after)):
            data.write_parquet(tmp_path / "n")
    assert dv.read_files(tmp_path / "n").to_arrow().num_rows == 3
    assert data.write_parquet(tmp_path / "n", overwrite=True).rows == 3
