"""The audit's engine: tables that agree with everything published, found by linear and integer programs."""

from __future__ import annotations

import time
from typing import Literal

import highspy._core
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

__all__ = ["Probe"]

#: The wrapper around it prints a banner when made; this class is silent.
Solver = highspy._core._Highs

Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_NEAR = 1e-6
#: Rounds of random directions that bring little before the joint search goes on to integer programs, and before it ends.
_QUIET = 4, 2
_ROUNDS = 60
#: The same where the search roams, and after how many rounds it goes on from another table.
_ROAMING_QUIET = 16, 4
_ROAMING_ROUNDS = 400
_STAY = 4


class Probe:
    """All that is known so far of how far each hidden cell can move.

    A move is a whole-number vector over the hidden cells that every line sends to zero and that keeps every cell within its
    bounds, so that the table plus the move agrees with all that is published; each is checked in 64-bit integers. Two moves that
    differ by ``width`` in a cell prove that cell. A linear program alone proves nothing: a cell that real tables spread from 3
    to 4 may be exactly 3 in every whole one.

    Attributes:
        low, high: The ends reached by moves.
        solver: Name and version.
    """

    def __init__(self, lines: sp.csr_array, base: Ints, lower: Floats, upper: Floats, *, seed: int) -> None:
        filled = np.diff(lines.indptr) > 0
        self._lines = sp.csr_array(lines[np.flatnonzero(filled)])
        self._base = base
        self._down, self._up = lower - base, upper - base
        self._random = np.random.default_rng(seed)
        self.low, self.high = base.copy(), base.copy()
        self._highs = self._model(self._down, self._up, whole=False)
        self._roams = False
        self.solver = f"HiGHS {self._highs.version()}"

    def reached(self, width: float) -> Flags:
        """Which cells are proven."""
        return self.high - self.low >= width

    def search(self, target: Flags, width: float, deadline: float) -> None:
        """Look for moves of many target cells at once, in random directions.

        First by linear programs, whose ends are mostly whole; then, for what they leave, by integer programs.
        """
        size = self._base.size
        step = float(np.ceil(width))
        whole, quiet = False, 0
        patience, rounds = (_ROAMING_QUIET, _ROAMING_ROUNDS) if self._roams else (_QUIET, _ROUNDS)
        for turn in range(rounds):
            todo = np.flatnonzero(target & ~self.reached(width))
            if not todo.size or time.monotonic() > deadline:
                return
            if quiet == patience[whole]:
                if whole:
                    return
                whole, quiet = True, 0
            if self._roams and turn % _STAY == _STAY - 1:
                self._wander(3 * step, deadline)
            reach = step if turn < 2 else step * self._random.choice([1.0, 2.0, 4.0])
            down, up = np.maximum(self._down, -reach), np.minimum(self._up, reach)
            cost = np.zeros(size)
            sign = self._random.choice([-1.0, 1.0], todo.size)
            sign = np.where(self._up[todo] <= 0, -1.0, np.where(self._down[todo] >= 0, 1.0, sign))
            cost[todo] = sign * self._random.uniform(0.5, 1.0, todo.size)
            limit = min(deadline, time.monotonic() + 20)
            if whole:
                move = self._run(self._model(down, up, whole=True), cost, limit, best=False)
            else:
                self._bounds(down, up)
                move = self._run(self._highs, cost, limit)
            if move is not None:
                self._take(move)
            left = int((target & ~self.reached(width)).sum())
            quiet = quiet + 1 if left > todo.size * (0.99 if self._roams else 0.9) else 0

    def _wander(self, reach: float, deadline: float) -> None:
        """Go on from another whole table, some random way off: a start at a corner leaves little room to move."""
        self._bounds(np.maximum(self._down, -reach), np.minimum(self._up, reach))
        move = self._run(self._highs, self._random.uniform(-1, 1, self._base.size), deadline)
        if move is not None:
            taken = self._take(move)
            self._base, self._down, self._up = self._base + taken, self._down - taken, self._up - taken

    def settle(self, target: Flags, width: float, deadline: float) -> None:
        """Decide the cells that are left one at a time: linear programs for both ends, then integer programs."""
        for cell in np.flatnonzero(target & ~self.reached(width)).tolist():
            if time.monotonic() > deadline:
                return
            if not self.reached(width)[cell]:
                low, high = self.ends(cell, deadline)
                if high - low >= width - _NEAR and not self.reached(width)[cell]:
                    self.whole_ends(cell, width, deadline)

    def ends(self, cell: int, deadline: float) -> tuple[float, float]:
        """Return the least and greatest value that a cell can take in any real table; an end not decided is infinite."""
        found = []
        self._bounds(self._down, self._up)
        for sign, room in ((-1.0, self._down[cell]), (1.0, self._up[cell])):
            if not room:
                found.append(float(self._base[cell]))
                continue
            cost = np.zeros(self._base.size)
            cost[cell] = sign
            move = self._run(self._highs, cost, deadline)
            if move is None:
                found.append(sign * np.inf)
            else:
                self._take(move)
                found.append(float(self._base[cell] + move[cell]))
        return found[0], found[1]

    def narrow(self, cell: int, width: float, deadline: float) -> tuple[float, float] | None:
        """Look for moves of one cell; return its ends over whole-number tables if they are less than ``width`` apart.

        None where they are not (it is reached now), or where that was not decided in time.
        """
        low, high = self.ends(cell, deadline)
        if self.reached(width)[cell]:
            return None
        base = float(self._base[cell])
        if low > base - 1 + _NEAR and high < base + 1 - _NEAR:
            return base, base  # not even fractions reach another whole value
        found = self.whole_ends(cell, width, deadline)
        return None if self.reached(width)[cell] else found

    def whole_ends(self, cell: int, enough: float, deadline: float) -> tuple[float, float] | None:
        """Return the least and greatest value over whole-number tables; None where either was not decided in time.

        It goes no further than ``enough`` from the base either way; an end beyond any size of the table is infinite.
        """
        far = float(np.ceil(min(enough, 4 * np.abs(self._base).sum() + 1000)))
        ends = []
        for sign in (-1.0, 1.0):
            down, up = self._down.copy(), self._up.copy()
            down[cell], up[cell] = max(down[cell], -far), min(up[cell], far)
            model = self._model(down, up, whole=True)
            cost = np.zeros(self._base.size)
            cost[cell] = sign
            move = self._run(model, cost, min(deadline, time.monotonic() + 10))
            if move is None:
                return None
            self._take(move)
            step = float(np.rint(move[cell]))
            ends.append(sign * np.inf if abs(step) == far < enough else float(self._base[cell]) + step)
        return ends[0], ends[1]

    @classmethod
    def somewhere(
        cls, lines: sp.csr_array, level: Ints, lower: Floats, upper: Floats, *, seed: int, deadline: float
    ) -> Probe | Literal[False] | None:
        """Find any whole table with ``lines @ table == level`` to start from: None where none exists, False where time ran out."""
        if not level.size or not lines.shape[1]:
            return cls(lines, lower.astype(np.int64), lower, upper, seed=seed)
        start = cls(lines, np.zeros(lines.shape[1], dtype=np.int64), lower, upper, seed=seed)
        model = start._model(lower, upper, whole=True, level=level[np.diff(lines.indptr) > 0])
        table = start._run(model, np.zeros(lines.shape[1]), deadline)
        if table is None:
            return None if model.getModelStatus() == highspy.HighsModelStatus.kInfeasible else False
        base = np.rint(table).astype(np.int64)
        if (lines @ base != level).any() or (base < lower).any() or (base > upper).any():
            return False
        probe = cls(lines, base, lower, upper, seed=seed)
        probe._roams = True
        return probe

    def _model(self, down: Floats, up: Floats, *, whole: bool, level: Ints | None = None) -> Solver:
        solver = Solver()
        solver.setOptionValue("output_flag", False)
        solver.setOptionValue("threads", 1)
        solver.setOptionValue("random_seed", 0)
        program = highspy.HighsLp()
        size, lines = self._base.size, self._lines.shape[0]
        program.num_col_, program.num_row_ = size, lines
        program.col_cost_ = np.zeros(size)
        program.col_lower_, program.col_upper_ = down, up
        program.row_lower_ = program.row_upper_ = (
            np.zeros(lines) if level is None else level.astype(np.float64)
        )
        program.sense_ = highspy.ObjSense.kMaximize
        program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        program.a_matrix_.start_ = self._lines.indptr
        program.a_matrix_.index_ = self._lines.indices
        program.a_matrix_.value_ = self._lines.data.astype(np.float64)
        if whole:
            program.integrality_ = [highspy.HighsVarType.kInteger] * size
            # Its default would stop one part in 10,000 short of an end.
            solver.setOptionValue("mip_rel_gap", 0.0)
        solver.passModel(program)
        return solver

    def _bounds(self, down: Floats, up: Floats) -> None:
        size = self._base.size
        self._highs.changeColsBounds(size, np.arange(size, dtype=np.int32), down, up)

    def _run(self, solver: Solver, cost: Floats, deadline: float, *, best: bool = True) -> Floats | None:
        """Maximise; None unless the solver ended optimal, or, where it need not be the ``best``, has any whole point."""
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        solver.changeColsCost(cost.size, np.arange(cost.size, dtype=np.int32), cost)
        # The solver's clock runs on over its runs.
        solver.setOptionValue("time_limit", float(min(solver.getRunTime() + left, 1e9)))
        if not best:
            solver.setOptionValue("mip_rel_gap", 0.05)
        solver.run()
        feasible = solver.getInfo().primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
        if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal and (best or not feasible):
            return None
        return np.asarray(solver.getSolution().col_value, dtype=np.float64)

    def _take(self, move: Floats) -> Ints:
        """Accept the connected parts of a move that are whole, and twice those that are halves, where they check in integers.

        Return what was accepted.
        """
        whole, twice = np.rint(move), np.rint(2 * move)
        part = self._parts(np.abs(move) > _NEAR)
        broken = np.isin(part, np.unique(part[np.abs(move - whole) > _NEAR]))
        taken = self._take_whole(np.where(broken, 0, whole).astype(np.int64))
        if broken.any():
            broken &= ~np.isin(part, np.unique(part[np.abs(2 * move - twice) > _NEAR]))
            taken = taken + self._take_whole(np.where(broken, twice, 0).astype(np.int64))
        return taken

    def _take_whole(self, move: Ints) -> Ints:
        """Take the connected parts of a whole move that check in integers, and return them."""
        part = self._parts(move != 0)
        off = self._lines @ move
        wrong = (move < self._down) | (move > self._up)
        if off.any():
            entry = self._lines.tocoo()
            np.logical_or.at(wrong, entry.col, (off != 0)[entry.row] & (move[entry.col] != 0))
        good = np.where(np.isin(part, np.unique(part[wrong])), 0, move)
        if (self._lines @ good).any():
            return np.zeros_like(move)
        table = self._base + good
        self.low, self.high = np.minimum(self.low, table), np.maximum(self.high, table)
        return good

    def _parts(self, moving: Flags) -> Ints:
        """Label the connected parts of the moving cells; -1 for those at rest."""
        cells = np.flatnonzero(moving)
        label = np.full(moving.size, -1, dtype=np.int64)
        if cells.size:
            touch = sp.csr_array(self._lines[:, cells])
            entry, lines = touch.tocoo(), touch.shape[0]
            ends = (entry.row.astype(np.int64), entry.col.astype(np.int64) + lines)
            both = sp.coo_array((np.ones(entry.nnz), ends), shape=(lines + cells.size,) * 2)
            _, of = connected_components(both, directed=False)
            label[cells] = of[touch.shape[0] :]
        return label
