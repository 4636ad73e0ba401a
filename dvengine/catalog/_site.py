"""From packages to pages: what is shown, in which words, as safe HTML. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from dvengine.catalog._describe import Resource, Summary
from dvengine.catalog._links import folder_of, href, in_store, safe_url
from dvengine.catalog._load import Loaded
from dvengine.catalog._preview import Preview
from dvengine.catalog._prose import plain_text, prose
from dvengine.catalog._snippets import Snippet, snippets
from dvengine.catalog._words import STOP, SUFFIXES, fold, words

__all__ = ["Card", "Figure", "index_page", "package_page"]

_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")  # fmt: skip

_ATTACKERS = {
    "outsider": "somebody who has the published table and nothing else",
    "rule": "somebody who has the published table and knows the rule that cells were hidden by",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One view, its title in ``language``: ``image`` is its file beside the page, ``text`` its words; neither where it cannot be shown."""

    title: str
    resource: str
    image: str | None
    text: Markup | None
    language: str


@dataclass(frozen=True, slots=True)
class Card:
    """A package as the front page lists it."""

    href: str
    page: str
    title: str
    language: str
    description: str
    description_language: str
    publisher: str
    access: str
    modified: str
    rows: int
    tables: int
    version: int
    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Download:
    """One part: how to get it, and how to know that it is the right one."""

    name: str
    href: str | None
    address: str
    nbytes: int | None
    sha256: str | None


def index_page(loaded: Sequence[Loaded], *, title: str, built: str) -> str:
    """Return the front page: every package, complete without JavaScript; the search box appears where there is some."""
    cards = [_card(package) for package in loaded]
    data = {
        "suffixes": SUFFIXES,
        "stop": sorted({fold(word) for word in STOP}),
        "words": {package.page: " ".join(_searched(package.summary)) for package in loaded},
    }
    return _environment().get_template("index.html").render(
        title=title,
        root="",
        built=built,
        cards=cards,
        access_levels=sorted({card.access for card in cards}),
        rows=sum(card.rows for card in cards),
        data=json_for_script(data),
    )  # fmt: skip


def package_page(package: Loaded, *, title: str, built: str, out: Path) -> str:
    """Return a package's page."""
    summary = package.summary
    page = out / "packages" / f"{package.page}.html"
    tables = [_table(package, resource, page=page, out=out) for resource in summary.resources]
    figures = [
        Figure(
            view.title,
            view.resource,
            f"{package.page}/{view_file(number)}" if view.name in package.images else None,
            prose(package.texts[view.name]) if view.name in package.texts else None,
            view.language,
        )
        for number, view in enumerate(summary.views)
    ]
    return _environment().get_template("package.html").render(
        title=title,
        root="../",
        built=built,
        package=package,
        one_moment=package.consistent and all(resource.snapshot for resource in summary.resources),
        summary=summary,
        description=prose(summary.description),
        lede=plain_text(summary.description, longest=160),
        tables=tables,
        figures=figures,
        contact_url=safe_url(f"mailto:{summary.contact.email}") if summary.contact and summary.contact.email else None,
        publisher_url=safe_url(summary.publisher.url) if summary.publisher else None,
        licence_url=safe_url(summary.licence_url),
        attackers=_ATTACKERS,
        descriptor=in_store(package.store_url, f"{summary.name}/datapackage.json", page=page, out=out),
        linked_data=json_for_script(_schema_org(package)),
    )  # fmt: skip


def view_file(number: int) -> str:
    """Return the file name of a package's figure: by number, because a name may hold anything."""
    return f"view-{number + 1}.svg"


