"""Parquet as a source: exact, checked, the same for every file (E09, E18, E19)."""

from __future__ import annotations

import csv
import datetime as dt
import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dvengine as dv
from dvengine.connectors import Cancel, Request
from dvengine.connectors.files import Files
from dvengine.datasets import from_parquet
from dvengine.stores import open_store

DATA = Path(__file__).parents[1] / "data" / "parquet-testing"

REFUSED = {
    "datapage_v1-corrupt-checksum.parquet": dv.VerificationFailed, "rle-dict-uncompressed-corrupt-checksum.parquet": dv.VerificationFailed,
    "incorrect_map_schema.parquet": dv.VerificationFailed, "int96_from_spark.parquet": dv.TypeMapError,
    "ARROW-GH-45185.parquet": dv.VerificationFailed, "ARROW-GH-47662.parquet": dv.VerificationFailed, "PARQUET-1481.parquet": dv.VerificationFailed,
    "ARROW-RS-GH-6229-DICTHEADER.parquet": dv.VerificationFailed, "ARROW-RS-GH-6229-LEVELS.parquet": dv.VerificationFailed,
}  # fmt: skip


@pytest.mark.parametrize("path", sorted(DATA.rglob("*.parquet")), ids=lambda path: path.name)
def test_conformance_files_are_read_whole_or_refused(path: Path) -> None:
    data = dv.read_files(path)
    if path.name in REFUSED:
        with pytest.raises(REFUSED[path.name]) as caught:
            data.to_arrow()
        assert "parquet" in str(caught.value) or "column" in str(caught.value)
        return
    groups = pq.ParquetFile(path).metadata
    promised = sum(groups.row_group(i).num_rows for i in range(groups.num_row_groups))
    table = data.to_arrow()
    assert table.num_rows == promised
    assert table.schema == data.schema


def test_delta_encoded_values_are_those_of_the_published_answer() -> None:
    with (DATA / "delta_encoding_required_column_expect.csv").open(newline="") as file:
        names, *rows = list(csv.reader(file))
    table = dv.read_files(DATA / "delta_encoding_required_column.parquet").to_arrow()
    assert len(names) == table.num_columns
    found = [[str(value) for value in row.values()] for row in table.to_pylist()]
    assert found == rows


INSTANTS = [
    dt.datetime(9876, 5, 4, 3, 2, 1, 654321),
    dt.datetime(1066, 10, 14, 9),
    dt.datetime(1905, 6, 7, 12, 30),
    None,
]


def int96(path: Path, values: list[Any], kind: pa.DataType) -> Path:
    table = pa.table({"ts": pa.array(values, kind), "n": range(len(values))})
    pq.write_table(table, path, use_deprecated_int96_timestamps=True, store_schema=False)
    return path


def test_e19_int96_instants_are_exact_through_every_exit(tmp_path: Path) -> None:
    data = dv.read_files(int96(tmp_path / "i96.parquet", INSTANTS, pa.timestamp("us")))
    assert data.schema.field("ts").type == pa.timestamp("us")
    assert data.to_arrow()["ts"].to_pylist() == INSTANTS
    assert data.to_polars()["ts"].to_list() == INSTANTS
    assert data.lazy().filter(pl.col("n") >= 0).collect()["ts"].to_list() == INSTANTS
    assert data.sql("select ts from self").to_arrow()["ts"].to_pylist() == INSTANTS
    assert [
        None if value is None or value != value else value.to_pydatetime() for value in data.to_pandas()["ts"]
    ] == INSTANTS


@pytest.mark.parametrize("unit", ["ns", "ms"])
def test_e19_int96_of_other_units_is_exact(tmp_path: Path, unit: str) -> None:
    values = [dt.datetime(1905, 6, 7, 12, 30), dt.datetime(2024, 2, 29), None]
    data = dv.read_files(int96(tmp_path / "i96.parquet", values, pa.timestamp(unit)))
    assert data.to_arrow()["ts"].to_pylist() == values


@pytest.mark.parametrize("adjusted", [True, False])
def test_e19_a_zone_stays_and_naive_stays_naive(tmp_path: Path, adjusted: bool) -> None:
    kind = pa.timestamp("us", "UTC" if adjusted else None)
    pq.write_table(pa.table({"ts": pa.array([0], kind)}), tmp_path / "t.parquet", store_schema=False)
    assert dv.read_files(tmp_path / "t.parquet").schema.field("ts").type == kind


