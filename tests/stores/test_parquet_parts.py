"""Parts: what the receipt says is what is stored, and what is not finished does not exist."""

from __future__ import annotations

import datetime as dt
import decimal
import gc
import hashlib
import os
import signal
import subprocess
import sys
import time
import uuid
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dvengine import InputError
from dvengine.stores import PartReceipt
from dvengine.stores._parts import schema_sha256

_TYPES = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.int16(): st.integers(-(2**15), 2**15 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=20),
    pa.large_string(): st.text(max_size=5),
    pa.binary(): st.binary(max_size=20),
    pa.date32(): st.dates(),
    pa.timestamp("us"): st.datetimes(),
    pa.timestamp("us", tz="Europe/Oslo"): st.datetimes(
        dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29), timezones=st.just(dt.UTC)
    ),
    pa.timestamp("ns"): st.integers(-(2**63), 2**63 - 1),
    pa.time64("us"): st.times(),
    pa.decimal128(7, 2): st.integers(-(10**7) + 1, 10**7 - 1).map(lambda n: decimal.Decimal(n).scaleb(-2)),
    pa.decimal128(18, 18): st.integers(-(10**18) + 1, 10**18 - 1).map(
        lambda n: decimal.Decimal(n).scaleb(-18)
    ),
    pa.decimal128(38, 0): st.integers(-(10**28) + 1, 10**28 - 1).map(decimal.Decimal),
    pa.list_(pa.string()): st.lists(st.none() | st.text(max_size=4), max_size=3),
    pa.dictionary(pa.int32(), pa.string()): st.sampled_from(["a", "b", "å", ""]),
    pa.struct([("x", pa.int32()), ("y", pa.string())]): st.fixed_dictionaries(
        {"x": st.none() | st.integers(0, 9), "y": st.none() | st.text(max_size=3)}
    ),
}


@st.composite
def tables(draw: Any) -> pa.Table:
    types = draw(st.lists(st.sampled_from(list(_TYPES)), min_size=1, max_size=6))
    rows = draw(st.integers(0, 40))
    fields, columns = [], []
    for number, kind in enumerate(types):
        nullable = draw(st.booleans())
        values = st.none() | _TYPES[kind] if nullable else _TYPES[kind]
        columns.append(pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), kind))
        metadata = draw(st.sampled_from([None, {"unit": "kr"}]))
        fields.append(
            pa.field(draw(st.text(min_size=1, max_size=8)) + f"_{number}", kind, nullable, metadata)
        )
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def write(store: Any, path: str, table: pa.Table, rows: int = 7) -> PartReceipt:
    with store.part(path, table.schema, partition_id="p1") as part:
        for batch in table.to_batches(max_chunksize=rows):
            part.write(batch)
        return part.finish()


@settings(
    max_examples=25, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(table=tables())
def test_a_part_reads_back_equal_and_its_receipt_is_true(place: Any, table: pa.Table) -> None:
    store = place.open()
    path = f"p/{uuid.uuid4().hex}.parquet"
    receipt = write(store, path, table)
    stored = store.get(path)
    assert receipt == PartReceipt(
        path=path, rows=table.num_rows, nbytes=len(stored), sha256=hashlib.sha256(stored).hexdigest(),
        schema_sha256=schema_sha256(table.schema), partition_id="p1",
    )  # fmt: skip
    with store.open_parquet(path) as file:
        back = pq.ParquetFile(file).read()
    assert schema_sha256(back.schema) == receipt.schema_sha256
    assert back.equals(table)


@pytest.fixture(scope="module")
def big() -> pa.Table:
    """60 MB that does not compress: several chunks on their way, and more than one row group below."""
    noise = np.random.default_rng(1)
    return pa.table({f"c{number}": noise.normal(size=1_000_000) for number in range(8)})


def test_a_part_of_many_chunks_is_stored_whole_in_few_row_groups(place: Any, big: pa.Table) -> None:
    store = place.open()
    receipt = write(store, "big.parquet", big, rows=30_000)
    assert receipt.nbytes > 40_000_000
    assert hashlib.sha256(store.get("big.parquet")).hexdigest() == receipt.sha256
    with store.open_parquet("big.parquet") as file:
        parquet = pq.ParquetFile(file)
        assert parquet.metadata.num_row_groups == 4  # of 16 MiB
        assert parquet.read(columns=["c7"])["c7"].equals(big["c7"])
    assert place.uploads() == []


def test_row_groups_are_cut_by_bytes_and_a_huge_batch_evenly(place: Any) -> None:
    store = place.open()
    wide = pa.table({"text": pa.array(["x" * 1000] * 200_000)})  # 200 MB that compresses to nothing
    for rows in (200_000, 10_000):
        write(store, f"wide-{rows}.parquet", wide, rows=rows)
        with store.open_parquet(f"wide-{rows}.parquet") as file:
            metadata = pq.ParquetFile(file).metadata
        groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        assert sum(groups) == 200_000
        assert 10 <= len(groups) <= 12
        assert max(groups) * 1000 <= 20_000_000


def test_distinct_values_are_stored_once_and_repeated_ones_in_a_dictionary(place: Any) -> None:
    store = place.open()
    rows = 100_000
    table = pa.table({"id": pa.array(range(rows)), "kommune": [f"{i % 5000:04d}" for i in range(rows)]})
    write(store, "t.parquet", table)
    with store.open_parquet("t.parquet") as file:
        group = pq.ParquetFile(file).metadata.row_group(0)
    distinct, repeated = group.column(0), group.column(1)
    assert distinct.total_uncompressed_size < 1.05 * 8 * rows
    assert repeated.total_uncompressed_size < 2 * rows + 50_000


def test_a_part_without_rows_keeps_its_schema(place: Any) -> None:
    store = place.open()
    schema = pa.schema([pa.field("kommune", pa.string(), False), ("belop", pa.decimal128(12, 2))])
    receipt = write(store, "empty.parquet", schema.empty_table())
    with store.open_parquet("empty.parquet") as file:
        back = pq.ParquetFile(file).read()
    assert receipt.rows == back.num_rows == 0
    assert back.schema.equals(schema)


def test_the_pandas_note_about_the_index_is_not_stored(place: Any) -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["kari", "ola"], name="navn"))
    table = pa.Table.from_pandas(frame).replace_schema_metadata(
        {**pa.Table.from_pandas(frame).schema.metadata, b"origin": b"kept"}
    )
    store = place.open()
    write(store, "t.parquet", table)
    assert b'"pandas_version"' not in store.get("t.parquet")
    with store.open_parquet("t.parquet") as file:
        assert pq.read_schema(file).metadata == {b"origin": b"kept"}


