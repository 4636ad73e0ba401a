"""A store around a real one that fails at one chosen call, before or after the call did its work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import pyarrow as pa

from dvengine import Unavailable
from dvengine.stores import ObjectInfo, PartReceipt, Span


class FaultyStore:
    """Counts every call that reaches the store; raises at number ``at``.

    Args:
        at: Which call, from 1; 0 never.
        when: ``before``: nothing happened; ``after``: it happened, and the reply was lost.
        error: What to raise.
        on: Called at the chosen call, before it.
    """

    def __init__(
        self,
        inner: Any,
        *,
        at: int = 0,
        when: str = "before",
        error: Callable[[], BaseException] = lambda: Unavailable("the store went away"),
        on: Callable[[str, str], None] = lambda verb, path: None,
    ) -> None:
        self.inner, self.at, self.when, self.error, self.on = inner, at, when, error, on
        self.name, self.url = inner.name, inner.url
        self.calls: list[tuple[str, str]] = []

    def _do(self, verb: str, path: str, call: Callable[[], Any]) -> Any:
        self.calls.append((verb, path))
        hit = len(self.calls) == self.at
        if hit:
            self.on(verb, path)
            if self.when == "before":
                raise self.error()
        result = call()
        if hit and self.when == "after":
            raise self.error()
        return result

    def get(self, path: str, *, span: Span | None = None) -> bytes:
        return self._do("get", path, lambda: self.inner.get(path, span=span))

    def head(self, path: str) -> ObjectInfo:
        return self._do("head", path, lambda: self.inner.head(path))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return iter(self._do("list", prefix, lambda: list(self.inner.list(prefix))))

    def create(self, path: str, data: bytes) -> None:
        self._do("create", path, lambda: self.inner.create(path, data))

    def put(self, path: str, data: bytes, *, media_type: str | None = None) -> None:
        self._do("put", path, lambda: self.inner.put(path, data, media_type=media_type))

    def delete(self, path: str) -> None:
        self._do("delete", path, lambda: self.inner.delete(path))

    def part(self, path: str, schema: pa.Schema, *, partition_id: str | None = None) -> FaultyPart:
        inner = self._do("part", path, lambda: self.inner.part(path, schema, partition_id=partition_id))
        return FaultyPart(self, path, inner)

    def open_parquet(self, path: str) -> Any:
        return self._do("open_parquet", path, lambda: self.inner.open_parquet(path))

    def check(self) -> dict[str, str]:
        return self.inner.check()


class FaultyPart:
    def __init__(self, store: FaultyStore, path: str, inner: Any) -> None:
        self._store, self._path, self._inner = store, path, inner

    def write(self, batch: pa.RecordBatch) -> None:
        self._store._do("write", self._path, lambda: self._inner.write(batch))

    def finish(self) -> PartReceipt:
        return self._store._do("finish", self._path, self._inner.finish)

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self._inner.__exit__(*failure)
