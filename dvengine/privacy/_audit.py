"""The audit of a published table: what anybody can derive from it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

from dvengine._arguments import typed
from dvengine._errors import InputError, TableError, Uncertified
from dvengine._events import stage
from dvengine.datasets._polars import boundary
from dvengine.privacy._lines import lines_of, rows_below, with_sums
from dvengine.privacy._probe import Probe
from dvengine.privacy._proof import Attacker, model_bounds
from dvengine.privacy._rules import Threshold
from dvengine.privacy._structure import Structure, code_column

__all__ = ["Audit", "audit"]

Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Up to so many hidden cells, both ends of every one are computed; beyond, only of those that might be exposed.
_ALL_ENDS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What an attacker can derive from a published table.

    Attributes:
        exposed: How many hidden cells can be derived to within less than the width; and how many cells show a count that the
            rule, where one is given, forbids.
        undecided: How many hidden cells were not decided in time: nothing is known against them, and nothing for them.
        hidden: How many cells are hidden.
        intervals: One row for each of these: its codes; ``lower`` and ``upper``, the least and greatest whole value it could have
            (null: no end); ``ends``, whether these are the ends, or values inside, which suffice unless the cell is undecided;
            ``exposed`` and ``undecided``. Private: it is what an attacker would compute.
        attacker, width: What was asked.
    """

    exposed: int
    undecided: int
    hidden: int
    intervals: pl.DataFrame
    attacker: Attacker
    width: float

    @property
    def ok(self) -> bool:
        """Whether no cell is exposed, and none undecided."""
        return self.exposed == 0 and self.undecided == 0

    def __repr__(self) -> str:
        return (
            f"Audit(ok={self.ok}, exposed={self.exposed}, undecided={self.undecided}, hidden={self.hidden}, "
            f"attacker={self.attacker!r}, width={self.width:g})"
        )