class Stopp(Exception):
    pass


@pytest.mark.parametrize("raised", [Stopp, KeyboardInterrupt, SystemExit, None])
def test_leaving_early_keeps_the_old_bytes_and_leaves_no_key_and_no_upload(
    place: Any, big: pa.Table, raised: type[BaseException] | None
) -> None:
    store = place.open()
    store.put("old.parquet", b"the old version")
    for path in ("old.parquet", "new.parquet"):
        try:
            with store.part(path, big.schema) as part:
                for number, batch in enumerate(big.to_batches(max_chunksize=50_000) * 2):
                    part.write(batch)
                    if number == 25:
                        if raised:
                            raise raised("stopp")
                        break
        except (Stopp, KeyboardInterrupt, SystemExit):
            assert raised
        del part
        gc.collect()  # destructors must not publish either
    assert store.get("old.parquet") == b"the old version"
    assert [found.path for found in store.list()] == ["old.parquet"]
    assert place.uploads() == []


def test_a_batch_of_another_schema_is_refused_and_ends_the_part(place: Any) -> None:
    store = place.open()
    part = store.part("a.parquet", pa.schema([("a", pa.int64())]))
    part.write(pa.record_batch({"a": pa.array([1])}))
    with pytest.raises(InputError, match="schema"):
        part.write(pa.record_batch({"a": pa.array([1.5])}))
    for late in (lambda: part.write(pa.record_batch({"a": pa.array([1])})), part.finish):
        with pytest.raises(InputError, match="aborted"):
            late()
    assert list(store.list()) == []


def test_a_finished_part_takes_no_more(place: Any) -> None:
    store = place.open()
    part = store.part("a.parquet", pa.schema([("a", pa.int64())]))
    part.finish()
    with pytest.raises(InputError, match="finished"):
        part.write(pa.record_batch({"a": pa.array([1])}))
    part.__exit__(None, None, None)
    assert [found.path for found in store.list()] == ["a.parquet"]


def test_a_type_parquet_cannot_hold_is_refused_with_a_hint(place: Any) -> None:
    store = place.open()
    with pytest.raises(InputError, match="Parquet") as caught:
        write(store, "a.parquet", pa.table({"i": pa.array([None], pa.month_day_nano_interval())}))
    assert caught.value.hint
    assert list(store.list()) == []
    assert place.uploads() == []


_WRITER = """
import sys, pyarrow as pa, numpy as np
from dvengine.stores import open_store
store = open_store("target")
batch = pa.record_batch({f"c{n}": np.random.default_rng(n).normal(size=50_000) for n in range(8)})
print("ready", flush=True)
with store.part("new.parquet", batch.schema) as part:
    for number in range(10_000):
        part.write(batch)
        if number == 30:  # past the first row group: chunks are on their way
            print("flowing", flush=True)
"""


@pytest.mark.slow
def test_killed_writer_leaves_old_bytes_and_nothing_visible(shared_place: Any) -> None:
    store = shared_place.open()
    store.put("old.parquet", b"the old version")
    left = 0
    for instant in (0.0, 0.1, 0.4):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER], stdout=subprocess.PIPE, text=True, env={**os.environ, **shared_place.environ}
        )  # fmt: skip
        try:
            assert writer.stdout.readline() == "ready\n"
            if instant:
                assert writer.stdout.readline() == "flowing\n"
                time.sleep(instant)
            writer.send_signal(signal.SIGKILL)
            assert writer.wait(30) == -signal.SIGKILL
        finally:
            writer.kill()
            writer.wait()
            writer.stdout.close()
        left = max(left, len(shared_place.uploads()))
        assert store.get("old.parquet") == b"the old version"
        assert [found.path for found in store.list()] == ["old.parquet"]
    assert left  # the kills came in the middle: unfinished bytes are there, and nobody sees them
    # The next run is not disturbed by them.
    receipt = write(store, "new.parquet", pa.table({"a": [1, 2, 3]}))
    assert hashlib.sha256(store.get("new.parquet")).hexdigest() == receipt.sha256


@pytest.mark.slow
def test_memory_of_a_part_does_not_grow_with_rows(shared_place: Any) -> None:
    script = _WRITER.replace("range(10_000)", "range(int(sys.argv[1]))") + (
        "    part.finish()\n"
        "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)\n"
    )
    peaks = [
        int(subprocess.run(
            [sys.executable, "-c", script, str(batches)], stdout=subprocess.PIPE, text=True, check=True,
            env={**os.environ, **shared_place.environ}, timeout=120,
        ).stdout.split()[-1])
        for batches in (40, 110)
    ]  # fmt: skip
    assert peaks[1] - peaks[0] < 60, peaks  # 220 MB more of rows
