"""Norwegian national identity numbers: the arithmetic, old rule and 2032 rule, one at a time or a million at a time.

Eleven digits DDMMYYIIIKK. The two control digits satisfy two weighted sums modulo 11. The old rule wants both sums to
be 0; the rule for numbers given out from 2032 lets the first be 0, 1, 2 or 3. Day + 40 marks a D-number, month + 40 an
H-number or a synthetic one, month + 80 a synthetic one; a D-number may be synthetic too. There is deliberately no
century table, no age limit and no sex: to detect means to accept the union, since a miss is what must not happen.

Source: the Norwegian Tax Administration's description of the number, and of the changed control digit from 2032.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "NEW", "OLD", "W1", "W2", "Identity", "check_number", "classify"]

#: Weights of the two control sums; the last weight of each belongs to its control digit.
W1 = (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)
W2 = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)

#: Bit flags that `classify` returns; 0 is "not an identity number". `NEW` alone means: valid by the 2032 rule only.
OLD, NEW = 1, 2
_D, _H, _SYNTHETIC = 4, 8, 16

#: What the kind bits mean, in words.
KINDS: dict[int, str] = {
    0: "plain",
    _D: "D",
    _H: "H or synthetic +40",
    _SYNTHETIC: "synthetic +80",
    _D | _H: "D and +40",
    _D | _SYNTHETIC: "D and +80",
}

_MONTH_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.uint8)
# How many days a month field has, and which kind it marks, for all 100 spellings of the two digits.
_DAYS_OF_FIELD = np.zeros(100, np.uint8)
_KIND_OF_FIELD = np.zeros(100, np.uint8)
for _offset, _bit in ((0, 0), (40, _H), (80, _SYNTHETIC)):
    _DAYS_OF_FIELD[_offset + 1 : _offset + 13] = _MONTH_DAYS[1:]
    _KIND_OF_FIELD[_offset + 1 : _offset + 13] = _bit


@dataclass(frozen=True, slots=True)
class Identity:
    """What a valid number is. ``rule`` is ``old`` where both rules accept it, else ``2032``."""

    kind: str
    rule: Literal["old", "2032"]


def classify(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Say for each row of digits whether it is an identity number, and of which kind.

    Args:
        digits: Shape (11, n), digit values 0–9: row 0 holds every number's first digit.

    Returns:
        Shape (n,): 0 where it is not one, else `OLD` | `NEW` | kind bits (a key of `KINDS`).

    Example:
        >>> rows = np.array([[int(c) for c in "01824560079"], [int(c) for c in "01824560070"]], np.uint8)
        >>> classify(rows.T.copy()).tolist()
        [19, 0]
    """
    out = np.zeros(digits.shape[1], np.uint8)
    # The second sum lets one in eleven through, so that the rest of the work is done for few.
    second = np.zeros(digits.shape[1], np.uint16)
    for row, weight in zip(digits, W2, strict=True):
        second += row * np.uint16(weight)
    at = np.flatnonzero(second % np.uint16(11) == 0)
    if not at.size:
        return out
    few = digits[:, at].astype(np.uint16)
    first = sum((few[i] * np.uint16(w) for i, w in enumerate(W1)), np.zeros(at.size, np.uint16)) % np.uint16(
        11
    )
    day, month, year = few[0] * 10 + few[1], few[2] * 10 + few[3], few[4] * 10 + few[5]
    d_number = day > 40
    day = np.where(d_number, day - 40, day)
    longest = _DAYS_OF_FIELD[month]
    # Two digits of year cannot tell 1900 from 2000; 29 February is accepted where either century has it.
    leap_fault = (day == 29) & (longest == 29) & (year % 4 != 0)
    dated = (day >= 1) & (day <= longest) & ~leap_fault
    code = np.where(first == 0, OLD | NEW, NEW) | _KIND_OF_FIELD[month] | np.where(d_number, _D, 0)
    out[at] = np.where(dated & (first <= 3), code, 0)
    return out


def check_number(text: str) -> Identity | None:
    """Return what the eleven digits are, or None where they are not an identity number.

    The text is taken as it stands: no spaces, no padding (the scanner does that). It is not kept and not shown.

    Example:
        >>> check_number("01824564015")
        Identity(kind='synthetic +80', rule='2032')
        >>> check_number("01824560070") is None
        True
    """
    if len(text) != 11 or not (text.isascii() and text.isdigit()):
        return None
    code = int(classify((np.frombuffer(text.encode(), np.uint8) - 48).reshape(11, 1))[0])
    if not code:
        return None
    return Identity(KINDS[code & ~(OLD | NEW)], "old" if code & OLD else "2032")
