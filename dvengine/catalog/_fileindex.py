"""The index that needs no server: one JSON document a package version, in any store."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dvengine._errors import InputError, NotFound, VerificationFailed
from dvengine.catalog._index import Hit, Hits, checked_filters
from dvengine.catalog._words import near, stem, words
from dvengine.stores import Store

__all__ = ["FileIndex"]

_ROOT = "_catalog/documents"
_KEY = re.compile(r"_catalog/documents/(?P<id>[^/]+)/(?P<version>\d{12})\.json")

#: Field -> how much a word found there counts. The same order as the Elasticsearch query's boosts.
_WEIGHTS = {"title": 4.0, "titles": 4.0, "keyword": 3.0, "name": 3.0, "theme": 2.0, "words": 1.5, "description": 1.0,
            "descriptions": 1.0, "publisher": 1.0, "resources": 1.0, "views": 1.0}  # fmt: skip


class FileIndex:
    """Documents as objects under ``_catalog/documents/<id>/<version>.json``; searched in Python.

    Each version has a key of its own and the highest is read, so two writers need no lock and a late one cannot win.
    Meant for a few thousand packages: a search reads every document.
    """

    def __init__(self, store: Store, *, name: str | None = None) -> None:
        self.name = name or store.name
        self._store = store

    def ensure(self) -> None:
        """Nothing to prepare: a store takes any key."""

    def put(self, document: Mapping[str, Any]) -> bool:
        """See `Index.put`."""
        identifier, version = str(document["id"]), int(document["version"])
        try:
            data = json.dumps(document, ensure_ascii=False, sort_keys=True, allow_nan=False).encode()
        except (TypeError, ValueError):  # a lone surrogate, a NaN, or an object that is no JSON
            raise InputError("a document of the catalogue cannot be written as JSON") from None
        newest = max(self._versions(identifier), default=0)
        if version < newest:
            return False
        self._store.put(_key(identifier, version), data, media_type="application/json")
        for old in self._versions(identifier):
            if old < version:
                self._store.delete(_key(identifier, old))
        return True

    def delete(self, identifier: str) -> None:
        """See `Index.delete`: the newest document is replaced by a tombstone that holds nothing but id and version."""
        newest = max(self._versions(identifier), default=0)
        if newest:
            self.put({"id": identifier, "version": newest, "withdrawn": True})

    def search(
        self, text: str, *, filters: Mapping[str, str | Sequence[str]] | None = None, size: int = 20
    ) -> Hits:
        """See `Index.search`."""
        wanted = checked_filters(filters)
        asked = words(text, stop=True)
        found = [
            Hit.of(document, score)
            for document in self._documents()
            if all(set(values) & set(_values(document, path)) for path, values in wanted.items())
            and (score := _score(document, asked)) > 0
        ]
        # Two stable passes: newest first among equals, and id last, so that an answer is the same every time.
        found.sort(key=lambda hit: hit.id)
        found.sort(key=lambda hit: (hit.score, hit.modified), reverse=True)
        return Hits(len(found), tuple(found[:size]))

    def count(self) -> int:
        """See `Index.count`."""
        return sum(1 for _ in self._documents())

    def check(self) -> dict[str, str]:
        """See `Index.check`."""
        return {"kind": "files", "store": self._store.url, "packages": str(self.count())}

    def close(self) -> None:
        """Nothing is held open."""

    def _versions(self, identifier: str) -> list[int]:
        if "/" in identifier or not identifier:
            raise InputError("a document's id is one path segment")
        keys = (_KEY.fullmatch(info.path) for info in self._store.list(f"{_ROOT}/{identifier}"))
        return [int(key["version"]) for key in keys if key]

    def _documents(self) -> Iterator[dict[str, Any]]:
        newest: dict[str, int] = {}
        for info in self._store.list(_ROOT):
            if key := _KEY.fullmatch(info.path):
                newest[key["id"]] = max(int(key["version"]), newest.get(key["id"], 0))
        with ThreadPoolExecutor(max_workers=8, thread_name_prefix="dvengine-index") as pool:
            for document in pool.map(self._read, newest, newest.values()):
                if not document.get("withdrawn"):
                    yield document

    def _read(self, identifier: str, version: int) -> dict[str, Any]:
        try:
            data = self._store.get(_key(identifier, version))
        except NotFound:
            # Somebody put a newer version after we listed, and took this one away.
            newest = max(self._versions(identifier), default=0)
            return self._read(identifier, newest) if newest > version else {"withdrawn": True}
        try:
            document = json.loads(data)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise VerificationFailed(
                f"the catalogue's document {identifier!r} cannot be read",
                hint="delete it and publish or index again",
            )
        return document


def _key(identifier: str, version: int) -> str:
    return f"{_ROOT}/{identifier}/{version:012d}.json"


def _values(document: Mapping[str, Any], path: str) -> list[str]:
    value: Any = document
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return [str(v) for v in value] if isinstance(value, list) else [] if value is None else [str(value)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _score(document: Mapping[str, Any], asked: Sequence[str]) -> float:
    """Return the sum over the asked words of their best place, or 0 where one of them is nowhere."""
    if not asked:
        return 1.0
    fields = [
        (weight, frozenset(word for text in _texts(document.get(name)) for word in words(text)))
        for name, weight in _WEIGHTS.items()
    ]
    total = 0.0
    for word in asked:
        best = max((weight * _match(word, held) for weight, held in fields), default=0.0)
        if best == 0:
            return 0.0
        total += best
    return total


def _match(word: str, held: frozenset[str]) -> float:
    if word in held:
        return 1.0
    root = stem(word)
    roots = {stem(other) for other in held}
    if root in roots:
        return 0.9
    if len(root) >= 4 and any(root in other for other in held):  # a part of a compound: fravær in sykefravær
        return 0.5
    if len(word) >= 5 and any(near(word, other) or near(root, stem(other)) for other in held):
        return 0.3
    return 0.0
