"""Arrow schemas as Table Schema (Data Package version 2) and back, without loss.

Table Schema's types are coarser than Arrow's. Where a field's Table Schema type alone would be read back as another Arrow
type, the field carries ``dvengine:arrow``, which spells the Arrow type: a name (``"int16"``), or one name with its
parameters (``{"decimal128": [18, 4]}``, ``{"timestamp": ["us", "Europe/Oslo"]}``, ``{"list": {…field…}}``). Other tools may
ignore it.

| Arrow | Table Schema | by itself read back as |
|---|---|---|
| integers | integer | int64 |
| decimals, floats | number | float64 |
| boolean | boolean | bool |
| text; binary (base64) | string; string, format binary | string; binary |
| dictionary of texts | string (``categories`` where they are known) | string |
| date; time; timestamp | date; time; datetime | date32; time64[us]; timestamp[us] |
| duration | duration | duration[us] |
| list; map; struct | array; array; object | no type of their own |
| null | any | null |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from dvengine._errors import DescriptorError, TypeMapError
from dvengine.arrow._types import check_names

__all__ = ["ARROW", "from_table_schema", "to_table_schema", "type_from_json", "type_to_json"]

#: The field property that spells the Arrow type.
ARROW = "dvengine:arrow"

_PLAIN: dict[str, pa.DataType] = {
    str(kind): kind
    for kind in (
        pa.null(), pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(),
        pa.float32(), pa.float64(), pa.string(), pa.large_string(), pa.binary(), pa.large_binary(),
    )
} | {"date32": pa.date32(), "date64": pa.date64(), "float16": pa.float16()}  # fmt: skip
_NAMES = {kind: name for name, kind in _PLAIN.items()}
#: What a Table Schema type means where nothing else is said. ``list`` depends on its items.
_DEFAULTS: dict[tuple[str, str | None], pa.DataType] = {
    ("integer", None): pa.int64(), ("number", None): pa.float64(), ("boolean", None): pa.bool_(), ("string", None): pa.string(),
    ("string", "binary"): pa.binary(), ("date", None): pa.date32(), ("time", None): pa.time64("us"),
    ("datetime", None): pa.timestamp("us"), ("duration", None): pa.duration("us"), ("any", None): pa.null(),
    ("year", None): pa.int64(), ("yearmonth", None): pa.string(), ("geopoint", None): pa.string(), ("geojson", None): pa.string(),
}  # fmt: skip


def to_table_schema(
    schema: pa.Schema, *, categories: Mapping[str, Sequence[Any]] | None = None
) -> dict[str, Any]:
    """Return the Table Schema of an Arrow schema, such that `from_table_schema` gives the same types back.

    ``missingValues`` is empty: in Parquet a null is a null, ``""`` is empty text, and ``"NA"`` is Namibia.

    Args:
        schema: With distinct, non-empty names.
        categories: The known categories of dictionary columns, in their order.

    Raises:
        TypeMapError: A type that cannot be described; the message names the column.
        InputError: Names that are empty or occur twice.

    Example:
        >>> to_table_schema(pa.schema([("kommune", pa.string()), ("sats", pa.decimal128(9, 2))]))["fields"]
        [{'name': 'kommune', 'type': 'string'}, {'name': 'sats', 'type': 'number', 'dvengine:arrow': {'decimal128': [9, 2]}}]
    """
    check_names(schema.names, what="the table")
    known = categories or {}
    return {"fields": [_field(field, known.get(field.name)) for field in schema], "missingValues": []}


def _field(field: pa.Field[Any], categories: Sequence[Any] | None) -> dict[str, Any]:
    out: dict[str, Any] = {"name": field.name, **_described(field.type, field.name)}
    if pa.types.is_dictionary(field.type) and categories is not None:
        out["categories"] = list(categories)
        out["categoriesOrdered"] = bool(field.type.ordered)
    if _default(out) != field.type:
        out[ARROW] = type_to_json(field.type, column=field.name)
    if not field.nullable:
        out["constraints"] = {"required": True}
    return out


def _described(kind: Any, column: str) -> dict[str, Any]:
    t = pa.types
    if t.is_dictionary(kind):
        return _described(kind.value_type, column)
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        _described(kind.value_type, column)
        # Version 2 has a list type, but the published 2.0 profile does not accept it.
        return {"type": "array"}
    for name, tests in (
        ("any", (t.is_null,)), ("boolean", (t.is_boolean,)), ("integer", (t.is_integer,)),
        ("number", (t.is_floating, t.is_decimal)), ("string", (t.is_string, t.is_large_string)), ("date", (t.is_date,)),
        ("time", (t.is_time,)), ("datetime", (t.is_timestamp,)), ("duration", (t.is_duration,)), ("object", (t.is_struct,)),
        ("array", (t.is_map,)),
    ):  # fmt: skip
        if any(test(kind) for test in tests):
            return {"type": name}
    if t.is_binary(kind) or t.is_large_binary(kind) or t.is_fixed_size_binary(kind):
        return {"type": "string", "format": "binary"}
    raise TypeMapError(
        f"column {column!r} is {kind}, which Table Schema cannot describe",
        hint="cast it first; an interval of months, for example, to ISO-8601 text",
    )


def type_to_json(kind: Any, *, column: str = "?") -> str | dict[str, Any]:
    """Spell an Arrow type in JSON.

    Example:
        >>> type_to_json(pa.timestamp("us", "Europe/Oslo"))
        {'timestamp': ['us', 'Europe/Oslo']}
    """
    t = pa.types
    if kind in _NAMES:
        return _NAMES[kind]
    if t.is_decimal(kind):
        return {f"decimal{kind.bit_width}": [kind.precision, kind.scale]}
    if t.is_timestamp(kind):
        return {"timestamp": [kind.unit, kind.tz]}
    if t.is_time(kind) or t.is_duration(kind):
        name = "duration" if t.is_duration(kind) else f"time{kind.bit_width}"
        return {name: [kind.unit]}
    if t.is_fixed_size_binary(kind):
        return {"fixed_size_binary": [kind.byte_width]}
    if t.is_dictionary(kind):
        inside = [type_to_json(kind.index_type, column=column), type_to_json(kind.value_type, column=column)]
        return {"dictionary": [*inside, bool(kind.ordered)]}
    if t.is_fixed_size_list(kind):
        return {"fixed_size_list": [_inner(kind.value_field, column), kind.list_size]}
    if t.is_list(kind) or t.is_large_list(kind):
        return {"large_list" if t.is_large_list(kind) else "list": [_inner(kind.value_field, column)]}
    if t.is_struct(kind):
        return {"struct": [_inner(kind.field(i), column) for i in range(kind.num_fields)]}
    if t.is_map(kind):
        inside = [_inner(kind.key_field, column), _inner(kind.item_field, column)]
        return {"map": [*inside, bool(kind.keys_sorted)]}
    raise TypeMapError(f"column {column!r} is {kind}, which cannot be described", hint="cast it first")


def _inner(field: pa.Field[Any], column: str) -> dict[str, Any]:
    spelled = {"name": field.name, "type": type_to_json(field.type, column=column)}
    return spelled if field.nullable else {**spelled, "nullable": False}


def from_table_schema(descriptor: Mapping[str, Any]) -> pa.Schema:
    """Return the Arrow schema that a Table Schema describes, whoever wrote it.

    Raises:
        DescriptorError: Not a Table Schema, or a type that is not known.

    Example:
        >>> from_table_schema({"fields": [{"name": "antall", "type": "integer"}]})
        antall: int64
    """
    fields = descriptor.get("fields")
    if not isinstance(fields, list) or not all(
        isinstance(field, Mapping) and "name" in field for field in fields
    ):
        raise DescriptorError(
            "a Table Schema lists its fields, each with a name", hint="see datapackage.org/standard"
        )
    return pa.schema([_read(field) for field in fields])


def _read(field: Mapping[str, Any]) -> pa.Field[Any]:
    required = bool(field.get("constraints", {}).get("required", False))
    kind = type_from_json(field[ARROW]) if ARROW in field else _default(field)
    if kind is None:
        raise DescriptorError(
            f"field {field['name']!r} has type {field.get('type')!r}, which has no one Arrow type",
            hint=f"array and object need {ARROW!r}, which spells what is in them",
        )
    return pa.field(str(field["name"]), kind, nullable=not required)


def _default(field: Mapping[str, Any]) -> pa.DataType | None:
    kind, form = field.get("type", "any"), field.get("format")
    if kind == "list":
        item = _DEFAULTS.get((field.get("itemType", "string"), None))
        return None if item is None else pa.list_(item)
    # Any other format (email, uri, a date pattern) says how text is spelled, not what it is.
    return _DEFAULTS.get((kind, form)) or _DEFAULTS.get((kind, None))


def type_from_json(spelled: Any) -> Any:
    """Read a type that `type_to_json` spelled.

    Raises:
        DescriptorError: Not such a spelling.
    """
    make: Any = pa
    try:
        if isinstance(spelled, str):
            return _PLAIN[spelled]
        [(name, given)] = spelled.items()
        if name == "dictionary":
            return make.dictionary(type_from_json(given[0]), type_from_json(given[1]), given[2])
        if name in ("list", "large_list"):
            return (make.list_ if name == "list" else make.large_list)(_outer(given[0]))
        if name == "fixed_size_list":
            return make.list_(_outer(given[0]), given[1])
        if name == "struct":
            return make.struct([_outer(field) for field in given])
        if name == "map":
            return make.map_(_outer(given[0]), _outer(given[1]), given[2])
        if name == "fixed_size_binary":
            return make.binary(*given)
        if name not in ("timestamp", "duration", "time32", "time64") and not name.startswith("decimal"):
            raise KeyError(name)
        return getattr(make, name)(*given)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError):
        raise DescriptorError(
            f"{ARROW!r} does not spell an Arrow type",
            hint="it is written by dvengine; do not edit it by hand",
        ) from None


def _outer(field: Mapping[str, Any]) -> pa.Field[Any]:
    return pa.field(field["name"], type_from_json(field["type"]), nullable=field.get("nullable", True))
