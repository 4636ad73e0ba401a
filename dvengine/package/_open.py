"""Open a published package: the highest live manifest is read, and nothing that no manifest lists exists."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dvengine._arguments import typed
from dvengine._errors import InputError, NotFound, VerificationFailed
from dvengine.config import Settings
from dvengine.datasets._build import from_parquet
from dvengine.datasets._dataset import Dataset
from dvengine.package._locate import Place, key, locate, relative
from dvengine.stores import CommitLog, Manifest

__all__ = ["OpenedPackage", "open_package"]


class NoResource(NotFound, KeyError):
    """A package has no resource of that name."""


class OpenedPackage(Mapping[str, Dataset]):
    """One committed version of a package: resource name → `Dataset`, read when used.

    Guarantees: what it shows is one version, whole; a newer version that is published meanwhile does not change it.

    Attributes:
        url: Of the package's folder, safe to show.
        version: Of the manifest that was read.
        versions: Every committed version number, ascending.
        descriptor: The Data Package descriptor, from the manifest.
        manifest: The commit itself.
        certificates: Resource → the certificate's public part.

    Example:
        >>> import polars as pl
        >>> from dvengine import DataPackage, publish
        >>> package = DataPackage(name="fisk", title="Fisk")
        >>> package.add("fangst", pl.DataFrame({"art": ["torsk"], "tonn": [12]}))
        >>> opened = open_package(publish(package, "memory://opened-example").url)
        >>> opened
        OpenedPackage(memory://opened-example/fisk, version 1: fangst (1 row))
        >>> list(opened), opened["fangst"].schema.names
        (['fangst'], ['art', 'tonn'])
    """

    def __init__(self, place: Place, manifest: Manifest, versions: tuple[int, ...]) -> None:
        self._place = place
        self.url = place.url
        self.manifest = manifest
        self.version = manifest.version
        self.versions = versions
        self.descriptor: dict[str, Any] = manifest.descriptor
        self.certificates: dict[str, dict[str, Any]] = manifest.certificates

    def __getitem__(self, name: str) -> Dataset:
        if name not in self.manifest.parts:
            near = difflib.get_close_matches(str(name), self.manifest.parts, 1)
            listed = f"resources: {', '.join(self.manifest.parts) or 'none'}"
            raise NoResource(
                f"the package has no resource {name!r}",
                hint=f"did you mean {near[0]!r}?" if near else listed,
            )
        return from_parquet(self._place.store, self.keys_of(name), name=name)

    def __iter__(self) -> Iterator[str]:
        # The manifest is sorted; the descriptor keeps the order in which the tables were added.
        listed = self.descriptor.get("resources")
        named = (
            [one.get("name") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        )
        order = dict.fromkeys(name for name in named if isinstance(name, str) and name in self.manifest.parts)
        return iter([*order, *(name for name in self.manifest.parts if name not in order)])

    def __len__(self) -> int:
        return len(self.manifest.parts)

    def __repr__(self) -> str:
        counts = {name: self.manifest.rows.get(name, 0) for name in self}
        tables = ", ".join(f"{name} ({n:,} row{'' if n == 1 else 's'})" for name, n in counts.items())
        return f"OpenedPackage({self.url}, version {self.version}: {tables})"

    def keys_of(self, name: str) -> list[str]:
        """Return the store's keys of a resource's parts, in order."""
        own = str(self.descriptor.get("name", ""))
        return [key(self._place.folder, relative(part.path, own)) for part in self.manifest.parts[name]]


@typed()
def open_package(
    url: str | Path, *, version: int | None = None, settings: Settings | None = None
) -> OpenedPackage:
    """Open a published package. Reads its manifest, and no row.

    Args:
        url: The package's folder or its ``datapackage.json``, as URL or path, or ``alias/name``. The ``datapackage.json`` itself is a
            copy for others and is not read.
        version: Default: the current one.
        settings: Default: the settings file.

    Raises:
        NotFound: No package there, no such version, or it was withdrawn.
        VerificationFailed: The manifest is damaged.
        ConfigError, AccessDenied, Unavailable: The store cannot be reached.

    Example:
        >>> import polars as pl
        >>> from dvengine import DataPackage, publish
        >>> package = DataPackage(name="fisk", title="Fisk")
        >>> package.add("fangst", pl.DataFrame({"art": ["torsk"], "tonn": [12]}))
        >>> release = publish(package, "memory://open-example")
        >>> open_package(release.url)["fangst"].to_polars()["tonn"].to_list()
        [12]
    """
    if version is not None and (isinstance(version, bool) or not isinstance(version, int) or version < 1):
        raise InputError("a version is a whole number from 1 up")
    place = locate(url, settings=settings)
    return read_version(place, version)


def read_version(place: Place, version: int | None) -> OpenedPackage:
    """Read one version's manifest, the current by default."""
    log = CommitLog(place.store, place.folder)
    versions = log.versions()
    if not versions:
        raise NotFound(
            f"no package is published at {place.url}", hint="give the package's folder, such as alias/name"
        )
    newest = log.read(versions[-1])
    if newest.state == "withdrawn":
        raise NotFound(f"the package at {place.url} was withdrawn")
    if version is not None and version not in versions:
        raise NotFound(
            f"version {version} is not there at {place.url}",
            hint=f"versions: {versions[0]} to {versions[-1]}",
        )
    manifest = newest if version in (None, newest.version) else log.read(version or 0)
    if manifest.state == "withdrawn":
        raise NotFound(f"version {version} at {place.url} was withdrawn")
    if not isinstance(manifest.descriptor, dict):
        raise VerificationFailed(
            f"the manifest of version {manifest.version} at {place.url} has no descriptor"
        )
    return OpenedPackage(place, manifest, tuple(versions))
