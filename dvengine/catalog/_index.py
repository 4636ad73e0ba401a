"""The door to a catalogue's index: one document a package, the newest version wins, whoever writes last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dvengine._errors import InputError

__all__ = ["FILTERS", "Hit", "Hits", "Index", "checked_filters"]

#: What a search may be narrowed by -> the document's field.
FILTERS: Mapping[str, str] = {
    "access": "accessRights",
    "keyword": "keyword",
    "language": "language",
    "license": "license",
    "publisher": "publisher.name",
    "theme": "theme",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One package that was found.

    Attributes:
        name, title, description: Of the package, in its own language.
        url: Open it with `dvengine.open_package`.
        version: The package version that is indexed.
        access: ``open``, ``internal`` or ``restricted``.
        modified: When that version was published, RFC 3339.
        score: Higher is better within one answer; not comparable between answers or back ends.
        id: Of the document in the index.
        document: The whole index document.
    """

    id: str
    name: str
    title: str
    description: str = field(repr=False)
    url: str
    version: int
    access: str
    modified: str
    score: float
    document: Mapping[str, Any] = field(repr=False, hash=False, compare=False)

    @classmethod
    def of(cls, document: Mapping[str, Any], score: float) -> Hit:
        """Build a hit from an index document."""
        return cls(
            id=str(document.get("id", "")),
            name=str(document.get("name", "")),
            title=str(document.get("title", "")),
            description=str(document.get("description", "")),
            url=str(document.get("url", "")),
            version=int(document.get("version", 0)),
            access=str(document.get("accessRights", "internal")),
            modified=str(document.get("modified", "")),
            score=round(score, 4),
            document=document,
        )


@dataclass(frozen=True, slots=True)
class Hits:
    """An answer: the best ``size`` hits, best first, and how many there are in all."""

    total: int
    hits: tuple[Hit, ...]

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)


class Index(Protocol):
    """One document a package. Every method raises `Unavailable` (retryable), `AccessDenied`, `InputError` or `NotSupported`.

    Guarantees: a document of a lower version never replaces one of a higher, however late it arrives; the same version again
    replaces itself, so that a retry is harmless; what `put` or `delete` returned from is seen by the next `search`.

    Attributes:
        name: Alias or safe URL.
    """

    name: str

    def ensure(self) -> None:
        """Make the index ready for documents; idempotent."""
        ...

    def put(self, document: Mapping[str, Any]) -> bool:
        """Index a package's document; return False where a newer version is already there (which is fine)."""
        ...

    def delete(self, identifier: str) -> None:
        """Take a package out of every answer; the same version put again brings it back, an older one does not."""
        ...

    def search(
        self, text: str, *, filters: Mapping[str, str | Sequence[str]] | None = None, size: int = 20
    ) -> Hits:
        """Find packages that match every word, allowing for inflection and small slips; no words finds all, newest first."""
        ...

    def count(self) -> int:
        """Return how many packages can be found."""
        ...

    def check(self) -> dict[str, str]:
        """Return facts that may be shown. For ``doctor``."""
        ...

    def close(self) -> None:
        """Let connections go."""
        ...


def checked_filters(filters: Mapping[str, str | Sequence[str]] | None) -> dict[str, list[str]]:
    """Return document field -> accepted values.

    Raises:
        InputError: A filter that no index knows.
    """
    checked: dict[str, list[str]] = {}
    for name, value in (filters or {}).items():
        if name not in FILTERS:
            raise InputError(f"no filter named {name!r}", hint=f"filters: {', '.join(sorted(FILTERS))}")
        checked[FILTERS[name]] = [value] if isinstance(value, str) else [str(v) for v in value]
    return checked
