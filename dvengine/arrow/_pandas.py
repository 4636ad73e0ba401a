"""The pandas edge: dtypes follow the schema, never the values.

Out (``dtypes="exact"``): integers → Int64 and its like, booleans → boolean, text → str, dates → datetime64, timestamps →
datetime64 with their zone, durations → timedelta64, floats stay NumPy floats without a copy (so a null float is NaN),
dictionaries → Categorical, decimals and all else → Arrow-backed, exact.

In: a named index becomes columns in front; an unnamed ``RangeIndex`` is left out; any other unnamed index is an error,
because it may hold data. NaN and None become null. Attributes and metadata are left behind. The frame is never changed.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from dvengine._errors import InputError, TypeMapError
from dvengine.arrow._types import check_names, contains, plain_schema, rows_only, unified

__all__ = ["Dtypes", "from_pandas", "to_pandas"]

Dtypes = Literal["exact", "numpy", "arrow"]

_INTEGERS: dict[pa.DataType, Any] = {
    pa.int8(): pd.Int8Dtype(), pa.int16(): pd.Int16Dtype(), pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(), pa.uint16(): pd.UInt16Dtype(), pa.uint32(): pd.UInt32Dtype(), pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}  # fmt: skip


def _exact(kind: pa.DataType) -> Any:
    if kind in _INTEGERS:
        return _INTEGERS[kind]
    t = pa.types
    if t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind):
        return pd.StringDtype(na_value=np.nan)
    numpy = (t.is_floating, t.is_timestamp, t.is_date, t.is_duration, t.is_dictionary)
    return None if any(is_kind(kind) for is_kind in numpy) else pd.ArrowDtype(kind)


def to_pandas(table: pa.Table, *, dtypes: Dtypes = "exact") -> pd.DataFrame:
    """Return a pandas frame whose dtypes follow from the schema alone.

    Args:
        table: Columns with distinct names.
        dtypes: ``exact`` as the module says; ``arrow`` has every column Arrow-backed; ``numpy`` is pandas' classic form, where
            an integer with nulls becomes float64 and dates and decimals become Python objects.

    Raises:
        TypeMapError: ``numpy`` would change a value: an integer beyond 2**53 beside a null, or a date outside its range.

    Example:
        >>> to_pandas(pa.table({"n": pa.array([9007199254740993, None])}))["n"].dtype
        Int64Dtype()
    """
    check_names(table.column_names)
    if dtypes not in ("exact", "numpy", "arrow"):
        raise InputError("dtypes must be 'exact', 'numpy' or 'arrow'")
    if not table.column_names:
        return pd.DataFrame(index=pd.RangeIndex(table.num_rows))
    table = table.replace_schema_metadata(None)
    if dtypes == "arrow":
        return table.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
    extensions = [f.name for f in table.schema if isinstance(f.type, pa.BaseExtensionType)]
    for name in extensions:
        position = table.column_names.index(name)
        column: Any = table.column(position)
        storage = pa.chunked_array([c.storage for c in column.chunks], column.type.storage_type)
        table = table.set_column(position, name, storage)
    table = unified(table)
    if dtypes == "numpy":
        _refuse_lossy_floats(table)
    try:
        return table.to_pandas(
            types_mapper=_exact if dtypes == "exact" else None,
            date_as_object=dtypes == "numpy",
            ignore_metadata=True,
            split_blocks=dtypes == "exact",
        )
    except (pa.ArrowException, ValueError, OverflowError, TypeError):
        raise TypeMapError(
            f"a column cannot be shown exactly in pandas with dtypes={dtypes!r}",
            hint="use dtypes='arrow', which keeps every Arrow type",
        ) from None


def _refuse_lossy_floats(table: pa.Table) -> None:
    for field, column in zip(table.schema, table.columns, strict=True):
        if not pa.types.is_integer(field.type) or not column.null_count or field.type.bit_width < 64:
            continue
        try:
            column.cast(pa.float64())  # a safe cast refuses integers that a float cannot hold
        except pa.ArrowInvalid:
            raise TypeMapError(
                f"column {field.name!r} has nulls and integers that float64 cannot hold exactly",
                hint="use dtypes='exact' (Int64) or 'arrow'",
            ) from None


def from_pandas(frame: pd.DataFrame) -> pa.Table:
    """Return an Arrow table with the frame's columns, exactly; the module says what happens to the index.

    Raises:
        InputError: Labels that are not one distinct text each, or an index that may hold data but has no name.
        TypeMapError: A column mixes types, or its type has no counterpart; the message names the column, never a value.

    Example:
        >>> from_pandas(pd.DataFrame({"n": [12]}, index=pd.Index(["0301"], name="kommune"))).column_names
        ['kommune', 'n']
    """
    columns = [*_index_columns(frame), *_labelled(frame)]
    check_names([name for name, _ in columns], what="the frame, its index included,")
    if not columns:
        return pa.Table.from_batches([rows_only(len(frame))])
    table = pa.table([_column(name, values) for name, values in columns], names=[name for name, _ in columns])
    return table.cast(plain_schema(table.schema))


def _labelled(frame: pd.DataFrame) -> list[tuple[str, Any]]:
    if isinstance(frame.columns, pd.MultiIndex):
        raise InputError(
            "the frame has columns in several levels",
            hint="join the levels first: frame.columns = ['_'.join(map(str, c)) for c in frame.columns]",
        )
    labels = list(frame.columns)
    texts = [str(label) for label in labels]
    for text, count in Counter(texts).items():
        same = [label for label in labels if str(label) == text]
        if count > 1 and len(set(map(type, same))) > 1:
            raise InputError(
                f"two columns would both be named {text!r}: {' and '.join(repr(label) for label in same)}",
                hint="rename one of them",
            )
    return [(text, frame.iloc[:, i]) for i, text in enumerate(texts)]


def _index_columns(frame: pd.DataFrame) -> list[tuple[str, Any]]:
    index = frame.index
    names = list(index.names)
    if names == [None] and (isinstance(index, pd.RangeIndex) or len(index) == 0):
        return []
    if any(name is None for name in names):
        raise InputError(
            "the frame has an index without a name, which may hold data",
            hint="frame.rename_axis('name') keeps it as a column; frame.reset_index(drop=True) leaves it out",
        )
    return [(str(name), index.get_level_values(i).to_series()) for i, name in enumerate(names)]


def _column(name: str, values: pd.Series[Any]) -> Any:
    dtype = values.dtype
    if isinstance(dtype, pd.SparseDtype) or (isinstance(dtype, np.dtype) and dtype.kind == "c"):
        raise TypeMapError(
            f"column {name!r} is {'sparse' if isinstance(dtype, pd.SparseDtype) else 'complex'}, which has no Arrow counterpart",
            hint="make it dense (.sparse.to_dense()), or split it into real and imaginary parts",
        )
    if isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype):
        texts = values.astype(str).astype(object).where(values.notna(), None)
        return pa.array(texts, pa.string())
    try:
        out = pa.array(values, from_pandas=True)
    except UnicodeEncodeError:
        raise _surrogate(name, values) from None
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise TypeMapError(
            f"column {name!r} mixes types, or holds objects that Arrow has no type for",
            hint="give the column one type first, for example with .astype(…)",
        ) from None
    if contains(out.type, lambda kind: isinstance(kind, pa.BaseExtensionType)):
        raise TypeMapError(
            f"column {name!r} has type {dtype}, which cannot be described in a package",
            hint="make it text first: .astype(str)",
        )
    return out


def _surrogate(name: str, values: pd.Series[Any]) -> TypeMapError:
    for row, value in enumerate(values):
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                return TypeMapError(
                    f"column {name!r} holds text that is not valid Unicode, in row {row} (counted from 0)",
                    hint="the text has half a surrogate pair; decode the original again with the right encoding",
                )
    return TypeMapError(f"column {name!r} holds text that is not valid Unicode")
