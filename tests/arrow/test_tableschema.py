"""Arrow to Table Schema and back (P14)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dvengine
from dvengine import DescriptorError, InputError, TypeMapError
from dvengine.arrow._tableschema import ARROW, from_table_schema, to_table_schema

PROFILE = Path(dvengine.__file__).parent / "package" / "profiles" / "tableschema.json"

TYPES: list[tuple[Any, str]] = [
    (pa.decimal128(18, 4), "number"), (pa.decimal256(60, 3), "number"), (pa.decimal128(5, -2), "number"),
    (pa.float64(), "number"), (pa.float32(), "number"), (pa.float16(), "number"),
    (pa.int64(), "integer"), (pa.int8(), "integer"), (pa.uint64(), "integer"), (pa.bool_(), "boolean"),
    (pa.duration("us"), "duration"), (pa.duration("s"), "duration"), (pa.null(), "any"),
    (pa.list_(pa.string()), "array"), (pa.list_(pa.int64()), "array"), (pa.list_(pa.decimal128(9, 2)), "array"),
    (pa.list_(pa.list_(pa.int8())), "array"), (pa.list_(pa.int8(), 3), "array"), (pa.large_list(pa.date32()), "array"),
    (pa.struct([pa.field("a", pa.int8(), nullable=False), pa.field("æ", pa.string())]), "object"),
    (pa.list_(pa.struct([("a", pa.timestamp("us", "UTC"))])), "array"), (pa.map_(pa.string(), pa.int32()), "array"),
    (pa.dictionary(pa.int8(), pa.string(), ordered=True), "string"), (pa.dictionary(pa.int32(), pa.int64()), "integer"),
    (pa.timestamp("us", "Europe/Oslo"), "datetime"), (pa.timestamp("us"), "datetime"), (pa.timestamp("ns", "+01:00"), "datetime"),
    (pa.date32(), "date"), (pa.date64(), "date"), (pa.time64("us"), "time"), (pa.time32("s"), "time"),
    (pa.string(), "string"), (pa.large_string(), "string"), (pa.binary(), "string"), (pa.binary(16), "string"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), TYPES, ids=[str(kind) for kind, _ in TYPES])
def test_p14_every_type_is_described_and_read_back_equal(kind: pa.DataType, name: str) -> None:
    schema = pa.schema([pa.field("x", kind), pa.field("y", kind, nullable=pa.types.is_null(kind))])
    described = json.loads(json.dumps(to_table_schema(schema), allow_nan=False))
    jsonschema.validate(described, json.loads(PROFILE.read_text()))
    assert described["fields"][0]["type"] == name
    assert from_table_schema(described) == schema


def test_p14_plain_types_need_no_arrow_property() -> None:
    plain = pa.schema([("a", pa.int64()), ("b", pa.string()), ("c", pa.date32()), ("d", pa.float64())])
    assert not any(ARROW in field for field in to_table_schema(plain)["fields"])


def test_p14_ordered_dictionary_lists_its_categories_in_order() -> None:
    schema = pa.schema([("grad", pa.dictionary(pa.int8(), pa.string(), ordered=True))])
    [field] = to_table_schema(schema, categories={"grad": ["lav", "middels", "høy"]})["fields"]
    assert (field["categories"], field["categoriesOrdered"]) == (["lav", "middels", "høy"], True)
    assert from_table_schema({"fields": [field]}) == schema


def test_p14_empty_text_and_na_are_not_missing() -> None:
    assert to_table_schema(pa.schema([("land", pa.string())]))["missingValues"] == []


@pytest.mark.parametrize(
    "kind", [pa.month_day_nano_interval(), pa.dense_union([pa.field("a", pa.int8())])], ids=str
)
def test_p14_a_type_without_counterpart_names_its_column(kind: pa.DataType) -> None:
    with pytest.raises(TypeMapError, match="'varighet'"):
        to_table_schema(pa.schema([("varighet", kind)]))


def test_p14_names_that_occur_twice_or_are_empty_are_refused() -> None:
    with pytest.raises(InputError, match="'id'"):
        to_table_schema(pa.schema([("id", pa.int8()), ("id", pa.int8())]))
    with pytest.raises(InputError, match="without a name"):
        to_table_schema(pa.schema([("", pa.int8())]))


def test_p14_a_schema_of_another_hand_is_read() -> None:
    foreign = {
        "fields": [
            {"name": "a", "type": "string", "format": "email"},
            {"name": "b", "type": "date", "format": "%d.%m.%Y"},
            {"name": "c"},
            {"name": "d", "type": "integer", "constraints": {"required": True}},
            {"name": "e", "type": "list", "itemType": "date"},
        ]
    }
    want = [
        ("a", pa.string()),
        ("b", pa.date32()),
        ("c", pa.null()),
        ("d", pa.int64()),
        ("e", pa.list_(pa.date32())),
    ]
    found = from_table_schema(foreign)
    assert list(zip(found.names, found.types, strict=True)) == want
    assert not found.field("d").nullable


@pytest.mark.parametrize(
    "broken",
    [
        {}, {"fields": [{"type": "string"}]}, {"fields": [{"name": "x", "type": "object"}]},
        {"fields": [{"name": "x", ARROW: "nope"}]}, {"fields": [{"name": "x", ARROW: {"schema": []}}]},
        {"fields": [{"name": "x", ARROW: {"decimal128": [99, 0]}}]}, {"fields": [{"name": "x", ARROW: 7}]},
    ],
)  # fmt: skip
def test_a_broken_table_schema_is_a_descriptor_error(broken: dict[str, Any]) -> None:
    with pytest.raises(DescriptorError):
        from_table_schema(broken)


leaves = st.sampled_from([kind for kind, name in TYPES if name not in ("array", "object")])
nested = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(pa.list_),
        st.lists(st.tuples(st.text(min_size=1), inner), max_size=3, unique_by=lambda pair: pair[0]).map(
            pa.struct
        ),
        inner.map(lambda kind: pa.map_(pa.string(), kind)),
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.text(min_size=1), nested, max_size=5))
def test_p14_any_schema_survives_table_schema(columns: dict[str, pa.DataType]) -> None:
    schema = pa.schema(list(columns.items()))
    assert from_table_schema(json.loads(json.dumps(to_table_schema(schema)))) == schema
