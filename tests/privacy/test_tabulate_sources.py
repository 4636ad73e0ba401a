"""Where a table comes from: read once, in bounded memory, and remembered."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dvengine as dv
from dvengine import TableError, Tabulation, Threshold, tabulate
from dvengine.privacy import _tabulate


def once(rows: pl.DataFrame) -> pa.RecordBatchReader:
    """A stream that can be read one time."""
    table = rows.to_arrow()
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=3))


PEOPLE = pl.DataFrame(
    {"person": [1, 1, 2, 3, 3, 3], "kommune": ["a", "a", "a", "b", "b", "b"], "belop": [1, 2, 4, 8, 16, 32]}
)


def test_units_are_counted_in_one_reading() -> None:
    table = tabulate(once(PEOPLE), ["kommune"], unit="person", values={"belop": "sum"})
    assert table.frame.rows() == [("total", 3, 63), ("a", 2, 7), ("b", 1, 56)]


def test_rows_are_counted_in_one_reading() -> None:
    assert tabulate(once(PEOPLE), ["kommune"]).frame["n"].to_list() == [6, 3, 3]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["x", "y", None])), min_size=1, max_size=60),
    at_once=st.integers(1, 7),
)
def test_adding_up_in_pieces_changes_nothing(rows: list[tuple[int, str | None]], at_once: int) -> None:
    cells = {unit: {cell for other, cell in rows if other == unit} for unit, _ in rows}
    several = sum(len(held) > 1 for held in cells.values())
    frame = pl.DataFrame(rows, schema={"unit": pl.Int64, "k": pl.String}, orient="row")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_tabulate, "_AT_ONCE", at_once)
        if several:
            with pytest.raises(TableError, match=f"^{several} unit"):
                tabulate(once(frame), ["k"], unit="unit")
            return
        table = tabulate(once(frame), ["k"], unit="unit", values={})
    expected = Counter(next(iter(held)) for held in cells.values())
    assert dict(table.frame.iter_rows()) == {"total": expected.total(), **expected}


def test_a_table_knows_what_it_was_counted_from() -> None:
    people = dv.dataset(PEOPLE, name="people").pipe(lambda lf: lf.filter(pl.col("belop") > 0))
    for table in (
        tabulate(people, ["kommune"], unit="person"),
        tabulate(people, ["kommune"]),
        Tabulation.from_frame(people.sql("select kommune, count(*) n from self group by 1"), ["kommune"]),
    ):
        assert [(step["source"], step["table"]) for step in table.lineage] == [("memory", "people")]
        assert dv.suppress(table, rule=Threshold(2), attacker="outsider").lineage == table.lineage
    assert tabulate(PEOPLE, ["kommune"]).lineage == ()
