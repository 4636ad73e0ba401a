"""The door to every object store: a few verbs, one of which commits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self, runtime_checkable

import pyarrow as pa

from dvengine._arguments import is_whole
from dvengine._errors import VerificationFailed

__all__ = ["Manifest", "ObjectInfo", "PartReceipt", "PartWriter", "Span", "Store"]


class Span(NamedTuple):
    """Bytes ``start`` to ``start + length``."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored object."""

    path: str
    nbytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReceipt:
    """What was written, as seen by the writer: the manifest is built of these, and reading back is held against them.

    Attributes:
        path: The key, relative to the store.
        partition_id: Which partition of the source it holds, or None.
        rows: In the part.
        nbytes: Stored length.
        sha256: Hex, of the stored bytes.
        schema_sha256: Hex, of the serialised Arrow schema.
    """

    path: str
    rows: int
    nbytes: int
    sha256: str
    schema_sha256: str
    partition_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One version of something published. It *is* the commit: what no manifest lists does not exist.

    Attributes:
        version: 1, 2, …; the highest committed one is current.
        parent: The version it was made after; 0 for the first.
        run_id: Unique per publish; tells our own write from another's after a lost reply.
        created: RFC 3339, UTC.
        state: ``withdrawn`` is a tombstone: readers see no version at or below it as current.
        descriptor: The Data Package descriptor in full (the copy beside the data is a convenience).
        parts: By resource name.
        files: Other objects of the version (views, attachments): path, nbytes, sha256.
        rows: By resource name.
        source: Names of sources and snapshot ids, never statements.
        consistent: Whether every resource was read in one moment.
        certificates: Public parts, by resource name.
        overrides: Rules that were overridden, with the reason given.
    """

    version: int
    parent: int
    run_id: str
    created: str
    state: Literal["live", "withdrawn"] = "live"
    descriptor: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, tuple[PartReceipt, ...]] = field(default_factory=dict)
    files: tuple[dict[str, Any], ...] = ()
    rows: dict[str, int] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    consistent: bool = True
    certificates: dict[str, dict[str, Any]] = field(default_factory=dict)
    overrides: tuple[dict[str, str], ...] = ()
    format: int = 1

    def to_json(self) -> bytes:
        """Serialise, deterministically."""
        return json.dumps(
            asdict(self), sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1
        ).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Read a manifest back.

        Raises:
            VerificationFailed: Not a manifest, or of a later format than this version of dvengine knows.
        """
        try:
            raw = json.loads(data)
            if raw.get("format") != 1:
                raise VerificationFailed(
                    "the manifest has a format this version does not know", hint="upgrade dvengine"
                )
            raw["parts"] = {
                name: tuple(PartReceipt(**part) for part in parts) for name, parts in raw["parts"].items()
            }
            for name in ("files", "overrides"):
                raw[name] = tuple(raw[name])
            manifest = cls(**raw)
            receipts = [receipt for part in manifest.parts.values() for receipt in part]
            # Below this line everybody may rely on the shape.
            if not is_whole(manifest) or not all(map(is_whole, receipts)) or not _is_time(manifest.created):
                raise ValueError
            return manifest
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise VerificationFailed(
                "a manifest cannot be read", hint="the store holds a damaged or foreign file in _dvengine/"
            ) from None


def _is_time(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo is not None


class PartWriter(Protocol):
    """Writes one Parquet part by multipart upload. Leaving the context without `finish` aborts: nothing becomes visible."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch of the part's schema."""
        ...

    def finish(self) -> PartReceipt:
        """Complete the upload."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class Store(Protocol):
    """A place for objects. Paths are POSIX, relative, exact (never URL-decoded); ``..``, empty segments and control characters are refused.

    Every method raises `NotFound`, `AccessDenied`, `Conflict`/`AlreadyExists`, `Unavailable` (retryable) or `InputError`.

    Attributes:
        name: Alias or safe URL.
        url: Safe to show.
    """

    name: str
    url: str

    def get(self, path: str, *, span: Span | None = None) -> bytes:
        """Return the object's bytes, or some of them."""
        ...

    def head(self, path: str) -> ObjectInfo:
        """Return path and stored length."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield everything below a prefix of whole segments, in lexical order."""
        ...

    def create(self, path: str, data: bytes) -> None:
        """Put, if and only if the key is free: the only commit verb.

        Raises:
            AlreadyExists: The key is taken (by another's bytes: a lost reply to our own write is recognised by reading back).
        """
        ...

    def put(self, path: str, data: bytes, *, media_type: str | None = None) -> None:
        """Put, replacing whatever is there; all or nothing."""
        ...

    def delete(self, path: str) -> None:
        """Remove; a missing object is fine."""
        ...

    def part(self, path: str, schema: pa.Schema, *, partition_id: str | None = None) -> PartWriter:
        """Begin a Parquet part under a key that must be unique."""
        ...

    def open_parquet(self, path: str) -> Any:
        """Open an object as a seekable file for pyarrow's Parquet reader."""
        ...

    def check(self) -> dict[str, str]:
        """Write, create-only twice, read and delete a probe; return facts that may be shown. For `doctor`."""
        ...
