"""Datasets to Parquet: parts in parallel, and a folder or one file that is there whole or not at all."""

from __future__ import annotations

import contextlib
import itertools
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import pyarrow as pa

from dvengine import run as _run
from dvengine._errors import AlreadyExists, Conflict, DvengineError, Incomplete, InputError, NotFound
from dvengine._events import Span, stage
from dvengine.arrow import with_schema
from dvengine.config import Settings, load_settings
from dvengine.connectors import Partition
from dvengine.datasets._origins import ALL, Origin, Run, SourceOrigin
from dvengine.stores import CommitLog, Manifest, PartReceipt, Store, open_store

__all__ = ["WriteReceipt", "split_target", "write_parquet", "write_parts"]

#: A part is cut here, counted in uncompressed Arrow bytes.
_PART_BYTES = 512 << 20
_OURS = re.compile(r"(part-[0-9a-f]{8}-\d{5}\.parquet|_dvengine/unfinished-[0-9a-f]{8})")

Done = Callable[[Run], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteReceipt:
    """What was written.

    Attributes:
        url: Where, safe to show.
        rows: In all parts.
        nbytes: Stored, compressed.
        parts: Objects that hold rows.
        seconds: From call to commit.
    """

    url: str
    rows: int
    nbytes: int
    parts: int
    seconds: float


class _Parts:
    """Cuts streams of batches into parts, counts what passes, and can take everything back."""

    def __init__(
        self,
        store: Store,
        path_for: Callable[[int], str],
        schema: pa.Schema,
        feed: Callable[[pa.RecordBatch], None] | None,
        span: Span,
        cut: int | None,
    ) -> None:
        self._store, self._path_for, self._schema, self._feed, self._span = (
            store,
            path_for,
            schema,
            feed,
            span,
        )
        self._cut = cut
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._written: list[str] = []
        self.rows = 0

    def write(self, batches: Iterable[pa.RecordBatch], partition_id: str | None) -> list[PartReceipt]:
        """Write one stream; the parts are there, whole, when this returns."""
        waiting: Iterator[pa.RecordBatch] = (
            with_schema(batch, self._schema) for batch in batches if batch.num_rows
        )
        return [self._one(itertools.chain([first], waiting), partition_id) for first in waiting]

    def _one(self, batches: Iterator[pa.RecordBatch], partition_id: str | None) -> PartReceipt:
        with self._lock:
            path = self._path_for(next(self._numbers))
        size = 0
        with self._store.part(path, self._schema, partition_id=partition_id) as writer:
            for batch in batches:
                with self._lock:
                    self.rows += batch.num_rows
                    if self._feed is not None:
                        self._feed(batch)
                writer.write(batch)
                size += batch.nbytes
                self._span.advance(rows=batch.num_rows)
                if self._cut is not None and size >= self._cut:
                    break
            with self._lock:
                self._written.append(path)
            receipt = writer.finish()
        self._span.advance(parts=1, nbytes=receipt.nbytes)
        return receipt

    def empty(self) -> PartReceipt:
        """Write a part without rows: nothing is also an answer, and it has a schema."""
        return self._one(iter(()), None)

    def undo(self) -> None:
        """Remove every part; what cannot be removed is not listed by any manifest."""
        _clear(self._store, self._written)


def write_parts(
    origin: Origin,
    done: Done,
    name: str,
    store: Store,
    path_for: Callable[[int], str],
    *,
    feed: Callable[[pa.RecordBatch], None] | None = None,
    cut: int | None = _PART_BYTES,
) -> tuple[PartReceipt, ...]:
    """Write an origin as parts; all of them, or none and an error."""
    schema = origin.schema()
    run = Run()
    with stage("write", name) as span:
        parts = _Parts(store, path_for, schema, feed, span, cut)
        try:
            if isinstance(origin, SourceOrigin) and origin.request.limit is None and cut is not None:
                receipts = _from_source(origin, parts, run)
            else:
                with closing(origin.stream(ALL, run)) as stream:
                    receipts = parts.write(stream, None)
            receipts = receipts or [parts.empty()]
            if sum(receipt.rows for receipt in receipts) != parts.rows:
                raise Incomplete(f"{name!r}: the parts do not hold the rows that were read")
        except BaseException:
            parts.undo()
            raise
        finally:
            run.stop()
    done(run)
    return tuple(receipts)


def _from_source(origin: SourceOrigin, parts: _Parts, run: Run) -> list[PartReceipt]:
    def work(
        partition: Partition, _schema: pa.Schema, batches: Iterator[pa.RecordBatch]
    ) -> list[PartReceipt]:
        return parts.write(batches, partition.id)

    facts, written = _run.each_partition(origin.source, origin.request, work)
    run.saw(
        {
            "source": facts.source,
            "table": facts.label,
            "snapshot": facts.snapshot,
            "consistent": facts.consistent,
        }
    )
    return [receipt for group in written for receipt in group]


def split_target(target: str | Path) -> tuple[str | Path, str | None]:
    """Return the folder and, where the target is one file, its name (decoded once from an address).

    Example:
        >>> split_target("s3://bucket/a%20b/c%25.parquet"), split_target("ut/vedtak")
        (('s3://bucket/a%20b', 'c%.parquet'), ('ut/vedtak', None))
    """
    if isinstance(target, str) and "://" in target:
        parts = urlsplit(target)
        folder, _, last = parts.path.rpartition("/")
        if not last.endswith(".parquet"):
            return target, None
        # A file URL keeps three slashes.
        rest = urlunsplit(("", "", folder or ("/" if parts.scheme == "file" else ""), parts.query, ""))
        return f"{parts.scheme}://{parts.netloc}{rest}", unquote(last)
    if str(target).endswith(".parquet"):
        path = Path(target)
        return path.parent, path.name
    return target, None


def write_parquet(
    origin: Origin,
    done: Done,
    name: str,
    target: str | Path | Store,
    *,
    overwrite: bool,
    settings: Settings | None,
) -> WriteReceipt:
    """Write a folder of parts or one file; see `Dataset.write_parquet`."""
    began = time.monotonic()
    if isinstance(target, str | Path):
        folder, file = split_target(target)
        store: Store = open_store((settings or load_settings()).store(folder))
    elif hasattr(target, "part"):
        store, file = target, None
    else:
        raise InputError(
            f"a {type(target).__name__} is no target", hint="give a path, an address, an alias or a store"
        )
    if file is not None:
        receipts = _one_file(origin, done, name, store, file, overwrite=overwrite)
        url = f"{store.url.rstrip('/')}/{file}"
    else:
        receipts = _folder(origin, done, name, store, overwrite=overwrite)
        url = store.url
    return WriteReceipt(
        url=url,
        rows=sum(receipt.rows for receipt in receipts),
        nbytes=sum(receipt.nbytes for receipt in receipts),
        parts=len(receipts),
        seconds=time.monotonic() - began,
    )


def _one_file(
    origin: Origin, done: Done, name: str, store: Store, file: str, *, overwrite: bool
) -> tuple[PartReceipt, ...]:
    with contextlib.suppress(NotFound):
        store.head(file)
        if not overwrite:
            raise AlreadyExists(
                f"{file!r} is already there in {store.name}", hint="overwrite=True replaces it"
            )
    # Completing the upload is the commit: until then the key holds what it held.
    schema, run = origin.schema(), Run()
    with (
        stage("write", name) as span,
        store.part(file, schema) as writer,
        closing(origin.stream(ALL, run)) as stream,
    ):
        for batch in stream:
            writer.write(batch)
            span.advance(rows=batch.num_rows)
        receipt = writer.finish()
        span.advance(parts=1, nbytes=receipt.nbytes)
    run.stop()
    done(run)
    return (receipt,)


def _folder(
    origin: Origin, done: Done, name: str, store: Store, *, overwrite: bool
) -> tuple[PartReceipt, ...]:
    log = CommitLog(store, "")
    before = _claim(store, log, overwrite=overwrite)
    run_id = secrets.token_hex(8)
    marker = f"_dvengine/unfinished-{run_id[:8]}"
    origin.schema()
    # From here on a reader that finds no manifest knows that the parts are not whole.
    store.create(marker, b"")
    receipts: tuple[PartReceipt, ...] = ()
    try:
        facts: list[Run] = []
        receipts = write_parts(
            origin, facts.append, name, store, lambda number: f"part-{run_id[:8]}-{number:05d}.parquet"
        )
        _still_ours(store, marker)
    except BaseException:
        _clear(store, [*(receipt.path for receipt in receipts), marker])
        raise
    parent = before.version if before else 0
    try:
        log.commit(
            Manifest(
                version=parent + 1, parent=parent, run_id=run_id, created=datetime.now(UTC).isoformat(timespec="seconds"),
                descriptor={"dvengine": "dataset", "name": name}, parts={name: receipts},
                rows={name: sum(receipt.rows for receipt in receipts)}, source={"scans": list(facts[0].lineage)},
                consistent=all(scan["consistent"] for scan in facts[0].lineage),
            )
        )  # fmt: skip
    except (
        Conflict
    ):  # after anything else, Ctrl-C too, the manifest may be there or on its way, and it lists these parts
        _clear(store, [*(receipt.path for receipt in receipts), marker])
        raise
    done(facts[0])
    with contextlib.suppress(DvengineError):  # the new version stands; what is left over is listed nowhere
        store.delete(marker)
        for parts in before.parts.values() if before else ():
            for part in parts:
                store.delete(part.path)
    return receipts


def _clear(store: Store, paths: Iterable[str]) -> None:
    for path in paths:
        with contextlib.suppress(DvengineError):
            store.delete(path)


def _still_ours(store: Store, marker: str) -> None:
    """Raise if another job cleared the folder in the meantime: the parts may be gone with the marker."""
    try:
        store.head(marker)
    except NotFound:
        raise Conflict(
            f"another job cleared {store.name} while this one was writing", retryable=True
        ) from None


def _claim(store: Store, log: CommitLog, *, overwrite: bool) -> Manifest | None:
    """Make sure that the folder is empty, or may be replaced; return the version that is there."""
    there = [info.path for info in itertools.islice(store.list(), 1000)]
    if not there:
        return None
    versions = log.versions()
    if not versions:
        leftovers = all(_OURS.fullmatch(path) for path in there)
        if overwrite and leftovers:
            for path in there:
                store.delete(path)
            return None
        raise Conflict(
            f"{store.name} already holds {'an unfinished write' if leftovers else 'other things'}",
            hint="overwrite=True clears it, if no other job is writing there"
            if leftovers
            else "choose an empty folder, or a name that ends in .parquet for one file",
        )
    latest = log.read(versions[-1])
    if latest.descriptor.get("dvengine") != "dataset":
        raise Conflict(f"{store.name} already holds a published package", hint="choose another folder")
    if not overwrite:
        raise Conflict(
            f"{store.name} already holds a dataset",
            hint="overwrite=True replaces it in one step, or choose another folder",
        )
    return latest
