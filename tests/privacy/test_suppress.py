"""Suppression hides few, proves all, or refuses; and an auditor that shares nothing with it agrees."""

from __future__ import annotations

import itertools
import json
from importlib.resources import files

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dvengine as dv
from dvengine import SafeTable, Tabulation, Threshold, Uncertified, audit, suppress
from dvengine.privacy._content import table_sha256

FIVE = Threshold(5)


def table(counts: dict[tuple[str, ...], int], by: list[str], **how: object) -> Tabulation:
    rows = [(*key, n) for key, n in counts.items()]
    return Tabulation.from_frame(pl.DataFrame(rows, schema=[*by, "n"], orient="row"), by, **how)  # type: ignore[arg-type]


def grid(numbers: list[list[int]]) -> Tabulation:
    return table(
        {(f"r{i}", f"k{j}"): n for i, line in enumerate(numbers) for j, n in enumerate(line)}, ["r", "k"]
    )


def hidden(safe: SafeTable) -> set[tuple[str | None, ...]]:
    return set(safe.frame.filter(pl.col("n").is_null()).select(safe.structure.by).iter_rows())


def brute_force(
    safe: SafeTable, truth: Tabulation, rule: Threshold, attacker: str
) -> dict[tuple[str | None, ...], set[int]]:
    """Enumerate every table that agrees with what is published; two flat columns, few hidden inner cells. Own words throughout."""
    true = {row[:-1]: row[-1] for row in truth.frame.iter_rows()}
    gone = hidden(safe)
    r = sorted({key[0] for key in true if key[0] != "total"})
    k = sorted({key[1] for key in true if key[1] != "total"})
    inner = [key for key in gone if "total" not in key]
    small = {key for key, n in true.items() if 1 <= n < rule.minimum}

    def under(key: tuple[str, ...]) -> bool:
        return any(up in small for up in {("total", key[1]), (key[0], "total"), ("total", "total")} - {key})

    def allowed(key: tuple[str, ...], n: int) -> bool:
        if attacker == "outsider":
            return n >= 0
        if key in small or (true[key] == 0 and under(key)):
            return (0 if under(key) else 1) <= n < rule.minimum
        return n >= rule.minimum

    most = max(true.values()) + 3 if any("total" in key for key in gone) else max(true.values())
    choices = [[n for n in range(most + 1) if abs(n - true[key]) <= 4 and allowed(key, n)] for key in inner]
    seen: dict[tuple[str | None, ...], set[int]] = {key: set() for key in gone}
    for picked in itertools.product(*choices):
        cell = dict(true) | dict(zip(inner, picked, strict=True))
        for x in r:
            cell[x, "total"] = sum(cell[x, y] for y in k)
        for y in k:
            cell["total", y] = sum(cell[x, y] for x in r)
        cell["total", "total"] = sum(cell[x, "total"] for x in r)
        if all(cell[key] == true[key] for key in true if key not in gone) and all(
            allowed(key, cell[key]) for key in gone
        ):
            for key in gone:
                seen[key].add(cell[key])
    return seen


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    numbers=st.integers(2, 3).flatmap(
        lambda w: st.lists(st.lists(st.integers(0, 12), min_size=w, max_size=w), min_size=2, max_size=3)
    ),
    attacker=st.sampled_from(["outsider", "rule"]),
)
def test_no_primary_cell_is_narrower_than_promised(numbers: list[list[int]], attacker: str) -> None:
    truth = grid(numbers)
    try:
        safe = suppress(truth, rule=FIVE, attacker=attacker)  # type: ignore[arg-type]
    except Uncertified:
        assert attacker == "rule"
        return
    assert safe.certificate.valid
    small = {row[:-1] for row in truth.frame.iter_rows() if 1 <= row[-1] < 5}
    assert small <= hidden(safe)
    if sum("total" not in key for key in hidden(safe)) <= 5:
        values = brute_force(safe, truth, FIVE, attacker)
        assert all(len(values[key]) >= 2 for key in small)
    assert audit(safe.frame, safe.structure, attacker=attacker, rule=FIVE).ok  # type: ignore[arg-type]


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    numbers=st.lists(st.lists(st.integers(1, 40), min_size=3, max_size=3), min_size=3, max_size=3),
    seed=st.integers(0, 9),
)
def test_row_order_and_code_names_do_not_change_what_is_hidden(numbers: list[list[int]], seed: int) -> None:
    flat = grid(numbers).frame.filter((pl.col("r") != "total") & (pl.col("k") != "total"))
    names = {f"r{i}": name for i, name in enumerate(["x", "b", "m"])} | {
        f"k{j}": name for j, name in enumerate(["z", "q", "a"])
    }
    other = flat.sample(fraction=1, shuffle=True, seed=seed).with_columns(pl.col("r", "k").replace(names))
    first, second = (suppress(Tabulation.from_frame(one, ["r", "k"]), rule=FIVE) for one in (flat, other))
    values = [sorted(number for number, gone in zip(t.frame["n"], s.frame["n"].is_null(), strict=True) if gone) for t, s in ((Tabulation.from_frame(flat, ["r", "k"]), first), (Tabulation.from_frame(other, ["r", "k"]), second))]  # fmt: skip
    assert values[0] == values[1]
    if len(set(itertools.chain(*numbers))) == 9:
        assert {tuple(names.get(code, code) for code in key) for key in hidden(first)} == hidden(second)


