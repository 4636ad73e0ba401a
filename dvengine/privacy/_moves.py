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
    sure_up: Flags,
    sure_down: Flags,
    directed: Flags,
) -> tuple[sp.csr_array, Floats, Flags]:
    """Return rows ``matrix @ columns >= floor``, and the targets that no known move settles.

    The columns are, for each position: hidden; can rise; can fall; then helpers of long lines. A position that is not
    ``directed`` is taken to move as it likes once it is hidden, if any other in each of its lines moves: a weaker condition,
    and a far smaller program.

    Args:
        lines: Of the system.
        given: Positions hidden anyway.
        target: Those to protect.
        up: Positions that may rise but are not known to.
        down: The same for falling.
        sure_up: Positions known to rise.
        sure_down: Positions known to fall.
        directed: Positions for which each way is told apart; all of ``given`` must be.
    """
    size = given.size
    rows = _Rows(3 * size)
    own = np.arange(size)
    rise, fall = np.where(directed, size + own, own), np.where(directed, 2 * size + own, own)
    loose = ~directed & (up | down)
    can_up, can_down = np.where(directed, up, loose), np.where(directed, down, loose)
    for line in range(lines.shape[0]):
        span = slice(lines.indptr[line], lines.indptr[line + 1])
        members, part = lines.indices[span].astype(np.int64), lines.data[span] > 0
        pools = []
        known_any = 0
        for way in (True, False):
            # A rise of a part (or fall of the sum) is answered by a fall of another part (or rise of the sum); and mirrored.
            same = part == way
            moves, answers = (
                np.where(same, one[members], other[members]) for one, other in ((rise, fall), (fall, rise))
            )
            may = np.where(same, can_up[members], can_down[members])
            can = np.where(same, can_down[members], can_up[members])
            sure = np.where(same, sure_down[members], sure_up[members])
            ask = may & directed[members] & (sure.sum() - sure <= 0)
            rows.answer(moves[ask], np.where(can, answers, -1)[ask], answers[can])
            pools.append(answers[can])
            known_any += int(sure.sum())
        if not known_any:
            ask = members[loose[members]]
            rows.answer(ask, ask, np.unique(np.concatenate(pools)))
    open_ = target & ~sure_up & ~sure_down
    for cell in np.flatnonzero(open_):
        rows.cover([int(rise[cell]), int(fall[cell])])
    _lone(rows, lines, given, target)
    for side, can in ((rise, up), (fall, down)):
        for cell in np.flatnonzero(can & directed & ~given):
            rows.imply(int(side[cell]), [int(cell)])
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

    def answer(self, moves: Ints, own: Ints, pool: Ints) -> None:
        """Each move only with an answer out of the pool other than by the position itself (``own``; -1: not in the pool)."""
        if moves.size * pool.size <= _LONG:
            for move, mine in zip(moves.tolist(), own.tolist(), strict=True):
                self.imply(move, pool[pool != mine])
            return
        helper = self._columns
        self._columns += 1
        self.imply(helper, pool)
        for move, mine in zip(moves.tolist(), own.tolist(), strict=True):
            minus = [move, mine] if mine not in (-1, move) else [move]
            worth = [-2.0] if mine == move else [-1.0] * len(minus)
            self._add(np.array([helper, *minus]), np.array([1.0, *worth]), 0.0)

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
