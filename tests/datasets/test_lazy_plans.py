"""Polars plans over datasets: what reaches the source, when it stops, and which error comes out."""

from __future__ import annotations

import datetime as dt
import threading
import time
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dvengine as dv
from dvengine.connectors import Request
from dvengine.datasets import Dataset, from_source

N = 1000
TABLE = pa.table(
    {
        "id": pa.array(range(N), pa.int32()),
        "aar": pa.array([None if i % 10 == 0 else 2015 + i % 10 for i in range(N)], pa.int64()),
        "kommune": [f"{301 + i % 7:04d}" for i in range(N)],
        "dag": pa.array([dt.date(2024, 1, 1) + dt.timedelta(days=i % 50) for i in range(N)]),
        "tid": pa.array([i * 10**9 for i in range(N)], pa.timestamp("us", "UTC")),
        "sats": pa.array([Decimal(i % 13) / 4 for i in range(N)], pa.decimal128(9, 2)),
        "aktiv": pa.array([None if i % 5 == 0 else i % 2 == 0 for i in range(N)]),
    }
)


def made(source: Any) -> Dataset:
    return from_source(source, Request(table="vedtak"), name="vedtak")


def test_projection_filter_and_limit_reach_the_source(memory_source: Any) -> None:
    source = memory_source(TABLE)
    lazy = made(source).lazy()
    out = lazy.filter((pl.col("aar") >= 2020) & (pl.col("kommune") == "0301")).select("id").collect()
    [request] = source.requests
    assert set(request.columns) == {"id", "aar", "kommune"}
    assert sorted((f.column, f.op, f.value) for f in request.where) == [
        ("aar", ">=", 2020),
        ("kommune", "=", "0301"),
    ]
    assert sorted(out["id"].to_list()) == [i for i in range(N) if i % 10 >= 5 and i % 7 == 0]
    assert lazy.head(5).collect().height == 5
    assert source.requests[-1].limit == 5
    assert source.opened == source.closed


CONDITIONS = [
    pl.col("id") > 500, pl.col("id") != 3, pl.col("id") <= 7, pl.col("id").is_between(5, 9, closed="right"), ~(pl.col("id") < 990),
    pl.col("id").is_in([1, 2, 2000]), pl.col("kommune").is_in(["0301", "9999"]), pl.col("kommune") > "0303", pl.col("kommune") != "0301",
    pl.col("aar").is_null(), pl.col("aar").is_not_null(), pl.col("aar") == 2020, pl.col("aktiv"), ~pl.col("aktiv"), pl.col("aktiv").is_null(),
    pl.col("dag") >= dt.date(2024, 2, 1), pl.col("dag").is_in([dt.date(2024, 1, 1)]), pl.col("tid") < dt.datetime(1970, 1, 3, tzinfo=dt.UTC),
    pl.col("sats") >= Decimal("1.25"), pl.col("sats") == 1, pl.col("id") > 2.5, pl.col("id") + 1 > 900, pl.col("kommune").str.starts_with("030"),
    pl.col("aar").is_in([2020, None]), pl.col("id") > pl.col("aar"), pl.col("aar").ne_missing(2020), pl.col("dag").dt.month() == 2,
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(range(len(CONDITIONS))), min_size=1, max_size=4),
    st.booleans(),
    st.sampled_from([None, 3, 50]),
)
def test_pushing_down_never_changes_an_answer(
    memory_source: Any, chosen: list[int], either: bool, limit: int | None
) -> None:
    conditions = [CONDITIONS[i] for i in chosen]
    condition = pl.any_horizontal(conditions) if either else pl.all_horizontal(conditions)
    if not either and len(conditions) == 2:
        condition = conditions[0] & conditions[1]

    def plan(lazy: pl.LazyFrame) -> pl.LazyFrame:
        lazy = lazy if limit is None else lazy.head(limit)
        return lazy.filter(condition).select("id", "kommune").sort("id")

    one_part = memory_source(TABLE, parts=1)  # so that head means the same rows
    want = plan(pl.DataFrame(TABLE).lazy()).collect()
    assert plan(made(one_part).lazy()).collect().equals(want)
    assert pl.DataFrame(made(one_part).pipe(plan).to_arrow()).equals(want)


def test_a_filter_is_not_pushed_below_a_limit(memory_source: Any) -> None:
    source = memory_source(TABLE, parts=1)
    made(source).lazy().head(10).filter(pl.col("id") > 5).collect()
    assert all(not (request.limit and request.where) for request in source.requests)
    limited = from_source(source, Request(table="vedtak", limit=10))
    assert limited.lazy().filter(pl.col("id") > 5).collect().height == 4


