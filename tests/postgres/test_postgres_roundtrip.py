"""Any value of any type that has an exact counterpart comes back as it was written, however the table is cut."""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40)
NUMERIC = st.decimals(
    allow_nan=False,
    allow_infinity=False,
    min_value=Decimal(-(10**12)) + 1,
    max_value=Decimal(10**12) - 1,
    places=3,
)
WIDE = st.integers(-(10**38) + 1, 10**38 - 1).map(Decimal)
FLOATS = st.floats(allow_nan=True, allow_infinity=True)
DATES = st.dates()
NAIVE = st.datetimes()
AWARE = st.datetimes(
    min_value=dt.datetime(1, 1, 2), max_value=dt.datetime(9999, 12, 30), timezones=st.just(dt.UTC)
)
COLUMNS = {
    "b": ("bool", st.booleans()),
    "i2": ("int2", st.integers(-(2**15), 2**15 - 1)),
    "i4": ("int4", st.integers(-(2**31), 2**31 - 1)),
    "i8": ("int8", st.integers(-(2**63), 2**63 - 1)),
    "f4": ("float4", st.floats(width=32)),
    "f8": ("float8", FLOATS),
    "n": ("numeric(15,3)", NUMERIC),
    "w": ("numeric(38,0)", WIDE),
    "free": ("numeric", st.decimals(allow_nan=False, allow_infinity=False).filter(lambda d: -100 < d.adjusted() < 100)),
    "t": ("text", TEXT),
    "v": ("varchar(40)", TEXT),
    "raw": ("bytea", st.binary(max_size=40)),
    "d": ("date", DATES),
    "ts": ("timestamp", NAIVE),
    "tz": ("timestamptz", AWARE),
    "tm": ("time", st.times()),
    "u": ("uuid", st.uuids()),
    "j": ("jsonb", st.dictionaries(TEXT, st.integers() | TEXT, max_size=3)),
    "li": ("int4[]", st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), max_size=4)),
    "lt": ("text[]", st.lists(st.none() | TEXT, max_size=4)),
    "ln": ("numeric(15,3)[]", st.lists(st.none() | NUMERIC, max_size=4)),
    "ld": ("date[]", st.lists(st.none() | DATES, max_size=4)),
    "lu": ("uuid[]", st.lists(st.none() | st.uuids(), max_size=4)),
}  # fmt: skip
ROWS = st.lists(st.tuples(*(st.none() | strategy for _, strategy in COLUMNS.values())), max_size=12)


def came_back(name, written):
    if written is None:
        return None
    if isinstance(written, list):
        return [came_back(name, element) for element in written]
    if isinstance(written, uuid.UUID):
        return str(written)
    return written


def same(name, got, written):
    if isinstance(written, float) and got is not None:
        return (math.isnan(got) and math.isnan(written)) or (
            got == written and math.copysign(1, got) == math.copysign(1, written)
        )
    if isinstance(written, dict) and got is not None:
        return json.loads(got) == written
    if name == "free" and written is not None:
        return isinstance(got, str) and Decimal(got) == written
    return got == written and type(got) is type(written)


@pytest.mark.parametrize("partitions", [1, 3])
def test_every_value_comes_back_as_it_was_written(db18, partitions):
    declared = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items())
    db18.run(f"create table alt(nr int, {declared})")
    places = ", ".join(f"%s::{kind}" for kind, _ in COLUMNS.values())

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(rows=ROWS)
    def round_trip(rows):
        with psycopg.connect(db18.url, autocommit=True) as connection:
            connection.execute("truncate alt")
            for number, row in enumerate(rows):
                values = [Jsonb(value) if isinstance(value, dict) else value for value in row]
                connection.execute(f"insert into alt values (%s, {places})", [number, *values])
        table = (
            db18.read("alt", partition_on="nr", partitions=partitions) if partitions > 1 else db18.read("alt")
        )
        assert table.num_rows == len(rows)
        for got in table.to_pylist():
            for name, written in zip(COLUMNS, rows[got["nr"]], strict=True):
                assert same(name, got[name], came_back(name, written)), (name, got[name], written)

    round_trip()
