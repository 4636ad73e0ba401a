"""The one equation system: every line of the table over its positions, equal cells merged into one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from dvengine._errors import TableError
from dvengine.privacy._structure import Axis, Structure

__all__ = ["System", "axes_of", "below", "build_system"]

Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class System:
    """Positions and the lines between them: ``lines @ value == 0``.

    Cells that hold the same inner cells (zeros that are shown left out) are one position: publishing either publishes
    both. A zero that is shown has no position. Positions stand in an order that depends on values and lines only, so that renaming codes or
    shuffling rows leaves every later choice as it was (up to true symmetries of the table).

    Attributes:
        lines: CSR, one row a line: +1 for its parts, -1 for its sum. No two rows are equal.
        value: The counts, one a position.
        position: For every cell of the frame, in its row order, the position; -1 for a zero that is shown.
        order: The frame's rows in canonical order, for whoever must not depend on that of the frame.
    """

    lines: sp.csr_array
    value: Ints
    position: Ints
    order: Ints


def below(mask: Flags, axes: Sequence[Axis]) -> Flags:
    """Return which cells of a full grid lie strictly below a marked one, along any classification or several at once."""
    shape = [len(axis.codes) for axis in axes]
    spread = mask.reshape(shape).copy()
    strictly = np.zeros(shape, dtype=np.bool_)
    for dimension, axis in enumerate(axes):
        along, deep = np.moveaxis(spread, dimension, 0), np.moveaxis(strictly, dimension, 0)
        for place in range(1, len(axis.codes)):  # a parent comes before its children
            deep[place] |= along[axis.parent[place]] | deep[axis.parent[place]]
        spread |= strictly
    return strictly.ravel()


def axes_of(frame: pl.DataFrame, structure: Structure) -> list[Axis]:
    """Return the axes of a full grid; one without rows has no codes.

    Raises:
        TableError: The frame is not a full grid.
    """
    if not frame.height:
        none = np.zeros(0, dtype=np.int64)
        return [Axis((), none, none) for _ in structure.by]
    axes = [structure.axis(name, frame[name].unique(maintain_order=True).to_list()) for name in structure.by]
    if math.prod(len(axis.codes) for axis in axes) != frame.height:
        raise TableError(
            "the table does not have one row for each combination of its codes",
            hint="take it from dvengine.tabulate or Tabulation.from_frame, unchanged",
        )
    return axes


def build_system(counts: Ints, axes: Sequence[Axis], known: Flags) -> System:
    """Build the system of a whole table.

    Args:
        counts: One a cell of the full grid, in reading order.
        axes: One a classification column.
        known: Cells whose value is shown and zero: they have no position.
    """
    if not counts.size:
        none = np.zeros(0, dtype=np.int64)
        return System(sp.csr_array((0, 0), dtype=np.int64), none, none, none)
    shape = [len(axis.codes) for axis in axes]
    grid = np.arange(counts.size, dtype=np.int64).reshape(shape)
    of_line: list[Ints] = []
    of_cell: list[Ints] = []
    sign: list[Ints] = []
    lines = 0
    for dimension, axis in enumerate(axes):
        along = np.moveaxis(grid, dimension, 0).reshape(shape[dimension], -1)
        parents = np.flatnonzero(~axis.leaf)
        width = along.shape[1]
        number = np.full(shape[dimension], -1, dtype=np.int64)
        number[parents] = np.arange(parents.size)
        below = np.flatnonzero(axis.parent >= 0)
        for rows, at, value in ((below, number[axis.parent[below]], 1), (parents, number[parents], -1)):
            of_cell.append(along[rows].ravel())
            of_line.append((lines + at[:, None] * width + np.arange(width)).ravel())
            sign.append(np.full(rows.size * width, value, dtype=np.int64))
        lines += parents.size * width
    line, cell, coefficient = (np.concatenate(parts) for parts in (of_line, of_cell, sign))
    return _merge(line, cell, coefficient, counts, lines, known)


def _merge(line: Ints, cell: Ints, coefficient: Ints, counts: Ints, lines: int, known: Flags) -> System:
    alive = ~known[cell]
    line, cell, coefficient = line[alive], cell[alive], coefficient[alive]
    # A line with one part says that the part and the sum are one number.
    lone = np.bincount(line, minlength=lines) == 2
    pick = lone[line]
    first = np.argsort(line[pick], kind="stable")
    pairs = cell[pick][first].reshape(-1, 2)
    links = sp.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(counts.size, counts.size))
    _, group = connected_components(links, directed=False)
    used = np.unique(group[~known])
    position = np.where(known, -1, np.searchsorted(used, group))
    value = np.zeros(used.size, dtype=np.int64)
    value[position[~known]] = counts[~known]
    keep = ~pick
    raw = sp.csr_array((coefficient[keep], (line[keep], position[cell[keep]])), shape=(lines, used.size))
    raw.sum_duplicates()
    raw.eliminate_zeros()
    colour = _colours(raw, value)
    rank = np.argsort(colour, kind="stable")
    place = np.empty_like(rank)
    place[rank] = np.arange(rank.size)
    value = value[rank]
    position = np.append(place, -1)[position]  # -1 stays -1
    matrix = sp.csr_array(raw[:, rank])
    matrix.sort_indices()
    matrix = _distinct_lines(matrix)
    order = np.lexsort((np.arange(counts.size), position)).astype(np.int64)
    return System(matrix, value, position.astype(np.int64), order)


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scramble 64 bits (the finaliser of SplitMix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _colours(lines: sp.csr_array, value: Ints, rounds: int = 4) -> Ints:
    """Colour positions by value and, round by round, by the colours around them (Weisfeiler and Leman's refinement)."""
    entry = lines.tocoo()
    colour = _mix(value.astype(np.uint64) * np.uint64(3) + np.uint64(0x9E3779B97F4A7C15))
    sign = _mix((entry.data + 2).astype(np.uint64))
    for _ in range(rounds):
        around = np.zeros(lines.shape[0], dtype=np.uint64)
        np.add.at(around, entry.row, _mix(colour[entry.col] ^ sign))
        back = np.zeros(value.size, dtype=np.uint64)
        np.add.at(back, entry.col, _mix(_mix(around)[entry.row] ^ sign))
        colour = _mix(colour + np.uint64(3) * back)
    # Small values first: an order a person can follow, refined where values agree.
    return np.lexsort((colour, value)).argsort(kind="stable").astype(np.int64)


def _distinct_lines(matrix: sp.csr_array) -> sp.csr_array:
    """Drop empty and repeated lines, and put the rest in an order of their content."""
    weight = _mix(np.arange(1, matrix.shape[1] + 1, dtype=np.uint64))
    entry = matrix.tocoo()
    key = np.zeros(matrix.shape[0], dtype=np.uint64)
    np.add.at(key, entry.row, weight[entry.col] * (entry.data + 2).astype(np.uint64))
    filled = np.flatnonzero(np.diff(matrix.indptr) > 0)
    _, first = np.unique(key[filled], return_index=True)
    return sp.csr_array(matrix[filled[first]])
