"""The pandas edge, both ways (E06, P18): every row of the table of traps."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import dvengine as dv

BIG = 2**53 + 1


def both(frame: pd.DataFrame) -> tuple[pa.Table, pd.DataFrame]:
    """In, and out again."""
    data = dv.dataset(frame)
    return data.to_arrow(), data.to_pandas()


# --- out ----------------------------------------------------------------------------------------------------


NULLBAR = pa.table(
    {
        "id": pa.array([BIG, None, -(2**63)], pa.int64()),
        "i": pa.array([1, None, 2], pa.int32()),
        "b": pa.array([True, None, False]),
        "d": pa.array([dt.date(2024, 2, 29), None, dt.date(1, 1, 1)]),
    }
)


def test_e06_nullable_integers_stay_integers_in_pandas() -> None:
    frame = dv.dataset(NULLBAR).to_pandas()
    assert [str(kind) for kind in frame.dtypes] == ["Int64", "Int32", "boolean", "datetime64[ms]"]
    assert frame["id"].tolist() == [BIG, pd.NA, -(2**63)]
    assert frame["b"].tolist() == [True, pd.NA, False]
    assert frame["d"][2] == pd.Timestamp("0001-01-01")


def test_e06_dtypes_do_not_depend_on_the_values() -> None:
    whole, empty, nulls = NULLBAR, NULLBAR.slice(0, 0), NULLBAR.slice(1, 1)
    kinds = [dv.dataset(table).to_pandas().dtypes.tolist() for table in (whole, empty, nulls)]
    assert kinds[0] == kinds[1] == kinds[2]
    assert dv.dataset(nulls).to_pandas()["id"].isna().all()


def test_e06_numpy_dtypes_refuse_to_change_a_value() -> None:
    with pytest.raises(dv.TypeMapError, match="'id'") as caught:
        dv.dataset(NULLBAR).to_pandas(dtypes="numpy")
    assert str(BIG) not in str(caught.value)
    assert str(dv.dataset(NULLBAR.select(["i"])).to_pandas(dtypes="numpy")["i"].dtype) == "float64"


def test_e06_arrow_dtypes_keep_every_type() -> None:
    table = NULLBAR.append_column("x", pa.array([Decimal("1.10"), None, None], pa.decimal128(5, 2)))
    frame = dv.dataset(table).to_pandas(dtypes="arrow")
    assert all(isinstance(kind, pd.ArrowDtype) for kind in frame.dtypes)
    assert dv.dataset(frame).to_arrow().equals(table)


def test_floats_cross_into_pandas_without_a_copy() -> None:
    values = np.arange(1000, dtype="float64")
    table = pa.table({"x": pa.array(values)})
    frame = dv.dataset(table).to_pandas()
    assert frame["x"].to_numpy().__array_interface__["data"][0] == table["x"].chunk(0).buffers()[1].address


def test_every_type_has_its_pandas_dtype() -> None:
    table = pa.table(
        {
            "text": ["a"], "dec": pa.array([Decimal("1.5")]), "ts": pa.array([0], pa.timestamp("us", "Europe/Oslo")),
            "naive": pa.array([0], pa.timestamp("us")), "dur": pa.array([1], pa.duration("us")), "bin": [b"\x00"],
            "time": pa.array([1], pa.time64("us")), "list": [[1]], "nul": pa.nulls(1), "u": pa.array([2**64 - 1], pa.uint64()),
            "cat": pa.array(["a"]).dictionary_encode(), "f4": pa.array([1.5], pa.float32()),
        }
    )  # fmt: skip
    kinds = {name: str(kind) for name, kind in dv.dataset(table).to_pandas().dtypes.items()}
    assert kinds == {
        "text": "str", "dec": "decimal128(2, 1)[pyarrow]", "ts": "datetime64[us, Europe/Oslo]", "naive": "datetime64[us]",
        "dur": "timedelta64[us]", "bin": "binary[pyarrow]", "time": "time64[us][pyarrow]", "list": "list<item: int64>[pyarrow]",
        "nul": "null[pyarrow]", "u": "UInt64", "cat": "category", "f4": "float32",
    }  # fmt: skip
    assert dv.dataset(table).to_pandas()["u"][0] == 2**64 - 1


# --- in -----------------------------------------------------------------------------------------------------


def test_p18_named_index_is_kept_and_range_index_is_not() -> None:
    frame = pd.DataFrame({"n": [12, 7]}, index=pd.Index(["0301", "1103"], name="kommune"))
    assert dv.dataset(frame).to_arrow().to_pydict() == {"kommune": ["0301", "1103"], "n": [12, 7]}
    assert dv.dataset(pd.DataFrame({"n": [1]})).schema.names == ["n"]
    levels = frame.set_index(pd.Index([2024, 2025], name="aar"), append=True)
    assert dv.dataset(levels).schema.names == ["kommune", "aar", "n"]
    assert dv.dataset(frame["n"]).schema.names == ["kommune", "n"]


def test_p18_unnamed_index_that_may_hold_data_is_refused() -> None:
    for index in (["0301", "1103"], [5, 9]):
        with pytest.raises(dv.InputError, match="index without a name") as caught:
            dv.dataset(pd.DataFrame({"n": [1, 2]}, index=index))
        assert "0301" not in str(caught.value)
        assert "reset_index" in str(caught.value)


def test_p18_int64_with_na_is_exact_both_ways() -> None:
    table, out = both(pd.DataFrame({"id": pd.array([1, pd.NA, BIG], dtype="Int64")}))
    assert table["id"].to_pylist() == [1, None, BIG]
    assert (str(out["id"].dtype), out["id"].tolist()) == ("Int64", [1, pd.NA, BIG])


def test_p18_labels_that_become_one_name_are_refused() -> None:
    with pytest.raises(dv.InputError, match="0 and '0'"):
        dv.dataset(pd.DataFrame([[1, 2]], columns=pd.Index([0, "0"], dtype=object)))
    with pytest.raises(dv.InputError, match="'a'"):
        dv.dataset(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(dv.InputError, match="'n'"):
        dv.dataset(pd.DataFrame({"n": [1]}, index=pd.Index([1], name="n")))
    assert dv.dataset(pd.DataFrame([[1, 2]])).schema.names == ["0", "1"]


def test_p18_columns_in_levels_are_refused_with_the_join() -> None:
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("x", "m"), ("x", "k")]))
    with pytest.raises(dv.InputError, match="several levels") as caught:
        dv.dataset(frame)
    assert "'_'.join" in str(caught.value)


def test_p18_mixed_objects_name_the_column_and_not_the_value() -> None:
    with pytest.raises(dv.TypeMapError, match="'blandet'") as caught:
        dv.dataset(pd.DataFrame({"blandet": pd.Series([1, "hemmelig", None], dtype=object)}))
    assert "hemmelig" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_p18_nan_becomes_null_in_text_and_numbers() -> None:
    table, _ = both(
        pd.DataFrame({"t": pd.Series(["a", np.nan, None], dtype=object), "x": [1.0, np.nan, 2.0]})
    )
    assert table.to_pydict() == {"t": ["a", None, None], "x": [1.0, None, 2.0]}


def test_p18_a_true_nan_of_another_source_stays_nan() -> None:
    data = dv.dataset(pa.table({"x": pa.array([1.0, float("nan"), None])}))
    assert [str(x) for x in data.to_arrow()["x"].to_pylist()] == ["1.0", "nan", "None"]
    assert [str(x) for x in data.to_polars()["x"].to_list()] == ["1.0", "nan", "None"]
    assert [str(x) for x in data.sql("select x from self").to_arrow()["x"].to_pylist()] == [
        "1.0",
        "nan",
        "None",
    ]


def test_p18_ordered_categories_keep_all_categories_and_their_order() -> None:
    kind = pd.CategoricalDtype(["lav", "middels", "høy"], ordered=True)
    data = dv.dataset(pd.DataFrame({"grad": pd.Categorical(["høy", "lav", None], dtype=kind)}))
    assert data.schema.field("grad").type == pa.dictionary(pa.int8(), pa.string(), ordered=True)
    assert data.to_pandas()["grad"].dtype == kind
    assert data.to_polars()["grad"].dtype == pl.Enum(["lav", "middels", "høy"])
    ranked = data.pipe(lambda lf: lf.drop_nulls().sort("grad"))
    assert ranked.schema == data.schema
    assert ranked.to_arrow()["grad"].to_pylist() == ["lav", "høy"]
    assert ranked.to_pandas()["grad"].cat.categories.tolist() == ["lav", "middels", "høy"]


def test_p18_categories_of_zoned_times_and_of_integers_keep_their_values() -> None:
    times = pd.to_datetime(["2025-10-26 00:30Z", "2025-10-26 01:30Z"]).tz_convert("Europe/Oslo")
    table, _ = both(pd.DataFrame({"t": pd.Categorical(times), "k": pd.Categorical([3, 1])}))
    kind = table.schema.field("t").type
    assert kind.value_type.tz == "Europe/Oslo"
    assert [t.timestamp() for t in table["t"].to_pylist()] == [1761438600.0, 1761442200.0]
    assert table["k"].to_pylist() == [3, 1]


def test_p18_the_hour_that_happens_twice_keeps_its_instants() -> None:
    times = pd.to_datetime(["2025-10-26 00:30Z", "2025-10-26 01:30Z"]).tz_convert("Europe/Oslo")
    data = dv.dataset(pd.DataFrame({"t": times}))
    for out in (data, data.pipe(lambda lf: lf.filter(pl.lit(value=True))), data.sql("select t from self")):
        frame = out.to_pandas()
        assert str(frame["t"].dtype.tz) == "Europe/Oslo"
        assert (frame["t"][1] - frame["t"][0]).total_seconds() == 3600
        assert out.to_arrow()["t"].to_pylist()[0] == dt.datetime(
            2025, 10, 26, 2, 30, tzinfo=ZoneInfo("Europe/Oslo")
        )


def test_p18_a_fixed_offset_has_one_spelling() -> None:
    data = dv.dataset(pd.DataFrame({"t": pd.to_datetime(["2025-01-01 00:00+01:00"])}))
    assert data.schema.field("t").type.tz == "+01:00"
    renamed = data.pipe(lambda lf: lf.rename({"t": "u"}))
    assert renamed.schema.field("u").type.tz == "+01:00"
    assert renamed.to_arrow()["u"].to_pylist()[0].timestamp() == 1735686000.0


def test_p18_periods_and_intervals_become_text() -> None:
    frame = pd.DataFrame({"p": pd.period_range("2024-01", periods=2, freq="M"), "i": pd.interval_range(0, 2)})
    table, _ = both(frame)
    assert table.to_pydict() == {"p": ["2024-01", "2024-02"], "i": ["(0, 1]", "(1, 2]"]}


@pytest.mark.parametrize(
    ("name", "values"), [("sparse", pd.arrays.SparseArray([0, 1])), ("complex", np.array([1j, 2]))]
)
def test_p18_sparse_and_complex_are_one_clear_error(name: str, values: object) -> None:
    with pytest.raises(dv.TypeMapError, match=f"'c' is {name}"):
        dv.dataset(pd.DataFrame({"c": values}))


def test_p18_columns_without_values_have_a_stable_type() -> None:
    for rows in (0, 3):
        data = dv.dataset(pd.DataFrame({"t": pd.Series([None] * rows, dtype=object)}))
        assert data.schema.field("t").type == pa.null()
        assert data.pipe(lambda lf: lf).schema.field("t").type == pa.null()


def test_p18_a_lone_surrogate_names_column_and_row() -> None:
    with pytest.raises(dv.TypeMapError, match=r"'navn'.*row 1 "):
        dv.dataset(pd.DataFrame({"navn": pd.Series(["a", "b\ud800"], dtype=object)}))


def test_p18_decimals_are_exact() -> None:
    table, out = both(pd.DataFrame({"d": [Decimal("1.10"), Decimal("22.345")]}))
    assert table["d"].type == pa.decimal128(5, 3)
    assert table["d"].to_pylist() == [Decimal("1.100"), Decimal("22.345")]
    assert out["d"].tolist() == [Decimal("1.100"), Decimal("22.345")]


def test_p18_input_is_never_changed_and_metadata_stays_behind() -> None:
    frame = pd.DataFrame({"n": [1, 2]}, index=pd.Index(["a", "b"], name="k"))
    frame.attrs["hemmelig"] = "verdi"
    before = frame.copy(deep=True)
    data = dv.dataset(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert data.schema.metadata is None
    assert data.to_arrow().schema.metadata is None
    assert data.to_pandas().attrs == {}


def test_zero_columns_keep_their_rows_in_pandas() -> None:
    assert len(dv.dataset(pd.DataFrame(index=range(3))).to_pandas()) == 3
