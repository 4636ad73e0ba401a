"""Exact casts and guards: names that occur once, casts that lose nothing, errors that show no value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dvengine._errors import InputError, TypeMapError

_make: Any = pa  # the stubs know types only where they are spelled out; here they are computed

__all__ = [
    "apply_types",
    "cast_array",
    "cast_batch",
    "check_case",
    "check_names",
    "contains",
    "fixed_zone",
    "plain_schema",
    "plain_type",
    "rows_only",
    "unified",
    "with_schema",
]


def check_names(names: Sequence[str], *, what: str = "the data") -> None:
    """Raise if a column name occurs twice or is empty: no exit but Arrow's own could keep it.

    Raises:
        InputError: Lists the names; the hint shows how to alias.

    Example:
        >>> check_names(["id", "navn"])
    """
    if "" in names:
        raise InputError(
            f"{what} has a column without a name",
            hint="give every column a name, for example with rename_columns",
        )
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError(
            f"{what} has more than one column named {', '.join(map(repr, twice))}",
            hint=f'give each column its own name, for example: select a.{twice[0]} as "{twice[0]}_1", …',
        )


def check_case(names: Sequence[str], *, what: str) -> None:
    """Raise if two names differ by letter case only, for an engine that folds case."""
    folded = Counter(name.casefold() for name in names)
    mixed = sorted(name for name in names if folded[name.casefold()] > 1)
    if mixed:
        raise InputError(
            f"{what} has columns whose names differ by letter case only: {', '.join(map(repr, mixed))}",
            hint="SQL here does not tell them apart; rename one of them first, with pipe(lambda lf: lf.rename(…))",
        )


def contains(kind: pa.DataType, test: Callable[[pa.DataType], bool]) -> bool:
    """Whether a type, or any type inside it, passes the test.

    Example:
        >>> contains(pa.list_(pa.decimal256(50, 2)), pa.types.is_decimal256)
        True
    """
    if test(kind):
        return True
    if isinstance(kind, pa.BaseExtensionType):
        return contains(kind.storage_type, test)
    if pa.types.is_dictionary(kind):
        return contains(kind.value_type, test)
    if pa.types.is_run_end_encoded(kind):
        return contains(kind.value_type, test)
    return any(contains(kind.field(i).type, test) for i in range(kind.num_fields))


def fixed_zone(zone: str | None) -> str | None:
    """Return the one spelling of a zone: ``Etc/UTC`` is UTC, and ``Etc/GMT-1`` is +01:00.

    Example:
        >>> fixed_zone("Etc/GMT-1"), fixed_zone("Etc/UTC"), fixed_zone("Europe/Oslo")
        ('+01:00', 'UTC', 'Europe/Oslo')
    """
    if zone in ("Etc/UTC", "Etc/UCT", "Zulu", "Etc/GMT", "GMT"):
        return "UTC"
    if zone and zone.startswith(("Etc/GMT+", "Etc/GMT-")) and zone[8:].isdigit():
        return f"{'-' if zone[7] == '+' else '+'}{int(zone[8:]):02d}:00"
    return zone


def plain_type(kind: Any) -> Any:
    """Return the type as this house spells it: 32-bit offsets, one spelling of zones, no views.

    Engines hand back ``large_string`` and ``string_view`` for what went in as ``string``; the values are the same.

    Example:
        >>> plain_type(pa.list_(pa.large_string()))
        ListType(list<item: string>)
    """
    t, make = pa.types, _make
    if t.is_large_string(kind) or t.is_string_view(kind):
        return pa.string()
    if t.is_large_binary(kind) or t.is_binary_view(kind):
        return pa.binary()
    if t.is_timestamp(kind):
        return make.timestamp(kind.unit, fixed_zone(kind.tz))
    if t.is_list(kind) or t.is_large_list(kind):
        return pa.list_(_plain_field(kind.value_field))
    if t.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind.value_field), kind.list_size)
    if t.is_struct(kind):
        return pa.struct([_plain_field(kind.field(i)) for i in range(kind.num_fields)])
    if t.is_map(kind):
        return make.map_(plain_type(kind.key_type), _plain_field(kind.item_field))
    if t.is_dictionary(kind):
        return make.dictionary(kind.index_type, plain_type(kind.value_type), kind.ordered)
    return kind


def _plain_field(field: pa.Field[Any]) -> pa.Field[Any]:
    ours = {key: value for key, value in (field.metadata or {}).items() if key.startswith(b"dvengine.")}
    return pa.field(field.name, plain_type(field.type), field.nullable, ours or None)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema without foreign metadata: what pandas, Polars and drivers leave there must not reach a package."""
    return pa.schema([_plain_field(field) for field in schema])


