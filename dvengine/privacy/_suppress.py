"""Suppression: primary cells by rule, secondary cells by choice, and a proof, or a refusal."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import polars as pl

from dvengine._arguments import typed
from dvengine._certificate import Certificate
from dvengine._errors import InputError, TableError, Uncertified
from dvengine._events import stage
from dvengine.privacy._choose import Attack, cheapest_cover, choose, joint_cover
from dvengine.privacy._content import table_sha256
from dvengine.privacy._proof import Attacker, Proof, prove
from dvengine.privacy._rules import Threshold
from dvengine.privacy._structure import Structure
from dvengine.privacy._system import System, axes_of, below, build_system
from dvengine.privacy._tabulate import Lineage, Tabulation

__all__ = ["SafeTable", "suppress"]

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

#: The column that says which cells are hidden.
STATUS = "status"
#: Stop choosing within this of the proven bound: a thousandth of the cells is worth no minute of waiting.
_GAP = 1e-3
#: How often to choose with sharper conditions, and then to cover many open cells at once, before going cell by cell; counts,
#: not clocks, for the sake of the same pattern on a busy machine.
_ROUNDS = 3
_JOINT = 10
#: So few open cells are decided one by one, and are worth a cell or so more each rather than another choice.
_BY_HAND = 16
_METHOD = "mixed-integer choice with move conditions; proof by whole-number tables, checked in integers"


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeTable:
    """A table that was proven against an attacker model. It holds nothing but what may be published.

    Attributes:
        frame: The classification columns, the count and the sums (null where hidden), and ``status``: the symbol where
            hidden, empty text where shown. Why a cell is hidden cannot be read from it.
        structure: What adds up to what; published with the table, so that a stranger can audit it.
        certificate: What was proven. Publish ``certificate.public()`` only: the rest tells primary from secondary.
        lineage: What it was counted from, as `Tabulation.lineage`; published with the table.

    Example:
        >>> counts = pl.DataFrame({"age": ["0-39", "40-66", "67+"], "n": [3, 9, 20]})
        >>> safe = suppress(Tabulation.from_frame(counts, ["age"]), rule=Threshold(5))
        >>> safe
        SafeTable(by=['age'], cells=4, hidden=2)
        >>> safe.table_sha256 == safe.certificate.table_sha256
        True
    """

    frame: pl.DataFrame
    structure: Structure
    certificate: Certificate
    lineage: Lineage = ()

    @property
    def table_sha256(self) -> str:
        """The fingerprint of the frame as it is now; the certificate holds only while it equals the certificate's."""
        return table_sha256(self.frame)

    def __repr__(self) -> str:
        return f"SafeTable(by={list(self.structure.by)}, cells={self.certificate.cells}, hidden={self.certificate.hidden})"

    def report(self) -> str:
        """Say in a few lines what was hidden, where, and what was proven. For the owner: it tells how many are primary."""
        proof = self.certificate
        share = proof.hidden / proof.cells if proof.cells else 0.0
        lines = [
            f"{proof.cells:,} cells, {proof.hidden:,} hidden ({share:.1%})",
            f"{proof.primary:,} by {proof.rule}, {proof.secondary:,} to protect them",
        ]
        if proof.lower_bound is not None:
            lines.append(
                f"no pattern certified against this attacker hides fewer than {proof.lower_bound:,} to protect them"
            )
        lines.append(
            f"certified against {proof.attacker!r}: every protected cell has at least {proof.required_width:g} between the "
            "least and the greatest value it could have, each shown by a pair of whole-number tables"
        )
        hidden = self.frame[STATUS] != ""
        for name in self.structure.by:
            margin = self.frame[name] == self.structure.total
            lines.append(
                f"hidden among the totals over {name}: {int((hidden & margin).sum()):,} of {int(margin.sum()):,}"
            )
        return "\n".join(lines)


