"""publish: gate → stage → verify → commit → index. Before the commit nothing is visible, after it everything is."""

from __future__ import annotations

import contextlib
import json
import re
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dvengine._arguments import typed
from dvengine._errors import Conflict, DescriptorError, DvengineError, InputError, NotFound
from dvengine._events import stage as work
from dvengine._gate import PublishGate
from dvengine.catalog._document import document
from dvengine.catalog._index import Index
from dvengine.catalog._open import open_index
from dvengine.config import CatalogSettings, Settings, load_settings
from dvengine.package._descriptor import strict_json
from dvengine.package._locate import key, package_url
from dvengine.package._model import DataPackage
from dvengine.package._stage import discard, read_back, stage
from dvengine.stores import CommitLog, Manifest, Store, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Release", "publish"]

#: What an earlier run may have left behind: keys that no manifest lists, and notes of ours.
_OURS = re.compile(
    r"data/[a-z0-9-]+-[0-9a-f]{8}-\d{5,}\.parquet|views/[a-z0-9-]+-[0-9a-f]{8}\.(?:vl\.json|svg|md)|_dvengine/[^/]+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A committed version.

    Attributes:
        url: Of the package's folder, safe to show; `open_package` and `verify` take it.
        name, version, run_id: Of the package, the commit and this run.
        rows, nbytes, parts: In all resources; bytes as stored, figures included.
        indexed: Whether the catalogue's index has it. False also where no catalogue was given.
        seconds: Wall time of the whole.
        manifest: The commit itself; what was overridden is in ``manifest.overrides``.

    Example:
        >>> import polars as pl
        >>> package = DataPackage(name="fisk", title="Fisk")
        >>> package.add("fangst", pl.DataFrame({"art": ["torsk"], "tonn": [12]}))
        >>> release = publish(package, "memory://release-example")
        >>> release.parts, release.indexed, release.manifest.overrides
        (1, False, ())
    """

    url: str
    name: str
    version: int
    run_id: str
    rows: int
    nbytes: int
    parts: int
    indexed: bool
    seconds: float
    manifest: Manifest = field(repr=False)


@typed(texts=("reason",))
def publish(
    package: DataPackage,
    target: str | Path | Store,
    *,
    catalog: str | None = None,
    reason: str | None = None,
    settings: Settings | None = None,
) -> Release:
    """Publish a package as its next version.

    Guarantees: whole or nothing: until one create-only write, readers see the old version and nothing of the new; killed at any
    moment, the old version stays and the next publish succeeds. Every stored byte is read back and checked before that write.
    Of two publishers at once one wins and the other gets `Conflict`. Nothing goes to ``open`` with identity numbers in it,
    without a certificate, or with a stale one, unless ``reason`` says why; the reason is recorded in the manifest.
    After the commit the index is told; where it does not answer the publish stands, and a note of the debt is kept.

    Args:
        package: What to publish.
        target: The store: an alias, a URL, a local path, or an opened store. The package's name is its folder there.
        catalog: The catalogue to list it in: an alias, a URL or a path; None for none.
        reason: Why the gate's refusals may be overridden, in words that will be public.
        settings: Default: the settings file.

    Raises:
        DescriptorError: What is missing for the access level, all at once. Nothing was written.
        Refused: The gate's findings: columns and rules, never values. Nothing is left behind.
        Conflict: Something else lies at the target, or another publisher won.
        ConfigError, AccessDenied, Unavailable: The store cannot be reached or written.
        VerificationFailed, Incomplete: What is stored is not what was read. Nothing is left behind.

    Example:
        >>> import polars as pl
        >>> package = DataPackage(name="fisk", title="Fisk")
        >>> package.add("fangst", pl.DataFrame({"art": ["torsk"], "tonn": [12]}))
        >>> release = publish(package, "memory://publish-example")
        >>> release.version, release.rows, release.url
        (1, 1, 'memory://publish-example/fisk')
    """
    began = time.monotonic()
    settings = load_settings() if settings is None else settings
    if reason is not None and (not isinstance(reason, str) or not reason.strip()):
        raise InputError(
            "a reason must be a text that is not empty", hint="it is recorded and shown to readers"
        )
    store = open_store(settings.store(target)) if isinstance(target, str | Path) else target
    listed = settings.catalog(catalog) if catalog is not None else None
    is_open = package.access == "open" or (listed is not None and listed.access == "open")
    lacks = package.missing(access="open" if is_open else package.access)
    if lacks:
        raise DescriptorError(
            f"{package.name!r} lacks {', '.join(lacks)}",
            hint="an open package needs a licence, a contact, a publisher and a resource; give them to DataPackage",
        )
    with contextlib.closing(open_index(listed)) if listed is not None else contextlib.nullcontext() as index:
        log = CommitLog(store, package.name)
        parent = _parent(store, log, package.name)
        gate = PublishGate(package, is_open=is_open, reason=reason)
        gate.before()
        run_id = uuid.uuid4().hex
        manifest = stage(
            package, store, prefix=package.name, version=parent + 1, parent=parent, run_id=run_id, gate=gate
        )
        with _discarding(store, manifest):
            read_back(store, manifest, folder=package.name)
        _commit(store, log, manifest)
        url = package_url(store.url, package.name)
        _copy(store, log, manifest, package.name)
        indexed = index is not None and listed is not None and _tell(index, listed, store, manifest, url)
    return Release(
        url=url,
        name=package.name,
        version=manifest.version,
        run_id=run_id,
        rows=sum(manifest.rows.values()),
        nbytes=sum(part.nbytes for parts in manifest.parts.values() for part in parts)
        + sum(file["nbytes"] for file in manifest.files),
        parts=sum(len(parts) for parts in manifest.parts.values()),
        indexed=indexed,
        seconds=time.monotonic() - began,
        manifest=manifest,
    )


def _parent(store: Store, log: CommitLog, name: str) -> int:
    """Return the version to build on, or refuse a place where something else lies.

    Raises:
        Conflict: The folder holds what no publish of ours leaves there.
        VerificationFailed: The newest manifest is damaged or foreign.
    """
    versions = log.versions()
    if versions:
        log.read(versions[-1])
        return versions[-1]
    for info in store.list(name):
        if not _OURS.fullmatch(info.path.removeprefix(f"{name}/")):
            raise Conflict(
                f"the folder {name!r} in {store.name} holds something that was not published by dvengine",
                hint="choose another name or another store, or move it away",
            )
    return 0


@contextlib.contextmanager
def _discarding(store: Store, manifest: Manifest) -> Iterator[None]:
    try:
        yield
    except BaseException:
        discard(store, manifest)
        raise


def _commit(store: Store, log: CommitLog, manifest: Manifest) -> None:
    """Commit, and clean up only where it is certain that the commit did not happen and cannot happen later.

    No other error is taken at its word, a refusal neither: the version's number is read back, and is ours, another's or free.
    """
    with work("commit", str(manifest.descriptor["name"])):
        try:
            log.commit(manifest)
        except Conflict:
            discard(store, manifest)
            raise
        except BaseException as error:
            try:
                winner = log.read(manifest.version).run_id
            except NotFound:
                # The write may still be on its way: taking the parts from under it would publish half a package.
                raise error from None
            except DvengineError:
                raise error from None
            if winner != manifest.run_id:
                discard(store, manifest)
                raise
            if not isinstance(error, DvengineError):
                raise  # an interrupt: the version stands, the caller still wants to stop


def _copy(store: Store, log: CommitLog, manifest: Manifest, folder: str) -> None:
    """Put the copy for other readers beside the data; ours never read it, so that failing here changes nothing."""
    with contextlib.suppress(DvengineError):
        if log.versions()[-1] == manifest.version:  # else a quicker publisher's newer copy would be put back
            store.put(
                key(folder, "datapackage.json"),
                strict_json(manifest.descriptor),
                media_type="application/json",
            )


def _tell(index: Index, catalog: CatalogSettings, store: Store, manifest: Manifest, url: str) -> bool:
    """Index a committed version; where that fails, keep a note of the debt beside the manifest."""
    name = str(manifest.descriptor["name"])
    with work("index", name) as progress:
        try:
            index.ensure()
            index.put(document(manifest, url))
        except Exception as error:  # noqa: BLE001 - whatever the index says, the version is out
            note = {
                "version": manifest.version,
                "run_id": manifest.run_id,
                "catalog": catalog.name,
                "error": type(error).__name__,
                "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            }
            with contextlib.suppress(DvengineError):
                store.put(
                    key(name, f"_dvengine/pending-index-{manifest.run_id[:8]}.json"),
                    strict_json(note),
                    media_type="application/json",
                )
            progress.advance(note="pending: the index did not take it, the publish stands")
            return False
        _settle(store, name, catalog.name)
        return True


def _settle(store: Store, name: str, catalog: str) -> None:
    """Forget older debts to the same catalogue: the version that was just indexed replaces them."""
    with contextlib.suppress(DvengineError, ValueError, AttributeError):
        for info in list(store.list(key(name, "_dvengine"))):
            pending = re.fullmatch(r"pending-index-[0-9a-f]{8}\.json", info.path.rpartition("/")[2])
            if pending and json.loads(store.get(info.path)).get("catalog") == catalog:
                store.delete(info.path)
