"""Every exit gives the same values under the schema's types, with or without rows (E09, E10)."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dvengine as dv
from dvengine.stores import open_store

TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "int8": (pa.int8(), st.integers(-128, 127)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "bool": (pa.bool_(), st.booleans()),
    "double": (pa.float64(), st.floats(allow_nan=False)),
    "text": (pa.string(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)),
    "binary": (pa.binary(), st.binary(max_size=8)),
    "dec": (pa.decimal128(18, 4), st.decimals(-(10**13), 10**13, places=4)),
    "dec38": (pa.decimal128(38, 0), st.decimals(-(10**37), 10**37, places=0)),
    "date": (pa.date32(), st.dates()),
    "ts": (pa.timestamp("us"), st.datetimes()),
    "tz": (pa.timestamp("us", "Europe/Oslo"), st.datetimes(dt.datetime(1800, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(dt.UTC))),
    "time": (pa.time64("us"), st.times()),
    "list": (pa.list_(pa.int32()), st.lists(st.one_of(st.none(), st.integers(-9, 9)), max_size=3)),
    "struct": (pa.struct([("a", pa.string()), ("b", pa.int16())]), st.fixed_dictionaries({"a": st.sampled_from(["", "æ"]), "b": st.integers(-9, 9)})),
    "dict": (pa.dictionary(pa.int32(), pa.string()), st.sampled_from(["lav", "høy"])),
}  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    kinds = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=5, unique=True))
    rows = draw(st.integers(0, 12))
    columns = {}
    for kind in kinds:
        arrow, values = TYPES[kind]
        cells = draw(st.lists(st.one_of(st.none(), values), min_size=rows, max_size=rows))
        if pa.types.is_dictionary(arrow):
            columns[kind] = pa.array(cells, pa.string()).dictionary_encode().cast(arrow)
        else:
            columns[kind] = pa.array(cells, arrow)
    return pa.table(columns)


def plain(table: pa.Table) -> list[dict[str, Any]]:
    return table.to_pylist()


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(tables())
def test_every_exit_gives_the_same_values_and_types(table: pa.Table) -> None:
    data = dv.dataset(table, name="t")
    want = plain(table)
    assert data.to_arrow().schema == table.schema
    assert plain(data.to_arrow()) == want
    for out in (
        data.pipe(lambda lf: lf.filter(pl.lit(value=True))),  # through Polars
        data.sql("select * from self"),  # through DuckDB
        data.pipe(lambda lf: lf).sql("select * from self").pipe(lambda lf: lf.head(1000)),  # through both
        dv.dataset(data.to_polars()) if "time" not in table.column_names else data,
        dv.dataset(data.to_pandas(dtypes="arrow")),
        dv.dataset(duckdb.connect().from_arrow(table)) if "dict" not in table.column_names else data,
    ):
        found = out.to_arrow()
        assert found.schema.names == table.schema.names
        assert plain(found) == want
    for out in (data.pipe(lambda lf: lf), data.sql("select * from self")):
        assert out.schema == table.schema


@settings(max_examples=15, deadline=None)
@given(tables())
def test_parquet_gives_back_what_was_written(table: pa.Table) -> None:
    store = open_store("memory://exits")
    data = dv.dataset(table, name="t")
    for info in list(store.list()):
        store.delete(info.path)
    receipt = data.write_parquet(store)
    back = dv.read_files("memory://exits/")
    assert receipt.rows == table.num_rows
    assert back.schema == table.schema
    assert plain(back.to_arrow()) == plain(table)


FULL = pa.table(
    {
        "id": pa.array([1, 2], pa.int32()), "navn": ["a", None], "belop": pa.array([Decimal("1.10"), None], pa.decimal128(9, 2)),
        "t": pa.array([0, None], pa.timestamp("us", "Europe/Oslo")), "k": pa.array(["x", "y"]).dictionary_encode(),
        "d": pa.array([dt.date(2024, 2, 29), None]), "l": pa.array([[1], None], pa.list_(pa.int8())),
    }
)  # fmt: skip


def test_e09_nothing_keeps_its_schema_through_every_exit() -> None:
    rows, none = dv.dataset(FULL), dv.dataset(FULL.slice(0, 0))
    assert none.schema == rows.schema
    assert none.to_arrow().schema == FULL.schema
    assert none.to_pandas().dtypes.astype(str).tolist() == rows.to_pandas().dtypes.astype(str).tolist()
    assert none.to_polars().schema == rows.to_polars().schema
    assert none.lazy().collect().schema == rows.lazy().collect().schema
    with none.batches() as stream:
        assert stream.schema == FULL.schema
        assert sum(batch.num_rows for batch in stream) == 0
    assert none.sql("select count(*) as n from self").to_arrow().to_pylist() == [{"n": 0}]
    assert none.sql("select * from self").to_arrow().schema == FULL.schema
    assert none.pipe(lambda lf: lf.filter(pl.col("id") > 0)).to_arrow().schema == FULL.schema
    assert pa.RecordBatchReader.from_stream(none).read_all().schema == FULL.schema


def test_e09_nothing_is_written_as_one_readable_file() -> None:
    data = dv.dataset(FULL.slice(0, 0))
    receipt = data.write_parquet("memory://e09/tom")
    assert (receipt.rows, receipt.parts) == (0, 1)
    assert dv.read_files("memory://e09/tom/").to_arrow().schema == FULL.schema


def test_e09_rows_without_columns_stay_rows() -> None:
    data = dv.dataset(
        pa.Table.from_batches([pa.RecordBatch.from_struct_array(pa.array([{}, {}], pa.struct([])))])
    )
    assert data.to_arrow().num_rows == 2
    assert data.to_polars().height == 2
    assert len(data.to_pandas()) == 2
    assert data.pipe(lambda lf: lf).to_arrow().num_rows == 2


def test_e10_names_that_occur_twice_are_refused_before_rows_are_read(memory_source: Any) -> None:
    twice = pa.Table.from_arrays(
        [pa.array([1]), pa.array([2]), pa.array(["x"]), pa.array(["y"])], names=["id", "id", "navn", "navn"]
    )
    source = memory_source(twice)
    from dvengine.connectors import Request
    from dvengine.datasets import from_source

    data = from_source(source, Request(query="select …"))
    for exit_ in (
        data.to_arrow,
        data.to_polars,
        data.to_pandas,
        data.lazy,
        lambda: data.schema,
        lambda: data.write_parquet("memory://e10"),
    ):
        with pytest.raises(dv.InputError, match="'id', 'navn'") as caught:
            exit_()
        assert "as " in str(caught.value.hint)
    assert source.given == 0
    with pytest.raises(dv.InputError, match="'id'"):
        dv.dataset(twice)


def test_e10_names_that_differ_by_case_stay_apart_and_are_refused_in_sql() -> None:
    data = dv.dataset(pa.table({"a": [1], "A": [2]}))
    assert data.pipe(lambda lf: lf).to_arrow().to_pylist() == [{"a": 1, "A": 2}]
    with pytest.raises(dv.InputError, match="letter case only"):
        data.sql("select a from self").to_arrow()


def test_a_single_use_stream_is_read_once_and_says_so() -> None:
    reader = pa.RecordBatchReader.from_batches(
        pa.schema([("n", pa.int64())]), iter([pa.record_batch({"n": [1, 2]})])
    )
    data = dv.dataset(reader)
    assert data.schema.names == ["n"]
    assert data.to_arrow().num_rows == 2
    with pytest.raises(dv.StreamConsumed):
        data.to_arrow()
    stream = dv.dataset(FULL).batches()
    list(stream)
    with pytest.raises(dv.StreamConsumed):
        list(stream)


def test_batches_are_cut_to_the_rows_asked_for() -> None:
    with dv.dataset(pa.table({"n": range(10)})).batches(batch_rows=4) as stream:
        assert [batch.num_rows for batch in stream] == [4, 4, 2]
    with pytest.raises(dv.InputError):
        dv.dataset(FULL).batches(batch_rows=0)


def test_repr_runs_nothing_and_shows_no_row(memory_source: Any) -> None:
    from dvengine.connectors import Request
    from dvengine.datasets import from_source

    source = memory_source(pa.table({"<b>navn": ["hemmelig"]}))
    data = from_source(source, Request(table="person"))
    assert "person" in repr(data)
    assert (source.schemas, source.opened) == (0, 0)
    _ = data.schema
    shown = (
        repr(data)
        + data._repr_html_()
        + repr(dv.dataset(source.table))
        + dv.dataset(source.table)._repr_html_()
    )
    assert "hemmelig" not in shown
    assert "&lt;b&gt;navn" in data._repr_html_()
    assert source.opened == 0


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(dv.InputError, match="list"):
        dv.dataset([1, 2])


def test_series_and_lazy_frames_are_taken() -> None:
    assert dv.dataset(pd.Series([1, 2], name="n")).to_arrow().to_pydict() == {"n": [1, 2]}
    assert dv.dataset(pl.Series("n", [1, 2])).to_arrow().to_pydict() == {"n": [1, 2]}
    assert dv.dataset(pl.LazyFrame({"n": [1, 2]})).to_arrow().to_pydict() == {"n": [1, 2]}
    assert dv.dataset(dv.dataset(FULL), name="x").name == "x"
