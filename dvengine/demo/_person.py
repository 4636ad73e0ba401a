"""Table `person`: the population register of the demo, one chunk at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dvengine.demo._fnr import AGE_BANDS, births, identity_numbers
from dvengine.demo._regions import kommuner
from dvengine.demo._streams import CHUNK, choose, stream

__all__ = ["END", "PERSON", "PLANTED", "SIVILSTAND", "People", "people", "person_table", "words"]

#: The last day of the history, as days since 1970: 31 December 2024.
END = int(np.datetime64("2024-12-31").astype(np.int64))

SIVILSTAND = ("ugift", "gift", "registrert_partner", "separert", "skilt", "gjenlevende")

_FIELDS: list[Any] = [  # the stubs know no list of unlike fields
    pa.field("person_id", pa.int64()),
    pa.field("fnr", pa.string()),
    pa.field("foedt", pa.date32()),
    pa.field("doed", pa.date32()),
    pa.field("kjonn", pa.string()),
    pa.field("kommunenummer", pa.string()),
    pa.field("sivilstand", pa.string()),
    pa.field("statsborgerskap", pa.string()),
    pa.field("adressebeskyttelse", pa.bool_()),
    pa.field("oppdatert", pa.timestamp("us", "UTC")),
]
PERSON = pa.schema(_FIELDS)

#: Residents that are there whatever the seed: municipality -> (women, men) aged 30–39. They are the first rows of that
#: sex and age. Where the municipality is `_CLOSED`, nobody else of that sex and age lives there.
PLANTED: dict[str, tuple[int, int]] = {"1151": (3, 6), "1835": (5, 0), "4633": (3, 6), "5033": (4, 2)}
_CLOSED = {"1151": "1106"}  # Utsira; who would be too many lives in Haugesund instead

_SMALL, _SHIFT = 3_000, 0.06  # municipalities below this many people are older by this share
_MARITAL = np.array(
    [
        (0.92, 0.065, 0.0005, 0.005, 0.009, 0.0005),
        (0.45, 0.42, 0.002, 0.03, 0.096, 0.002),
        (0.20, 0.58, 0.003, 0.02, 0.16, 0.037),
        (0.06, 0.52, 0.002, 0.01, 0.13, 0.278),
    ]
)
_COUNTRIES = (  # noqa: SIM905 - two lines read better than forty
    "NOR POL LTU SWE UKR SOM PHL SYR DEU DNK GBR ERI THA AFG IND LVA PAK IRN IRQ ROU ESP FRA USA NLD ITA RUS VNM BRA "
    "CHN ETH EST BGR PRT TUR HRV SVK HUN ISL FIN GRC LKA"
).split()


@dataclass(frozen=True, slots=True)
class People:
    """One chunk of people, as the spells need them. ``planted`` maps a municipality to its planted rows."""

    first: int
    born: NDArray[np.int64]
    sex: NDArray[np.int64]
    age: NDArray[np.int64]
    died: NDArray[np.int64]
    kommune: NDArray[np.str_]
    planted: dict[str, NDArray[np.int64]]
    columns: dict[str, NDArray[Any]]


@lru_cache(maxsize=1)
def _kommune_by_band() -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """Codes, and the weight of each municipality within each age band, shape (10, 357)."""
    frame = kommuner()
    share = frame["folketall"].to_numpy() / frame["folketall"].sum()
    band = np.tile(np.array(AGE_BANDS), (share.size, 1))
    small = frame["folketall"].to_numpy() < _SMALL
    band[small, 2:4] -= _SHIFT / 2
    band[small, 6:8] += _SHIFT / 2
    return frame["kommunenummer"].to_numpy().astype("U4"), (share[:, None] * band).T


def people(seed: int, chunk: int) -> People:
    """Draw one whole chunk of people. It depends on seed and chunk only."""
    draw = stream(seed, "person", chunk)
    rows = chunk * CHUNK + np.arange(CHUNK)
    born = births(rows, seed=seed)
    year = born.day.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    age = 2024 - year
    band = np.minimum(age // 10, 9)

    # Small municipalities are older, so the age decides a little of where somebody lives.
    codes, weights = _kommune_by_band()
    lives, kommune = draw.random(CHUNK), np.empty(CHUNK, np.int64)
    for b in range(10):
        kommune[band == b] = choose(lives[band == b], weights[b])
    home = codes[kommune]
    planted = _plant(home, born.sex, age, chunk)

    # Death by Gompertz: the hazard doubles every eight years of age; 1.2 % of the rows have it.
    hazard = 2.0 ** (age / 8)
    dies = draw.random(CHUNK) < np.minimum(0.012 * hazard / 175.0, 0.5)
    died = np.where(dies, END - draw.integers(0, 730, CHUNK), END + 1)
    died = np.where(dies, np.maximum(died, born.day), died)
    for at in planted.values():
        died[at] = END + 1

    marital, status = draw.random(CHUNK), np.empty(CHUNK, np.int64)
    group = np.digitize(age, (30, 50, 70))
    for g in range(4):
        status[group == g] = choose(marital[group == g], _MARITAL[g])

    foreign = 0.12 / (np.arange(1, len(_COUNTRIES)) ** 1.1)
    foreign *= 0.12 / foreign.sum()
    citizen = np.array(_COUNTRIES)[choose(draw.random(CHUNK), np.concatenate([[0.88], foreign]))]
    stateless = draw.random(CHUNK) < 0.003

    sheltered = draw.random(CHUNK) < 0.0003
    d_number = draw.random(CHUNK) < 0.01
    # Ages of the last update from an hour to three years, log-uniform; some in the hour that October has twice.
    ago = np.exp(draw.uniform(np.log(3600e6), np.log(3 * 365.25 * 86400e6), CHUNK)).astype(np.int64)
    updated = np.datetime64("2024-12-31T23:00:00", "us").astype(np.int64) - ago
    twice = rows % 5000 == 17
    updated[twice] = np.datetime64("2024-10-27T00:00:00", "us").astype(np.int64) + ago[twice] % 7_200_000_000

    return People(
        first=chunk * CHUNK,
        born=born.day,
        sex=born.sex,
        age=age,
        died=died,
        kommune=home,
        planted=planted,
        columns={
            "fnr": identity_numbers(born, d_number=d_number, seed=seed),
            "sivilstand": status,
            "statsborgerskap": np.where(stateless, "", citizen),
            "adressebeskyttelse": sheltered,
            "oppdatert": updated,
        },
    )


def _plant(
    home: NDArray[np.str_], sex: NDArray[np.int64], age: NDArray[np.int64], chunk: int
) -> dict[str, NDArray[np.int64]]:
    """Move people so that the planted cases hold; return their rows (in the first chunk)."""
    thirties = (age >= 30) & (age < 40)
    for closed, instead in _CLOSED.items():
        home[thirties & (home == closed)] = instead
    planted: dict[str, NDArray[np.int64]] = {}
    if chunk == 0:
        free = [np.flatnonzero(thirties & (sex == s)) for s in (0, 1)]
        for code, counts in PLANTED.items():
            taken = [free[s][:n] for s, n in enumerate(counts)]
            free = [free[s][n:] for s, n in enumerate(counts)]
            planted[code] = np.concatenate(taken)
            home[planted[code]] = code
    return planted


def person_table(who: People, *, rows: int = CHUNK) -> pa.Table:
    """Lay the first ``rows`` people of a chunk out as `PERSON`."""
    cut = slice(0, rows)
    column = {name: values[cut] for name, values in who.columns.items()}
    fnr = pa.array(column["fnr"]).cast(pa.string())
    died = who.died[cut]
    country = column["statsborgerskap"]
    arrays = [
        pa.array(np.arange(who.first + 1, who.first + 1 + rows)),
        fnr,
        pa.array(who.born[cut].astype(np.int32)).cast(pa.date32()),
        pa.array(died.astype(np.int32), mask=died > END).cast(pa.date32()),
        words(("K", "M"), who.sex[cut]),
        pa.array(who.kommune[cut].astype("S4")).cast(pa.string()),
        words(SIVILSTAND, column["sivilstand"]),
        pa.array(country.astype("S3"), mask=country == "").cast(pa.string()),
        pa.array(column["adressebeskyttelse"]),
        pa.array(column["oppdatert"]).cast(pa.timestamp("us", "UTC")),
    ]
    return pa.Table.from_arrays(arrays, schema=PERSON)


def words(table: tuple[str, ...], codes: NDArray[Any]) -> pa.Array[Any]:
    """Turn codes into the words of a small table, as text."""
    return pa.array(table, pa.string()).take(codes.astype(np.int8))
