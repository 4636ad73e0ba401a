"""Read a remote object as a file: few requests, bounded memory."""

from __future__ import annotations

import pyarrow as pa

from dvengine.stores._protocols import Span, Store

__all__ = ["open_ranges"]

_READ_AHEAD = 1 << 20


def open_ranges(store: Store, path: str) -> pa.NativeFile:
    """Open an object as a seekable file whose reads are range requests.

    A Parquet reader asks for the footer and then for whole column chunks. Small reads are widened to 1 MiB, and those
    near the end to the end, so that footer and trailing pages cost one request; large ones pass straight through.
    """
    return pa.PythonFile(_Ranges(store, path), mode="r")  # type: ignore[arg-type]  # duck-typed on purpose


class _Ranges:
    closed = False

    def __init__(self, store: Store, path: str) -> None:
        self._store, self._path = store, path
        self._size = store.head(path).nbytes
        self._position = 0
        self._window, self._window_start = b"", 0

    def read(self, size: int = -1) -> bytes:
        left = max(self._size - self._position, 0)
        size = left if size is None or size < 0 else min(size, left)
        start = self._position
        offset = start - self._window_start
        if not (offset >= 0 and offset + size <= len(self._window)):
            data = self._fetch(start, size)
        else:
            data = self._window[offset : offset + size]
        self._position += len(data)
        return data

    def _fetch(self, start: int, size: int) -> bytes:
        if size == 0:
            return b""
        if size >= _READ_AHEAD:
            return self._store.get(self._path, span=Span(start, size))
        begin = max(min(start, self._size - _READ_AHEAD), 0)
        self._window = self._store.get(self._path, span=Span(begin, _READ_AHEAD))
        self._window_start = begin
        return self._window[start - begin : start - begin + size]

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = max(offset + (0, self._position, self._size)[whence], 0)
        return self._position

    def tell(self) -> int:
        return self._position

    def size(self) -> int:
        return self._size

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._window, self.closed = b"", True
