"""A manifest as people read it: the one place that knows where the descriptor keeps what.

A descriptor may come from anywhere, so nothing in it is trusted to have the type it should: what does not fit is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dvengine.stores import Manifest

__all__ = ["Column", "Part", "Party", "Resource", "Summary", "View", "describe"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column as the schema describes it. ``nulls`` is None where nobody counted; ``sensitive`` means identity numbers."""

    name: str
    type: str
    title: str
    description: str
    unit: str = ""
    nulls: int | None = None
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody to name: a publisher or a contact."""

    name: str
    email: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One stored file of a table. ``path`` is its key in the store; length and hash are None where no receipt tells them."""

    path: str
    nbytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One table of a package.

    ``certificate`` is the public part, or None. ``symbol`` stands for a hidden cell, ``status`` is the column that says which
    rows have one, and ``legend`` is said about it in English, as the site is. ``snapshot`` says whether a source of it was read
    in a moment that has a name.
    """

    name: str
    title: str
    description: str
    format: str
    rows: int
    nbytes: int
    parts: tuple[Part, ...]
    columns: tuple[Column, ...]
    certificate: Mapping[str, Any] | None
    symbol: str = ":"
    status: str = "status"
    legend: str = ""
    title_language: str = ""
    description_language: str = ""
    snapshot: bool = False

    @property
    def sensitive(self) -> bool:
        """Whether a column holds identity numbers, so that no row may be shown."""
        return any(column.sensitive for column in self.columns)


@dataclass(frozen=True, slots=True)
class View:
    """One figure; ``language`` is its title's. ``svg`` and ``markdown`` are keys in the store of its picture and of its text, or None."""

    name: str
    title: str
    resource: str
    svg: str | None
    markdown: str | None
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A package version in words and numbers. ``language`` is the package's own; a text may be in another where it is the only one."""

    name: str
    title: str
    titles: Mapping[str, str]
    title_language: str
    description: str
    descriptions: Mapping[str, str]
    description_language: str
    language: str
    licence: str
    licence_title: str
    licence_url: str
    publisher: Party | None
    contact: Party | None
    access: str
    keywords: tuple[str, ...]
    themes: tuple[str, ...]
    sources: tuple[str, ...]
    issued: str | None
    modified: str
    resources: tuple[Resource, ...]
    views: tuple[View, ...]
    rows: int
    nbytes: int


def describe(manifest: Manifest, *, name: str | None = None) -> Summary:
    """Read a manifest's descriptor.

    Args:
        manifest: A committed version.
        name: The package's folder in its store, where the descriptor may not be believed.
    """
    raw = manifest.descriptor
    language = _text(_own(raw, "language")) or _text(_first(_own(raw, "languages"))) or "nb"
    titles = _languages(raw, "title", language)
    descriptions = _languages(raw, "description", language)
    licence = _mapping(_first(raw.get("licenses")))
    called = name or _text(raw.get("name")) or "package"
    resources = tuple(_resource(r, manifest, called, language) for r in _mappings(raw.get("resources")))
    return Summary(
        name=called,
        title=_in(titles, language) or called,
        titles=titles,
        title_language=_tag(titles, language),
        description=_in(descriptions, language),
        descriptions=descriptions,
        description_language=_tag(descriptions, language),
        language=language,
        licence=_text(licence.get("name")) or _text(licence.get("title")) or _text(raw.get("license")),
        licence_title=_text(licence.get("title")) or _text(licence.get("name")),
        licence_url=_text(licence.get("path")),
        publisher=_party(raw, "publisher"),
        contact=_party(raw, "contact") or _party(raw, "contactPoint"),
        access=_access(raw),
        keywords=_strings(raw.get("keywords") or raw.get("keyword")),
        themes=_strings(_own(raw, "themes") or _own(raw, "theme")),
        sources=tuple(_text(s.get("title")) or _text(s.get("path")) for s in _mappings(raw.get("sources"))),
        issued=_moment(_own(raw, "issued")),
        modified=_moment(manifest.created) or "",
        resources=resources,
        views=tuple(_view(v, manifest, called) for v in _mappings(_own(raw, "views"))),
        rows=sum(r.rows for r in resources),
        nbytes=sum(r.nbytes for r in resources),
    )