@typed(TableError)
@boundary()
def audit(
    frame: pl.DataFrame,
    structure: Structure,
    *,
    attacker: Attacker = "rule",
    rule: Threshold | None = None,
    status: str | None = None,
    width: float = 1,
    truth: pl.DataFrame | None = None,
    time_limit: float = 60,
    seed: int = 0,
) -> Audit:
    """Work out what an attacker can derive from a published table, ours or anybody's.

    Where the count is null, the cell is hidden; everything else is taken as known. With published data alone nobody can tell which
    cells are hidden for their own sake, so the attacker here knows less than the one `dvengine.suppress` proves against: whatever is
    certified there passes here. Give ``truth`` to audit the worst case.

    Args:
        frame: The published table. A sum that has no row is not known, and still ties its parts to the sums above it; a part
            that has no row is taken for a zero.
        structure: What adds up to what, as published with the table.
        attacker: ``outsider`` knows that counts are whole and not negative; ``rule`` also that zeros are shown (except, unless
            ``rule`` says otherwise, below a hidden count).
        rule: Where given, a cell that is seen to be zero, or at or above the threshold, is not exposed: it protects others, and no
            more. Needed with ``truth``.
        status: A column of texts, empty where a cell is shown; a count shown against it is an error. The null is what hides a cell.
        width: A cell whose values spread less than this is exposed.
        truth: The true table (as `Tabulation.frame` has it). Then only the cells that the rule hides count, each within what the
            worst-case attacker knows of it.
        time_limit: In seconds; a cell not decided by then is undecided, and the audit not ok.
        seed: Of the random search directions.

    Raises:
        TableError: The frame lacks a column, holds a cell twice, or no table agrees with it.
        Uncertified: Not even one table that agrees with it was found in time.

    Example:
        >>> dotted = pl.DataFrame({"k": ["a", "b", "c", "total"], "n": [None, 7, 9, 18]})
        >>> found = audit(dotted, Structure(by=("k",)))
        >>> found
        Audit(ok=False, exposed=1, undecided=0, hidden=1, attacker='rule', width=1)
        >>> found.intervals.select("k", "lower", "upper").rows()
        [('a', 2, 2)]
    """
    if attacker not in ("outsider", "rule"):
        raise InputError("there is no such attacker", hint="attacker is 'outsider' or 'rule'")
    if status is not None and status not in frame.columns:
        raise TableError(f"there is no column {status!r}", hint=f"the columns are {frame.columns}")
    deadline = time.monotonic() + time_limit
    with stage("audit", "×".join(structure.by), total_rows=frame.height):
        keys, counts, hidden = _read(frame, structure)
        if status is not None and ((frame[status].fill_null("") != "").to_numpy() & ~hidden).any():
            raise TableError(f"a cell that {status!r} marks as hidden shows its count", hint="hidden is null")
        keys = with_sums(keys, structure)
        absent = np.arange(keys.height) >= frame.height
        counts, hidden = np.pad(counts, (0, int(absent.sum()))), np.append(hidden, absent[absent])
        lines = lines_of(keys, structure)
        at = np.flatnonzero(hidden)
        inside = sp.csr_array(lines[:, at])
        level = -(lines @ np.where(hidden, 0, counts))
        broken = (np.diff(inside.indptr) == 0) & (level != 0)
        if broken.any():
            raise TableError(
                f"{int(broken.sum())} line(s) whose cells are all shown do not add up",
                hint="the published table is wrong, or this is not its structure",
            )
        if truth is None:
            lower, upper = _public_bounds(keys, structure, hidden, absent, attacker, rule)
            probe = Probe.somewhere(inside, level, lower[at], upper[at], seed=seed, deadline=deadline)
            if probe is None:
                raise TableError(
                    "no table agrees with what is published",
                    hint="the published table is wrong, or this is not its structure, or zeros were hidden",
                )
            if probe is False:
                raise Uncertified(
                    "the audit found no table to start from in time", hint="give more time with time_limit=…"
                )
            target = ~absent[at]
        else:
            probe, target = _worst_case(
                keys, structure, counts, hidden, absent, truth, attacker, rule, inside, seed
            )
        found = _decide(
            keys[at], probe, target, ~absent[at], attacker, rule if truth is None else None, width, deadline
        )
        return found if rule is None else _with_shown(found, keys, counts, rule.primary(counts) & ~hidden)


def _read(frame: pl.DataFrame, structure: Structure) -> tuple[pl.DataFrame, Ints, Flags]:
    for name in (*structure.by, structure.measure):
        if name not in frame.columns:
            raise TableError(f"there is no column {name!r}", hint=f"the columns are {frame.columns}")
    keys = pl.DataFrame(
        [code_column(frame[name], total=structure.total, holds_total=True) for name in structure.by]
    )
    if keys.is_duplicated().any():
        raise TableError(
            f"two rows stand for one cell of {list(structure.by)}", hint="a table has one row a cell"
        )
    measure = frame[structure.measure]
    whole = measure.cast(pl.Int64, strict=False)
    if whole.null_count() != measure.null_count() or (whole != measure).any() or (whole < 0).any():
        raise TableError(
            f"the counts in {structure.measure!r} are not whole and at least zero",
            hint="null stands for hidden",
        )
    return keys, whole.fill_null(0).to_numpy().astype(np.int64), measure.is_null().to_numpy()


def _public_bounds(
    keys: pl.DataFrame, structure: Structure, hidden: Flags, absent: Flags, attacker: Attacker, rule: Threshold | None
) -> tuple[Floats, Floats]:  # fmt: skip
    lower, upper = np.zeros(hidden.size), np.full(hidden.size, np.inf)
    if attacker == "rule":
        lower[~absent] = 1
        if rule is None or rule.covers:
            lower[rows_below(keys, structure, hidden & ~absent)] = 0
    return lower, upper


