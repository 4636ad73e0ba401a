"""Casts that lose nothing, or say where they would."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvengine import InputError, TypeMapError
from dvengine.arrow import (
    apply_types,
    cast_array,
    check_case,
    check_names,
    plain_schema,
    rows_only,
    unified,
    with_schema,
)

LOSSY: list[tuple[list[Any], pa.DataType, pa.DataType]] = [
    ([300], pa.int64(), pa.int8()), ([-1], pa.int8(), pa.uint8()), ([2**53 + 1], pa.int64(), pa.float64()), ([1.5], pa.float64(), pa.int64()),
    ([Decimal("1.25")], pa.decimal128(9, 2), pa.decimal128(9, 1)), ([Decimal("1.25")], pa.decimal128(9, 2), pa.int64()),
    ([Decimal("1.25")], pa.decimal128(9, 2), pa.float64()), ([[Decimal("1.25")]], pa.list_(pa.decimal128(9, 2)), pa.list_(pa.float64())),
    (["1,5"], pa.string(), pa.decimal128(9, 2)), (["12x"], pa.string(), pa.int64()), (["1.239"], pa.string(), pa.decimal128(9, 2)),
    ([1_000_001], pa.timestamp("us"), pa.timestamp("s")), ([2**62], pa.timestamp("us"), pa.timestamp("ns")), (["2024-13-01"], pa.string(), pa.date32()),
]  # fmt: skip


@pytest.mark.parametrize(("values", "have", "want"), LOSSY, ids=[f"{a}-{b}" for _, a, b in LOSSY])
def test_a_cast_that_would_lose_names_the_column_and_not_the_value(
    values: list[Any], have: pa.DataType, want: pa.DataType
) -> None:
    array = pa.array(values, have)
    with pytest.raises(TypeMapError, match="'sats'") as caught:
        cast_array(array, want, column="sats")
    assert str(values[0]) not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_exact_casts_keep_every_value() -> None:
    assert cast_array(pa.array(["1.50", None]), pa.decimal128(9, 3), column="x").to_pylist() == [
        Decimal("1.500"),
        None,
    ]
    assert cast_array(pa.array([2**53, None]), pa.float64(), column="x").to_pylist() == [2.0**53, None]
    coded = cast_array(
        pa.array(["b", "a", None]), pa.dictionary(pa.int8(), pa.string(), ordered=True), column="x"
    )
    assert (coded.type.ordered, coded.to_pylist()) == (True, ["b", "a", None])
    with pytest.raises(InputError, match="'nope'"):
        apply_types(pa.schema([("x", pa.int8())]), {"nope": pa.int8()})


@given(
    st.lists(st.one_of(st.none(), st.decimals(-(10**9), 10**9, places=4))),
    st.integers(14, 38),
    st.integers(0, 8),
)
def test_decimals_are_cast_exactly_or_refused(
    values: list[Decimal | None], precision: int, scale: int
) -> None:
    try:
        out = cast_array(pa.array(values, pa.decimal128(18, 4)), pa.decimal128(precision, scale), column="x")
    except TypeMapError:
        assert any(
            v is not None and (round(v, scale) != v or abs(v) >= 10 ** (precision - scale)) for v in values
        )
    else:
        assert out.to_pylist() == values


def test_names_are_guarded() -> None:
    with pytest.raises(InputError, match="'a', 'b'"):
        check_names(["a", "b", "b", "a", "c"])
    with pytest.raises(InputError, match="'Å', 'å'"):
        check_case(["Å", "å", "b"], what="t")


def test_metadata_is_left_behind_and_spelling_is_one() -> None:
    schema = pa.schema(
        [pa.field("a", pa.large_string(), metadata={"k": "v"}), ("t", pa.timestamp("us", "Etc/UTC")), ("l", pa.large_list(pa.large_binary()))],
        metadata={"pandas": "{}"},
    )  # fmt: skip
    plain = plain_schema(schema)
    assert plain == pa.schema(
        [("a", pa.string()), ("t", pa.timestamp("us", "UTC")), ("l", pa.list_(pa.binary()))]
    )
    assert plain.metadata is None
    assert plain.field("a").metadata is None
    batch = with_schema(
        pa.RecordBatch.from_pylist([{"a": "æ", "t": None, "l": [b"x"]}], schema=schema), plain
    )
    assert batch.schema.equals(plain, check_metadata=True)
    assert rows_only(3).num_rows == 3


def test_a_null_among_categories_becomes_a_null() -> None:
    odd = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, None], pa.int8()), pa.array(["a", None, "b"]))
    other = pa.array(["c"]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string()))
    table = unified(pa.table({"k": pa.chunked_array([odd, other])}))
    assert table["k"].to_pylist() == ["a", None, "b", None, "c"]
    assert table["k"].chunk(0).dictionary.to_pylist() == ["a", "b", "c"]
