"""The secondary choice: which further cells to hide, so that few are, with a bound on how few there could be."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import highspy._core
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from dvengine.privacy._moves import move_conditions
from dvengine.privacy._system import System

__all__ = ["Attack", "Choice", "cheapest_cover", "choose", "joint_cover"]

#: The wrapper around it prints a banner when made; this class is silent.
Solver = highspy._core._Highs

Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Attack:
    """The task over the positions.

    Attributes:
        given: Positions that are hidden anyway.
        target: Those among them that must be protected.
        lower, upper: What the attacker knows of a position if it is hidden.
        cells: How many cells a position is.
        cost: Of hiding a position, positive.
    """

    given: Flags
    target: Flags
    lower: Floats
    upper: Floats
    cells: Ints
    cost: Floats


@dataclass(frozen=True, slots=True)
class Choice:
    """A pattern over the positions.

    Attributes:
        hidden: The pattern; None where the program found none in time, or there is none.
        ended: ``optimal``, ``time`` or ``infeasible``.
        fewest: Gives a lower bound on the number of further cells, within a number of seconds.
    """

    hidden: Flags | None
    ended: str
    fewest: Callable[[float], int | None]


def choose(
    system: System,
    attack: Attack,
    moved_up: Flags,
    moved_down: Flags,
    directed: Flags,
    *,
    time_limit: float,
    gap: float,
) -> Choice:
    """Choose by a mixed-integer program over who can move whom.

    A hidden position can rise by one only if, in each of its lines, another hidden part can fall or the sum can rise, and so
    on. Every pattern that leaves each target two whole values satisfies these conditions, so the optimum is a lower bound
    for all of them. In nearly every table it passes the audit at once.

    Args:
        system: Positions and lines.
        attack: The task.
        moved_up: Positions already known to rise with the given ones hidden alone; hiding more keeps that true.
        moved_down: The same for falling.
        directed: Positions for which each way is told apart, all given ones among them: more of them make the conditions
            sharper and the program larger.
        time_limit: In seconds.
        gap: The relative distance to the bound at which to stop.

    Source:
        After Fischetti & Salazar-González, "Models and algorithms for optimizing cell suppression in tabular data with linear
        constraints", JASA 95 (2000) 916–928: a master program over patterns, held to what the attacker's programs allow. The
        master here also says which way each cell can move.
    """
    size = system.value.size
    up = (attack.upper - system.value >= 1) & ~moved_up
    down = (system.value - attack.lower >= 1) & ~moved_down
    matrix, floor, open_ = move_conditions(
        system.lines, attack.given, attack.target, up, down, moved_up, moved_down, directed
    )
    columns = matrix.shape[1]
    low, high, price = np.zeros(columns), np.full(columns, np.inf), np.zeros(columns)
    low[:size], high[:size] = attack.given, 1
    high[size : 2 * size], high[2 * size : 3 * size] = up & directed, down & directed
    price[:size] = np.where(attack.given, 0, attack.cost)
    whole = np.zeros(columns, dtype=np.bool_)
    whole[:size] = ~attack.given
    whole[size : 2 * size] = open_ & up & down
    solver = _program(price, matrix, floor, np.full(floor.size, np.inf), low, high, whole)
    solver.setOptionValue("mip_rel_gap", gap)
    # Measured on tables of 10,000 cells: half the time, the same optimum. A HiGHS that does not know the option ignores it.
    solver.setOptionValue("mip_heuristic_run_root_reduced_cost", False)
    solver.setOptionValue("time_limit", max(time_limit, 0.1))
    solver.run()
    status = solver.getModelStatus()
    if status == highspy.HighsModelStatus.kInfeasible:
        return Choice(None, "infeasible", lambda _: None)
    found = None
    if solver.getInfo().primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible:
        found = attack.given | (np.asarray(solver.getSolution().col_value)[:size] > 0.5)
    ended = "optimal" if status == highspy.HighsModelStatus.kOptimal else "time"
    count = np.zeros(columns)
    count[:size] = np.where(attack.given, 0, attack.cells)
    return Choice(found, ended, lambda seconds: _fewest(solver, count, seconds))


def _fewest(solver: Solver, count: Floats, seconds: float) -> int | None:
    """Bound the number of further cells from below, starting from the pattern that the priced program found."""
    if seconds <= 0:
        return None
    start = highspy.HighsSolution()
    start.col_value = list(solver.getSolution().col_value)
    solver.changeColsCost(count.size, np.arange(count.size, dtype=np.int32), count)
    solver.setSolution(start)
    for option, value in (("mip_heuristic_effort", 0.0), ("mip_rel_gap", 0.0), ("mip_abs_gap", 0.9)):
        solver.setOptionValue(option, value)
    solver.setOptionValue("time_limit", solver.getRunTime() + seconds)
    solver.run()
    bound = float(solver.getInfo().mip_dual_bound)
    return int(np.ceil(bound - 1e-6)) if 0 <= bound < np.inf else None


def cheapest_cover(
    system: System, attack: Attack, hidden: Flags, cell: int, width: float, *, time_limit: float, whole: bool
) -> Flags | None:
    """Return the positions to hide further so that ``cell`` can move by ``width``, priced by what is not yet hidden.

    Returns:
        A mask of further positions (empty where none is needed), or None where no pattern lets the cell move so far.
    """
    steps = int(np.ceil(width))
    deadline = time.monotonic() + time_limit
    best: tuple[float, Flags] | None = None
    for rise in range(steps + 1):
        cost, support = 0.0, np.zeros(hidden.size, dtype=np.bool_)
        for far in (rise, rise - steps):
            if far:
                part = _move(system, attack, hidden, cell, far, deadline, whole)
                if part is None:
                    break
                cost += part[0]
                support |= part[1]
        else:
            if best is None or cost < best[0] - 1e-9:
                best = (cost, support)
    return None if best is None else best[1]


def joint_cover(
    system: System,
    attack: Attack,
    hidden: Flags,
    opened: Flags,
    width: float,
    *,
    seed: int,
    time_limit: float,
) -> Flags:
    """Return positions to hide further so that many open positions can move at once, each in a way drawn from the seed.

    One linear program pays a price for each position not yet hidden that moves, and earns a reward for each open one; the
    reward grows with the seed, so that calls in turn cover what is left. It may return none.
    """
    size = hidden.size
    rise, fall = np.maximum(attack.upper - system.value, 0), np.maximum(system.value - attack.lower, 0)
    random = np.random.default_rng(seed)
    upward = np.where(rise < 1, False, np.where(fall < 1, True, random.random(size) < 0.5))
    steps = float(np.ceil(width))
    high = np.concatenate([
        np.where(opened, np.where(upward, np.minimum(rise, steps), 0), rise),
        np.where(opened, np.where(upward, 0, np.minimum(fall, steps)), fall),
    ])  # fmt: skip
    reward = np.where(opened, 2.0 * (1 + seed) / steps, 0.0)
    price = np.tile(np.where(hidden, 1e-4, attack.cost) - reward, 2)
    lines = sp.csr_array(sp.hstack([system.lines, -system.lines]))
    zeros = np.zeros(lines.shape[0])
    solver = _program(
        price, lines, zeros, zeros, np.zeros(2 * size), high, np.zeros(2 * size, dtype=np.bool_)
    )
    solver.setOptionValue("time_limit", max(time_limit, 0.1))
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return np.zeros(size, dtype=np.bool_)
    value = np.asarray(solver.getSolution().col_value)
    moved: Flags = (value[:size] > 1e-6) | (value[size:] > 1e-6)
    return moved & ~hidden


def _move(
    system: System, attack: Attack, hidden: Flags, cell: int, far: int, deadline: float, whole: bool
) -> tuple[float, Flags] | None:
    """Find the cheapest move that takes a cell so far; the price of a position is paid per unit it moves."""
    size = hidden.size
    rise, fall = np.maximum(attack.upper - system.value, 0), np.maximum(system.value - attack.lower, 0)
    reach = rise[cell] if far > 0 else fall[cell]
    if reach < abs(far):
        return None
    low, high = np.zeros(2 * size), np.concatenate([rise, fall])
    place = cell if far > 0 else size + cell
    low[place] = abs(far)
    high[size + cell if far > 0 else cell] = 0
    price = np.tile(np.where(hidden, 1e-4, attack.cost), 2)
    lines = sp.csr_array(sp.hstack([system.lines, -system.lines]))
    zeros = np.zeros(lines.shape[0])
    solver = _program(price, lines, zeros, zeros, low, high, np.full(2 * size, whole))
    solver.setOptionValue("time_limit", max(deadline - time.monotonic(), 0.1))
    solver.run()
    if solver.getInfo().primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return None
    value = np.asarray(solver.getSolution().col_value)
    moved = (value[:size] > 1e-6) | (value[size:] > 1e-6)
    fresh = moved & ~hidden
    return float(attack.cost[fresh].sum()), fresh


def _program(
    price: Floats,
    matrix: sp.csr_array,
    floor: Floats,
    ceiling: Floats,
    low: Floats,
    high: Floats,
    whole: Flags,
) -> Solver:
    solver = Solver()
    for option, value in (("output_flag", False), ("threads", 1), ("random_seed", 0)):
        solver.setOptionValue(option, value)
    program = highspy.HighsLp()
    program.num_row_, program.num_col_ = matrix.shape
    program.col_cost_, program.col_lower_, program.col_upper_ = price, low, high
    program.row_lower_, program.row_upper_ = floor, ceiling
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_, program.a_matrix_.index_ = matrix.indptr, matrix.indices
    program.a_matrix_.value_ = matrix.data.astype(np.float64)
    if whole.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        program.integrality_ = [kinds[int(one)] for one in whole]
    solver.passModel(program)
    return solver
