"""Tables that other tools have solved: never less protected, never more hidden."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dvengine import Tabulation, Threshold, audit, suppress

HERE = Path(__file__).parent.parent / "data" / "sdc"


@pytest.mark.parametrize("attacker", ["outsider", "rule"])
def test_regions_by_income_hide_six_cells_as_the_best_known(attacker: str) -> None:
    frame = pl.read_csv(HERE / "z1.csv")
    truth = Tabulation.from_frame(frame, ["region", "hovedint"], measure="ant")
    safe = suppress(truth, rule=Threshold(4), attacker=attacker)  # type: ignore[arg-type]
    assert (safe.certificate.primary, safe.certificate.secondary, safe.certificate.lower_bound) == (3, 3, 3)
    assert audit(safe.frame, safe.structure, attacker=attacker, rule=Threshold(4), truth=truth.frame).ok  # type: ignore[arg-type]


def test_one_country_under_a_group_is_one_number_with_it() -> None:
    rows = [("young", "Spain", 5), ("young", "Iceland", 2), ("young", "Portugal", 0), ("old", "Spain", 6), ("old", "Iceland", 3), ("old", "Portugal", 4)]  # fmt: skip
    frame = pl.DataFrame(rows, schema=["age", "geo", "n"], orient="row")
    tree = {"Spain": "EU", "Portugal": "EU", "Iceland": "nonEU"}
    safe = suppress(
        Tabulation.from_frame(frame, ["age", "geo"], hierarchies={"geo": tree}),
        rule=Threshold(4),
        attacker="outsider",
    )
    gone = safe.frame.filter(pl.col("n").is_null())
    assert {("young", "nonEU"), ("young", "Iceland"), ("old", "nonEU"), ("old", "Iceland")} <= set(
        gone.select("age", "geo").iter_rows()
    )
    assert safe.certificate.primary == 4
    assert safe.certificate.secondary <= 4
    assert audit(safe.frame, safe.structure, attacker="outsider", rule=Threshold(4)).ok
