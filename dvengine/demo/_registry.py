"""The synthetic registry: `person` and `sykefravaer`, drawn chunk by chunk from a seed.

No row describes a real person. A chunk depends on (seed, table, chunk number) and on nothing else, so that chunks may
be drawn in any order, by any number of workers, and a registry of N people is a prefix of every larger one.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from dvengine._errors import InputError
from dvengine.demo._dirt import soil
from dvengine.demo._fnr import CAPACITY
from dvengine.demo._person import PERSON, SIVILSTAND, people, person_table
from dvengine.demo._spells import REASONS, SPELL, spell_table
from dvengine.demo._streams import CHUNK

__all__ = ["DDL", "KEYS", "SCHEMAS", "TABLES", "VERSION", "Dials", "chunks", "draw"]

#: Changes whenever the same dials would give other rows.
VERSION = 1

TABLES = ("person", "sykefravaer")
SCHEMAS: dict[str, pa.Schema] = {"person": PERSON, "sykefravaer": SPELL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dials:
    """What decides every row.

    Args:
        seed: Any integer of 0 … 2^63 − 1.
        persons: Rows of `person`, 1 … 10 000 000.
        dirt: Share of deliberately awkward values (old codes, trailing blanks, other spellings of å); 0 turns them off.

    Raises:
        InputError: A dial outside its range.
    """

    seed: int = 20240101
    persons: int = 100_000
    dirt: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.persons <= CAPACITY:
            raise InputError(
                f"persons must be 1 to {CAPACITY}", hint="there are no more identity numbers to give out"
            )
        if not 0 <= self.seed < 1 << 63:
            raise InputError("seed must be 0 to 2^63 - 1")
        if not 0 <= self.dirt <= 0.5:
            raise InputError("dirt must be 0 to 0.5")


def chunks(dials: Dials) -> int:
    """How many chunks the registry has."""
    return -(-dials.persons // CHUNK)


def draw(dials: Dials, chunk: int) -> dict[str, pa.Table]:
    """Draw one chunk of both tables.

    Guarantees: bit for bit the same for the same dials, whatever else was drawn; every spell's person is in the same
    chunk; memory is bounded by the chunk (100 000 people, about 224 500 spells).

    Example:
        >>> tables = draw(Dials(persons=1000), 0)
        >>> tables["person"].num_rows, tables["sykefravaer"].schema.field("utbetalt").type
        (1000, Decimal128Type(decimal128(18, 4)))
    """
    rows = min(CHUNK, dials.persons - chunk * CHUNK)
    if chunk < 0 or rows < 1:
        raise InputError("there is no such chunk")
    who = people(dials.seed, chunk)
    tables = {
        "person": person_table(who, rows=rows),
        "sykefravaer": spell_table(dials.seed, who, people=rows),
    }
    return {name: soil(table, name, dials.dirt, dials.seed, chunk) for name, table in tables.items()}


def _enum(name: str, words: tuple[str, ...]) -> str:
    return f"create type {name} as enum ({', '.join(repr(word) for word in words)})"


#: Statements that make the empty tables. Keys come after the rows, when they are cheap.
DDL = (
    _enum("sivilstand_t", SIVILSTAND),
    _enum("aarsak_t", REASONS),
    """create table person (
        person_id bigint not null, fnr char(11) not null, foedt date not null, doed date, kjonn char(1) not null,
        kommunenummer varchar(5) not null, sivilstand sivilstand_t not null, statsborgerskap char(3),
        adressebeskyttelse boolean not null, oppdatert timestamptz not null)""",
    """create table sykefravaer (
        sykefravaer_id bigint not null, person_id bigint not null, arbeidsforhold_id bigint, fom date not null, tom date,
        diagnose char(3), grad numeric(5,2) not null, dagsats numeric(12,2) not null, utbetalt numeric(18,4) not null,
        avsluttet_aarsak aarsak_t, registrert timestamptz not null)""",
)

#: Statements for when the rows are in.
KEYS = (
    "alter table person add primary key (person_id)",
    "create unique index person_fnr on person (fnr)",
    "alter table sykefravaer add primary key (sykefravaer_id)",
    "alter table sykefravaer add foreign key (person_id) references person",
    "comment on table person is 'Synthetic: no row describes a real person'",
    "comment on table sykefravaer is 'Synthetic: no row describes a real person'",
)
