"""The commit log: numbered manifests, each created once. The highest wins."""

from __future__ import annotations

import re

from dvengine._errors import AlreadyExists, Conflict, InputError, NotFound, VerificationFailed
from dvengine.stores._paths import checked, joined
from dvengine.stores._protocols import Manifest, Store

__all__ = ["CommitLog"]

_FOLDER = "_dvengine"
_NAME = re.compile(r"manifest-(\d{6,})\.json")


class CommitLog:
    """The versions of one published thing, below one prefix of a store.

    Guarantees: a version is committed whole or not at all; of two writers of one version one wins and the other gets
    `Conflict`; versions have no gaps; what is not a manifest is passed over.

    Args:
        store: Where.
        prefix: The thing's folder, or empty for the store itself.

    Example:
        >>> from dvengine.stores import Manifest, open_store
        >>> log = CommitLog(open_store("memory://log-example"), "fisk")
        >>> log.latest() is None
        True
        >>> log.commit(Manifest(version=1, parent=0, run_id="r1", created="2026-01-01T00:00:00Z"))
        >>> log.versions(), log.latest().run_id
        ([1], 'r1')
    """

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = checked(prefix.strip("/"), what="prefix") if prefix.strip("/") else ""

    def path(self, version: int) -> str:
        """Return the key of a version's manifest."""
        return joined(self._prefix, f"{_FOLDER}/manifest-{version:06d}.json")

    def versions(self) -> list[int]:
        """Return every committed version number, tombstones too, ascending."""
        folder = joined(self._prefix, _FOLDER)
        found = []
        for info in self._store.list(folder):
            match = _NAME.fullmatch(info.path[len(folder) + 1 :])
            if match and self.path(int(match[1])) == info.path:
                found.append(int(match[1]))
        return sorted(found)

    def latest(self) -> Manifest | None:
        """Return the current version, or None where nothing was published or the last was withdrawn."""
        versions = self.versions()
        if not versions:
            return None
        newest = self.read(versions[-1])
        return None if newest.state == "withdrawn" else newest

    def read(self, version: int) -> Manifest:
        """Return one version's manifest.

        Raises:
            NotFound: No such version.
            VerificationFailed: Not a manifest, or another version's.
        """
        try:
            data = self._store.get(self.path(version))
        except NotFound:
            raise NotFound(
                f"version {version} of {self._prefix or 'this store'} is not there in {self._store.name}"
            ) from None
        manifest = Manifest.from_json(data)
        if manifest.version != version:
            raise VerificationFailed(f"the manifest of version {version} is that of another version")
        return manifest

    def commit(self, manifest: Manifest) -> None:
        """Make a version visible, in one create-only write.

        Raises:
            Conflict: Another writer committed this version first; nothing of theirs was touched.
            InputError: The version does not follow its parent.
        """
        if manifest.version != manifest.parent + 1 or manifest.parent < 0:
            raise InputError(f"version {manifest.version} cannot follow version {manifest.parent}")
        if manifest.parent:
            try:
                self._store.head(self.path(manifest.parent))
            except NotFound:
                raise Conflict(
                    f"version {manifest.parent}, which this one was made after, is not there in {self._store.name}"
                ) from None
        try:
            self._store.create(self.path(manifest.version), manifest.to_json())
        except AlreadyExists:
            # Our own write, if its reply was lost and the bytes were made anew, is known by its run.
            if self.read(manifest.version).run_id == manifest.run_id:
                return
            raise Conflict(
                f"version {manifest.version} of {self._prefix or 'this store'} was committed by another run",
                hint="publish again: the next run builds on what is there now",
                retryable=True,
            ) from None