def rows_only(count: int) -> pa.RecordBatch:
    """Return a batch of rows without columns.

    Example:
        >>> rows_only(2).num_rows
        2
    """
    empty: Any = pa.array([{}] * count, pa.struct([]))
    return pa.RecordBatch.from_struct_array(empty)


def unified(table: pa.Table) -> pa.Table:
    """Return the table with one dictionary a column, none of which holds a null: a null is a missing index.

    Example:
        >>> first, second = pa.array(["a"]).dictionary_encode(), pa.array(["b"]).dictionary_encode()
        >>> unified(pa.table({"k": pa.chunked_array([first, second])}))["k"].chunk(1).dictionary.to_pylist()
        ['a', 'b']
    """
    for position, field in enumerate(table.schema):
        column: Any = table.column(position)
        if pa.types.is_dictionary(field.type) and any(chunk.dictionary.null_count for chunk in column.chunks):
            chunks = [_without_null(chunk, field.type) for chunk in column.chunks]
            table = table.set_column(position, field, _make.chunked_array(chunks, field.type))
    try:
        return table.unify_dictionaries()
    except pa.ArrowNotImplementedError:
        return table  # dictionaries inside lists and structs stay as they are


def _without_null(chunk: Any, kind: Any) -> Any:
    values = chunk.dictionary.drop_null()
    places = pc.index_in(chunk.dictionary_decode(), values).cast(kind.index_type)
    return _make.DictionaryArray.from_arrays(places, values, ordered=kind.ordered)


def with_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the batch under exactly ``schema``, which names the same columns in the same order.

    Raises:
        TypeMapError: A column cannot be cast exactly; the message names it.
    """
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    if not schema.names:
        return batch
    return pa.RecordBatch.from_arrays(
        [cast_array(c, f.type, column=f.name) for c, f in zip(batch.columns, schema, strict=True)],
        schema=schema,
    )


def cast_batch(batch: pa.RecordBatch, types: dict[str, pa.DataType]) -> pa.RecordBatch:
    """Return the batch with some columns cast exactly."""
    return with_schema(batch, apply_types(batch.schema, types))


def apply_types(schema: pa.Schema, types: dict[str, pa.DataType]) -> pa.Schema:
    """Return the schema with some columns' types replaced.

    Raises:
        InputError: A type is asked for a column that is not there.
    """
    missing = sorted(set(types) - set(schema.names))
    if missing:
        raise InputError(
            f"types are given for columns that are not there: {', '.join(map(repr, missing))}",
            hint="the columns are: " + ", ".join(schema.names),
        )
    return pa.schema([f.with_type(types.get(f.name, f.type)) for f in schema])


def cast_array(array: Any, kind: Any, *, column: str) -> Any:
    """Cast, losing nothing.

    Guarantees: an overflow, a cut fraction or digit, a sub-unit of time, or text that is not a number raises; the message
    names the column and the types, never the value. A decimal is never made a float.

    Raises:
        TypeMapError: There is no exact counterpart.

    Example:
        >>> cast_array(pa.array(["1.50", None]), pa.decimal128(9, 2), column="sats").to_pylist()
        [Decimal('1.50'), None]
    """
    have = array.type
    if have == kind:
        return array
    try:
        if isinstance(have, pa.BaseExtensionType):
            return cast_array(array.storage, kind, column=column)
        if (
            contains(kind, pa.types.is_floating)
            and contains(have, pa.types.is_decimal)
            and not contains(have, pa.types.is_floating)
        ):
            raise TypeMapError(
                f"column {column!r} is {have} and would lose digits as {kind}",
                hint="ask for a decimal type or string; floats are approximate",
            )
        if pa.types.is_dictionary(kind) and not pa.types.is_dictionary(have):
            plain = cast_array(array, kind.value_type, column=column)
            return _dictionary(plain.dictionary_encode(), kind)
        if pa.types.is_dictionary(kind):
            return _dictionary(array, kind)
        if pa.types.is_integer(have) and pa.types.is_floating(kind):
            out = array.cast(kind)
            if not out.cast(have).equals(array):
                raise pa.ArrowInvalid("inexact")
            return out
        return array.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        raise TypeMapError(
            f"column {column!r} cannot be cast exactly from {have} to {kind}",
            hint="ask for a wider type, or string",
        ) from None


def _dictionary(array: Any, kind: Any) -> Any:
    return pa.DictionaryArray.from_arrays(
        array.indices.cast(kind.index_type), array.dictionary.cast(kind.value_type), ordered=kind.ordered
    )
