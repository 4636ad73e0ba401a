"""The index document of a package version. Its field names are fixed: text that users wrote is only ever a value."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from dvengine.catalog._describe import Party, Summary, describe
from dvengine.stores import Manifest

__all__ = ["document", "document_id"]

_SUFFIX = "/datapackage.json"

#: Lucene's completion field refuses these; a name must not be able to keep a package out of the index.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def document_id(name: str, url: str) -> str:
    """Return a package's id in an index: its name, and twelve hex digits that tell stores apart.

    Guarantees: the same package in the same place has the same id in every version; it is one safe path segment; names that
    differ only in letter case have different ids on a disk that folds case.

    Example:
        >>> document_id("sykefravaer", "s3://open/sykefravaer/datapackage.json")
        'sykefravaer-83f88cff21bf'
        >>> document_id("sykefravaer", "s3://open/sykefravaer/")
        'sykefravaer-83f88cff21bf'
    """
    place = url.removesuffix(_SUFFIX).rstrip("/")
    digest = hashlib.sha256(f"{name}\n{place}".encode(errors="surrogatepass")).hexdigest()[:12]
    readable = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:100]
    return f"{readable or 'package'}-{digest}"


def document(manifest: Manifest, url: str) -> dict[str, Any]:
    """Describe a package version for an index.

    Guarantees: JSON-able; the same manifest and URL give the same document; holds names, texts and counts that the manifest
    holds, and no row of the data. A withdrawn version gives a tombstone: id, version and ``withdrawn``.

    Args:
        manifest: The committed version.
        url: The package's address, safe to show; with or without ``/datapackage.json``.
    """
    summary = describe(manifest)
    identifier = document_id(summary.name, url)
    if manifest.state == "withdrawn":
        return {"id": identifier, "version": manifest.version, "withdrawn": True}
    return {
        "id": identifier,
        "type": "datapackage",
        "format": "datapackage",
        "name": summary.name,
        "version": manifest.version,
        "title": summary.title,
        "titles": _by_language(summary.titles),
        "description": summary.description,
        "descriptions": _by_language(summary.descriptions),
        "keyword": list(summary.keywords),
        "theme": list(summary.themes),
        "accessRights": summary.access,
        "license": summary.licence,
        "language": summary.language,
        "publisher": _party(summary.publisher),
        "contactPoint": _party(summary.contact),
        "issued": summary.issued,
        "modified": summary.modified or None,
        "provenance": {"sources": list(summary.sources), "run": manifest.run_id, "consistent": manifest.consistent},
        "resources": [
            {
                "name": resource.name,
                "title": resource.title,
                "description": resource.description,
                "format": resource.format,
                "rows": resource.rows,
                "bytes": resource.nbytes,
                "columns": [
                    {"name": c.name, "type": c.type, "description": c.description or c.title} for c in resource.columns
                ],
            }
            for resource in summary.resources
        ],
        "views": [{"name": v.name, "title": v.title, "resource": v.resource} for v in summary.views],
        "certificates": [
            {"resource": name, **{k: c.get(k) for k in ("rule", "attacker", "cells", "hidden", "valid")}}
            for name, c in sorted(manifest.certificates.items())
        ],
        "rows": summary.rows,
        "bytes": summary.nbytes,
        "url": url,
        "suggest": _suggestions(summary),
        "words": _parted(summary),
    }  # fmt: skip


def _by_language(texts: Any) -> list[dict[str, str]]:
    return [{"language": language, "text": text} for language, text in sorted(texts.items())]


def _party(party: Party | None) -> dict[str, str]:
    return {k: v for k in ("name", "email", "url") if party and (v := getattr(party, k))}


def _suggestions(summary: Summary) -> list[str]:
    texts = dict.fromkeys([summary.title, *summary.titles.values(), *summary.keywords])
    cleaned = (_CONTROL.sub(" ", text).strip()[:100] for text in texts)
    return [text for text in dict.fromkeys(cleaned) if text]


def _parted(summary: Summary) -> str:
    """Return names as separate words: an analyzer keeps ``antall_personer`` whole, and would not find *personer*."""
    names = [summary.name, *(c.name for r in summary.resources for c in r.columns)]
    return " ".join(dict.fromkeys(word for name in names for word in re.split(r"[\W_]+", name) if word))
