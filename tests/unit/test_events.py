"""One stream of counts and names, which no listener can break and no value can enter."""

from __future__ import annotations

import dataclasses
import threading
import typing
from collections.abc import Iterator

import pytest

from dvengine._errors import Incomplete
from dvengine._events import Event, emit, stage, subscribe


@pytest.fixture
def seen() -> Iterator[list[Event]]:
    events: list[Event] = []
    stop = subscribe(events.append)
    yield events
    stop()


def test_every_start_has_exactly_one_end_and_counts_add_up(seen: list[Event]) -> None:
    with stage("read", "person", total_rows=30) as span:
        span.advance(rows=10, nbytes=80)
        span.advance(rows=20, nbytes=160, parts=1, note="consistent")
    assert [(e.state, e.rows, e.nbytes, e.parts, e.total_rows, e.note) for e in seen] == [
        ("start", 0, 0, 0, 30, None),
        ("progress", 10, 80, 0, 30, None),
        ("progress", 30, 240, 1, 30, "consistent"),
        ("end", 30, 240, 1, 30, None),
    ]
    assert len({e.span for e in seen}) == 1
    assert [e.seconds for e in seen] == sorted(e.seconds for e in seen)


@pytest.mark.parametrize(
    "error", [Incomplete("rows of 'person' are missing"), ValueError("4217"), KeyboardInterrupt()]
)
def test_failure_is_told_by_kind_only_and_passes_through(seen: list[Event], error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, stage("write", "person"):
        raise error
    assert caught.value is error
    assert [(e.state, e.note) for e in seen] == [("start", None), ("fail", type(error).__name__)]


def test_nested_stages_have_spans_of_their_own(seen: list[Event]) -> None:
    with stage("stage", "package"), stage("write", "person"):
        pass
    assert [(e.stage, e.state) for e in seen] == [
        ("stage", "start"), ("write", "start"), ("write", "end"), ("stage", "end"),
    ]  # fmt: skip
    assert len({e.span for e in seen}) == 2


def test_listener_that_raises_breaks_neither_the_work_nor_other_listeners(seen: list[Event]) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError(event.name)

    stop = subscribe(broken)
    try:
        with stage("read", "person"):
            pass
    finally:
        stop()
    assert [e.state for e in seen] == ["start", "end"]


def test_ending_a_subscription_twice_is_harmless_and_leaves_others(seen: list[Event]) -> None:
    other: list[Event] = []
    stop = subscribe(other.append)
    stop()
    stop()
    with stage("read", "person"):
        pass
    assert other == []
    assert len(seen) == 2


def test_listener_may_unsubscribe_itself_while_it_is_told(seen: list[Event]) -> None:
    once: list[Event] = []

    def listener(event: Event) -> None:
        once.append(event)
        stop()

    stop = subscribe(listener)
    with stage("read", "person"):
        pass
    assert [e.state for e in once] == ["start"]
    assert [e.state for e in seen] == ["start", "end"]


def test_counts_from_many_threads_are_all_counted(seen: list[Event]) -> None:
    with stage("read", "person") as span:
        workers = [
            threading.Thread(target=lambda: [span.advance(rows=1) for _ in range(500)]) for _ in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert seen[-1].rows == 2000


def test_event_is_frozen_and_holds_names_and_numbers_only() -> None:
    event = Event(stage="read", name="person", state="start", span=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.rows = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        Event(stage="read", name="person", state="start", span=1, row={"fnr": "1"})  # type: ignore[call-arg]
    kinds = typing.get_type_hints(Event)
    assert {name for name, kind in kinds.items() if kind not in (int, float, int | None)} == {
        "stage", "name", "state", "note",
    }  # fmt: skip


def test_nobody_listening_costs_nothing_and_emitting_by_hand_works(seen: list[Event]) -> None:
    emit(Event(stage="build", name="site", state="start", span=0))
    assert [e.name for e in seen] == ["site"]
