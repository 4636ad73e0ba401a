"""Who can move whom: the conditions that every pattern must meet, as rows of a program."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

__all__ = ["move_conditions"]

Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Beyond this many entries a line goes through a helper column; written out, it would grow with the square of its length.
_LONG = 144


def move_conditions(
    lines: sp.csr_array,
    given: Flags,
    target: Flags,
    up: Flags,
    down: Flags,
    moved_up: Flags,
    moved_down: Flags,
) -> tuple[sp.csr_array, Floats, Flags]:
    """Return rows ``matrix @ columns >= floor``, and the targets that no known move settles.

    The columns are, for each position: hidden; can rise; can fall; then helpers of long lines. ``up`` and ``down`` say which
    positions may move so but are not known to, ``moved_up`` and ``moved_down`` which are known.
    """
    size = given.size
    rows = _Rows(3 * size)
    rise, fall = size, 2 * size
    free = np.concatenate([np.zeros(size, dtype=np.bool_), up, down])
    sure = np.concatenate([np.zeros(size, dtype=np.bool_), moved_up, moved_down])
    for line in range(lines.shape[0]):
        span = slice(lines.indptr[line], lines.indptr[line + 1])
        members, part = lines.indices[span].astype(np.int64), lines.data[span] > 0
        for way in (True, False):
            # A rise of a part (or fall of the sum) is answered by a fall of another part (or rise of the sum); and mirrored.
            moves = members + np.where(part == way, rise, fall)
            answers = members + np.where(part == way, fall, rise)
            known = sure[answers]
            ask = free[moves] & (known.sum() - known <= 0)
            rows.answer(moves[ask], answers[ask], answers[free[answers]], free)
    open_ = target & ~moved_up & ~moved_down
    for cell in np.flatnonzero(open_):
        rows.cover([rise + cell, fall + cell])
    _lone(rows, lines, given, target)
    for side, can in ((rise, up), (fall, down)):
        for cell in np.flatnonzero(can & ~given):
            rows.imply(side + cell, [cell])
    matrix, floor = rows.matrix()
    return matrix, floor, open_


def _lone(rows: _Rows, lines: sp.csr_array, given: Flags, target: Flags) -> None:
    """No line has a lone hidden cell: implied for whole solutions, but the relaxation is far tighter with it said."""
    entry = lines.tocoo()
    number = np.bincount(entry.row, weights=given[entry.col], minlength=lines.shape[0])
    lone = target[entry.col] & (number[entry.row] == 1)
    for line in np.unique(entry.row[lone]):
        members = lines.indices[lines.indptr[line] : lines.indptr[line + 1]]
        rows.cover(members[~given[members]].tolist())


class _Rows:
    """Rows of a sparse matrix under construction."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._at: list[npt.NDArray[np.int64]] = []
        self._value: list[Floats] = []
        self._floor: list[float] = []

    def cover(self, columns: Sequence[int]) -> None:
        """At least one of the columns."""
        self._add(np.asarray(columns, dtype=np.int64), np.ones(len(columns)), 1.0)

    def imply(self, column: int, needs: Sequence[int] | Ints) -> None:
        """The column only with one of those it needs."""
        self._add(np.append(needs, column).astype(np.int64), np.append(np.ones(len(needs)), -1.0), 0.0)

    def answer(self, moves: Ints, own: Ints, pool: Ints, free: Flags) -> None:
        """Each move only with an answer out of the pool other than by the position itself."""
        if moves.size * pool.size <= _LONG:
            for move, mine in zip(moves.tolist(), own.tolist(), strict=True):
                self.imply(move, pool[pool != mine])
            return
        helper = self._columns
        self._columns += 1
        self.imply(helper, pool)
        for move, mine in zip(moves.tolist(), own.tolist(), strict=True):
            minus = [move, mine] if free[mine] else [move]
            self._add(np.array([helper, *minus]), np.array([1.0, *[-1.0] * len(minus)]), 0.0)

    def matrix(self) -> tuple[sp.csr_array, Floats]:
        """Return the rows and their floors."""
        if not self._floor:
            return sp.csr_array((0, self._columns)), np.zeros(0)
        starts = np.concatenate([[0], np.cumsum([at.size for at in self._at])])
        data = (np.concatenate(self._value), np.concatenate(self._at), starts)
        return sp.csr_array(data, shape=(len(self._floor), self._columns)), np.asarray(self._floor)

    def _add(self, at: npt.NDArray[np.int64], value: Floats, floor: float) -> None:
        self._at.append(at)
        self._value.append(value)
        self._floor.append(floor)
