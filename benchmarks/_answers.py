"""Do two contenders give the same rows? Compared by value, column by column, whatever the order and the type."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks._data import KINDS


def digest(table: pa.Table, name: str) -> dict[str, Any]:
    """Return rows, a checksum per column that does not depend on order, and where another type holds the values."""
    kinds = KINDS[name.partition("_x")[0]]
    found = {"rows": table.num_rows, "columns": {}, "held": {}}
    for column, kind in kinds.items():
        if column not in table.column_names:
            found["columns"][column] = "missing"
            continue
        values = table[column].combine_chunks()
        if isinstance(values.type, pa.BaseExtensionType):
            values = values.storage
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        name = kind.partition(":")[0]
        if name in ("decimal", "int") and pa.types.is_floating(values.type):
            found["held"][column] = f"{name} as float"
        elif name not in ("text", "json", "uuid") and (
            pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
        ):
            found["held"][column] = f"{name} as text"
        try:
            found["columns"][column] = _checksum(values, kind)
        except (pa.ArrowException, pl.exceptions.PolarsError, ValueError, TypeError) as error:
            found["columns"][column] = f"unreadable: {type(error).__name__} from {values.type}"
    return found


def _checksum(values: Any, kind: str) -> str:
    series = pl.Series(_canonical(values, kind)).drop_nulls()
    total = int(np.add.reduce(series.hash(7).to_numpy(), dtype=np.uint64)) if len(series) else 0
    return f"{len(series)}:{total:016x}"


def _canonical(values: Any, kind: str) -> Any:
    text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    name, _, scale = kind.partition(":")
    if name == "decimal":
        exact = pa.decimal256(60, int(scale))
        if pa.types.is_floating(values.type):
            values = pc.cast(pc.cast(values, pa.decimal256(60, int(scale)), safe=False), exact)
        elif pa.types.is_decimal(values.type):
            values = pc.cast(values, exact, safe=False)
        elif text:
            values = pc.cast(values, exact)
        return pc.cast(values, pa.string())
    if name == "int":
        if text:  # "31.0": a nullable integer that went through pandas
            values = pc.replace_substring_regex(values, r"\.0$", "")
        return pc.cast(values, pa.int64())
    if name == "float":
        return pc.cast(values, pa.float64())
    if name == "bool":
        return pc.cast(pc.utf8_lower(values), pa.bool_()) if text else pc.cast(values, pa.bool_())
    if name == "date":
        return pc.cast(values, pa.date32(), safe=False)
    if name in ("timestamp", "timestamptz"):
        if text:
            parsed = pl.Series(values).str.to_datetime(time_unit="us", strict=True)
            return parsed.dt.replace_time_zone(None).to_arrow()
        return pc.cast(
            pc.cast(values, pa.timestamp("us", getattr(values.type, "tz", None)), safe=False), pa.int64()
        )
    if name == "uuid":
        if text:
            return pc.replace_substring(pc.utf8_lower(values), "-", "")
        return pl.Series(pc.cast(values, pa.binary())).bin.encode("hex").to_arrow()
    if name == "json":
        if pa.types.is_binary(values.type):
            values = pc.cast(values, pa.string())
        return pa.array([None if v is None else json.dumps(json.loads(v) if isinstance(v, str) else v, sort_keys=True) for v in values.to_pylist()])  # fmt: skip
    if name == "list":
        return pc.binary_join(pc.cast(values, pa.list_(pa.string())), "\x1f")
    if name == "bytes":
        return pc.cast(values, pa.large_binary())
    return pc.cast(values, pa.large_string())


def same(mine: dict[str, Any], theirs: dict[str, Any]) -> str:
    """Return an empty string where the answers are the same, else what differs."""
    if mine["rows"] != theirs["rows"]:
        return f"{theirs['rows']} rows instead of {mine['rows']}"
    differing = []
    for name, mine_has in mine["columns"].items():
        theirs_has = theirs["columns"][name]
        if theirs_has != mine_has:
            differing.append(name if theirs_has[0].isdigit() else f"{name} ({theirs_has})")
    return f"differs in {', '.join(differing)}" if differing else ""
