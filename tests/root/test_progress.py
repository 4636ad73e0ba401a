"""Progress: one stream, many listeners; what is drawn is counts and names."""

from __future__ import annotations

import io
import json
import sys
import types

import pytest

import dvengine as dv
from dvengine._events import stage


def work() -> None:
    with stage("read", "person", total_parts=2) as span:
        span.advance(rows=10, nbytes=1_000, parts=1)
        span.advance(rows=5, nbytes=500, parts=1)


def test_plain_writes_one_line_per_finished_piece():
    text = io.StringIO()
    with dv.show_progress("plain", file=text):
        work()
    (line,) = text.getvalue().splitlines()
    assert line.startswith("reading person: done, 15 rows, 0.0 MB, 2/2 parts")


def test_json_writes_one_object_a_line_and_progress_at_most_once_a_second():
    text = io.StringIO()
    with dv.show_progress("json", file=text):
        work()
    events = [json.loads(line)["event"] for line in text.getvalue().splitlines()]
    assert [event["state"] for event in events] == ["start", "end"]
    assert events[-1]["rows"] == 15
    assert {event["span"] for event in events} == {events[0]["span"]}


def test_rich_draws_on_the_stream_it_was_given():
    text = io.StringIO()
    with dv.show_progress("rich", file=text):
        work()
    assert "person" in text.getvalue()


def test_notebook_updates_one_table_in_place_without_script(monkeypatch):
    shown: list[str] = []

    class Handle:
        def update(self, html: str) -> None:
            shown.append(html)

    fake = types.ModuleType("IPython.display")
    fake.HTML = lambda text: text
    fake.display = lambda *_, **__: Handle()
    package = types.ModuleType("IPython")
    package.display = fake
    package.__path__ = []
    package.__spec__ = types.SimpleNamespace(name="IPython", origin=None, submodule_search_locations=[])
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    with dv.show_progress("notebook"), stage("read", "<script>alert(1)</script>") as span:
        span.advance(rows=3)
    assert "<script" not in shown[-1]
    assert "&lt;script" in shown[-1]


def test_failure_is_told_with_the_kind_of_error_only():
    text = io.StringIO()
    with dv.show_progress("plain", file=text), pytest.raises(ValueError), stage("read", "person"):
        raise ValueError("01010012345")
    assert "failed (ValueError)" in text.getvalue()
    assert "01010012345" not in text.getvalue()


def test_two_listeners_see_the_same_events_and_a_broken_one_stops_nothing():
    one, two = [], []

    def broken(event):
        raise RuntimeError

    stops = [dv.subscribe(one.append), dv.subscribe(broken), dv.subscribe(two.append)]
    work()
    for stop in stops:
        stop()
        stop()
    work()
    assert one == two
    assert len(one) == 4


def test_auto_is_plain_where_there_is_no_terminal():
    assert dv.show_progress("auto", file=io.StringIO()).mode == "plain"


def test_unknown_mode_is_refused_with_the_known_ones():
    with pytest.raises(dv.InputError, match="plain"):
        dv.show_progress("loud")  # type: ignore[arg-type]
