"""Read stored bytes back and hold them against what their receipt promises."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dvengine._errors import NotFound, VerificationFailed
from dvengine.stores import PartReceipt, Span, Store
from dvengine.stores._parts import schema_sha256

__all__ = ["PartFacts", "check_file", "check_parts", "null_counts"]

# Below this a part is fetched once, for its hash and its footer; above, it is hashed in spans and its footer read apart.
_WHOLE = 32 << 20
_SPAN = 8 << 20


@dataclass(slots=True)
class PartFacts:
    """What a part was found to hold.

    Attributes:
        schema: As read from its footer, or None where it cannot be read.
        nulls: Column → rows without a value, of flat columns whose footer says so.
        problems: Short texts, naming the part by its file name; never values.
    """

    rows: int = 0
    nbytes: int = 0
    schema: pa.Schema | None = None
    nulls: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def check_file(
    store: Store, key: str, *, nbytes: int, sha256: str, label: str
) -> tuple[list[str], bytes | None]:
    """Return the problems of a stored object, and its bytes where it was small enough to be fetched whole.

    Memory: at most 32 MiB.
    """
    try:
        length = store.head(key).nbytes
        if length != nbytes:
            return [f"{label}: {length} bytes are stored, {nbytes} were promised"], None
        if length <= _WHOLE:
            data = store.get(key)
            digest = hashlib.sha256(data)
        else:
            data, digest = None, hashlib.sha256()
            for start in range(0, length, _SPAN):
                digest.update(store.get(key, span=Span(start, min(_SPAN, length - start))))
    except NotFound:
        return [f"{label}: is not there"], None
    if digest.hexdigest() != sha256:
        return [f"{label}: the bytes are not those that were promised (sha256)"], None
    return [], data


def check_part(store: Store, key: str, receipt: PartReceipt) -> PartFacts:
    """Check one part: there, length, hash, readable footer, rows and schema."""
    label = f"part {key.rpartition('/')[2]}"
    facts = PartFacts(nbytes=receipt.nbytes)
    facts.problems, data = check_file(store, key, nbytes=receipt.nbytes, sha256=receipt.sha256, label=label)
    if facts.problems:
        return facts
    source: Any = pa.BufferReader(data) if data is not None else store.open_parquet(key)
    try:
        with pq.ParquetFile(source) as opened:
            metadata, facts.schema = opened.metadata, opened.schema_arrow
    except (pa.ArrowException, OSError, ValueError):
        facts.problems.append(f"{label}: is not a readable Parquet file")
        return facts
    facts.rows = metadata.num_rows
    if facts.rows != receipt.rows:
        facts.problems.append(f"{label}: holds {facts.rows} rows, {receipt.rows} were promised")
    if schema_sha256(facts.schema) != receipt.schema_sha256:
        facts.problems.append(f"{label}: its schema is not the one that was promised")
    facts.nulls = null_counts(metadata)
    return facts


def null_counts(metadata: Any) -> dict[str, int]:
    """Add up null counts over row groups; nested columns, and columns without statistics, are left out."""
    counts: dict[str, int] = {}
    unknown: set[str] = set()
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for index in range(row_group.num_columns):
            column = row_group.column(index)
            path = column.path_in_schema
            statistics = column.statistics
            if statistics is None or not statistics.has_null_count:
                unknown.add(path)
            else:
                counts[path] = counts.get(path, 0) + statistics.null_count
    flat = {
        metadata.schema.column(i).path
        for i in range(metadata.num_columns)
        if metadata.schema.column(i).max_repetition_level == 0
    }
    return {path: n for path, n in counts.items() if path in flat and path not in unknown and "." not in path}


def check_parts(
    store: Store,
    receipts: Sequence[PartReceipt],
    keys: Iterable[str],
    *,
    done: Callable[[PartFacts], None] = lambda _: None,
) -> list[PartFacts]:
    """Check many parts, as many at once as there are cores; in the order given.

    Raises:
        Unavailable, AccessDenied: The store could not be asked, which is not a finding about the data.
    """

    def work(pair: tuple[str, PartReceipt]) -> PartFacts:
        facts = check_part(store, pair[0], pair[1])
        done(facts)
        return facts

    pairs = list(zip(keys, receipts, strict=True))
    if len(pairs) < 2:
        return [work(pair) for pair in pairs]
    with ThreadPoolExecutor(min(len(pairs), os.cpu_count() or 1), "dvengine-verify") as pool:
        return list(pool.map(work, pairs))


def refuse(problems: Sequence[str]) -> None:
    """Raise for the first problems, if there are any.

    Raises:
        VerificationFailed: The hint lists them.
    """
    if problems:
        raise VerificationFailed(
            f"{len(problems)} check(s) of what was stored failed", hint="; ".join(problems[:5])
        )