@typed()
def suppress(
    table: Tabulation,
    *,
    rule: Threshold,
    attacker: Attacker = "rule",
    width: float = 1,
    time_limit: float = 60,
    seed: int = 0,
    symbol: str = ":",
) -> SafeTable:
    """Hide the cells that a rule forbids, and as few others as needed so that none of them can be worked out.

    Fail closed: it returns a table whose every primary cell was proven to leave the attacker at least ``width`` between the
    least and the greatest value it could have, or raises. The same table gives the same pattern, whatever the order of
    its rows or the names of its codes (up to exchange of cells that nothing tells apart), unless the time limit was hit.

    Attackers, each knowing everything published, and that counts are whole:

    - ``outsider``: counts are not negative.
    - ``rule``: also the threshold, which zeros are shown, and (the worst case) which cells are hidden for their own sake:
      those lie in [1, t-1] (in [0, t-1] below another of them, where zeros are covered), all other hidden cells are at least t.

    Not yet protected: sums in ``values`` are hidden wherever their count is, and no sum can then be derived from the lines
    alone, but what an attacker knows of the size of a value (say, that it is not negative and one contributor dominates)
    is not modelled; nor is a contributor who knows his own cell, a zero known to be impossible to exceed, another table of
    the same people, or reasoning about this algorithm's choice.

    Args:
        table: From `tabulate` or `Tabulation.from_frame`.
        rule: The primary rule.
        attacker: Against whom to prove.
        width: In the unit of the counts. Against ``rule`` at most t-2 is possible.
        time_limit: For choice and proof, in seconds. When the choice runs out of it, more cells than needed are hidden; when the
            proof does, the table is refused.
        seed: Of the random search directions.
        symbol: What stands in ``status`` for a hidden cell.

    Raises:
        Uncertified: No pattern could be proven; the message says where the difficulty lies.
        TableError: The table does not add up, or has a column named ``status``.
        InputError: A width, limit or symbol that cannot be.

    Source:
        Fischetti & Salazar-González (2000), see `choose`; Hundepool et al., *Statistical Disclosure Control* (Wiley, 2012),
        chapter 5, for the rule and the attacker's intervals.

    Example:
        >>> counts = pl.DataFrame({"sex": ["K", "M", "K", "M"], "age": ["0-39", "0-39", "40+", "40+"], "n": [3, 9, 12, 20]})
        >>> safe = suppress(Tabulation.from_frame(counts, ["sex", "age"]), rule=Threshold(5))
        >>> safe.certificate.hidden, safe.certificate.valid
        (4, True)
    """
    began = time.monotonic()
    if attacker not in ("outsider", "rule"):
        raise InputError("there is no such attacker", hint="attacker is 'outsider' or 'rule'")
    if not (0 < width < np.inf and time_limit > 0 and symbol):
        raise InputError("width and time_limit must be positive, and symbol not empty", hint="see suppress")
    if seed < 0:
        raise InputError("a seed must not be negative", hint="0 is as good as any")
    if STATUS in table.frame.columns:
        raise TableError(
            f"the table has a column named {STATUS!r}", hint="that name is taken for hidden cells; rename it"
        )
    with stage("suppress", "×".join(table.by), total_rows=table.frame.height):
        task = _Task(table, rule, attacker, width, seed, time_limit)
        hidden, proof, fewest = task.run()
        return _finish(task, hidden, proof, fewest, symbol, began)


