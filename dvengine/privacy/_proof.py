"""The proof that no protected cell can be derived. It shares no code with the choice of what to hide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

from dvengine._errors import TableError
from dvengine.privacy._lines import lines_of, rows_below
from dvengine.privacy._probe import Probe
from dvengine.privacy._rules import Threshold
from dvengine.privacy._structure import Structure

__all__ = ["Attacker", "Proof", "model_bounds", "prove"]

Attacker = Literal["outsider", "rule"]
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was proven about the protected cells of one pattern.

    Attributes:
        proven: One a row of the frame: a protected cell whose interval is at least as wide as asked for.
        open: A protected cell that is not proven.
        lower, upper: The ends reached: for each, there is a whole-number table that the attacker cannot tell from the true one.
        solver: Name and version.
    """

    proven: Flags
    open: Flags
    lower: Ints
    upper: Ints
    solver: str

    @property
    def min_width(self) -> float | None:
        """The narrowest width that was shown for a protected cell; None where none is protected."""
        cells = self.proven | self.open
        return float((self.upper - self.lower)[cells].min()) if cells.any() else None


def model_bounds(counts: Ints, below: Flags, attacker: Attacker, rule: Threshold) -> tuple[Floats, Floats]:
    """Return what the attacker knows of each hidden cell before he looks at any sum.

    An ``outsider`` knows that counts are not negative. Who knows the ``rule`` knows much more, and the worst is assumed: that
    he can tell the cells hidden for their own sake from those that protect them. The first lie in [1, t-1] (in [0, t-1]
    where zeros are hidden too, below a count that is itself hidden by the rule), all others are at least t.
    """
    free = np.full(counts.size, np.inf)
    if attacker == "outsider":
        return np.zeros(counts.size), free
    small = rule.primary(counts) | (below & (counts == 0))
    lower = np.where(small, np.where(below & rule.covers, 0.0, 1.0), float(rule.minimum))
    return lower, np.where(small, float(rule.minimum - 1), free)


def prove(
    frame: pl.DataFrame,
    structure: Structure,
    hidden: Flags,
    *,
    rule: Threshold,
    attacker: Attacker,
    width: float,
    seed: int = 0,
    deadline: float = np.inf,
    thorough: bool = True,
    only: Flags | None = None,
) -> Proof:
    """Try to prove that no primary cell can be derived to within ``width``, from the true table and what is hidden of it.

    The true table is held against its own lines and bounds first. Then whole-number tables that agree with everything published
    are sought; two of them that differ by ``width`` in a cell are the proof for that cell. Each is checked in 64-bit integers, so
    that nothing rests on a solver's word.

    Args:
        frame: The true table, margins included, rows in any order.
        structure: What adds up to what.
        hidden: One a row.
        rule: The primary rule.
        attacker: Against whom.
        width: What each primary cell must have between its ends.
        seed: Of the random objectives.
        deadline: On `time.monotonic`; what is not proven by then stays open.
        only: Leave out all other primary cells, where only some are in question.
        thorough: Also try, one by one, the cells that the joint search leaves open. Without it, open means not yet proven.

    Raises:
        TableError: The true table breaks its own lines.
    """
    counts = frame[structure.measure].to_numpy().astype(np.int64)
    lines = lines_of(frame.select(structure.by), structure)
    if (lines @ counts).any():
        raise TableError(
            "the table does not add up, so nothing can be proven about it",
            hint="its lines must hold exactly; was the frame changed after it was tabulated?",
        )
    small = rule.primary(counts)
    below = rows_below(frame.select(structure.by), structure, small)
    lower, upper = model_bounds(counts, below & rule.covers, attacker, rule)
    at = np.flatnonzero(hidden)
    if ((counts < lower) | (counts > upper))[at].any():
        raise TableError(
            "a hidden cell lies outside what its rule says", hint="a zero that is shown cannot be hidden"
        )
    wanted = small if only is None else small & only
    target = wanted[at]
    probe = Probe(sp.csr_array(lines[:, at]), counts[at], lower[at], upper[at], seed=seed)
    probe.search(target, width, deadline)
    if thorough:
        probe.settle(target, width, deadline)
    done = probe.reached(width)
    proven, opened = np.zeros(counts.size, dtype=np.bool_), wanted & ~hidden
    proven[at], opened[at] = target & done, target & ~done
    low, high = counts.copy(), counts.copy()
    low[at], high[at] = probe.low, probe.high
    return Proof(proven=proven, open=opened, lower=low, upper=high, solver=probe.solver)
