"""The ladder of attackers: what each must be able to prove about small rows, and what the audit must say of them."""

from __future__ import annotations

import polars as pl
import pytest

from dvengine import TableError, Threshold, audit
from dvengine.privacy._structure import Structure

ROW = Structure(by=("k",))


def row(true: list[int], hidden: set[int]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return one additive row as published, and as it truly is; the total stands last."""
    codes = [f"c{i}" for i in range(len(true))] + ["total"]
    counts = [*true, sum(true)]
    shown = [None if i in hidden else n for i, n in enumerate(counts)]
    return pl.DataFrame({"k": codes, "n": shown}, schema_overrides={"n": pl.Int64}), pl.DataFrame(
        {"k": codes, "n": counts}
    )


def ends(frame: pl.DataFrame, **how: object) -> list[tuple[int | None, int | None]]:
    found = audit(frame, ROW, **how)  # type: ignore[arg-type]
    return [(low, high) for low, high in found.intervals.select("lower", "upper").iter_rows()]


@pytest.mark.parametrize(
    ("true", "hidden", "proves"),
    [
        ([0, 0, 0], {0, 1}, [(0, 0), (0, 0)]),
        ([10, 5, 0, 0], {2, 3}, [(0, 0), (0, 0)]),
        ([10, 3, 1, 1], {2, 3}, [(0, 2), (0, 2)]),
        ([20, 4, 4], {1, 2}, [(0, 8), (0, 8)]),
    ],
)
def test_outsider_proves_what_not_negative_allows(
    true: list[int], hidden: set[int], proves: list[tuple[int, int]]
) -> None:
    assert ends(row(true, hidden)[0], attacker="outsider") == proves


@pytest.mark.parametrize(("true", "hidden"), [([0, 0, 0], {0, 1}), ([10, 5, 0, 0], {2, 3})])
def test_a_zero_is_no_partner_of_a_zero(true: list[int], hidden: set[int]) -> None:
    assert audit(row(true, hidden)[0], ROW, attacker="outsider").exposed == 2


def test_published_zeros_open_two_ones() -> None:
    found = audit(row([10, 3, 1, 1], {2, 3})[0], ROW, attacker="rule")
    assert found.exposed == 2
    assert found.intervals["lower"].to_list() == found.intervals["upper"].to_list() == [1, 1]


def test_a_zero_hidden_against_the_rule_is_said_to_be_inconsistent() -> None:
    with pytest.raises(TableError, match="no table agrees"):
        audit(row([10, 5, 0, 0], {2, 3})[0], ROW, attacker="rule")


def worst(
    true: list[int], hidden: set[int], width: float = 1
) -> tuple[int, list[tuple[int | None, int | None]]]:
    shown, truth = row(true, hidden)
    found = audit(shown, ROW, attacker="rule", rule=Threshold(5), truth=truth, width=width)
    return found.exposed, list(found.intervals.select("lower", "upper").iter_rows())


def test_two_fours_look_wide_and_are_open_to_who_knows_the_rule() -> None:
    assert worst([20, 4, 4], {1, 2}) == (2, [(4, 4), (4, 4)])


def test_four_and_three_pass_at_one_and_fail_at_three() -> None:
    assert worst([20, 4, 3], {1, 2}) == (0, [(3, 4), (3, 4)])
    assert worst([20, 4, 3], {1, 2}, width=3)[0] == 2


def test_who_can_tell_primary_from_secondary_bounds_both() -> None:
    assert worst([14, 3, 13], {1, 2}) == (0, [(1, 4), (12, 15)])


def square() -> tuple[pl.DataFrame, pl.DataFrame]:
    inner = [[4, 3, 22], [2, 4, 31], [40, 17, 55]]
    full = [[*line, sum(line)] for line in inner]
    full.append([sum(column) for column in zip(*full, strict=True)])
    names = ["a", "b", "c", "total"]
    rows = [(names[i], names[j], full[i][j]) for i in range(4) for j in range(4)]
    truth = pl.DataFrame(rows, schema=["r", "k", "n"], orient="row")
    hide = pl.col("r").is_in(["a", "b"]) & pl.col("k").is_in(["a", "b"])
    return truth.with_columns(n=pl.when(~hide).then("n")), truth


def test_a_square_of_small_counts_at_each_rung() -> None:
    shown, truth = square()
    structure = Structure(by=("r", "k"))
    outside = audit(shown, structure, attacker="outsider")
    assert list(outside.intervals.select("lower", "upper").iter_rows()) == [(0, 6), (1, 7), (0, 6), (0, 6)]
    inside = audit(shown, structure, rule=Threshold(5), truth=truth)
    assert inside.ok
    assert list(inside.intervals.select("lower", "upper").iter_rows()) == [(3, 4), (3, 4), (2, 3), (3, 4)]
    assert audit(shown, structure, rule=Threshold(5), truth=truth, width=3).exposed == 4


def test_a_table_that_came_dotted_is_audited_not_recomputed() -> None:
    open_, shut = row([2, 7, 9], {0})[0], row([2, 7, 9], {0, 1})[0]
    assert audit(open_, ROW).exposed == 1
    assert ends(open_) == [(2, 2)]
    assert ends(shut, attacker="outsider") == [(0, 9), (0, 9)]


def test_margins_computed_after_masking_are_found_out() -> None:
    frame, _ = row([131, 196], {0})
    masked = frame.with_columns(n=pl.when(k="total").then(196).otherwise("n"))
    with pytest.raises(TableError, match="no table agrees"):
        audit(masked, ROW)
    with pytest.raises(TableError, match="do not add up"):
        audit(masked.with_columns(pl.col("n").fill_null(131)), ROW)


def test_a_shown_primary_is_open_without_any_arithmetic() -> None:
    shown, truth = row([2, 7, 9], set())
    with pytest.raises(TableError, match="forbids is shown"):
        audit(shown, ROW, rule=Threshold(5), truth=truth)


def test_status_that_disagrees_with_the_nulls_is_an_error() -> None:
    frame = row([2, 7, 9], {0})[0].with_columns(status=pl.lit(":"))
    with pytest.raises(TableError, match="shows its count"):
        audit(frame, ROW, status="status")
