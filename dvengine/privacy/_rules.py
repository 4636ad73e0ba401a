"""Primary rules: which cells must be hidden for their own sake."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from dvengine._errors import InputError

__all__ = ["Threshold"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """Hide every count from 1 to ``minimum`` - 1.

    Zeros are shown, with one exception unless ``zeros="shown"``: below a count that is itself hidden by the rule, nothing is shown.
    Otherwise, four parts that are not shown as zero below a count known to be at most four are one each, to anyone who
    knows the rule, and no hiding of other cells could help.

    Args:
        minimum: The smallest count that may be shown, at least 2.
        zeros: ``covered`` or ``shown``.

    Raises:
        InputError: Below 2, or not a whole number.

    Source:
        Hundepool et al., *Statistical Disclosure Control* (Wiley, 2012), frequency tables, the threshold rule.

    Example:
        >>> Threshold(5).primary(np.array([0, 1, 4, 5])).tolist()
        [False, True, True, False]
        >>> str(Threshold(5)), Threshold.parse("threshold(5)") == Threshold(5)
        ('threshold(5)', True)
    """

    minimum: int
    zeros: Literal["covered", "shown"] = "covered"

    def __post_init__(self) -> None:
        if isinstance(self.minimum, bool) or not isinstance(self.minimum, int) or self.minimum < 2:
            raise InputError(
                "a threshold must be a whole number of at least 2",
                hint="Threshold(5) hides the counts 1 to 4",
            )
        if self.zeros not in ("covered", "shown"):
            raise InputError("zeros must be 'covered' or 'shown'", hint="see Threshold")

    def __str__(self) -> str:
        return f"threshold({self.minimum})" if self.covers else f"threshold({self.minimum}, zeros shown)"

    @property
    def covers(self) -> bool:
        """Whether zeros below a count that the rule hides are hidden too."""
        return self.zeros == "covered"

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Read what ``str`` wrote, as it stands in a certificate.

        Raises:
            InputError: The text is not such a rule.
        """
        found = re.fullmatch(r"threshold\((\d{1,9})(, zeros shown)?\)", text)
        if found is None:
            raise InputError("this is not a threshold rule", hint="it is written threshold(5)")
        return cls(int(found[1]), "shown" if found[2] else "covered")

    def primary(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Mark the counts that must be hidden; same shape."""
        return (counts >= 1) & (counts < self.minimum)