def _worst_case(
    keys: pl.DataFrame, structure: Structure, counts: Ints, hidden: Flags, absent: Flags, truth: pl.DataFrame,
    attacker: Attacker, rule: Threshold | None, inside: sp.csr_array, seed: int,
) -> tuple[Probe, Flags]:  # fmt: skip
    if rule is None:
        raise InputError("the worst case needs the rule", hint="give rule=Threshold(…)")
    true_keys, true_counts, gaps = _read(truth, structure)
    names = list(structure.by)
    both = keys.join(true_keys.with_columns(n=pl.Series(true_counts)), on=names, how="left", nulls_equal=True, maintain_order="left")  # fmt: skip
    real = both["n"].fill_null(0).to_numpy().astype(np.int64)
    if gaps.any() or (real != counts)[~hidden].any():
        raise TableError(
            "the true table does not agree with the published one", hint="is it the table this came from?"
        )
    small = rule.primary(real)
    below = rows_below(keys, structure, small) & rule.covers
    lower, upper = model_bounds(real, below, attacker, rule)
    lower, upper = np.where(absent, 0, lower), np.where(absent, np.inf, upper)
    at = np.flatnonzero(hidden)
    if (inside @ real[at] + lines_of(keys, structure) @ np.where(hidden, 0, real)).any():
        raise TableError("the true table does not add up", hint="was it changed after it was tabulated?")
    if (small & ~hidden).any():
        raise TableError(
            "a count that the rule forbids is shown", hint="this table is open without any arithmetic"
        )
    lower = np.minimum(
        lower, real
    )  # a zero hidden although it is known: the attacker's bound does not hold there
    return Probe(inside, real[at], lower[at], np.maximum(upper, real)[at], seed=seed), (small & ~absent)[at]


def _decide(
    keys: pl.DataFrame, probe: Probe, target: Flags, shown: Flags, attacker: Attacker, rule: Threshold | None, width: float,
    deadline: float,
) -> Audit:  # fmt: skip
    probe.search(target, width, deadline)
    everything = shown & (target.size <= _ALL_ENDS)
    decided: dict[int, tuple[float, float]] = {}
    for cell in np.flatnonzero(everything | (target & ~probe.reached(width))).tolist():
        if time.monotonic() > deadline:
            break
        if everything[cell]:
            pair = probe.whole_ends(cell, np.inf, deadline)
        elif not probe.reached(width)[cell]:  # a move of another cell may have settled it
            pair = probe.narrow(cell, width, deadline)
        else:
            continue
        if pair is not None:
            decided[cell] = pair
    low, high = probe.low.astype(np.float64), probe.high.astype(np.float64)
    ends = np.zeros(target.size, dtype=np.bool_)
    for cell, (least, greatest) in decided.items():
        low[cell], high[cell], ends[cell] = least, greatest, True
    narrow = target & (high - low < width)
    exposed, undecided = narrow & ends, narrow & ~ends
    if rule is not None:
        exposed &= ~((low >= rule.minimum) | (high == 0))
    intervals = keys.with_columns(
        lower=pl.Series(low).replace([-np.inf], [None]).cast(pl.Int64),
        upper=pl.Series(high).replace([np.inf], [None]).cast(pl.Int64),
        ends=pl.Series(ends),
        exposed=pl.Series(exposed),
        undecided=pl.Series(undecided),
    ).filter(pl.Series(shown))
    return Audit(
        exposed=int(exposed.sum()),
        undecided=int(undecided.sum()),
        hidden=intervals.height,
        intervals=intervals,
        attacker=attacker,
        width=width,
    )


def _with_shown(found: Audit, keys: pl.DataFrame, counts: Ints, bare: Flags) -> Audit:
    """Add the cells that need no deriving."""
    shown = keys.with_columns(
        lower=pl.Series(counts),
        upper=pl.Series(counts),
        ends=pl.lit(True),
        exposed=pl.lit(True),
        undecided=pl.lit(False),
    ).filter(pl.Series(bare))
    return replace(found, exposed=found.exposed + shown.height, intervals=found.intervals.vstack(shown))