def test_e19_nanoseconds_are_kept_or_refused_and_never_cut(tmp_path: Path) -> None:
    fine = dv.read_files(int96(tmp_path / "fine.parquet", [789, None], pa.timestamp("ns")))
    with pytest.raises(dv.TypeMapError, match=r"'ts'.*finer than a microsecond"):
        fine.to_arrow()
    asked = dv.read_files(tmp_path / "fine.parquet", schema={"ts": pa.timestamp("ns")})
    assert asked.to_arrow()["ts"].cast(pa.int64()).to_pylist() == [789, None]
    far = int96(tmp_path / "far.parquet", INSTANTS, pa.timestamp("us"))
    with pytest.raises(dv.TypeMapError, match="1677 to 2262"):
        dv.read_files(far, schema={"ts": pa.timestamp("ns")}).to_arrow()


def test_e09_files_without_rows_or_row_groups_keep_their_schema(tmp_path: Path) -> None:
    schema = pa.schema([("id", pa.int32()), ("d", pa.decimal128(9, 2))])
    pq.write_table(schema.empty_table(), tmp_path / "rows.parquet")
    with pq.ParquetWriter(tmp_path / "groups.parquet", schema):
        pass
    for name in ("rows.parquet", "groups.parquet", "*.parquet"):
        assert dv.read_files(tmp_path / name).to_arrow().equals(schema.empty_table())


def test_files_that_disagree_name_the_file_and_the_column(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": pa.array([1], pa.int32())}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": pa.array([1], pa.int64())}), tmp_path / "b.parquet")
    with pytest.raises(dv.TypeMapError, match=r"'id' of .*b.parquet.* is int64 where int32"):
        dv.read_files(tmp_path / "*.parquet").to_arrow()
    assert dv.read_files(tmp_path / "*.parquet", schema={"id": pa.int64()}).to_arrow()["id"].to_pylist() == [
        1,
        1,
    ]
    pq.write_table(pa.table({"nr": pa.array([1], pa.int32())}), tmp_path / "b.parquet")
    with pytest.raises(dv.TypeMapError, match=r"b.parquet.*: id, nr"):
        dv.read_files(tmp_path / "*.parquet").to_arrow()
    with pytest.raises(dv.TypeMapError, match="'id'"):
        from_parquet(open_store(tmp_path), ["a.parquet"], schema=pa.schema([("id", pa.string())])).to_arrow()


def test_row_groups_are_read_in_parallel_and_projected(tmp_path: Path) -> None:
    table = pa.table({"id": range(1000), "k": [f"{i:04d}" for i in range(1000)], "a.b": range(1000)})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=100)
    data = dv.read_files(tmp_path / "t.parquet")
    assert sorted(data.to_arrow()["id"].to_pylist()) == list(range(1000))
    picked = data.lazy().select("a.b", "k").filter(pl.col("k") == "0500").collect()
    assert picked.to_dicts() == [{"a.b": 500, "k": "0500"}]
    assert data.sql("select count(*) as n from self").to_arrow().to_pylist() == [{"n": 1000}]