def test_the_same_input_gives_the_same_frame() -> None:
    truth = grid([[3, 9, 20], [12, 4, 30], [15, 22, 1]])
    assert suppress(truth, rule=FIVE).frame.equals(suppress(truth, rule=FIVE).frame)


def test_equal_cells_under_several_names_are_hidden_together() -> None:
    tree = {"1200Z": "1200", "1200": "120", "120": "12", "131": "13", "132": "13"}
    truth = table(
        {("1200Z",): 3, ("131",): 8, ("132",): 12, ("14",): 17},
        ["k"],
        hierarchies={"k": tree | {"14": "total"}},
    )
    safe = suppress(truth, rule=FIVE, attacker="outsider")
    assert {("1200Z",), ("1200",), ("120",), ("12",)} <= hidden(safe)
    assert ("13",) not in hidden(safe) or len(hidden(safe)) > 5
    assert len(hidden(safe)) == 5
    assert audit(safe.frame, safe.structure, attacker="outsider", rule=FIVE).ok


@pytest.mark.parametrize("codes", [(".a", "@b", "12"), ("Oslo", "oslo", "Ø")])
def test_odd_codes_are_only_text(codes: tuple[str, ...]) -> None:
    safe = suppress(table({(code,): n for code, n in zip(codes, (3, 9, 20), strict=True)}, ["k"]), rule=FIVE)
    assert (codes[0],) in hidden(safe)


def test_null_category_is_a_primary_with_a_partner() -> None:
    data = pl.DataFrame({"k": ["0301"] * 12 + ["5001"] * 8 + [None] * 2})
    safe = suppress(dv.tabulate(data, ["k"]), rule=FIVE)
    assert (None,) in hidden(safe)
    assert safe.certificate.hidden == 2
    assert audit(safe.frame, safe.structure, rule=FIVE).ok


def test_four_ones_below_a_four_are_refused_with_zeros_shown_and_certified_with_zeros_covered() -> None:
    truth = grid([[1, 1, 1, 1, 0, 0], [20, 30, 20, 30, 20, 30]])
    with pytest.raises(Uncertified, match="whatever else is hidden") as caught:
        suppress(truth, rule=Threshold(5, zeros="shown"))
    assert "zeros be covered" in str(caught.value)
    safe = suppress(truth, rule=FIVE)
    assert ("r0", "k4") in hidden(safe)
    assert safe.certificate.valid
    assert audit(safe.frame, safe.structure, rule=FIVE, truth=truth.frame).ok


def test_zeros_stay_shown_where_nothing_above_them_is_small() -> None:
    safe = suppress(grid([[0, 30, 4], [20, 9, 8], [0, 3, 40]]), rule=FIVE)
    assert ("r0", "k0") not in hidden(safe)


def test_a_width_the_rule_itself_forbids_is_refused() -> None:
    with pytest.raises(Uncertified, match="threshold"):
        suppress(grid([[3, 9], [9, 9]]), rule=FIVE, width=4)
    assert (
        suppress(grid([[3, 9], [9, 9]]), rule=FIVE, attacker="outsider", width=4).certificate.min_width >= 4
    )  # type: ignore[operator]


@pytest.mark.parametrize("width", [2, 3])
def test_wider_protection_holds_in_the_worst_case(width: int) -> None:
    truth = grid([[3, 29, 20], [42, 34, 30], [15, 22, 41]])
    safe = suppress(truth, rule=FIVE, width=width)
    found = audit(safe.frame, safe.structure, rule=FIVE, truth=truth.frame, width=width)
    assert found.ok


def test_every_cell_small_is_still_handled() -> None:
    safe = suppress(grid([[1, 1], [1, 1]]), rule=FIVE)
    assert safe.frame["n"].null_count() == 9