def json_for_script(value: object) -> Markup:
    """Return JSON that may stand inside a script element: nothing in it can end the element or begin a comment."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped just above


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dvengine.catalog", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "grouped": grouped,
        "short": short,
        "size": size,
        "day": day,
        "minute": minute,
        "prose": prose,
        "href": href,
    }
    return environment


def grouped(number: int) -> str:
    """Return a count with its thousands apart.

    Example:
        >>> grouped(1234567).replace(chr(0x202F), " ")
        '1 234 567'
    """
    return f"{number:,}".replace(",", "\u202f")


def short(number: object) -> object:
    """Return a float without digits that say nothing; anything else as it is.

    Example:
        >>> short(1.0), short(4.6e-09), short("?")
        ('1', '4.6e-09', '?')
    """
    return f"{number:.3g}" if isinstance(number, float) else number


def size(nbytes: int) -> str:
    """Return a length in bytes as people say it.

    Example:
        >>> size(999), size(1_250_000)
        ('999 B', '1.2 MB')
    """
    amount, unit = float(nbytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 99.5 else f"{amount:.1f} {unit}"


def day(moment: str) -> str:
    """Return the day of an RFC 3339 moment in words.

    Example:
        >>> day("2026-11-05T08:00:00Z")
        '5 November 2026'
    """
    try:
        date = datetime.fromisoformat(moment)
    except ValueError:
        return "not known"
    return f"{date.day} {_MONTHS[date.month - 1]} {date.year}"


def minute(moment: str) -> str:
    """Return an RFC 3339 moment in words, to the minute: two versions of one day are told apart.

    Example:
        >>> minute("2026-11-05T08:00:00Z")
        '5 November 2026, 08:00 UTC'
    """
    try:
        date = datetime.fromisoformat(moment)
    except ValueError:
        return day(moment)
    zone = " UTC" if date.utcoffset() == timedelta(0) else ""
    return f"{day(moment)}, {date:%H:%M}{zone}" if len(moment) > len("2026-11-05") else day(moment)


def _card(package: Loaded) -> Card:
    summary = package.summary
    return Card(
        href(f"packages/{package.page}.html"),
        package.page,
        summary.title,
        summary.title_language,
        plain_text(summary.description, longest=240),
        summary.description_language,
        summary.publisher.name if summary.publisher else "",
        summary.access,
        summary.modified,
        summary.rows,
        len(summary.resources),
        package.version,
        summary.keywords[:6],
    )


def _searched(summary: Summary) -> list[str]:
    """Return each word that the search box may find a package by, once."""
    texts = [
        summary.name, *summary.titles.values(), *summary.descriptions.values(), *summary.keywords, *summary.themes,
        summary.publisher.name if summary.publisher else "",
        *(text for r in summary.resources for text in (r.name, r.title, r.description)),
        *(text for r in summary.resources for c in r.columns for text in (c.name, c.title, c.description)),
        *(view.title for view in summary.views),
    ]  # fmt: skip
    return sorted({word for text in texts for word in words(text)})


@dataclass(frozen=True, slots=True)
class Table:
    """A resource as the page shows it."""

    resource: Resource
    anchor: str
    preview: Preview | None
    downloads: tuple[Download, ...]
    snippets: tuple[Snippet, ...]
    certificate: Mapping[str, Any] | None


def _table(package: Loaded, resource: Resource, *, page: Path, out: Path) -> Table:
    addresses = [_address(package.store_url, part.path) for part in resource.parts]
    downloads = tuple(
        Download(
            part.path.rpartition("/")[2],
            in_store(package.store_url, part.path, page=page, out=out),
            address,
            part.nbytes,
            part.sha256,
        )
        for part, address in zip(resource.parts, addresses, strict=True)
    )
    number = package.summary.resources.index(resource) + 1
    return Table(
        resource,
        f"table-{number}",
        package.previews.get(resource.name),
        downloads,
        tuple(snippets(_address(package.store_url, package.summary.name), resource.name, addresses)),
        resource.certificate,
    )


def _address(store_url: str, path: str) -> str:
    """Return an address that the reader's own tools take: a plain path for a local store, else the URL."""
    folder = folder_of(store_url)
    return str(folder / path) if folder else f"{store_url.rstrip('/')}/{path}"


def _schema_org(package: Loaded) -> dict[str, Any]:
    summary = package.summary
    people = {
        "publisher": summary.publisher and {"@type": "Organization", "name": summary.publisher.name},
        "license": safe_url(summary.licence_url) or summary.licence,
        "datePublished": summary.issued,
        "dateModified": summary.modified,
        "description": plain_text(summary.description, longest=5000),
        "keywords": list(summary.keywords),
    }
    files = [
        {"@type": "DataDownload", "encodingFormat": "application/vnd.apache.parquet", "contentUrl": url}
        for resource in summary.resources
        for part in resource.parts
        if (url := safe_url(_address(package.store_url, part.path)))
    ]
    return {
        "@context": "https://schema.org/",
        "@type": "Dataset",
        "name": summary.title,
        "identifier": summary.name,
        "inLanguage": summary.language,
        "version": str(package.version),
        "variableMeasured": [c.name for r in summary.resources for c in r.columns][:200],
        **({"distribution": files} if files else {}),
        **{key: value for key, value in people.items() if value},
    }
