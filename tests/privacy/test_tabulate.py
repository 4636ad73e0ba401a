"""A table has every margin from the full data, or is refused by name."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest

from dvengine import TableError, Tabulation, tabulate
from dvengine.privacy._structure import Structure

PLACE = {"0301": "03", "1101": "11", "1103": "11", "03": "east", "11": "west"}


def cells(table: Tabulation, value: str = "n") -> dict[tuple[str | None, ...], object]:
    return {row[:-1]: row[-1] for row in table.frame.select(*table.by, value).iter_rows()}


def test_null_is_a_category_of_its_own_and_totals_add_up() -> None:
    data = pl.DataFrame({"kommune": ["0301"] * 12 + ["5001"] * 8 + [None] * 2})
    assert cells(tabulate(data, ["kommune"])) == {("total",): 22, ("0301",): 12, ("5001",): 8, (None,): 2}


def test_empty_text_and_na_are_ordinary_codes() -> None:
    data = pl.DataFrame({"k": ["", "NA", "nan", None]})
    assert cells(tabulate(data, ["k"])) == {("total",): 4, ("",): 1, ("NA",): 1, ("nan",): 1, (None,): 1}


def test_hierarchies_of_several_levels_cross_with_flat_columns() -> None:
    data = pl.DataFrame({"k": ["0301", "1101", "1103", "1103", None], "sex": ["K", "M", "K", "K", "M"]})
    found = cells(tabulate(data, ["k", "sex"], hierarchies={"k": PLACE}))
    assert len(found) == (1 + 2 + 2 + 3 + 1) * 3
    assert found["west", "total"] == found["11", "total"] == 3
    assert found["11", "K"] == 2
    assert found[None, "M"] == 1
    assert found["total", "total"] == 5
    assert found["0301", "M"] == 0


def test_hierarchy_may_be_a_frame_and_name_codes_without_data() -> None:
    tree = pl.DataFrame({"child": list(PLACE), "parent": list(PLACE.values())})
    found = cells(tabulate(pl.DataFrame({"k": ["0301"]}), ["k"], hierarchies={"k": tree}))
    assert found["1103",] == found["west",] == 0


def test_decimals_are_summed_exactly_and_small_integers_do_not_wrap() -> None:
    data = pl.DataFrame(
        {"k": ["a", "b"], "v": [Decimal("0.10"), Decimal("0.20")], "i": pl.Series([127, 127], dtype=pl.Int8)}
    )
    table = tabulate(data, ["k"], values={"v": "sum", "i": "sum"})
    assert cells(table, "v")["total",] == Decimal("0.30")
    assert cells(table, "i")["total",] == 254


def test_enum_order_does_not_matter_for_the_counts_and_codes_come_out_as_text() -> None:
    data = pl.DataFrame({"k": pl.Series(["lav", "høy"], dtype=pl.Enum(["lav", "høy"])), "aar": [2024, 2025]})
    assert tabulate(data, ["k", "aar"]).frame.schema["aar"] == pl.String


def test_units_count_once_and_a_unit_in_two_cells_is_refused_without_naming_it() -> None:
    data = pl.DataFrame({"k": ["a", "a", "b"], "person": ["secret-1", "secret-1", "secret-2"]})
    assert cells(tabulate(data, ["k"], unit="person"))["total",] == 2
    moved = data.with_columns(k=pl.Series(["a", "b", "b"]))
    with pytest.raises(TableError, match=r"1 unit.*'person'.*'k'") as caught:
        tabulate(moved, ["k"], unit="person")
    assert "secret" not in str(caught.value)


def test_rows_without_a_unit_are_refused() -> None:
    with pytest.raises(TableError, match=r"1 row.*no 'person'"):
        tabulate(pl.DataFrame({"k": ["a", "b"], "person": [1, None]}), ["k"], unit="person")


@pytest.mark.parametrize(
    ("data", "how", "says"),
    [
        ({"k": ["total"]}, {}, "equals the total label"),
        ({"k": ["9999"]}, {"hierarchies": {"k": PLACE}}, "not in its hierarchy"),
        ({"k": ["03"]}, {"hierarchies": {"k": PLACE}}, "above others"),
        ({"k": ["a"]}, {"hierarchies": {"k": {"a": "b", "b": "a"}}}, "cycle"),
        ({"k": ["Oslo"]}, {"hierarchies": {"k": {"Oslo": "Oslo"}}}, "its own parent"),
        (
            {"k": ["a"]},
            {"hierarchies": {"k": pl.DataFrame({"c": ["a", "a"], "p": ["x", "y"]})}},
            "two parents",
        ),
        ({"k": ["a"]}, {"hierarchies": {"m": {"a": "b"}}}, "not a classification"),
        ({"k": ["a"]}, {"hierarchies": {"k": {"total": "x"}}}, "total label"),
        ({"k": [1.5]}, {}, "cannot be a classification"),
        ({"k": ["a"], "v": [float("nan")]}, {"values": {"v": "sum"}}, "NaN"),
        ({"k": ["a"], "v": ["x"]}, {"values": {"v": "sum"}}, "no sum"),
        ({"m": ["a"]}, {}, "no column 'k'"),
    ],
)
def test_what_cannot_be_a_table_is_refused_by_name(
    data: dict[str, object], how: dict[str, object], says: str
) -> None:
    with pytest.raises(TableError, match=says):
        tabulate(pl.DataFrame(data), ["k"], **how)  # type: ignore[arg-type]


def test_an_empty_table_keeps_its_columns() -> None:
    table = tabulate(pl.DataFrame(schema={"k": pl.String, "v": pl.Int64}), ["k"], values={"v": "sum"})
    assert table.frame.height == 0
    assert table.frame.columns == ["k", "n", "v"]


def given(**change: object) -> pl.DataFrame:
    return pl.DataFrame({"k": ["a", "b", "total"], "n": [20, 20, 40]} | change)


def test_given_margins_are_checked_and_missing_ones_computed() -> None:
    assert cells(Tabulation.from_frame(given(), ["k"])) == {("total",): 40, ("a",): 20, ("b",): 20}
    assert cells(Tabulation.from_frame(given().head(2), ["k"]))["total",] == 40
    with pytest.raises(
        TableError, match=r"not the sum of their parts, first in row 2 \(a line over \['k'\]\)"
    ):
        Tabulation.from_frame(given(n=[20, 20, 41]), ["k"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"n": [20, -20, 0]}, "negative"),
        ({"n": [20, None, 40]}, "null"),
        ({"n": [1.5, 2.5, 4.0]}, "whole numbers"),
        ({"n": [1.0, float("nan"), 4.0]}, "whole numbers"),
        ({"k": ["a", "a", "total"]}, "two rows"),
    ],
)
def test_given_counts_that_are_none_are_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(TableError, match=says):
        Tabulation.from_frame(given(**change), ["k"])


def test_floats_may_differ_by_rounding_and_decimals_may_not() -> None:
    Tabulation.from_frame(given(n=[1, 1, 2], v=[0.1, 0.2, 0.3]), ["k"], values=["v"])
    exact = pl.Series("v", [Decimal("0.10"), Decimal("0.20"), Decimal("0.31")])
    with pytest.raises(TableError, match="'v'"):
        Tabulation.from_frame(given(n=[1, 1, 2]).with_columns(exact), ["k"], values=["v"])


def test_structure_survives_json() -> None:
    structure = tabulate(pl.DataFrame({"k": ["0301"]}), ["k"], hierarchies={"k": PLACE}).structure
    assert Structure.from_dict(structure.to_dict()) == structure
    with pytest.raises(TableError, match="not the description"):
        Structure.from_dict({"by": ["k"]})