def test_nothing_to_hide_and_nothing_at_all_are_certified() -> None:
    assert suppress(grid([[9, 9], [9, 9]]), rule=FIVE).certificate.hidden == 0
    empty = suppress(dv.tabulate(pl.DataFrame(schema={"k": pl.String}), ["k"]), rule=FIVE)
    assert (empty.certificate.cells, empty.certificate.valid, empty.frame.height) == (0, True, 0)


def test_sums_go_with_their_count_and_cannot_be_derived_from_the_lines() -> None:
    data = pl.DataFrame({"k": ["a"] * 3 + ["b"] * 9 + ["c"] * 9, "v": range(21)})
    safe = suppress(dv.tabulate(data, ["k"], values={"v": "sum"}), rule=FIVE)
    assert safe.frame.filter(pl.col("n").is_null())["v"].null_count() == 2
    assert safe.frame.filter(pl.col("n").is_not_null())["v"].null_count() == 0


def test_status_and_order_never_tell_primary_from_secondary() -> None:
    truth = grid([[3, 9, 20], [12, 40, 30], [15, 22, 11]])
    safe = suppress(truth, rule=FIVE, symbol="..")
    assert set(safe.frame.filter(pl.col("n").is_null())["status"]) == {".."}
    assert set(safe.frame.filter(pl.col("n").is_not_null())["status"]) == {""}
    assert safe.frame.select("r", "k").equals(truth.frame.select("r", "k"))
    public = json.dumps(safe.certificate.public())
    assert "primary" not in public
    assert "secondary" not in public


def test_any_change_of_the_content_ends_the_certificate_and_order_does_not() -> None:
    safe = suppress(grid([[3, 9, 20], [12, 40, 30], [15, 22, 11]]), rule=FIVE)
    assert safe.table_sha256 == safe.certificate.table_sha256
    assert table_sha256(safe.frame.reverse()) == safe.certificate.table_sha256
    for change in (
        pl.col("n").fill_null(3),
        pl.col("n") + 1,
        pl.col("status").str.to_uppercase() + "x",
        pl.col("n").cast(pl.Int32),
    ):
        assert table_sha256(safe.frame.with_columns(change)) != safe.certificate.table_sha256


def test_the_repr_of_an_unprotected_table_shows_no_counts() -> None:
    assert repr(grid([[987, 654], [321, 111]])) == "Tabulation(by=['r', 'k'], cells=9)"


@pytest.fixture(scope="module")
def country() -> Tabulation:
    """One in a hundred of a country: 357 municipalities by population, two sexes, eight ages."""
    places = pl.read_csv(
        (files("dvengine.demo") / "data" / "kommuner_2024.csv").read_bytes(),
        separator=";",
        infer_schema=False,
    )
    people = places["folketall_2024"].cast(pl.Int64).to_numpy()
    random = np.random.default_rng(7)
    size = 30_000
    data = pl.DataFrame({
        "kommune": places["kommunenummer"].gather(random.choice(people.size, size, p=people / people.sum())),
        "kjonn": random.choice(["K", "M"], size),
        "alder": random.choice([f"{10 * band:02}" for band in range(1, 7)], size, p=[0.12, 0.2, 0.22, 0.2, 0.16, 0.1]),
    })  # fmt: skip
    county = dict(zip(places["kommunenummer"], "F" + places["fylkesnummer"], strict=True))
    return dv.tabulate(data, ["kommune", "kjonn", "alder"], hierarchies={"kommune": county})


def test_a_country_is_suppressed_and_certified_close_to_the_fewest(country: Tabulation) -> None:
    safe = suppress(country, rule=FIVE, time_limit=240)
    proof = safe.certificate
    assert country.frame.height == (1 + 15 + 357) * 3 * 7
    assert proof.valid
    assert proof.uncertified == 0
    assert proof.min_width is not None
    assert proof.min_width >= 1
    assert proof.lower_bound is not None
    assert proof.lower_bound <= proof.secondary <= 1.05 * proof.lower_bound
    assert audit(safe.frame, safe.structure, rule=FIVE, time_limit=240).ok
    worst = audit(safe.frame, safe.structure, rule=FIVE, truth=country.frame, time_limit=240)
    assert worst.ok
    girls = (pl.col("kjonn") == "K") & pl.col("kommune").str.starts_with("56")
    opened = safe.frame.with_columns(n=pl.when(girls).then(country.frame["n"]).otherwise("n"))
    assert audit(opened, safe.structure, rule=FIVE, time_limit=240).exposed > 10
