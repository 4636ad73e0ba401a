"""The certificate of a suppressed table: what was proven, against whom, and how. Data only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Certificate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What an attacker of the named model can still derive from the published table: at best, nothing exact.

    It certifies a table *against an attacker model*; it does not say "safe".

    Attributes:
        table_sha256: Of the published content (schema and rows, order-free); any change of the data ends the certificate.
        rule: The primary rule, in words a machine can compare, e.g. ``threshold(5)``.
        attacker: ``outsider`` or ``rule`` (see `dvengine.suppress`).
        method: How the secondary cells were chosen and the proof was made.
        cells: Positions in the table, margins included.
        primary, secondary: Cells hidden because of the rule, and to protect those. Only their sum is published.
        lower_bound: No pattern certified against this attacker hides fewer secondary cells; None where not known.
        min_width: The narrowest interval that the attacker can prove for a protected cell, in the unit of the table.
        required_width: What was asked for.
        uncertified: Cells for which the proof failed; the certificate is valid only when 0.
        exact: Cells that are protected, each proven by a pair of whole-number tables that was checked in integers.
        solver: Name and version.
        max_residual: The worst violation of an equation or bound over all tables used in the proof; 0, for they are whole.
        seed: Of the randomised objectives; the same input and seed give the same pattern.
        seconds: Time taken to choose and prove.
        linked_to: table_sha256 of other tables proven in the same system.
        engine: ``dvengine`` and its version.

    Example:
        >>> certificate = Certificate(
        ...     table_sha256="9f86d081", rule="threshold(5)", attacker="outsider", method="cycles, integer proof", cells=120,
        ...     primary=3, secondary=5, lower_bound=4, min_width=6.0, required_width=1.0, uncertified=0, exact=8,
        ...     solver="HiGHS 1.11", max_residual=0.0, seed=0, seconds=0.2,
        ... )
        >>> certificate.valid, certificate.hidden
        (True, 8)
        >>> sorted(set(certificate.public()) & {"primary", "secondary", "hidden"})
        ['hidden']
    """

    table_sha256: str
    rule: str
    attacker: str
    method: str
    cells: int
    primary: int
    secondary: int
    lower_bound: int | None
    min_width: float | None
    required_width: float
    uncertified: int
    exact: int
    solver: str
    max_residual: float
    seed: int
    seconds: float
    linked_to: tuple[str, ...] = ()
    engine: str = ""

    @property
    def hidden(self) -> int:
        """Cells hidden in all."""
        return self.primary + self.secondary

    @property
    def valid(self) -> bool:
        """Whether every protected cell was proven at least ``required_width`` wide."""
        return self.uncertified == 0

    def public(self) -> dict[str, Any]:
        """Return the part that may be published: nothing that tells primary from secondary, or narrows a cell."""
        data = asdict(self)
        for private in ("primary", "secondary", "lower_bound", "min_width", "seconds", "exact", "seed"):
            del data[private]
        return data | {"hidden": self.hidden, "valid": self.valid, "linked_to": list(self.linked_to)}

    def to_json(self) -> str:
        """Return every field as JSON. Private: it tells how many cells are primary."""
        return json.dumps(asdict(self) | {"hidden": self.hidden, "valid": self.valid}, sort_keys=True)
