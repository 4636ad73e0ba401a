"""One store over obstore: exact keys, our errors, create-only, and Parquet parts."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pyarrow as pa

from dvengine._errors import (
    AlreadyExists,
    DvengineError,
    NotFound,
    NotSupported,
    Unavailable,
    VerificationFailed,
)
from dvengine.stores import _local
from dvengine.stores._faults import boundary
from dvengine.stores._parts import ParquetPart
from dvengine.stores._paths import checked, joined
from dvengine.stores._protocols import ObjectInfo, PartWriter, Span
from dvengine.stores._reader import open_ranges

__all__ = ["ObjectStore"]


class ObjectStore:
    """The `Store` of every scheme. Thread-safe. Build one with `open_store`.

    Args:
        inner: The obstore store.
        base: Prefix within ``inner``, whole segments, may be empty.
        name, url: Safe to show.
        root: The folder, where the store is local: then ``base`` is the same place seen from the file system's root.
        media_types: Whether the back end keeps a content type.
    """

    def __init__(
        self,
        inner: Any,
        base: str,
        *,
        name: str,
        url: str,
        root: Path | None = None,
        media_types: bool = True,
    ) -> None:
        self.name = name
        self.url = url
        self.inner = inner
        self.root = root
        self._base = base
        self._media_types = media_types

    def __repr__(self) -> str:
        return f"<store {self.name}>" if self.name == self.url else f"<store {self.name} at {self.url}>"

    def key(self, path: str) -> str:
        """Return the key as the back end knows it, refusing what no store can hold."""
        return joined(self._base, checked(path))

    def get(self, path: str, *, span: Span | None = None) -> bytes:
        """Return the object's bytes, or some of them; a span that reaches past the end is cut there."""
        key = self.key(path)
        with boundary(self.name, "read", path):
            if span is None:
                return bytes(obstore.get(self.inner, key).bytes())
            if span.length == 0:
                return b""
            return bytes(obstore.get_range(self.inner, key, start=span.start, length=span.length))

    def head(self, path: str) -> ObjectInfo:
        """Return path and stored length."""
        key = self.key(path)
        with boundary(self.name, "read", path):
            return ObjectInfo(path, obstore.head(self.inner, key)["size"])

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield everything below a prefix of whole segments, in lexical order; unfinished writes are not there."""
        prefix = checked(prefix.rstrip("/"), what="prefix") if prefix.strip("/") else ""
        if self.root is not None:
            with boundary(self.name, "list", prefix):
                for path, nbytes in _local.walk(self.root, prefix):
                    yield ObjectInfo(path, nbytes)
            return
        base = joined(self._base, prefix)
        cut = len(self._base) + 1 if self._base else 0
        with boundary(self.name, "list", prefix):
            for chunk in obstore.list(self.inner, base or None, chunk_size=1000):
                for meta in chunk:
                    yield ObjectInfo(meta["path"][cut:], meta["size"])

    def create(self, path: str, data: bytes) -> None:
        """Put, if and only if the key is free.

        Guarantees: of any number of writers, one succeeds and the others get `AlreadyExists`. When the reply to our own
        write was lost, the key is read back: the very same bytes are success.
        """
        self.key(path)
        for left in (2, 1, 0):
            try:
                return self._create_once(path, data)
            except (AlreadyExists, Unavailable) as error:
                # Taken, or nobody knows. The library does not retry such a write by itself, for it may have happened.
                try:
                    if self.get(path) == data:
                        return None
                    taken = True
                except NotFound:  # not written, or gone again, or a folder of that name
                    taken = isinstance(error, AlreadyExists)
                except DvengineError:
                    raise error from None
                if taken:
                    raise AlreadyExists(f"{path!r} is already there in {self.name}") from None
                if not left or not error.retryable:
                    raise
                time.sleep(0.2)
        return None

    def _create_once(self, path: str, data: bytes) -> None:
        with boundary(self.name, "create", path):
            if self.root is None:
                obstore.put(self.inner, self.key(path), data, mode="create", use_multipart=False)
                return
            try:
                _local.create_durably(self.root / path, data)
            except FileExistsError:
                raise AlreadyExists(f"{path!r} is already there in {self.name}") from None

    def put(self, path: str, data: bytes, *, media_type: str | None = None) -> None:
        """Put, replacing whatever is there; readers see the old bytes or the new ones."""
        key = self.key(path)
        attributes = {"Content-Type": media_type} if media_type and self._media_types else None
        with boundary(self.name, "write", path):
            obstore.put(self.inner, key, data, attributes=attributes, use_multipart=False)
            if self.root is not None:
                _local.sync(self.root / path)

    def delete(self, path: str) -> None:
        """Remove; a missing object is fine."""
        key = self.key(path)
        with contextlib.suppress(NotFound), boundary(self.name, "delete", path):
            obstore.delete(self.inner, key)

    def part(self, path: str, schema: pa.Schema, *, partition_id: str | None = None) -> PartWriter:
        """Begin a Parquet part. Leaving it without ``finish()`` leaves nothing behind."""
        self.key(path)
        return ParquetPart(self, path, schema, partition_id=partition_id)

    def open_parquet(self, path: str) -> Any:
        """Open an object as a seekable ``pyarrow.NativeFile``; remote ones are read by ranges."""
        if self.root is not None:
            self.head(path)  # pyarrow is vague about folders
            with boundary(self.name, "read", path):
                return pa.OSFile(str(self.root / path), "rb")
        return open_ranges(self, path)

    def check(self) -> dict[str, str]:
        """Write a probe create-only twice, list, read and delete it; nothing is left behind, a folder that was not there included.

        Raises:
            NotSupported: The store lets a second create-only write through, so that it cannot hold publications.
            VerificationFailed: It did not give back what was written.
        """
        folder, data = f"_dvengine-probe-{secrets.token_hex(8)}", secrets.token_bytes(64)
        probe = f"{folder}/probe"
        made = _local.missing(self.root / folder) if self.root is not None else []
        began = time.perf_counter()
        try:
            self.create(probe, data)
            took = time.perf_counter() - began
            try:
                self.create(probe, data[::-1])
            except AlreadyExists:
                pass
            else:
                raise NotSupported(
                    f"{self.name} has no create-only write",
                    hint="publishing needs a store with If-None-Match, such as S3, Azure or Google",
                )
            if self.get(probe) != data or self.get(probe, span=Span(3, 5)) != data[3:8]:
                raise VerificationFailed(f"{self.name} did not give back the bytes that were written")
            if [found.path for found in self.list(folder) if found.path == probe] != [probe]:
                raise VerificationFailed(f"{self.name} does not list what was written")
        finally:
            with contextlib.suppress(DvengineError):  # the error on its way says more
                self.delete(probe)
            _local.remove_empty(made)
        return {"store": self.url, "create_only": "yes", "write_ms": f"{took * 1000:.0f}"}