def test_the_source_stops_early(memory_source: Any) -> None:
    source = memory_source(pa.table({"n": range(100_000)}), batch_rows=10, parts=1)
    data = made(source)
    assert data.head(3).height == 3
    assert data.lazy().head(3).collect().height == 3
    assert data.pipe(lambda lf: lf.head(3)).to_arrow().num_rows == 3
    assert data.sql("select * from self limit 3").to_arrow().num_rows == 3
    assert source.given < 9_000
    assert source.opened == source.closed
    with data.batches() as stream:
        next(iter(stream))
    assert source.opened == source.closed


class OwnError(RuntimeError):
    pass


@pytest.mark.parametrize(
    "error", [OwnError("stopp"), dv.QueryError("nei", sqlstate="22012"), dv.Unavailable("borte")]
)
def test_errors_keep_their_class_through_every_exit(memory_source: Any, error: Exception) -> None:
    def failing() -> Dataset:
        return made(memory_source(TABLE, fail_at=4, error=error))

    exits = [
        lambda d: d.to_arrow(), lambda d: d.to_polars(), lambda d: d.to_pandas(), lambda d: list(d.batches()),
        lambda d: d.lazy().collect(), lambda d: d.lazy().collect(engine="streaming"), lambda d: d.pipe(lambda lf: lf.sort("id")).to_arrow(),
        lambda d: d.sql("select count(*) from self").to_arrow(), lambda d: d.pipe(lambda lf: lf).sql("from self").pipe(lambda lf: lf).to_arrow(),
        lambda d: d.pipe(lambda lf: lf.join(d.lazy(), on="id")).to_arrow(), lambda d: d.write_parquet("memory://fails/x"),
    ]  # fmt: skip
    for way_out in exits:
        with pytest.raises(type(error)) as caught:
            way_out(failing())
        assert caught.value is error


def test_no_thread_is_left_behind(memory_source: Any) -> None:
    data = made(memory_source(TABLE, batch_rows=7)).pipe(lambda lf: lf.filter(pl.col("id") >= 0))
    data.to_arrow()
    with data.batches() as stream:
        next(iter(stream))
    with pytest.raises(OwnError):
        made(memory_source(TABLE, fail_at=2, error=OwnError())).pipe(lambda lf: lf.sort("id")).to_arrow()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("dvengine")] == []


def test_a_slow_reader_slows_the_source(memory_source: Any) -> None:
    megabyte = pa.record_batch({"n": range(1000), "text": ["x" * 1000] * 1000})
    source = memory_source(pa.Table.from_batches([megabyte] * 500), batch_rows=1000, parts=1)
    piped = made(source).pipe(lambda lf: lf.with_columns(m=pl.col("n") + 1))
    with piped.batches() as stream:
        reading = iter(stream)
        next(reading)
        time.sleep(1.0)
        assert source.given < 300, "of 500 batches"


def test_a_plan_is_schema_only_until_read(memory_source: Any) -> None:
    source = memory_source(TABLE)
    piped = made(source).pipe(lambda lf: lf.group_by("kommune").agg(n=pl.len(), snitt=pl.col("sats").sum()))
    assert piped.schema.names == ["kommune", "n", "snitt"]
    assert piped.schema.field("n").type == pa.uint32()
    assert source.opened == 0


def test_datasets_join_and_lineage_is_the_union(memory_source: Any) -> None:
    left, right = (
        memory_source(TABLE, moment="m1"),
        memory_source(TABLE.select(["id", "aar"]), name="other", moment="m2"),
    )
    a, b = made(left), from_source(right, Request(table="person"), name="person")
    inside = a.pipe(lambda lf: lf.join(b.lazy(), on="id"))
    outer = b.lazy()
    outside = a.pipe(lambda lf: lf.join(outer, on="id"))
    query = a.sql("select count(*) as n from self join person using (id)", person=b)
    want = {("memory-registry", "vedtak", "m1", True), ("other", "person", "m2", True)}
    for joined in (inside, outside, query, inside.pipe(lambda lf: lf.head(5)), query.pipe(lambda lf: lf)):
        assert joined.lineage == ()
        assert joined.to_arrow().num_rows > 0
        assert {(s["source"], s["table"], s["snapshot"], s["consistent"]) for s in joined.lineage} == want


def test_two_moments_of_one_source_are_not_called_consistent(memory_source: Any) -> None:
    source = memory_source(TABLE)
    data = made(source)
    data.to_arrow()
    assert [scan["consistent"] for scan in data.lineage] == [True]
    twice = data.pipe(lambda lf: lf.join(data.lazy(), on="id"))
    twice.to_arrow()
    assert {scan["consistent"] for scan in twice.lineage} == {False}
    query = data.sql("select a.id from self a join self b on a.id = b.id")
    for torn in (twice, query):
        assert [read.consistent for read in torn.explain().reads] == [False, False]
        assert "NOT one moment" in str(torn.explain())
    with dv.snapshot(source) as moment:
        pinned = made(moment)
        once = pinned.pipe(lambda lf: lf.join(pinned.lazy(), on="id"))
        once.to_arrow()
        assert {read.consistent for read in once.explain().reads} == {True}
    assert [(scan["snapshot"], scan["consistent"]) for scan in once.lineage] == [("pinned", True)]


