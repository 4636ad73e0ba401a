"""A source in memory, cut in parts, that notes what it is asked for and can fail where told to."""

from __future__ import annotations

import operator
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest

from dvengine.connectors import Cancel, Capabilities, Filter, Partition, Request

OPS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass
class Planned:
    schema: pa.Schema
    partitions: tuple[Partition, ...]
    residual: tuple[Filter, ...]
    snapshot: str | None = None
    consistent: bool = True
    reason: str | None = "a table in memory"
    rows_estimate: int | None = None

    def statements(self) -> list[str]:
        return ["select … from it where x = ?"]


@dataclass
class MemorySource:
    """Applies the filters that it is asked to, exactly, as a real source would."""

    table: pa.Table
    parts: int = 3
    name: str = "memory-registry"
    batch_rows: int = 100
    fail_at: int | None = None
    error: BaseException = field(default_factory=lambda: RuntimeError("stopp"))
    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities(snapshot="exported", resumable=False)
    )
    requests: list[Request] = field(default_factory=list)
    given: int = 0
    opened: int = 0
    closed: int = 0
    schemas: int = 0
    moment: str | None = None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._plans: dict[str, Request] = {}

    def schema(self, request: Request) -> pa.Schema:
        self.schemas += 1
        schema = self.table.schema
        return (
            schema if request.columns is None else pa.schema([schema.field(name) for name in request.columns])
        )

    @contextmanager
    def open(self, request: Request, *, cancel: Cancel) -> Iterator[Planned]:
        schema = self.schema(request)
        with self._lock:
            self.requests.append(request)
            self.opened += 1
            snapshot = self.moment or f"moment-{self.opened}"
            plan = str(self.opened)
            self._plans[plan] = request
        size = -(-self.table.num_rows // self.parts) if self.table.num_rows else 0
        partitions = tuple(
            Partition(id=str(i), index=i, token=f"{plan}:{i * size}:{size}".encode(), snapshot=snapshot)
            for i in range(self.parts)
        )
        try:
            yield Planned(schema=schema, partitions=partitions, residual=(), snapshot=snapshot)
        finally:
            self.closed += 1

    def read(self, partition: Partition, *, cancel: Cancel) -> Generator[pa.RecordBatch, None, None]:
        plan, start, size = partition.token.decode().split(":")
        request = self._plans[plan]
        piece = self.table.slice(int(start), int(size))
        for batch in piece.to_batches(max_chunksize=self.batch_rows):
            cancel.check()
            with self._lock:
                if self.fail_at is not None and self.given >= self.fail_at:
                    raise self.error
                self.given += 1
            rows = batch.to_pylist()
            keep = pa.array([all(holds(row[f.column], f) for f in request.where) for row in rows], pa.bool_())
            kept = batch.filter(keep)
            yield kept if request.columns is None else kept.select(list(request.columns))

    @contextmanager
    def pin(self) -> Iterator[MemorySource]:
        pinned = MemorySource(self.table, self.parts, self.name, moment="pinned")
        yield pinned

    def check(self) -> dict[str, str]:
        return {}


def holds(value: Any, f: Filter) -> bool:
    if f.op == "is_null":
        return value is None
    if f.op == "not_null":
        return value is not None
    if value is None:
        return False
    return value in f.value if f.op == "in" else bool(OPS[f.op](value, f.value))


@pytest.fixture(scope="session")
def memory_source() -> type[MemorySource]:
    return MemorySource
