"""A ratio may be given only between equal answers, and what counts as equal is a matter of values, not types."""

from __future__ import annotations

import datetime as dt
import decimal
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import _answers, _harness
from benchmarks._case import OURS, Case, Contender, Job


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"n": "int", "x": "decimal:2", "d": "date", "t": "text", "u": "uuid", "j": "json", "l": "list"}
    monkeypatch.setitem(_answers.KINDS, "small", kinds)


def table(**changes: Any) -> pa.Table:
    columns = {
        "n": pa.array([1, 2, None], pa.int64()),
        "x": pa.array([decimal.Decimal("1.10"), None, decimal.Decimal("-3.25")], pa.decimal128(9, 2)),
        "d": pa.array([dt.date(2020, 1, 1), dt.date(1999, 12, 31), None]),
        "t": pa.array(["0301", "å", ""]),
        "u": pa.array(["00112233-4455-6677-8899-aabbccddeeff"] * 3),
        "j": pa.array(['{"a": 1, "b": null}', None, "[]"]),
        "l": pa.array([["a", "b"], None, []], pa.list_(pa.string())),
    }
    return pa.table({**columns, **changes})


def test_other_types_and_another_order_are_the_same_answer(kinds: None) -> None:
    other = table(
        n=pa.array([1.0, 2.0, None]),
        x=pa.array(["1.10", None, "-3.25"]),
        d=pa.array([dt.datetime(2020, 1, 1), dt.datetime(1999, 12, 31), None], pa.timestamp("ns")),
        t=pa.array(["0301", "å", ""]).dictionary_encode(),
        u=pa.array([bytes.fromhex("00112233445566778899aabbccddeeff")] * 3, pa.binary(16)),
        j=pa.array(['{"b":null,"a":1}', None, "[ ]"]),
    )
    mine, theirs = _answers.digest(table(), "small"), _answers.digest(other.take([2, 0, 1]), "small")
    assert _answers.same(mine, theirs) == ""
    assert theirs["held"] == {"n": "int as float", "x": "decimal as text"}
    assert mine["held"] == {}


@pytest.mark.parametrize(
    "change",
    [
        {"n": pa.array([1, 2, 0], pa.int64())},
        {"x": pa.array([1.1, None, -3.24])},
        {"t": pa.array(["301", "å", ""])},
        {"t": pa.array(["0301", "å", None])},
        {"l": pa.array([["ab"], None, []], pa.list_(pa.string()))},
        {"j": pa.array(['{"a": 1}', None, "[]"])},
    ],
)
def test_another_value_is_another_answer_and_its_column_is_named(kinds: None, change: dict[str, Any]) -> None:
    mine, theirs = _answers.digest(table(), "small"), _answers.digest(table(**change), "small")
    assert _answers.same(mine, theirs) == f"differs in {next(iter(change))}"


def test_fewer_rows_or_a_missing_column_are_another_answer(kinds: None) -> None:
    mine = _answers.digest(table(), "small")
    assert _answers.same(mine, _answers.digest(table().slice(1), "small")) == "2 rows instead of 3"
    assert "t (missing)" in _answers.same(mine, _answers.digest(table().drop_columns(["t"]), "small"))


def test_the_ratio_is_paired_by_round() -> None:
    # The machine became ten times slower midway: no pair of one round is affected.
    ratio, (low, high) = _harness.paired_ratio([(2.0, 1.0), (2.2, 1.1), (20.0, 10.0), (19.0, 10.0)])
    assert ratio == pytest.approx(2.0)
    assert 1.9 <= low <= ratio <= high <= 2.0


def test_no_ratio_is_given_to_another_answer_or_a_failure() -> None:
    def line(name: str, answer: Any, trouble: str = "") -> _harness.Line:
        run = _harness.Run(seconds=1.0, answer=answer, trouble=trouble)
        return _harness.Line("c", "t", name, runs=[run, run])

    right = {"rows": 3, "columns": {"a": "3:00"}, "held": {}}
    wrong = {"rows": 3, "columns": {"a": "3:01"}, "held": {}}
    lines = {
        name: line(name, *what)
        for name, what in {
            OURS: (right,), "right": (right,), "wrong": (wrong,), "silent": (None,), "dead": (right, "failed: X"),
        }.items()
    }  # fmt: skip
    _harness._judge(lines, ratios=True)
    assert {name for name, found in lines.items() if found.ratio is not None} == {"right"}
    assert "differs in a" in lines["wrong"].verdict
    assert lines["dead"].verdict == "failed: X"


def test_a_run_is_a_process_of_its_own_and_its_trouble_is_told() -> None:
    from benchmarks.cases import CASES

    job = Job("", "none", {})
    run = _harness._run(CASES["imports"], CASES["imports"].contenders[0], job, check=True)
    assert run.trouble == ""
    assert run.seconds is not None
    unknown = Contender("nobody", CASES["imports"].contenders[0].prepare, None)
    case = Case("imports", "", ("none",), (unknown,))
    assert _harness._run(case, unknown, job, check=True).trouble.startswith("failed: StopIteration")
