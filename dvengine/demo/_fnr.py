"""Identity numbers for people who do not exist: unique by construction, and impossible for a real person.

Every number has month + 80, which is given to nobody. All positions of a frame of ten million people are laid out by
(birth date, sex, serial); a row takes the position that a keyed permutation gives it, so that no two rows ever meet,
whoever draws them and in whatever order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dvengine.demo._streams import permute, splitmix, stream
from dvengine.privacy._fnr import W1, W2

__all__ = ["CAPACITY", "Born", "births", "identity_numbers"]

#: The most people a registry can have: what the date-and-sex frame holds.
CAPACITY = 10_000_000

_LAST_YEAR = 2024
#: Shares of the age bands 0–9 … 90+ at the end of the last year, as drawn for the design; not statistics.
AGE_BANDS = (0.106, 0.121, 0.129, 0.139, 0.128, 0.134, 0.112, 0.087, 0.036, 0.008)
_WOMEN = 0.495
_OLDEST = 104


class Born(NamedTuple):
    """Who a row is: the day of birth (days since 1970), sex (0 = K, 1 = M) and the serial within that day and sex."""

    day: NDArray[np.int64]
    sex: NDArray[np.int64]
    serial: NDArray[np.int64]


@lru_cache(maxsize=1)
def _frame() -> tuple[int, NDArray[np.int64]]:
    """First day of the frame, and the cumulative places per (day, sex), two a day."""
    years = np.arange(_LAST_YEAR - _OLDEST, _LAST_YEAR + 1)
    age = _LAST_YEAR - years
    weight = np.array(AGE_BANDS)[np.minimum(age // 10, 9)] / 10.0
    fading = 0.8 ** np.maximum(age - 90, 0)
    weight = np.where(age >= 90, AGE_BANDS[9] * fading / (0.8 ** np.arange(_OLDEST - 89)).sum(), weight)
    starts = (years.astype(str).astype("datetime64[D]")).astype(np.int64)
    ends = ((years + 1).astype(str).astype("datetime64[D]")).astype(np.int64)
    days = np.repeat(weight / (ends - starts), ends - starts)
    places = np.column_stack([days * _WOMEN, days * (1 - _WOMEN)]).ravel()
    edges = np.floor(np.cumsum(places) / places.sum() * CAPACITY + 0.5).astype(np.int64)
    return int(starts[0]), edges


def births(rows: NDArray[np.int64], *, seed: int) -> Born:
    """Give each row (0 … CAPACITY − 1) its own place: no two rows share date, sex and serial."""
    first, edges = _frame()
    place = permute(rows, size=CAPACITY, seed=seed)
    cell = np.searchsorted(edges, place, side="right")
    before = np.where(cell > 0, edges[np.maximum(cell, 1) - 1], 0)
    return Born(first + cell // 2, cell % 2, place - before)


@lru_cache(maxsize=4)
def _numbers(seed: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """All usable individual numbers by (era, sex, a1, a2), each list shuffled: shape (3, 2, 11, 11, 350), and lengths.

    Which individual numbers survive depends on the date only through its two partial sums a1 and a2 modulo 11.
    """
    individual = np.arange(1000)
    digits = np.stack([individual // 100, individual // 10 % 10, individual % 10])
    b1 = sum(digits[i] * W1[6 + i] for i in range(3)) % 11
    b2 = sum(digits[i] * W2[6 + i] for i in range(3)) % 11
    eras = (
        individual < 500,  # born 1900–1939
        (individual < 500) | (individual >= 900),  # 1940–1999
        individual >= 500,  # 2000–2039
    )
    table = np.full((3, 2, 11, 11, 350), -1, np.int16)
    length = np.zeros((3, 2, 11, 11), np.int16)
    shuffle = stream(seed, "fnr", 0)
    for era, sex, a1, a2 in np.ndindex(3, 2, 11, 11):
        k1 = -(a1 + b1) % 11
        k2 = -(a2 + b2 + W2[9] * k1) % 11
        usable = eras[era] & (individual % 2 == sex) & (k1 < 10) & (k2 < 10)
        kept = shuffle.permutation(individual[usable])
        table[era, sex, a1, a2, : kept.size] = kept
        length[era, sex, a1, a2] = kept.size
    return table, length


def identity_numbers(born: Born, *, d_number: NDArray[np.bool_], seed: int) -> NDArray[np.bytes_]:
    """Return the numbers, shape (n,), dtype S11: valid by the old rule, month + 80, parity by sex (even = K).

    Args:
        born: Who; serials are unique within date and sex.
        d_number: Where the day gets + 40.
        seed: The key of the order in which a date's numbers are given out.
    """
    dates = born.day.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    year = dates.astype("datetime64[Y]").astype(np.int64) + 1970
    month = months.astype(np.int64) % 12 + 1 + 80
    day = (dates - months.astype("datetime64[D]")).astype(np.int64) + 1 + np.where(d_number, 40, 0)
    digit = np.empty((11, born.day.size), np.int64)
    for at, field in ((0, day), (2, month), (4, year % 100)):
        digit[at], digit[at + 1] = field // 10, field % 10
    a1 = sum(digit[i] * W1[i] for i in range(6)) % 11
    a2 = sum(digit[i] * W2[i] for i in range(6)) % 11
    era = np.where(year < 1940, 0, np.where(year < 2000, 1, 2))
    table, length = _numbers(seed)
    size = length[era, born.sex, a1, a2].astype(np.int64)
    if np.any(born.serial >= size):
        raise ValueError("more people on one date than there are numbers")
    turn = splitmix(born.day.astype(np.uint64) ^ splitmix(np.array([seed], np.uint64))) >> np.uint64(33)
    individual = table[era, born.sex, a1, a2, (born.serial + turn.astype(np.int64)) % size].astype(np.int64)
    digit[6], digit[7], digit[8] = individual // 100, individual // 10 % 10, individual % 10
    digit[9] = -(a1 + sum(digit[i] * W1[i] for i in range(6, 9))) % 11
    digit[10] = -(a2 + sum(digit[i] * W2[i] for i in range(6, 10))) % 11
    return np.ascontiguousarray(digit.T + 48, np.uint8).view("S11").ravel()
