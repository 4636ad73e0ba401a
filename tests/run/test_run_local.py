from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import polars as pl  # its import replaces the SIGINT action, as in every user's process
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvengine import Cancelled, Incomplete, QueryError, StreamConsumed, TypeMapError, Unavailable, subscribe
from dvengine.connectors import Cancel, Capabilities, Filter, Partition, Request, Scan, Source
from dvengine.run import each_partition, stream
from dvengine.run._channel import Channel

SCHEMA = pa.schema([("n", pa.int64())])
REQUEST = Request(table="numbers")


@dataclass(kw_only=True)
class NumberScan:
    schema: pa.Schema
    partitions: tuple[Partition, ...]
    snapshot: str | None = "s1"
    consistent: bool = True
    reason: str | None = "because"
    residual: tuple[Filter, ...] = ()
    rows_estimate: int | None = None

    def statements(self) -> list[str]:
        return []


@dataclass
class Numbers:
    """A source in memory: each partition is a list of batch sizes; a step that is an error is raised there."""

    steps: list[list[Any]]
    name: str = "numbers"
    capabilities = Capabilities(snapshot="none", resumable=False)
    pause: float = 0.0
    open_scans: int = 0
    reading: int = 0
    at_once: int = 0
    reads: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def schema(self, request: Request) -> pa.Schema:
        return SCHEMA

    @contextmanager
    def open(self, request: Request, *, cancel: Cancel) -> Iterator[Scan]:
        self.open_scans += 1
        try:
            yield NumberScan(
                schema=SCHEMA, partitions=tuple(Partition(id=str(i), index=i, token=b"") for i in range(len(self.steps)))
            )  # fmt: skip
        finally:
            self.open_scans -= 1

    def read(self, partition: Partition, *, cancel: Cancel) -> Generator[pa.RecordBatch, None, None]:
        stopped = threading.Event()
        with self.lock:
            self.reading += 1
            self.at_once = max(self.at_once, self.reading)
            self.reads.append(partition.index)
            attempt = self.reads.count(partition.index)
        try:
            with cancel.waking(stopped.set):
                for number, step in enumerate(self.steps[partition.index]):
                    cancel.check()
                    if stopped.wait(self.pause):
                        raise Cancelled("stopped")
                    if step == "hang":
                        stopped.wait(30)
                        raise Cancelled("stopped")
                    if callable(step):
                        step = step(attempt)
                    if isinstance(step, BaseException):
                        raise step
                    first = partition.index * 10**9 + number * 10**6
                    yield pa.record_batch({"n": pa.array(range(first, first + step), pa.int64())})
        finally:
            with self.lock:
                self.reading -= 1

    def pin(self) -> Any:
        raise NotImplementedError

    def check(self) -> dict[str, str]:
        return {}

    def right(self) -> list[int]:
        return sorted(
            i * 10**9 + k * 10**6 + n
            for i, steps in enumerate(self.steps)
            for k, size in enumerate(steps)
            for n in range(size)
        )


def nothing_left(source: Numbers) -> None:
    assert source.open_scans == 0
    assert source.reading == 0
    assert not [t for t in threading.enumerate() if t.name.startswith("dvengine-read")]


def test_the_double_is_a_source() -> None:
    assert isinstance(Numbers([]), Source)


# --- channel --------------------------------------------------------------------------------------------------------


def test_an_oversized_item_passes_alone():
    channel: Channel[str] = Channel(10)
    channel.put("large", 1000)
    waiting = threading.Thread(target=channel.put, args=("small", 1))
    waiting.start()
    time.sleep(0.05)
    assert waiting.is_alive()
    assert (channel.get(), channel.get()) == ("large", "small")
    waiting.join(2)
    assert not waiting.is_alive()


def test_a_closed_channel_wakes_writers_and_reader():
    channel: Channel[str] = Channel(1)
    channel.put("a", 1)
    ended = []

    def write():
        with pytest.raises(Cancelled):
            channel.put("b", 1)
        ended.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(0.05)
    channel.close()
    writer.join(2)
    assert ended
    with pytest.raises(Cancelled):
        channel.get()


# --- stream ---------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.lists(st.integers(1, 50), max_size=5), max_size=7),
    workers=st.integers(1, 5),
    queue_bytes=st.sampled_from([0, 100, 10_000]),
)
def test_cutting_differently_never_changes_the_rows(sizes, workers, queue_bytes):
    source = Numbers(sizes)
    table = stream(source, REQUEST, workers=workers, queue_bytes=queue_bytes).read_all()
    assert sorted(table["n"].to_pylist()) == source.right()
    facts, counts = each_partition(
        source, REQUEST, lambda p, s, batches: sum(b.num_rows for b in batches), workers=workers
    )
    assert counts == [sum(steps) for steps in sizes]
    assert facts.partitions == len(sizes)
    nothing_left(source)


def test_no_more_workers_than_asked_for_and_never_more_than_partitions():
    source = Numbers([[1] * 5] * 6, pause=0.005)
    stream(source, REQUEST, workers=3).read_all()
    assert source.at_once <= 3
    few = Numbers([[1] * 5] * 2, pause=0.005)
    stream(few, REQUEST, workers=9).read_all()
    assert few.at_once == 2
    with pytest.raises(ValueError, match="workers"):
        stream(few, REQUEST, workers=0)
    nothing_left(few)


