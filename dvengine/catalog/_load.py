"""What a store holds, as far as a catalogue shows it: the current version of each package, its history, a few rows, its figures."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dvengine._errors import InputError, NotFound, VerificationFailed
from dvengine.catalog._describe import Summary, describe
from dvengine.catalog._links import page_name
from dvengine.catalog._preview import Preview, preview
from dvengine.catalog._svg import still_svg
from dvengine.stores import CommitLog, Manifest, Store

__all__ = ["Loaded", "Version", "load"]

_MANIFEST = re.compile(r"(?P<name>.+)/_dvengine/manifest-(?P<version>\d{6,})\.json")
_HISTORY = 20


@dataclass(frozen=True, slots=True)
class Version:
    """One line of the history."""

    number: int
    created: str
    rows: int
    state: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A package as it was read from its store."""

    summary: Summary
    page: str
    version: int
    versions: tuple[Version, ...]
    older: int
    consistent: bool
    overrides: tuple[Mapping[str, str], ...]
    previews: Mapping[str, Preview | None]
    images: Mapping[str, bytes]
    texts: Mapping[str, str]
    store_url: str

    @property
    def url(self) -> str:
        """The package's address."""
        return f"{self.store_url.rstrip('/')}/{self.summary.name}"


def load(store: Store, *, access: str | None = None) -> tuple[list[Loaded], list[str]]:
    """Return the packages of a store, newest first, and what is wrong with those that cannot be read; of one access level when given."""
    versions: dict[str, list[int]] = defaultdict(list)
    for info in store.list():
        if key := _MANIFEST.fullmatch(info.path):
            versions[key["name"]].append(int(key["version"]))
    loaded: list[Loaded] = []
    problems: list[str] = []
    with ThreadPoolExecutor(max_workers=4, thread_name_prefix="dvengine-catalog") as pool:
        for found in pool.map(
            lambda name: _load_one(store, name, sorted(versions[name]), access), sorted(versions)
        ):
            if isinstance(found, Loaded):
                loaded.append(found)
            elif found is not None:
                problems.append(found)
    loaded.sort(key=lambda package: (package.summary.modified, package.summary.name), reverse=True)
    return loaded, problems


def _load_one(store: Store, name: str, versions: list[int], access: str | None) -> Loaded | str | None:
    log = CommitLog(store, name)
    try:
        newest = log.read(versions[-1])
        if newest.state == "withdrawn":
            return None
        summary = describe(newest, name=name)
        if access not in (None, summary.access):
            return None
        shown = versions[-_HISTORY:]
        history = [newest if number == versions[-1] else log.read(number) for number in shown]
        previews: dict[str, Preview | None] = {
            resource.name: preview(store, resource) for resource in summary.resources
        }
        return Loaded(
            summary=summary,
            page=page_name(name),
            version=newest.version,
            versions=tuple(_version(manifest) for manifest in reversed(history)),
            older=len(versions) - len(shown),
            consistent=newest.consistent,
            overrides=newest.overrides,
            previews=previews,
            images=dict(_images(store, summary)),
            texts=dict(_texts(store, summary)),
            store_url=store.url,
        )
    except (VerificationFailed, NotFound) as error:
        return f"{name}: {error.message}"


def _version(manifest: Manifest) -> Version:
    reasons = tuple(f"{o.get('rule', 'rule')}: {o.get('reason', '')}" for o in manifest.overrides)
    return Version(manifest.version, manifest.created, sum(manifest.rows.values()), manifest.state, reasons)


def _images(store: Store, summary: Summary) -> Iterator[tuple[str, bytes]]:
    for view in summary.views:
        if view.svg is not None and (data := _fetched(store, view.svg)) and (image := still_svg(data)):
            yield view.name, image


def _texts(store: Store, summary: Summary) -> Iterator[tuple[str, str]]:
    for view in summary.views:
        if view.markdown is not None and (data := _fetched(store, view.markdown)):
            yield view.name, data.decode("utf-8", "replace")


def _fetched(store: Store, path: str) -> bytes | None:
    """Return an object, or None where it is not there: a figure that is lost must not take its package with it."""
    try:
        return store.get(path)
    except (NotFound, InputError):
        return None