def _resource(raw: Mapping[str, Any], manifest: Manifest, package: str, language: str) -> Resource:
    name = _text(raw.get("name"))
    parts = manifest.parts.get(name, ())
    listed = raw.get("path")
    files = tuple(Part(part.path, part.nbytes, part.sha256) for part in parts) or tuple(
        Part(f"{package}/{path}") for path in ([listed] if isinstance(listed, str) else _strings(listed))
    )
    rows = manifest.rows.get(name)
    suppression = _mapping(raw.get("dvengine:suppression"))
    titles, descriptions = (_languages(raw, key, language) for key in ("title", "description"))
    return Resource(
        name=name,
        title=_in(titles, language) or name,
        title_language=_tag(titles, language),
        description=_in(descriptions, language),
        description_language=_tag(descriptions, language),
        snapshot=any(step.get("snapshot") for step in _mappings(raw.get("dvengine:lineage"))),
        format=_text(raw.get("format")) or "parquet",
        rows=rows if rows is not None else sum(part.rows for part in parts),
        nbytes=sum(part.nbytes for part in parts) or _integer(raw.get("bytes")),
        parts=files,
        columns=tuple(_column(f, language) for f in _mappings(_mapping(raw.get("schema")).get("fields"))),
        certificate=manifest.certificates.get(name),
        symbol=_text(suppression.get("symbol"))[:8] or ":",
        status=_text(suppression.get("status")) or "status",
        legend=_in(_languages(suppression, "legend", "en"), "en"),
    )


def _column(raw: Mapping[str, Any], language: str) -> Column:
    kind = _text(_own(raw, "type")) or _text(raw.get("type")) or "any"
    return Column(
        _text(raw.get("name")),
        kind,
        _in(_languages(raw, "title", language), language),
        _in(_languages(raw, "description", language), language),
        _text(raw.get("dvengine:unit")),
        nulls if isinstance(nulls := raw.get("dvengine:nulls"), int) else None,
        bool(raw.get("dvengine:sensitive")),
    )


def _view(raw: Mapping[str, Any], manifest: Manifest, package: str) -> View:
    name = _text(raw.get("name"))
    named = {f"{package}/{path}" for path in _all_strings(raw)}
    # Only what the manifest lists belongs to the version.
    stored = [path for f in manifest.files if (path := _text(f.get("path"))) in named]
    svg, markdown = (next((p for p in stored if p.endswith(end)), None) for end in (".svg", ".md"))
    resource = _text(raw.get("resource")) or next(iter(_strings(raw.get("resources"))), "")
    language = _text(_own(manifest.descriptor, "language")) or "nb"
    titles = _languages(raw, "title", language)
    return View(name, _in(titles, language) or name, resource, svg, markdown, _tag(titles, language))


def _all_strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _all_strings(inner)


def _party(raw: Mapping[str, Any], role: str) -> Party | None:
    for contributor in _mappings(raw.get("contributors")):
        if role in _strings(contributor.get("roles")) or contributor.get("role") == role:
            return _named(contributor)
    value = _own(raw, role)
    return Party(value) if isinstance(value, str) and value else _named(_mapping(value))


def _named(raw: Mapping[str, Any]) -> Party | None:
    name = _text(raw.get("title")) or _text(raw.get("name"))
    email, url = _text(raw.get("email")), _text(raw.get("path")) or _text(raw.get("url"))
    return Party(name or email or url, email, url) if name or email or url else None


def _access(raw: Mapping[str, Any]) -> str:
    given = _text(_own(raw, "access")) or _text(_own(raw, "accessRights"))
    # What is not understood is not called open.
    return given if given in ("open", "internal", "restricted") else "internal"


def _own(raw: Mapping[str, Any], key: str) -> Any:
    """Return one of our own properties: ``dvengine:key``, else the bare key as older descriptors have it."""
    return raw[f"dvengine:{key}"] if f"dvengine:{key}" in raw else raw.get(key)


def _languages(raw: Mapping[str, Any], key: str, language: str) -> dict[str, str]:
    """Return language -> text, whether the descriptor has one text or several."""
    for value in (raw.get(f"dvengine:{key}"), raw.get(f"dvengine:{key}s"), raw.get(key)):
        if isinstance(value, Mapping) and (
            texts := {str(k): v for k, v in value.items() if isinstance(v, str)}
        ):
            return texts
    return {language: text} if (text := _text(raw.get(key))) else {}


def _in(texts: Mapping[str, str], language: str) -> str:
    return texts.get(_tag(texts, language), "")


def _tag(texts: Mapping[str, str], language: str) -> str:
    """Return the language of the text that `_in` chooses: the one asked for, else the nearest that there is."""
    return next((tag for tag in (language, "nb", "nn", "en", *texts) if tag in texts), language)


def _moment(value: Any) -> str | None:
    """Return an RFC 3339 date or moment as it stands; anything else (``våren 2024``) is no date and is left out."""
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return str(value) if len(value) >= len("2025-01-01") and value[4] == "-" == value[7] else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _integer(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list | tuple) else []


def _strings(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list | tuple) else ()


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) and value else None