@pytest.mark.parametrize("kind", [QueryError, TypeMapError, RuntimeError, KeyError, MemoryError])
def test_an_error_keeps_its_class_and_ends_the_others(kind):
    source = Numbers([["hang"], ["hang"], [3, kind("x")]])
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        stream(source, REQUEST, workers=3).read_all()
    assert time.monotonic() - began < 2
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "read"
    nothing_left(source)
    with pytest.raises(kind):
        each_partition(source, REQUEST, lambda p, s, batches: list(batches), workers=3)
    nothing_left(source)


def test_rows_come_before_the_error_but_never_the_end():
    made = iter(stream(Numbers([[3, QueryError("x")]]), REQUEST))
    assert next(made).num_rows == 3
    with pytest.raises(QueryError):
        next(made)


def test_a_partition_that_broke_off_before_its_first_batch_is_read_once_more():
    source = Numbers([[lambda attempt: Unavailable("cut") if attempt == 1 else 4, 5], [6]])
    assert stream(source, REQUEST, workers=1).read_all().num_rows == 15
    assert source.reads == [0, 0, 1]
    stubborn = Numbers([[Unavailable("cut")]])
    with pytest.raises(Unavailable):
        stream(stubborn, REQUEST).read_all()
    assert stubborn.reads == [0, 0]


def test_a_partition_that_broke_off_later_is_not_read_again():
    source = Numbers([[4, Unavailable("cut")]])
    with pytest.raises(Unavailable):
        stream(source, REQUEST).read_all()
    assert source.reads == [0]
    nothing_left(source)


def test_closing_early_ends_threads_scan_and_readers():
    source = Numbers([[10] * 100] * 4)
    made = stream(source, REQUEST, workers=4, queue_bytes=500)
    reader = iter(made)
    next(reader)
    made.close()
    nothing_left(source)
    made.close()
    with pytest.raises(StreamConsumed):
        iter(made)


def test_closing_before_reading_ends_the_scan():
    source = Numbers([[1]])
    stream(source, REQUEST).close()
    nothing_left(source)
    made = stream(source, REQUEST)
    assert source.open_scans == 1
    del made
    nothing_left(source)


def test_dropping_the_iterator_ends_everything():
    source = Numbers([[10] * 100] * 3)
    with closing(iter(stream(source, REQUEST, workers=3, queue_bytes=300))) as reader:
        next(reader)
    nothing_left(source)


def test_ctrl_c_gets_through_a_stream_that_waits():
    assert pl.__version__
    source = Numbers([["hang"], ["hang"]])
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        stream(source, REQUEST, workers=2).read_all()
    assert time.monotonic() - began < 2
    nothing_left(source)


def test_an_error_in_on_scan_closes_the_scan():
    source = Numbers([[1]])
    with pytest.raises(ZeroDivisionError):
        stream(source, REQUEST, on_scan=lambda scan: 1 // 0)
    nothing_left(source)


def test_what_waits_is_bounded_in_bytes():
    source = Numbers([[100] * 60] * 2)
    seen = []
    stop = subscribe(lambda event: seen.append(event.nbytes))
    try:
        taken = 0
        for number, batch in enumerate(stream(source, REQUEST, workers=2, queue_bytes=5 * 800)):
            taken += batch.nbytes
            if number < 5:
                time.sleep(0.03)
                assert max(seen) - taken <= 5 * 800 + 2 * 800
    finally:
        stop()
    assert taken == max(seen) == 2 * 60 * 800


@pytest.mark.parametrize(("last", "ends"), [(5, "end"), (QueryError("x"), "fail")])
def test_events_tell_one_start_and_one_end(last, ends):
    seen = []
    stop = subscribe(seen.append)
    try:
        stream(Numbers([[5, 5], [5, last]]), REQUEST, workers=1).read_all()
    except QueryError:
        pass
    finally:
        stop()
    assert [event.state for event in seen if event.state != "progress"] == ["start", ends]
    assert seen[-1].rows == (20 if ends == "end" else 15)
    assert seen[-1].note == (None if ends == "end" else "QueryError")
    assert seen[-1].parts == (2 if ends == "end" else 1)
    assert {event.total_rows for event in seen} == {None}


# --- each_partition -------------------------------------------------------------------------------------------------


def test_results_come_in_the_order_of_the_partitions():
    source = Numbers([[5] * 5, [1], [2, 2]], pause=0.002)
    facts, made = each_partition(
        source,
        REQUEST,
        lambda p, schema, batches: (p.index, schema, sum(b.num_rows for b in batches)),
        workers=3,
    )
    assert made == [(0, SCHEMA, 25), (1, SCHEMA, 1), (2, SCHEMA, 4)]
    assert (facts.source, facts.label, facts.snapshot, facts.consistent, facts.reason) == ("numbers", "numbers", "s1", True, "because")  # fmt: skip


def test_work_that_stops_short_is_incomplete_and_gives_nothing():
    source = Numbers([[1, 1], [1]])
    with pytest.raises(Incomplete, match="not read to its end"):
        each_partition(source, REQUEST, lambda p, s, batches: next(batches), workers=1)
    nothing_left(source)


def test_work_that_leaves_only_the_end_unread_is_complete():
    source = Numbers([[1], [2]])
    _, made = each_partition(source, REQUEST, lambda p, s, batches: next(batches).num_rows)
    assert made == [1, 2]


def test_an_error_of_the_work_ends_the_others_with_its_class():
    source = Numbers([["hang"], [1]])

    def work(partition, schema, batches):
        list(batches)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        each_partition(source, REQUEST, work, workers=2)
    nothing_left(source)


def test_ctrl_c_gets_through_each_partition():
    source = Numbers([["hang"], ["hang"]])
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        each_partition(source, REQUEST, lambda p, s, batches: list(batches), workers=2)
    nothing_left(source)
