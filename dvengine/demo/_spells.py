"""Table `sykefravaer`: one row a spell of sick leave, one chunk of people at a time, money in exact integers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dvengine.demo._person import END, People, words
from dvengine.demo._streams import CHUNK, choose, stream

__all__ = ["REASONS", "SPELL", "SPELLS_PER_CHUNK", "spell_table"]

#: Spells drawn for each 100 000 people over the ten years; a few fall away where one person's would coincide.
SPELLS_PER_CHUNK = 225_000

REASONS = ("frisk", "ny_jobb", "makstid", "doed", "ukjent")

_FIELDS: list[Any] = [
    pa.field("sykefravaer_id", pa.int64()),
    pa.field("person_id", pa.int64()),
    pa.field("arbeidsforhold_id", pa.int64()),
    pa.field("fom", pa.date32()),
    pa.field("tom", pa.date32()),
    pa.field("diagnose", pa.string()),
    pa.field("grad", pa.decimal128(5, 2)),
    pa.field("dagsats", pa.decimal128(12, 2)),
    pa.field("utbetalt", pa.decimal128(18, 4)),
    pa.field("avsluttet_aarsak", pa.string()),
    pa.field("registrert", pa.timestamp("us", "UTC")),
]
SPELL = pa.schema(_FIELDS)

_START = int(np.datetime64("2015-01-01").astype(np.int64))
_NEWEST = int(np.datetime64("2024-01-01").astype(np.int64))
_MONTHS = np.array([1.35, 1.30, 1.20, 1.00, 0.90, 0.85, 0.65, 0.85, 1.05, 1.05, 1.00, 0.80])
_EMPLOYED = np.array([0.55, 0.80, 0.84, 0.84, 0.80, 0.55, 0.10])  # per ten years of age from 15
_WOMEN_RATE, _WOMEN_SHARE = 1.6, 0.61

CHAPTERS = "LPRANDWKTSUXYFHZB"
_CHAPTER = np.array(
    [
        0.30,
        0.26,
        0.10,
        0.10,
        0.06,
        0.05,
        0.04,
        0.03,
        0.015,
        0.015,
        0.01,
        0.006,
        0.004,
        0.003,
        0.003,
        0.003,
        0.001,
    ]
)
#: Structural zeros: chapters that one sex cannot have.
WOMEN_ONLY, MEN_ONLY = "WX", "Y"

# Symptoms (01–29) and diagnoses (70–99); how common each is falls as 1 / rank^1.2, in an order of the chapter's own.
_CODES = np.concatenate([np.arange(1, 30), np.arange(70, 100)])

# The National Insurance basic amount G in kroner, from 1 May of each year; six times G caps the daily rate.
_G = {2014: 88_370, 2015: 90_068, 2016: 92_576, 2017: 93_634, 2018: 96_883, 2019: 99_858}
_G |= {2020: 101_351, 2021: 106_399, 2022: 111_477, 2023: 118_620, 2024: 124_028}
_G_YEARS = np.array([int(np.datetime64(f"{y}-05-01").astype(np.int64)) for y in _G])
_G_AMOUNT = np.array(list(_G.values()))

_GRADES = np.array([100_00, 50_00, 20_00, 40_00, 60_00, 80_00])
_ODD_GRADES = np.array([33_33, 66_67, 25_50, 12_75, 37_25, 72_10, 44_44, 90_05])

# Fixed spells of the planted people in 2024: municipality -> (which planted person, first day, days, chapter).
_PLANTED: dict[str, list[tuple[int, str, int, str]]] = {
    # Træna: respiratory, four in the first quarter, one in the second; five in the year looks safe and is not.
    "1835": [(i, f"2024-0{1 + i % 3}-{8 + i:02d}", 6 + i, "R") for i in range(4)] + [(4, "2024-05-13", 9, "R")],
    # Fedje: musculoskeletal, no man at all: a zero that must not be the only cover for the three women.
    "4633": [(i, f"2024-02-{12 + i}", 20, "L") for i in range(3)] + [(3 + i, f"2024-03-{4 + i:02d}", 11, "A") for i in range(6)],
    # Tydal: six spells in the year and all of them psychological: no small count, and still everybody's diagnosis.
    "5033": [(i, f"2024-0{1 + i}-{15 + i}", 30 + i, "P") for i in range(6)],
}  # fmt: skip
#: No other spell of the year 2024 is drawn for people of these municipalities in the chapter (None: in any chapter).
_RESERVED: dict[str, str | None] = {"1835": "R", "4633": "L", "5033": None}


@lru_cache(maxsize=1)
def _first_days() -> NDArray[np.float64]:
    days = np.arange(_START, END + 1).astype("datetime64[D]")
    month = days.astype("datetime64[M]").astype(np.int64) % 12
    monday = (days.astype(np.int64) + 3) % 7 == 0
    return _MONTHS[month] * np.where(monday, 2.2, 1.0)


@lru_cache(maxsize=1)
def _codes_by_chapter() -> NDArray[np.str_]:
    shuffle = stream(0, "icpc", 0)
    return np.array(
        [[f"{letter}{number:02d}" for number in shuffle.permutation(_CODES)] for letter in CHAPTERS], "U3"
    )


def spell_table(seed: int, who: People, *, people: int = CHUNK) -> pa.Table:
    """Draw the spells of one chunk of people; keep those of its first ``people`` rows.

    Within the table rows are ordered by person and first day; spells of one person never overlap. ``utbetalt`` is
    dagsats × grad / 100 × weekdays from fom to tom (a running spell: to the end of 2024), rounded half up at the fourth
    decimal, in integers all the way.
    """
    chunk = who.first // CHUNK
    draw = stream(seed, "sykefravaer", chunk)
    n = SPELLS_PER_CHUNK
    fom = _START + choose(draw.random(n), _first_days())
    person = _who_falls_ill(draw, who, fom)
    chapter = _chapters(draw, who.sex[person])
    length = _lengths(draw, n)
    code = choose(draw.random(n), np.asarray(1.0 / np.arange(1, _CODES.size + 1) ** 1.2, np.float64))

    in_2024 = fom >= _NEWEST
    for kommune, reserved in _RESERVED.items():
        there = in_2024 & (who.kommune[person] == kommune)
        if reserved is not None:
            there &= chapter == CHAPTERS.index(reserved)
            chapter[there] = CHAPTERS.index("N")
    drop = in_2024 & np.isin(who.kommune[person], [k for k, c in _RESERVED.items() if c is None])
    extra = [(who.planted[k][i], int(np.datetime64(d).astype(np.int64)), days, CHAPTERS.index(c))
             for k, spells in _PLANTED.items() if k in who.planted for i, d, days, c in spells]  # fmt: skip
    if extra:
        drop |= np.isin(person, np.concatenate(list(who.planted.values())))
        plant = np.array(extra).T
        person, fom, length, chapter = (
            np.concatenate([kept[~drop], more])
            for kept, more in zip((person, fom, length, chapter), plant, strict=True)
        )
        code = np.concatenate([code[~drop], np.zeros(len(extra), np.int64)])
    else:
        keep = ~drop
        person, fom, length, chapter, code = person[keep], fom[keep], length[keep], chapter[keep], code[keep]

    order = np.lexsort((fom, person))
    person, fom, length, chapter, code = (a[order] for a in (person, fom, length, chapter, code))
    same = (person[1:] == person[:-1]) & (fom[1:] == fom[:-1])
    keep = np.concatenate([[True], ~same])
    person, fom, length, chapter, code = (a[keep] for a in (person, fom, length, chapter, code))
    # The next spell of the same person ends this one at the latest the day before.
    gap = np.where(person[1:] == person[:-1], fom[1:] - fom[:-1], length[:-1])
    length[:-1] = np.minimum(length[:-1], gap)
    return _lay_out(draw, who, person, fom, length, chapter, code, people)


def _who_falls_ill(draw: np.random.Generator, who: People, fom: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pick a person for each spell: in work at that age, alive, women 1.6 times as often, and some far more than others."""
    rate = np.where(who.sex == 0, _WOMEN_RATE, 1.0) * draw.gamma(0.7, 1.0, who.age.size)
    uniform = draw.random(fom.size)
    year = fom.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    person = np.empty(fom.size, np.int64)
    dead_from = who.died.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    for y in range(2015, 2025):
        age = who.age - (2024 - y)
        works = np.where((age >= 15) & (age < 75), _EMPLOYED[np.clip((age - 15) // 10, 0, 6)], 0.0)
        # A person who dies falls out for the whole of that year: nobody has a spell after death.
        works[(dead_from <= y) & (who.died <= END)] = 0.0
        at = year == y
        person[at] = choose(uniform[at], np.asarray(works * rate, np.float64))
    return person


def _chapters(draw: np.random.Generator, sex: NDArray[np.int64]) -> NDArray[np.int64]:
    uniform, chapter = draw.random(sex.size), np.empty(sex.size, np.int64)
    for s, share, own, other in (
        (0, _WOMEN_SHARE, WOMEN_ONLY, MEN_ONLY),
        (1, 1 - _WOMEN_SHARE, MEN_ONLY, WOMEN_ONLY),
    ):
        weight = _CHAPTER.copy()
        for letter in own:
            weight[CHAPTERS.index(letter)] /= share
        for letter in other:
            weight[CHAPTERS.index(letter)] = 0.0
        # choose() can land on the last index only through rounding, and the last chapter is open to both sexes.
        chapter[sex == s] = choose(uniform[sex == s], weight)
    return chapter


def _lengths(draw: np.random.Generator, n: int) -> NDArray[np.int64]:
    kind = choose(draw.random(n), np.array([0.55, 0.30, 0.15]))
    normal = draw.standard_normal(n)
    length = np.where(
        kind == 0,
        draw.geometric(1 / 7, n),
        np.ceil(np.where(kind == 1, 30 * np.exp(0.8 * normal), 140 * np.exp(0.75 * normal))).astype(np.int64),
    )
    return np.clip(length, 1, 365)


def _lay_out(
    draw: np.random.Generator,
    who: People,
    person: NDArray[np.int64],
    fom: NDArray[np.int64],
    length: NDArray[np.int64],
    chapter: NDArray[np.int64],
    code: NDArray[np.int64],
    people: int,
) -> pa.Table:
    n = person.size
    tom = fom + length - 1
    running = tom > END
    last = np.minimum(tom, END)

    # Pay of the job (in øre, of 2024), by person: log-normal with a Pareto tail; a third work part time.
    wage = np.exp(np.log(560_000_00) + 0.42 * draw.standard_normal(CHUNK))
    tail = draw.random(CHUNK) < 0.01
    wage = np.where(tail, 1_500_000_00 * (1 + draw.pareto(2.2, CHUNK)), wage)
    part = np.where(draw.random(CHUNK) < 0.68, 1.0, draw.beta(4, 4, CHUNK))
    pay_2024 = np.clip(wage * part, 50_000_00, 100_000_000_00).astype(np.int64)
    g = _G_AMOUNT[np.searchsorted(_G_YEARS, fom, side="right") - 1]
    pay = np.minimum(pay_2024[person] * g // _G[2024], 6 * 100 * g)
    dagsats = (2 * pay + 260) // 520  # a 260th, half up to øre

    grad = _GRADES[choose(draw.random(n), np.array([0.58, 0.16, 0.0425, 0.0425, 0.0425, 0.0425]) / 0.91)]
    odd = draw.random(n) < 0.09
    grad = np.where(odd, _ODD_GRADES[draw.integers(0, _ODD_GRADES.size, n)], grad)
    days = np.busday_count(fom.astype("datetime64[D]"), (last + 1).astype("datetime64[D]"))
    # øre × hundredths of a per cent × days is in millionths of a krone; half up to ten-thousandths.
    utbetalt = (dagsats * grad * days + 50) // 100

    reason = choose(draw.random(n), np.array([0.90, 0.03, 0.0, 0.001, 0.069]))
    reason[length == 365] = REASONS.index("makstid")
    registered = fom * 86_400_000_000 + (draw.exponential(4 * 86_400e6, n)).astype(np.int64)
    jobless = draw.random(n) < 0.015
    second = draw.random(n) < 0.05
    unknown = draw.random(n) < 0.008
    unknown &= ~np.isin(who.kommune[person], list(_RESERVED))

    kept = int(np.searchsorted(person, people))  # rows are by person, so a cut is a prefix
    cut = slice(0, kept)
    ids = who.first + person[cut] + 1
    arrays = [
        pa.array(chunk_base(who.first) + np.arange(1, kept + 1)),
        pa.array(ids),
        pa.array(ids * 4 + second[cut], mask=jobless[cut]),
        pa.array(fom[cut].astype(np.int32)).cast(pa.date32()),
        pa.array(last[cut].astype(np.int32), mask=running[cut]).cast(pa.date32()),
        pa.array(_codes_by_chapter()[chapter[cut], code[cut]].astype("S3"), mask=unknown[cut]).cast(
            pa.string()
        ),
        _decimal(grad[cut], 5, 2),
        _decimal(dagsats[cut], 12, 2),
        _decimal(utbetalt[cut], 18, 4),
        pc.if_else(pa.array(running[cut]), pa.scalar(None, pa.string()), words(REASONS, reason[cut])),
        pa.array(registered[cut]).cast(pa.timestamp("us", "UTC")),
    ]
    return pa.Table.from_arrays(arrays, schema=SPELL)


def chunk_base(first: int) -> int:
    """The number before a chunk's first spell id: chunks never share ids, and ids may have gaps between chunks."""
    return first // CHUNK * (SPELLS_PER_CHUNK + 1000)


def _decimal(units: NDArray[np.int64], precision: int, scale: int) -> pa.Array[Any]:
    """Integers in units of the last decimal, taken bit for bit as decimal128."""
    halves = np.empty((units.size, 2), np.int64)
    halves[:, 0], halves[:, 1] = units, units >> 63
    return pa.Array.from_buffers(
        pa.decimal128(precision, scale), units.size, [None, pa.py_buffer(halves.tobytes())]
    )
