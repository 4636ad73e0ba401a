"""What an audit must not miss: sums that nobody printed, and tables that exist only in fractions."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest

from dvengine import TableError, Tabulation, Threshold, Uncertified, audit, suppress, tabulate
from dvengine.privacy._proof import prove
from dvengine.privacy._structure import Structure

FIVE = Threshold(5)


def test_parts_and_the_grand_total_give_a_cell_away_without_the_sums_between() -> None:
    tree = Structure(by=("k",), hierarchies={"k": {"0301": "03", "1101": "11", "1103": "11"}})
    frame = pl.DataFrame({"k": ["0301", "1101", "1103", "total"], "n": [None, 9, 12, 24]})
    found = audit(frame, tree)
    assert found.exposed == 1
    assert found.intervals.select("k", "lower", "upper").rows() == [("0301", 3, 3)]


def test_two_classifications_without_their_margins_are_one_sum() -> None:
    frame = pl.DataFrame(
        {"r": ["a", "a", "b", "b", "total"], "s": ["x", "y", "x", "y", "total"], "n": [None, 9, 12, 10, 34]}
    )
    found = audit(frame, Structure(by=("r", "s")), attacker="outsider")
    assert found.intervals.select("lower", "upper", "exposed").rows() == [(3, 3, True)]


def test_a_sum_that_is_not_printed_protects_like_a_hidden_one() -> None:
    tree = Structure(by=("k",), hierarchies={"k": {"a": "A", "b": "A", "c": "C", "d": "C"}})
    frame = pl.DataFrame({"k": ["a", "b", "c", "d", "total"], "n": [None, 9, None, 12, 40]})
    found = audit(frame, tree, rule=FIVE)
    assert found.ok
    assert found.hidden == found.intervals.height == 2
    assert found.intervals.select("lower", "upper").rows() == [(1, 18), (1, 18)]


def test_leaving_out_sums_changes_no_verdict_on_what_is_hidden() -> None:
    counts = pl.DataFrame({"k": ["a", "b", "c", "d"], "n": [3, 9, 2, 12]})
    whole = Tabulation.from_frame(counts, ["k"], hierarchies={"k": {"a": "A", "b": "A", "c": "C", "d": "C"}})
    safe = suppress(whole, rule=FIVE)
    shown_sums = pl.col("k").is_in(["A", "C"]) & pl.col("n").is_not_null()
    fewer = safe.frame.filter(~shown_sums)
    assert audit(fewer, safe.structure, rule=FIVE, truth=whole.frame).ok
    assert audit(fewer, safe.structure, rule=FIVE).ok


#: A move of a 3×3×3 table that keeps every line, alone on its cells; one of them moves by two whenever the others move by one.
_CIRCUIT = np.array([
    [[-1, 0, 1], [0, -1, 1], [1, 1, -2]],
    [[0, 1, -1], [0, 0, 0], [0, -1, 1]],
    [[1, -1, 0], [0, 1, -1], [-1, 0, 1]],
])  # fmt: skip


@pytest.mark.parametrize("thorough", [True, False])
def test_a_spread_that_only_fractions_have_proves_nothing(thorough: bool) -> None:
    """Between 3 and 4 by halves of the move; in whole numbers the cell is 3, and the attacker knows that counts are whole."""
    counts = np.full((3, 3, 3), 20)
    counts[0, 2, 2], counts[0, 0, 0] = 3, 5
    rows = [(*map(str, at), int(counts[at])) for at in itertools.product(range(3), repeat=3)]
    table = Tabulation.from_frame(
        pl.DataFrame(rows, schema=["x", "y", "z", "n"], orient="row"), ["x", "y", "z"]
    )
    hidden = np.array(
        ["total" not in key and _CIRCUIT[tuple(map(int, key))] != 0 for key in table.frame.select("x", "y", "z").iter_rows()]
    )  # fmt: skip
    proof = prove(
        table.frame, table.structure, hidden, rule=FIVE, attacker="rule", width=1, thorough=thorough
    )
    assert (proof.proven.sum(), proof.open.sum()) == (0, 1)
    shown = table.frame.with_columns(n=pl.when(pl.Series(~hidden)).then("n"))
    assert audit(shown, table.structure, rule=FIVE, truth=table.frame).exposed == 1


def test_a_table_with_rows_missing_is_told_not_suppressed() -> None:
    whole = Tabulation.from_frame(pl.DataFrame({"k": ["a", "b", "c"], "n": [3, 9, 20]}), ["k"])
    with pytest.raises(TableError, match="add up"):
        suppress(Tabulation(frame=whole.frame.head(3), structure=whole.structure), rule=FIVE)
    pairs = Tabulation.from_frame(pl.DataFrame({"r": ["a", "b"], "s": ["x", "y"], "n": [3, 9]}), ["r", "s"])
    with pytest.raises(TableError, match="one row for each combination"):
        suppress(Tabulation(frame=pairs.frame.head(7), structure=pairs.structure), rule=FIVE)


def test_a_count_that_the_rule_forbids_is_exposed_where_it_is_shown() -> None:
    frame = pl.DataFrame({"k": ["a", "b", "c", "total"], "n": [3, None, None, 40]})
    found = audit(frame, Structure(by=("k",)), rule=FIVE)
    assert (found.ok, found.exposed, found.hidden) == (False, 1, 2)
    assert found.intervals.filter("exposed").select("k", "lower", "upper").rows() == [("a", 3, 3)]
    assert audit(frame, Structure(by=("k",))).ok


def test_what_ran_out_of_time_is_undecided_and_not_called_exposed() -> None:
    counts = pl.DataFrame({"k": ["a", "b", "c", "d"], "n": [3, 9, 2, 12]})
    whole = Tabulation.from_frame(counts, ["k"])
    safe = suppress(whole, rule=FIVE)
    late = audit(safe.frame, safe.structure, rule=FIVE, truth=whole.frame, time_limit=0)
    assert (late.ok, late.exposed, late.undecided) == (False, 0, 2)
    assert late.intervals["undecided"].sum() == 2
    assert not late.intervals["exposed"].any()
    assert not late.intervals["ends"].any()
    assert "exposed=0, undecided=2" in repr(late)
    done = audit(safe.frame, safe.structure, rule=FIVE, truth=whole.frame)
    assert (done.ok, done.exposed, done.undecided) == (True, 0, 0)
    assert not done.intervals["undecided"].any()


def test_no_start_in_time_is_an_error_and_no_count_of_cells() -> None:
    counts = pl.DataFrame({"k": ["a", "b", "c", "total"], "n": [None, None, 2, 30]})
    with pytest.raises(Uncertified, match="in time"):
        audit(counts, Structure(by=("k",)), rule=FIVE, time_limit=0)
    found = audit(counts, Structure(by=("k",)), rule=FIVE)
    assert (found.ok, found.exposed, found.undecided) == (False, 1, 0)


def test_a_public_audit_of_a_large_table_decides_every_cell() -> None:
    """More hidden cells than get both ends each: from a start at a corner, moves and narrow cells must both be found."""
    random = np.random.default_rng(11)
    data = pl.DataFrame({
        "r": [f"{code:03}" for code in random.integers(0, 120, 4000)],
        "s": random.choice(["K", "M"], 4000),
        "a": random.choice(["0", "1", "2", "3"], 4000, p=[0.5, 0.3, 0.15, 0.05]),
    })  # fmt: skip
    whole = tabulate(data, ["r", "s", "a"])
    safe = suppress(whole, rule=FIVE)
    found = audit(safe.frame, safe.structure, rule=FIVE)
    assert found.hidden > 400
    assert (found.ok, found.exposed, found.undecided) == (True, 0, 0)
    settled = found.intervals.filter("ends")
    true = settled.join(whole.frame, on=["r", "s", "a"], how="left")
    assert true.select(((pl.col("lower") <= pl.col("n")) & (pl.col("n") <= pl.col("upper"))).all()).item()
