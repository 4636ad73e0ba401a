"""Run a scan in threads: every partition exactly once, all or an error, bounded memory, and a stop that reaches the server."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa

from dvengine import _events
from dvengine._errors import Cancelled, Incomplete, Unavailable
from dvengine._waiting import join
from dvengine.arrow import BatchStream
from dvengine.connectors import Cancel, Partition, Request, Scan, Source
from dvengine.run._channel import Channel

__all__ = ["ScanFacts", "each_partition", "stream"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanFacts:
    """What is to be remembered of a read: from where, of which moment, and how it was cut."""

    source: str
    label: str
    snapshot: str | None
    consistent: bool
    reason: str | None
    partitions: int

    @classmethod
    def of(cls, source: Source, request: Request, scan: Scan) -> ScanFacts:
        """Take the facts from an open scan."""
        return cls(
            source=source.name, label=request.label, snapshot=scan.snapshot, consistent=scan.consistent,
            reason=scan.reason, partitions=len(scan.partitions),
        )  # fmt: skip


def stream(
    source: Source,
    request: Request,
    *,
    workers: int | None = None,
    queue_bytes: int = 64 << 20,
    on_scan: Callable[[Scan], None] | None = None,
) -> BatchStream:
    """Read a request as one stream of batches, from several partitions at a time.

    Guarantees: the moment is fixed when this returns; each partition is read exactly once, and if any cannot be read to its
    end the stream ends in that error and not before its time; at most ``queue_bytes`` of batches wait, besides one
    in each worker's hand; closing the stream, an error, or Ctrl-C stops the statements on the server and ends the threads.
    Filters that the source did not apply (``scan.residual``) are not applied here.

    Args:
        source: What to read from.
        request: What to read. Batches of different partitions come in no particular order.
        workers: Threads, at most one a partition; None is one a core.
        queue_bytes: Of Arrow buffers, uncompressed. A larger batch passes alone.
        on_scan: Called with the open scan before anything is read.

    Raises:
        DvengineError: Whatever the source raises, with its class.
    """
    run = _Run(source, request, workers, queue_bytes, on_scan)
    made = BatchStream(run.schema, run.batches(), close=run.close)
    # A stream that nobody reads or closes must not keep a transaction open on the server.
    weakref.finalize(made, run.close)
    return made


def each_partition(
    source: Source,
    request: Request,
    work: Callable[[Partition, pa.Schema, Iterator[pa.RecordBatch]], T],
    *,
    workers: int | None = None,
) -> tuple[ScanFacts, list[T]]:
    """Do work on each partition where it is read, without a queue between.

    Guarantees: results of all partitions, in the order of the partitions, or an error; after the first error, or Ctrl-C, the
    other partitions are cancelled on the server, and no thread is left.

    Args:
        source: What to read from.
        request: What to read.
        work: Called in a worker thread with the partition, the schema and its batches, which it must read to the end.
        workers: Threads, at most one a partition; None is one a core.

    Raises:
        Incomplete: ``work`` returned before it had read all batches.
        DvengineError: Whatever the source or ``work`` raises, with its class.
    """
    run = _Run(source, request, workers, 0, None)
    try:
        facts = ScanFacts.of(source, request, run.scan)
        return facts, run.each(work)
    finally:
        run.close()


def _worker_count(asked: int | None, partitions: int) -> int:
    if asked is not None and asked < 1:
        raise ValueError("workers must be at least 1")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(partitions, cores if asked is None else asked))


_Message = tuple[str, pa.RecordBatch | BaseException | None]


class _Run:
    """One read: its scan, its threads, and one way to end them all."""

    def __init__(
        self,
        source: Source,
        request: Request,
        workers: int | None,
        queue_bytes: int,
        on_scan: Callable[[Scan], None] | None,
    ) -> None:
        self._source = source
        self._cancel = Cancel()
        self._channel: Channel[_Message] = Channel(queue_bytes)
        self._threads: list[threading.Thread] = []
        self._closing = threading.Lock()
        self._open = True
        self._error: BaseException | None = None
        self._stack = ExitStack()
        with ExitStack() as opening:
            self._span = opening.enter_context(_events.stage("read", request.label))
            self.scan = opening.enter_context(source.open(request, cancel=self._cancel))
            # Not scan.rows_estimate: an estimate as a total would show more than the whole as read.
            self._span.total_parts = len(self.scan.partitions)
            if on_scan is not None:
                on_scan(self.scan)
            self._workers = _worker_count(workers, len(self.scan.partitions))
            self._stack = opening.pop_all()
        self.schema: pa.Schema = self.scan.schema
        self._waiting = list(reversed(self.scan.partitions))
        self._lock = threading.Lock()

    # --- threads ------------------------------------------------------------------------------------------------

    def _start(self, work: Callable[[Partition], None]) -> None:
        def worker() -> None:
            try:
                while not self._cancel.is_set:
                    with self._lock:
                        if not self._waiting:
                            return
                        partition = self._waiting.pop()
                    work(partition)
            except BaseException as error:  # noqa: BLE001 - carried to the reader, whatever it is
                self._say("error", error)

        for number in range(self._workers):
            thread = threading.Thread(target=worker, name=f"dvengine-read-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _say(self, kind: str, content: pa.RecordBatch | BaseException | None, nbytes: int = 0) -> None:
        try:
            self._channel.put((kind, content), nbytes)
        except Cancelled:
            if kind == "batch":
                raise

    def _read(self, partition: Partition) -> Generator[pa.RecordBatch, None, None]:
        """Read a partition, once more if it broke off before its first batch: nothing was handed on, so nothing doubles."""
        for last in (False, True):
            given = False
            try:
                with closing(self._source.read(partition, cancel=self._cancel)) as batches:
                    for batch in batches:
                        given = True
                        self._span.advance(rows=batch.num_rows, nbytes=batch.nbytes)
                        yield batch
            except Unavailable:
                if last or given or self._cancel.is_set:
                    raise
            else:
                self._span.advance(parts=1)
                return

    # --- the two ways to read -----------------------------------------------------------------------------------

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        def work(partition: Partition) -> None:
            with closing(self._read(partition)) as batches:
                for batch in batches:
                    self._say("batch", batch, batch.nbytes)
            self._say("done", None)

        yield from self._collect(work)

    def each(self, work: Callable[[Partition, pa.Schema, Iterator[pa.RecordBatch]], T]) -> list[T]:
        results: dict[int, T] = {}

        def one(partition: Partition) -> None:
            finished = False

            def noted() -> Generator[pa.RecordBatch, None, None]:
                nonlocal finished
                yield from self._read(partition)
                finished = True

            with closing(noted()) as batches:
                result = work(partition, self.schema, batches)
                if not finished and next(batches, None) is not None:
                    raise Incomplete(f"partition {partition.id} was not read to its end")
            results[partition.index] = result
            self._say("done", None)

        for _ in self._collect(one):
            raise AssertionError("no batch crosses here")
        return [results[partition.index] for partition in self.scan.partitions]

    def _collect(self, work: Callable[[Partition], None]) -> Generator[pa.RecordBatch, None, None]:
        missing = len(self.scan.partitions)
        try:
            if missing:
                self._start(work)
            while missing:
                kind, content = self._channel.get()
                if isinstance(content, BaseException):
                    raise content
                if kind == "done":
                    missing -= 1
                elif content is not None:
                    yield content
        except GeneratorExit:
            raise
        except BaseException as error:
            self._error = error
            raise

    # --- the end ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Wake the writers, stop the server's statements, wait for the threads, end the moment; idempotent."""
        with self._closing:
            if not self._open:
                return
            self._open = False
        self._channel.close()
        self._cancel.set()
        error = self._error
        try:
            for thread in self._threads:
                if thread is not threading.current_thread():
                    join(thread)
        finally:
            self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        try:
            # With its traceback: contextlib puts back what it is given, and would wipe the worker's frames.
            self._stack.__exit__(
                type(error) if error else None, error, error.__traceback__ if error else None
            )
        except BaseException as raised:  # the scan and the event stage hand our own error back
            if raised is not error:
                raise
