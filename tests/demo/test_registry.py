from __future__ import annotations

import datetime as dt
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats

from dvengine import InputError
from dvengine.demo import Dials, Fasit, draw, kapitler, kommuner
from dvengine.demo._fnr import _frame, _numbers
from dvengine.demo._registry import chunks
from dvengine.demo._spells import MEN_ONLY, WOMEN_ONLY
from dvengine.privacy._fnr import KINDS, NEW, OLD, check_number, classify

SEEDS = (20240101, 7)


@pytest.fixture(scope="module", params=SEEDS)
def tables(request: pytest.FixtureRequest) -> dict[str, pl.DataFrame]:
    drawn = draw(Dials(seed=request.param), 0)
    return {name: pl.DataFrame(table) for name, table in drawn.items()}


@pytest.fixture(scope="module")
def joined(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    return tables["sykefravaer"].join(tables["person"], on="person_id").with_columns(
        kapittel=pl.col("diagnose").str.slice(0, 1), aar=pl.col("fom").dt.year(), kvartal=pl.col("fom").dt.quarter()
    )  # fmt: skip


def test_every_fnr_is_unique_valid_and_impossible_for_a_real_person(tables: dict[str, pl.DataFrame]) -> None:
    person = tables["person"]
    assert person["fnr"].n_unique() == person.height
    digits = np.frombuffer("".join(person["fnr"]).encode(), np.uint8).reshape(-1, 11).T - 48
    codes = classify(digits)
    assert np.all(codes & OLD)
    assert {KINDS[int(code) & ~(OLD | NEW)] for code in np.unique(codes)} == {"synthetic +80", "D and +80"}
    months = person["fnr"].str.slice(2, 2).cast(pl.Int32)
    assert months.is_between(81, 92).all()
    leading_zero = person["fnr"].str.starts_with("0").mean()
    assert 0.25 < leading_zero < 0.35
    d_numbers = (person["fnr"].str.slice(0, 1).cast(pl.Int32) >= 4).mean()
    assert 0.005 < d_numbers < 0.015


def test_fnr_stays_unique_across_chunks_and_agrees_with_birth_date_and_sex() -> None:
    dials = Dials(persons=300_000)
    person = pl.concat([pl.DataFrame(draw(dials, chunk)["person"]) for chunk in (2, 0, 1)])
    assert person["fnr"].n_unique() == person["person_id"].n_unique() == 300_000
    individual = person["fnr"].str.slice(8, 1).cast(pl.Int32)
    assert ((individual % 2 == 0) == (person["kjonn"] == "K")).all()
    day = person["fnr"].str.slice(0, 2).cast(pl.Int32)
    assert (
        pl.select(pl.when(day > 40).then(day - 40).otherwise(day)).to_series() == person["foedt"].dt.day()
    ).all()
    assert (person["fnr"].str.slice(4, 2).cast(pl.Int32) == person["foedt"].dt.year() % 100).all()
    assert person.filter((pl.col("foedt").dt.month() == 2) & (pl.col("foedt").dt.day() == 29)).height > 0


def test_ten_million_people_would_find_a_number_on_every_date() -> None:
    _, edges = _frame()
    assert edges[-1] == 10_000_000
    for seed in SEEDS:
        assert np.diff(edges, prepend=0).max() <= _numbers(seed)[1].min()
    last = draw(Dials(persons=10_000_000), 99)["person"]
    assert last.num_rows == 100_000


def test_kommune_shares_follow_the_population(tables: dict[str, pl.DataFrame]) -> None:
    counts = tables["person"].group_by("kommunenummer").len()
    both = kommuner().join(counts, on="kommunenummer", how="left").with_columns(pl.col("len").fill_null(0))
    big = both.filter(pl.col("folketall") >= 3000)  # each expects 50 or more
    expected = big["folketall"] / big["folketall"].sum() * big["len"].sum()
    assert stats.chisquare(big["len"], expected).pvalue > 1e-4
    assert set(counts["kommunenummer"]) <= set(kommuner()["kommunenummer"])
    assert "0301" in set(counts["kommunenummer"])


def test_small_kommuner_are_older(tables: dict[str, pl.DataFrame]) -> None:
    age = 2024 - pl.col("foedt").dt.year()
    shares = (
        tables["person"].join(kommuner(), on="kommunenummer")
        .group_by(small=pl.col("folketall") < 3000)
        .agg(old=age.is_between(60, 79).mean(), young=age.is_between(20, 39).mean()).sort("small")
    )  # fmt: skip
    assert shares["old"][1] > shares["old"][0] + 0.03
    assert shares["young"][1] < shares["young"][0] - 0.03


def test_spells_belong_to_living_people_and_never_overlap(
    joined: pl.DataFrame, tables: dict[str, pl.DataFrame]
) -> None:
    assert joined.height == tables["sykefravaer"].height  # every person_id is there
    assert joined["sykefravaer_id"].n_unique() == joined.height
    assert joined.filter(pl.col("fom") > pl.col("doed")).is_empty()
    assert joined.filter(pl.col("tom") < pl.col("fom")).is_empty()
    after = joined.sort("person_id", "fom").with_columns(neste=pl.col("fom").shift(-1).over("person_id"))
    assert after.filter(pl.col("neste") <= pl.col("tom")).is_empty()
    running = joined.filter(pl.col("tom").is_null())
    assert running.height > 100
    assert running["fom"].min() >= dt.date(2024, 1, 1)
    assert running["avsluttet_aarsak"].null_count() == running.height


def test_chapters_that_a_sex_cannot_have_are_empty(joined: pl.DataFrame) -> None:
    assert joined.filter((pl.col("kjonn") == "M") & pl.col("kapittel").is_in(list(WOMEN_ONLY))).is_empty()
    assert joined.filter((pl.col("kjonn") == "K") & pl.col("kapittel").is_in(list(MEN_ONLY))).is_empty()
    assert set(joined["kapittel"].drop_nulls()) == set(kapitler()["kapittel"])


def test_money_is_exact_to_the_last_digit(tables: dict[str, pl.DataFrame]) -> None:
    checked = 0
    for row in tables["sykefravaer"].sample(2000, seed=1).iter_rows(named=True):
        day, last, days = row["fom"], row["tom"] or dt.date(2024, 12, 31), 0
        while day <= last:
            days += day.weekday() < 5
            day += dt.timedelta(1)
        right = row["dagsats"] * row["grad"] / 100 * days
        assert row["utbetalt"] == right.quantize(Decimal("0.0001"), ROUND_HALF_UP)
        checked += days > 0
    assert checked > 1500


def test_daily_rate_stops_at_six_times_the_basic_amount(joined: pl.DataFrame) -> None:
    for start, stop, cap in (
        (dt.date(2023, 5, 1), dt.date(2024, 4, 30), Decimal("2737.38")),
        (dt.date(2024, 5, 1), dt.date(2024, 12, 31), Decimal("2862.18")),
    ):
        rates = joined.filter(pl.col("fom").is_between(start, stop))["dagsats"]
        assert rates.max() == cap
        at_cap = (rates == cap).mean()
        assert 0.13 < at_cap < 0.24


def test_planted_cases_are_there_whatever_the_seed(
    joined: pl.DataFrame, tables: dict[str, pl.DataFrame]
) -> None:
    thirties = pl.col("foedt").dt.year().is_between(1985, 1994)
    utsira = tables["person"].filter((pl.col("kommunenummer") == "1151") & thirties)
    assert dict(utsira.group_by("kjonn").len().iter_rows()) == {"K": 3, "M": 6}

    traena = joined.filter(kommunenummer="1835", kapittel="R", aar=2024)
    assert dict(traena.group_by("kvartal").len().iter_rows()) == {1: 4, 2: 1}

    fedje = joined.filter(kommunenummer="4633", kapittel="L", aar=2024)
    assert dict(fedje.group_by("kjonn").len().iter_rows()) == {"K": 3}

    tydal = joined.filter(kommunenummer="5033", aar=2024)
    assert (tydal.height, tydal["kapittel"].unique().to_list()) == (6, ["P"])


def test_planted_cases_survive_a_small_and_a_large_registry() -> None:
    small = pl.DataFrame(draw(Dials(persons=5_000), 0)["person"])
    assert small.filter(kommunenummer="1151").height >= 9
    second = draw(Dials(persons=200_000), 1)
    people, spells = pl.DataFrame(second["person"]), pl.DataFrame(second["sykefravaer"])
    thirties = pl.col("foedt").dt.year().is_between(1985, 1994)
    assert people.filter((pl.col("kommunenummer") == "1151") & thirties).is_empty()
    tydal = people.filter(kommunenummer="5033")
    assert spells.filter(pl.col("fom").dt.year() == 2024).join(tydal, on="person_id").is_empty()


@pytest.mark.slow
def test_a_chunk_is_the_same_whatever_else_is_drawn() -> None:
    alone = draw(Dials(persons=300_000), 2)
    again = [draw(Dials(persons=300_000), chunk) for chunk in (1, 2)][1]
    other_size = draw(Dials(persons=1_000_000), 2)
    small = draw(Dials(persons=1_000), 0)
    whole = draw(Dials(persons=100_000), 0)
    for name, table in alone.items():
        assert table.equals(again[name])
        assert table.equals(other_size[name])
        assert small[name].equals(whole[name].slice(0, small[name].num_rows))
    assert not draw(Dials(seed=1), 0)["person"].equals(whole["person"])
    assert chunks(Dials(persons=100_001)) == 2


def test_answer_sheet_ignores_order_and_cut_and_sees_one_changed_value() -> None:
    table = draw(Dials(persons=2_000), 0)["sykefravaer"]
    whole, pieces = Fasit(), Fasit()
    whole.feed(table)
    shuffled = table.take(np.random.default_rng(1).permutation(table.num_rows))
    for batch in shuffled.to_batches(max_chunksize=77):
        pieces.feed(batch)
    assert whole == pieces
    assert Fasit.from_dict(whole.to_dict()) == whole
    changed = Fasit()
    frame = pl.DataFrame(table).with_columns(
        dagsats=pl.when(pl.int_range(pl.len()) == 5)
        .then(pl.col("dagsats") + Decimal("0.01"))
        .otherwise("dagsats")
    )
    changed.feed(frame.to_arrow().cast(table.schema))
    assert changed.hash != whole.hash
    assert changed.sums["dagsats"] == whole.sums["dagsats"] + Decimal("0.01")


def test_dirt_is_off_unless_asked_for_and_then_of_every_kind() -> None:
    clean, dirty = draw(Dials(persons=5_000), 0), draw(Dials(persons=5_000, dirt=0.01), 0)
    codes = set(kommuner()["kommunenummer"])
    assert set(clean["person"]["kommunenummer"].to_pylist()) <= codes
    odd = [c for c in dirty["person"]["kommunenummer"].to_pylist() if c not in codes]
    assert any(c.endswith(" ") for c in odd)
    assert any(not c.endswith(" ") for c in odd)
    spells = pl.DataFrame(dirty["sykefravaer"])
    assert (spells["tom"] < spells["fom"]).sum() > 0
    assert (spells["tom"] == dt.date(9999, 12, 31)).sum() > 0
    assert dirty["person"].schema == clean["person"].schema
    numbers = [check_number(fnr) for fnr in dirty["person"]["fnr"].to_pylist()]
    assert 0 < numbers.count(None) < 50
    assert len(set(dirty["person"]["fnr"].to_pylist())) == 5_000
    assert isinstance(dirty["sykefravaer"], pa.Table)


@pytest.mark.parametrize("dials", [{"persons": 0}, {"persons": 10_000_001}, {"seed": -1}, {"dirt": 0.9}])
def test_a_dial_out_of_range_is_refused(dials: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Dials(**dials)  # type: ignore[arg-type]