def test_a_file_that_lost_rows_is_incomplete(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": range(10)}), tmp_path / "t.parquet")
    source = Files(open_store(tmp_path), ("t.parquet",))
    request = Request(table="t")
    with source.open(request, cancel=Cancel()) as scan:
        pq.write_table(pa.table({"id": range(9)}), tmp_path / "t.parquet")
        with pytest.raises(dv.Incomplete, match="9 rows where its footer promises 10"):
            list(source.read(scan.partitions[0], cancel=Cancel()))


def test_what_is_not_there_is_said_with_a_hint(tmp_path: Path) -> None:
    for files in (
        tmp_path / "*.parquet",
        tmp_path / "x.parquet",
        f"file://{tmp_path}/x/",
        "memory://nowhere/**/*.parquet",
    ):
        with pytest.raises(dv.NotFound) as caught:
            dv.read_files(files)
        assert caught.value.hint
    with pytest.raises(dv.InputError):
        dv.read_files([])
    (tmp_path / "notes.parquet").write_text("this is no Parquet, hemmelig")
    with pytest.raises(dv.VerificationFailed, match=r"notes\.parquet") as bad:
        dv.read_files(tmp_path / "notes.parquet").to_arrow()
    assert "hemmelig" not in str(bad.value)


def test_folders_become_text_columns_with_their_zeros(tmp_path: Path) -> None:
    for kommune, aar in (("0301", "2024"), ("1103", "2023"), ("__HIVE_DEFAULT_PARTITION__", "2023")):
        folder = tmp_path / f"aar={aar}" / f"kommune={kommune}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"n": [1]}), folder / "p.parquet")
    data = dv.read_files(tmp_path / "**/*.parquet")
    assert data.schema == pa.schema([("n", pa.int64()), ("aar", pa.string()), ("kommune", pa.string())])
    rows = sorted(data.to_arrow().to_pylist(), key=json.dumps)
    assert [(row["aar"], row["kommune"]) for row in rows] == [
        ("2023", "1103"),
        ("2023", None),
        ("2024", "0301"),
    ]
    assert data.lazy().select("kommune").filter(pl.col("kommune") == "0301").collect().height == 1
    assert dv.read_files(tmp_path / "**/*.parquet", hive=False).schema.names == ["n"]
    pq.write_table(pa.table({"n": [1]}), tmp_path / "p.parquet")
    with pytest.raises(dv.InputError, match="other names"):
        dv.read_files(tmp_path / "**/*.parquet")


KEYS = ["50%.parquet", "50%25.parquet", "a+b.parquet", "a b.parquet", "a%20b.parquet", "æøå/blåbær.parquet", "hash#1?.parquet",
        "tid 01:02.parquet", "k=a%2Fb/p.parquet", "k=a/b/p.parquet", "\u00e9.parquet", "e\u0301.parquet"]  # fmt: skip


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_e18_twelve_odd_keys_are_twelve_files(tmp_path: Path, kind: str) -> None:
    address = "memory://e18/sub" if kind == "memory" else str(tmp_path)
    store = open_store(address)
    for number, key in enumerate(KEYS):
        with store.part(key, pa.schema([("n", pa.int64())])) as part:
            part.write(pa.record_batch({"n": [number]}))
            part.finish()
    found = dv.read_files(f"{address}/**/*.parquet", hive=False).to_arrow()["n"].to_pylist()
    assert sorted(found) == list(range(12))
    for number, key in enumerate(KEYS):
        assert from_parquet(store, [key]).to_arrow()["n"].to_pylist() == [number]
        if kind == "local":
            assert dv.read_files(tmp_path / key, hive=False).to_arrow()["n"].to_pylist() == [number]
    assert dv.read_files(
        f"{address.replace('memory://', 'memory://') if kind == 'memory' else 'file://' + address}/50%25.parquet"
    ).to_arrow()["n"].to_pylist() == [0]
    assert dv.read_files(f"{'file://' * (kind == 'local')}{address}/hash%231%3F.parquet").to_arrow()[
        "n"
    ].to_pylist() == [6]
    with pytest.raises(dv.InputError, match="%23"):
        dv.read_files("memory://e18/sub/hash#1.parquet")


@pytest.mark.parametrize(
    "name", sorted((DATA.parent / "arrow-testing").glob("*.stream")), ids=lambda path: path.stem
)
def test_real_arrow_streams_pass_through_unchanged(name: Path) -> None:
    with pa.ipc.open_stream(name) as reader:
        table = reader.read_all()
    if len(set(table.column_names)) < table.num_columns:
        with pytest.raises(dv.InputError, match="more than one column"):
            dv.dataset(table)
        return
    data = dv.dataset(table)
    assert data.to_arrow().num_rows == table.num_rows
    assert same(data.to_arrow(), table.cast(data.schema))
    piped = data.pipe(lambda lf: lf)
    if any("interval" in str(kind) or pa.types.is_decimal256(kind) for kind in data.schema.types):
        with pytest.raises(dv.TypeMapError, match="column '"):
            _ = piped.schema
        return
    assert piped.schema == data.schema
    if (
        name.stem == "generated_datetime"
    ):  # its random times of day reach 24:00, and its date64 are no whole days
        with pytest.raises(dv.TypeMapError, match="24:00"):
            piped.to_arrow()
        return
    assert same(piped.to_arrow(), data.to_arrow())


def same(a: pa.Table, b: pa.Table) -> bool:
    """Equal values; dictionaries may list them in another order."""
    return a.equals(b) or a.to_pylist() == b.to_pylist()
