"""The audit's own reading of what adds up to what, from the rows of a frame and its structure alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

from dvengine.privacy._structure import Structure

__all__ = ["lines_of", "rows_below", "with_sums"]


def lines_of(keys: pl.DataFrame, structure: Structure) -> sp.csr_array:
    """Return the lines over the rows: +1 for the parts, -1 for their sum.

    A sum that has no row gives no line; a part that has no row is taken for zero.

    Args:
        keys: The classification columns, one row a cell.
        structure: What adds up to what.
    """
    parts = []
    seen = 0
    for child, parent in _steps(keys, structure):
        sums, line = np.unique(parent, return_inverse=True)
        entries = np.concatenate([np.ones(child.size, dtype=np.int64), -np.ones(sums.size, dtype=np.int64)])
        rows = np.concatenate([line, np.arange(sums.size)])
        parts.append(
            sp.csr_array((entries, (rows, np.concatenate([child, sums]))), shape=(sums.size, keys.height))
        )
        seen += sums.size
    return sp.csr_array(sp.vstack(parts)) if seen else sp.csr_array((0, keys.height), dtype=np.int64)


def with_sums(keys: pl.DataFrame, structure: Structure) -> pl.DataFrame:
    """Return the rows, and after them one for each sum above them that has none.

    Whoever knows the parts and the grand total can do without the sums between.
    """
    for name in structure.by:
        fresh = keys
        while fresh.height:
            lower, up = _raised(fresh, name, structure)
            fresh = lower.with_columns(up).unique(maintain_order=True).join(keys, on=keys.columns, how="anti", nulls_equal=True)  # fmt: skip
            keys = keys.vstack(fresh)
    return keys


def rows_below(
    keys: pl.DataFrame, structure: Structure, marked: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return the rows below a marked row, along any classification, at any depth."""
    steps = _steps(keys, structure)
    below = np.zeros(keys.height, dtype=np.bool_)
    while True:
        grown = below.copy()
        for child, parent in steps:
            grown[child] |= marked[parent] | grown[parent]
        if (grown == below).all():
            return below
        below = grown


def _steps(
    keys: pl.DataFrame, structure: Structure
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Pair each row with the row one level up, once for each classification."""
    names = list(structure.by)
    rows = keys.select(names).with_row_index("row")
    steps = []
    for name in names:
        lower, up = _raised(rows, name, structure)
        pairs = lower.with_columns(up).join(rows, on=names, how="inner", nulls_equal=True, suffix="_up", maintain_order="left")  # fmt: skip
        steps.append((pairs["row"].cast(pl.Int64).to_numpy(), pairs["row_up"].cast(pl.Int64).to_numpy()))
    return steps


def _raised(rows: pl.DataFrame, name: str, structure: Structure) -> tuple[pl.DataFrame, pl.Expr]:
    """Return the rows that have something above them along a classification, and what takes each one level up."""
    tree, total = structure.hierarchies.get(name, {}), structure.total
    up = pl.col(name).replace_strict(tree, default=total, return_dtype=pl.String) if tree else pl.lit(total, pl.String)  # fmt: skip
    return rows.filter(pl.col(name).is_null() | (pl.col(name) != total)), up.alias(name)
