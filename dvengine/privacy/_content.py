"""The fingerprint of a table's content, which ties a certificate to the data."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl

from dvengine._errors import TableError

__all__ = ["table_sha256"]


def table_sha256(frame: pl.DataFrame) -> str:
    """Return the SHA-256 of the schema and rows of a table, whatever the order of its rows and columns.

    The same content gives the same text after a round through Parquet or Arrow: categories and enums count as text.

    Args:
        frame: Any frame of flat columns.

    Raises:
        TableError: A nested or opaque column.

    Example:
        >>> one = pl.DataFrame({"k": ["a", "b"], "n": [1, None]})
        >>> table_sha256(one) == table_sha256(one.reverse().select("n", "k"))
        True
        >>> table_sha256(one) == table_sha256(one.with_columns(n=pl.col("n").fill_null(0)))
        False
    """
    columns = [_plain(frame[name]) for name in sorted(frame.columns)]
    plain = pl.DataFrame(columns)
    if plain.width and plain.height:
        plain = plain.sort(plain.columns, nulls_last=False)
    digest = hashlib.sha256(f"dvengine-table-1:{plain.height}".encode())
    for column in plain.get_columns():
        digest.update(f"|{len(column.name.encode())}:{column.name}:{column.dtype}:".encode())
        digest.update(np.packbits(column.is_null().to_numpy()).tobytes())
        digest.update(_content(column))
    return digest.hexdigest()


def _plain(column: pl.Series) -> pl.Series:
    dtype = column.dtype
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        return column.cast(pl.String)
    if dtype.is_nested() or dtype in (pl.Object, pl.Binary):
        raise TableError(
            f"{column.name!r} is {dtype}, which has no place in a table",
            hint="a table has flat columns of text, numbers and times",
        )
    if dtype.is_float():
        return column + 0.0  # -0.0 and 0.0 are the same content
    return column


def _content(column: pl.Series) -> bytes:
    dtype = column.dtype
    if dtype == pl.String:
        lengths = column.str.len_bytes().fill_null(0).cast(pl.Int64).to_numpy()
        return lengths.astype("<i8").tobytes() + "".join(column.fill_null("").to_list()).encode()
    if dtype == pl.Null:
        return b""
    if dtype.is_decimal():
        return "|".join(column.cast(pl.String).fill_null("").to_list()).encode()
    if dtype.is_float():
        return column.cast(pl.Float64).fill_null(0.0).to_numpy().astype("<f8").tobytes()
    physical = column.to_physical().cast(pl.Int128 if dtype == pl.UInt64 else pl.Int64).fill_null(0)
    if dtype == pl.UInt64:
        return "|".join(map(str, physical.to_list())).encode()
    return physical.to_numpy().astype("<i8").tobytes()