class _Task:
    """One table to be suppressed."""

    def __init__(
        self, table: Tabulation, rule: Threshold, attacker: Attacker, width: float, seed: int, limit: float
    ) -> None:
        self.table, self.rule, self.attacker, self.width = table, rule, attacker, width
        self.seed, self.limit, self.deadline = seed, limit, time.monotonic() + limit
        self.counts = table.frame[table.structure.measure].to_numpy().astype(np.int64)
        axes = axes_of(table.frame, table.structure)
        self.primary = rule.primary(self.counts)
        self.under = below(self.primary, axes) if rule.covers else np.zeros_like(self.primary)
        zero = self.counts == 0
        # A zero below a zero that is shown is known, whatever is done about it.
        covered = zero & self.under & ~below(zero & ~self.under, axes) & (attacker == "rule")
        self.given = self.primary | covered
        self.system: System = build_system(self.counts, axes, zero & ~covered)
        self.attack = self._attack()

    def _attack(self) -> Attack:
        value = self.system.value
        given, target = self._any(self.given), self._any(self.primary)
        # Where equal cells are one position, whoever knows more of one of them knows it of all.
        under = ~self._any(~self.under)
        lower, upper = np.zeros(value.size), np.full(value.size, np.inf)
        if self.attacker == "rule":
            lower = np.where(given, np.where(under, 0.0, 1.0), float(self.rule.minimum))
            upper = np.where(given, float(self.rule.minimum - 1), np.inf)
        # A cell costs one, and a little more the more people it hides; that also keeps totals.
        cells = np.bincount(self.system.position[self.system.position >= 0], minlength=value.size)
        cost = cells + 0.05 * np.log1p(value)
        return Attack(given, target, lower, upper, cells, cost)

    def _any(self, mask: Flags) -> Flags:
        marked = np.zeros(self.system.value.size, dtype=np.bool_)
        marked[self.system.position[mask & (self.system.position >= 0)]] = True
        return marked

    def cells(self, positions: Flags) -> Flags:
        """Return the cells of positions."""
        return (self.system.position >= 0) & positions[self.system.position] if positions.size else self.given

    def proof(self, positions: Flags, *, thorough: bool, only: Flags | None = None) -> tuple[Proof, Flags]:
        """Audit a pattern, rows in canonical order; return the proof and the positions still open."""
        order = self.system.order
        with stage("audit", "×".join(self.table.by)):
            proof = prove(
                self.table.frame[order], self.table.structure, self.cells(positions)[order], rule=self.rule,
                attacker=self.attacker, width=self.width, seed=self.seed, deadline=self.deadline, thorough=thorough,
                only=None if only is None else self.cells(only)[order],
            )  # fmt: skip
        opened = np.zeros(order.size, dtype=np.bool_)
        opened[order] = proof.open
        return proof, self._any(opened)

    def run(self) -> tuple[Flags, Proof, int | None]:
        """Choose and prove until nothing is open, or refuse; also return the fewest further cells there could be."""
        given = self.attack.given
        if self.attacker == "rule" and self.primary.any() and self.width > self.rule.minimum - 2:
            raise Uncertified(
                f"no cell under {self.rule} can be {self.width:g} wide to someone who knows the rule",
                hint="ask for a smaller width, raise the threshold, or choose attacker='outsider'",
                rules=(str(self.rule),),
            )
        proof, opened = self.proof(given, thorough=False)
        if not opened.any():
            return given, proof, 0
        up, down = self._moved(proof)
        directed, hidden, fewest = given | self._around(opened, given), given, None
        for turn in range(_ROUNDS):
            choice = choose(
                self.system, self.attack, up, down, directed, time_limit=self._left() * 0.4, gap=_GAP
            )
            if choice.ended == "infeasible":
                self._refuse(opened)
            if choice.hidden is None:
                break
            hidden = choice.hidden
            proof, opened = self.proof(hidden, thorough=False)
            if opened.any() and opened.sum() <= _BY_HAND:
                proof, opened = self.proof(hidden, thorough=True)
            sharper = directed | self._around(opened, hidden)
            last = self.width > 1 or turn == _ROUNDS - 1 or (sharper == directed).all()
            last = last or self._left() < self.limit * 0.6
            if opened.sum() <= _BY_HAND or last or choice.ended == "time":
                fewest = choice.fewest(min(self._left() * 0.3, 10.0))
                break
            directed = sharper
        for turn in range(_JOINT):
            if opened.sum() <= _BY_HAND or self._left() < self.limit * 0.3:
                break
            limit = self._left() * 0.3
            hidden = hidden | joint_cover(
                self.system, self.attack, hidden, opened, self.width, seed=turn, time_limit=limit
            )
            proof, opened = self.proof(hidden, thorough=False)
        while opened.any():
            hidden = self._grow(hidden, opened)
            proof, opened = self.proof(hidden, thorough=False)
            if opened.any() and opened.sum() <= _BY_HAND:
                proof, opened = self.proof(hidden, thorough=True)
        return hidden, proof, fewest

    def _left(self) -> float:
        return self.deadline - time.monotonic()

    def _around(self, opened: Flags, hidden: Flags) -> Flags:
        """Return the positions in the lines of open ones, and the hidden ones a line further."""
        lines = abs(self.system.lines)
        near: Flags = (lines.T @ (lines @ opened.astype(np.int64))) > 0
        further: Flags = (lines.T @ (lines @ (near & hidden).astype(np.int64))) > 0
        return near | (further & hidden)

    def _moved(self, proof: Proof) -> tuple[Flags, Flags]:
        """Return the positions that whole moves took up or down by one or more."""
        order, counts = self.system.order, self.counts
        up, down = np.zeros_like(self.given), np.zeros_like(self.given)
        up[order] = proof.upper > counts[order]
        down[order] = proof.lower < counts[order]
        return self._any(up), self._any(down)

    def _grow(self, hidden: Flags, opened: Flags) -> Flags:
        """Hide more: what it takes to let each open position move, or, late, everything in its lines."""
        grown = hidden.copy()
        for cell in np.flatnonzero(opened).tolist():
            if self._left() < self.limit * 0.25 or opened.sum() > 8 * _BY_HAND:
                break
            more = cheapest_cover(
                self.system,
                self.attack,
                grown,
                cell,
                self.width,
                time_limit=min(self._left(), 10),
                whole=True,
            )
            if more is None:
                break
            grown |= more
        if (grown == hidden).all():
            grown |= self._around(opened, hidden)
        if (grown == hidden).all() or self._left() <= 0:
            self._refuse(opened)
        return grown

    def _refuse(self, opened: Flags) -> NoReturn:
        """Say what cannot be protected even with everything hidden."""
        late = self._left() <= 0
        self.deadline = time.monotonic() + 20
        proof, stuck = self.proof(np.ones_like(self.attack.given), thorough=True, only=opened)
        if late or not stuck.any():
            raise Uncertified(
                "no pattern was proven within the time limit",
                hint="give more time with time_limit=…, or use coarser classifications",
                rules=(str(self.rule),),
            )
        cells = self.table.frame[self.system.order].filter(pl.Series(proof.open))
        total = self.table.structure.total
        inner = {name: int((cells[name].is_null() | (cells[name] != total)).sum()) for name in self.table.by}
        coarser = max(inner, key=lambda name: (inner[name], cells[name].n_unique()))
        raise Uncertified(
            f"{cells.height} cell(s) were found no width of {self.width:g} against {self.attacker!r}, whatever else is hidden; "
            "their lines run over "
            + ", ".join(f"{name} ({number})" for name, number in inner.items() if number),
            hint=f"use coarser codes of {coarser!r}, or leave a classification out"
            + ("" if self.rule.covers else ", or let zeros be covered (the default of Threshold)"),
            rules=(str(self.rule),),
        )


def _finish(
    task: _Task, hidden: Flags, proof: Proof, fewest: int | None, symbol: str, began: float
) -> SafeTable:
    from dvengine import __version__

    structure, cells = task.table.structure, task.cells(hidden)
    mask = pl.Series(cells)
    frame = task.table.frame.with_columns(
        *(pl.when(~mask).then(pl.col(name)).alias(name) for name in (structure.measure, *structure.values)),
        pl.when(mask).then(pl.lit(symbol)).otherwise(pl.lit("")).alias(STATUS),
    )
    primary, total = int(task.given.sum()), int(cells.sum())
    certificate = Certificate(
        table_sha256=table_sha256(frame), rule=str(task.rule), attacker=task.attacker, method=_METHOD,
        cells=frame.height, primary=primary, secondary=total - primary, lower_bound=fewest,
        min_width=proof.min_width, required_width=float(task.width), uncertified=int(proof.open.sum()),
        exact=int(proof.proven.sum()), solver=proof.solver, max_residual=0.0, seed=task.seed,
        seconds=round(time.monotonic() - began, 3), engine=f"dvengine {__version__}",
    )  # fmt: skip
    return SafeTable(frame=frame, structure=structure, certificate=certificate, lineage=task.table.lineage)
