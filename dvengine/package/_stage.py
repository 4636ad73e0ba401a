"""Stage a version: every part and figure uploaded under keys of its own, read back, and nothing visible yet."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import pyarrow as pa

from dvengine._certificate import Certificate
from dvengine._errors import DvengineError, Incomplete
from dvengine._events import stage as work
from dvengine.datasets._origins import merged
from dvengine.package._descriptor import Stored, StoredView, build
from dvengine.package._locate import key, relative
from dvengine.package._model import DataPackage, Resource
from dvengine.package._names import file_stems
from dvengine.package._parts import PartFacts, check_file, check_parts, refuse
from dvengine.stores import Manifest, PartReceipt, Store

__all__ = ["Gate", "Verdict", "discard", "read_back", "stage"]

_MEDIA = {".vl.json": "application/json", ".svg": "image/svg+xml", ".md": "text/markdown"}


class Verdict(Protocol):
    """What the gate says of a resource whose rows it has all seen."""

    @property
    def certificate(self) -> Certificate | None:
        """The certificate to publish, or None."""
        ...

    @property
    def identity(self) -> tuple[str, ...]:
        """Columns with identity numbers, where those are let through."""
        ...


class Gate(Protocol):
    """Who may say no. It sees every row on its way out, and figures and words before that."""

    def watch(self, resource: Resource, schema: pa.Schema) -> Callable[[pa.RecordBatch], None]:
        """Return what each batch is shown to, one at a time."""
        ...

    def settle(self, resource: Resource) -> Verdict:
        """Judge a resource, all of whose rows were seen.

        Raises:
            Refused: With the column and the rule, never a value.
        """
        ...

    @property
    def overrides(self) -> tuple[dict[str, str], ...]:
        """Rules that were overridden so far, with the reason."""
        ...


def stage(
    package: DataPackage,
    store: Store,
    *,
    prefix: str,
    version: int,
    parent: int,
    run_id: str,
    gate: Gate,
) -> Manifest:
    """Upload everything of a version and return its manifest, which is not committed.

    Guarantees: keys are new (they hold the run's id), so that no reader and no other publisher can be touched; memory is bounded
    by batches, not rows; on any error, an interrupt too, what was uploaded is deleted again (best effort) and the error goes on.

    Raises:
        Refused: The gate says no.
        Incomplete: Rows were lost on the way.
        DescriptorError: The descriptor would not be valid.
    """
    run8 = run_id[:8]
    keys: list[str] = []
    try:
        stored: dict[str, Stored] = {}
        stems = file_stems(package.resources, what="resource")
        for name, resource in package.resources.items():
            stored[name] = _store(resource, store, gate, keys, f"{prefix}/data/{stems[name]}-{run8}")
        views, files = _views(package, store, keys, prefix, run8)
        created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        descriptor = build(package, stored, views, version=version, created=created)
    except BaseException:
        _delete(store, keys)
        raise
    lineage = {name: [dict(step) for step in one.lineage] for name, one in stored.items() if one.lineage}
    return Manifest(
        version=version,
        parent=parent,
        run_id=run_id,
        created=created,
        descriptor=descriptor,
        parts={name: one.parts for name, one in stored.items()},
        files=files,
        rows={name: one.rows for name, one in stored.items()},
        source={"lineage": lineage} if lineage else {},
        consistent=all(
            step["consistent"] for step in merged([step for steps in lineage.values() for step in steps])
        ),
        certificates={name: one.certificate.public() for name, one in stored.items() if one.certificate},
        overrides=gate.overrides,
    )


def _store(resource: Resource, store: Store, gate: Gate, keys: list[str], stem: str) -> Stored:
    schema = resource.data.schema
    nulls = dict.fromkeys(schema.names, 0)
    seen = 0
    watch = gate.watch(resource, schema)

    def path_for(index: int) -> str:
        path = f"{stem}-{index:05d}.parquet"
        keys.append(path)
        return path

    def feed(batch: pa.RecordBatch) -> None:
        nonlocal seen
        watch(batch)
        seen += batch.num_rows
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            nulls[name] += column.null_count
        progress.advance(rows=batch.num_rows, nbytes=batch.nbytes)

    with work("stage", resource.name) as progress:
        parts = tuple(resource.data.write_parts(store, path_for, feed=feed))
        progress.advance(parts=len(parts))
    written = sum(part.rows for part in parts)
    if written != seen:
        raise Incomplete(f"{resource.name!r}: {seen} rows were read, {written} are in the parts")
    verdict = gate.settle(resource)
    return Stored(
        schema=schema,
        parts=parts,
        nulls=nulls,
        lineage=resource.lineage,
        certificate=verdict.certificate,
        identity=verdict.identity,
    )


def _views(
    package: DataPackage, store: Store, keys: list[str], prefix: str, run8: str
) -> tuple[tuple[StoredView, ...], tuple[dict[str, object], ...]]:
    stems = file_stems(package.views, what="view")
    views, files = [], []
    for name, view in package.views.items():
        paths: dict[str, str] = {}
        for suffix, data in view.rendered.files.items():
            path = f"{prefix}/views/{stems[name]}-{run8}{suffix}"
            keys.append(path)
            store.put(path, data, media_type=_MEDIA[suffix])
            paths[suffix] = relative(path, package.name)
            files.append(
                {
                    "path": path,
                    "nbytes": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "media_type": _MEDIA[suffix],
                }
            )
        views.append(StoredView(view, paths))
    return tuple(views), tuple(files)


def read_back(store: Store, manifest: Manifest, *, folder: str) -> None:
    """Read every stored byte of a staged version back and reconcile it with the manifest.

    Raises:
        VerificationFailed: A length, hash, footer, schema or count differs; the hint says where.
        Unavailable: The store did not answer.
    """
    name = str(manifest.descriptor["name"])
    problems: list[str] = []
    with work(
        "verify",
        name,
        total_rows=sum(manifest.rows.values()),
        total_parts=sum(map(len, manifest.parts.values())),
    ) as progress:

        def done(facts: PartFacts) -> None:
            progress.advance(rows=facts.rows, nbytes=facts.nbytes, parts=1)

        for resource, receipts in manifest.parts.items():
            keys = [key(folder, relative(part.path, name)) for part in receipts]
            found = check_parts(store, receipts, keys, done=done)
            problems += [problem for facts in found for problem in facts.problems]
            rows = sum(facts.rows for facts in found)
            if rows != manifest.rows[resource] and not any(facts.problems for facts in found):
                problems.append(
                    f"resource {resource!r}: {rows} rows are stored, {manifest.rows[resource]} were read"
                )
        for file in manifest.files:
            path = key(folder, relative(file["path"], name))
            wrong, _ = check_file(
                store,
                path,
                nbytes=file["nbytes"],
                sha256=file["sha256"],
                label=f"file {path.rpartition('/')[2]}",
            )
            problems += wrong
        refuse(problems)


def discard(store: Store, manifest: Manifest) -> None:
    """Delete what a version that was never committed has uploaded; what cannot be deleted stays, unlisted."""
    parts: Sequence[PartReceipt] = list(itertools.chain.from_iterable(manifest.parts.values()))
    _delete(store, [*(part.path for part in parts), *(str(file["path"]) for file in manifest.files)])


def _delete(store: Store, keys: Iterable[str]) -> None:
    for path in keys:
        with contextlib.suppress(DvengineError):
            store.delete(path)