def test_types_that_polars_lacks_are_an_error_and_not_a_panic() -> None:
    for kind in (
        pa.decimal256(50, 2),
        pa.month_day_nano_interval(),
        pa.list_(pa.decimal256(50, 2)),
        pa.decimal128(5, -2),
    ):
        data = dv.dataset(pa.table({"x": pa.array([], kind), "y": pa.array([], pa.int8())}))
        for way_out in (data.lazy, data.to_polars, data.head, lambda d=data: d.pipe(lambda lf: lf).schema):
            with pytest.raises(dv.TypeMapError, match="'x'"):
                way_out()
        assert data.to_arrow().schema.field("x").type == kind


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(dv.QueryError, match="nope"):
        _ = dv.dataset(TABLE).pipe(lambda lf: lf.select("nope")).schema


def test_polars_errors_show_no_value() -> None:
    data = dv.dataset(pa.table({"x": ["hemmelig", "12"]})).pipe(
        lambda lf: lf.with_columns(pl.col("x").cast(pl.Int64))
    )
    with pytest.raises(dv.InputError) as caught:
        data.to_arrow()
    assert "hemmelig" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_pipe_that_collects_is_told_to_stay_lazy() -> None:
    with pytest.raises(dv.InputError, match="DataFrame"):
        _ = dv.dataset(TABLE).pipe(lambda lf: lf.collect()).schema  # type: ignore[arg-type,return-value]


def test_p18_a_declared_python_function_gets_all_its_columns() -> None:
    seen: list[list[str]] = []

    def double(frame: pl.DataFrame) -> pl.DataFrame:
        seen.append(frame.columns)
        return frame.select("id", dobbel=pl.col("id") * 2, kommune="kommune")

    declared = pa.schema([("id", pa.int32()), ("dobbel", pa.int64()), ("kommune", pa.string())])
    data = dv.dataset(TABLE).pipe(
        lambda lf: lf.map_batches(double, schema={"id": pl.Int32, "dobbel": pl.Int32, "kommune": pl.String}),
        schema=declared,
    )
    out = data.lazy().select("dobbel").collect()
    assert out["dobbel"].sum() == sum(range(N)) * 2
    assert all(columns == TABLE.column_names for columns in seen)
    assert data.schema == declared
    assert data.to_arrow().schema == declared
    with pytest.raises(dv.InputError, match="not those declared"):
        _ = dv.dataset(TABLE).pipe(lambda lf: lf.select("id"), schema=declared).schema


def test_walls_within_walls_do_not_wait_for_each_other() -> None:
    big = dv.dataset(pa.table({"a": range(300_000)}))
    schema = pa.schema([("a", pa.int64()), ("b", pa.int64())])
    wall = big.pipe(lambda lf: lf.with_columns(b=pl.col("a") * 2), schema=schema)
    inner = wall.pipe(lambda lf: lf.filter(pl.col("b") > 10), schema=schema).sql("select a, b from self")
    outer = inner.pipe(lambda lf: lf.join(wall.lazy(), on="a"))
    assert outer.sql("select count(*) as n from self x join self y using (a)").to_arrow().to_pylist() == [
        {"n": 299_994}
    ]


def test_a_plan_shows_what_is_pushed_and_reads_nothing(memory_source: Any) -> None:
    source, other = memory_source(TABLE), memory_source(TABLE, name="other")
    data = made(source)
    plan = data.explain()
    assert (plan.reads[0].partitions, plan.reads[0].snapshot, plan.reads[0].consistent) == (
        3,
        "exported",
        True,
    )
    filtered = data.pipe(
        lambda lf: lf.filter((pl.col("kommune") == "hemmelig") & (pl.col("id") + 1 > 77)).join(
            made(other).lazy(), on="id"
        )
    )
    plan = filtered.explain()
    assert plan.engine == "Polars"
    assert {read.source for read in plan.reads} == {"memory-registry", "other"}
    assert ("kommune =",) in {read.pushed for read in plan.reads}
    shown = f"{plan} {plan!r} {plan._repr_html_()}"
    assert "hemmelig" not in shown
    assert "77" not in shown
    outside = made(other).lazy()
    assert (
        made(source).pipe(lambda lf: lf.join(outside, on="id")).explain().reads[0].source == "memory-registry"
    )
    assert source.given == other.given == 0
    assert source.opened == source.closed
