from __future__ import annotations

import datetime as dt
import random

import numpy as np
import pytest

from dvengine.privacy._fnr import KINDS, NEW, OLD, W1, W2, check_number, classify

# The series year 40–53 with individual number 500–899 is given to nobody, so these may be written down.
KNOWN = {
    "01024560003": ("plain", "old"),
    "01024561077": ("plain", "2032"),
    "01024562030": ("plain", "2032"),
    "01024563185": ("plain", "2032"),
    "41024560188": ("D", "old"),
    "01424560096": ("H or synthetic +40", "old"),
    "01824560079": ("synthetic +80", "old"),
    "01824564015": ("synthetic +80", "2032"),
    "41824560062": ("D and +80", "old"),
    "41424560160": ("D and +40", "old"),
    "29024460027": ("plain", "old"),
    "29824460092": ("synthetic +80", "old"),
}
FALSE = (
    "29024560048",
    "01824560070",
    "00000000000",
    "0182456007",
    "018245600790",
    "",
    "0182456007a",
    "٠١٨٢٤٥٦٠٠٧٩",
)


@pytest.mark.parametrize("number", KNOWN)
def test_every_kind_under_both_rules_is_known(number: str) -> None:
    found = check_number(number)
    assert found is not None
    assert (found.kind, found.rule) == KNOWN[number]


@pytest.mark.parametrize("number", FALSE)
def test_wrong_digit_date_or_length_is_no_number(number: str) -> None:
    assert check_number(number) is None


def by_hand(number: str) -> tuple[bool, bool]:
    """Both rules, written as the rule is: an independent second opinion."""
    digits = [int(c) for c in number]
    day, month, year = int(number[:2]), int(number[2:4]), int(number[4:6])
    day -= 40 if day > 40 else 0
    month -= 80 if month > 80 else 40 if month > 40 else 0
    dated = False
    for century in (1900, 2000):
        try:
            dt.date(century + year, month, day)
            dated = True
        except ValueError:
            pass
    first = sum(w * d for w, d in zip(W1, digits, strict=False)) % 11
    second = sum(w * d for w, d in zip(W2, digits, strict=True)) % 11
    fits = dated and second == 0
    return fits and first == 0, fits and first <= 3


def test_million_at_a_time_agrees_with_the_rule_written_by_hand() -> None:
    rng = random.Random(3)
    numbers = [f"{rng.randrange(10**11):011d}" for _ in range(20_000)]
    # Valid second digits make the rest of the rule count.
    numbers += [n[:10] + str(d) for n in numbers[:3000] for d in range(10)]
    digits = np.frombuffer("".join(numbers).encode(), np.uint8).reshape(-1, 11).T - 48
    codes = classify(np.ascontiguousarray(digits))
    expected = [by_hand(n) for n in numbers]
    assert [(bool(c & OLD), bool(c & NEW)) for c in codes] == expected
    assert sum(new for _, new in expected) > 300
    assert {int(c) & ~(OLD | NEW) for c in codes} == set(KINDS)


def test_no_numbers_give_no_codes() -> None:
    assert classify(np.zeros((11, 0), np.uint8)).tolist() == []
