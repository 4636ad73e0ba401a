"""Addresses in the site: file names of pages, links that survive any character, and URLs that may be followed."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

__all__ = ["folder_of", "href", "in_store", "page_name", "safe_url"]

_PLAIN = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
_HASHED = re.compile(r".*-[0-9a-f]{8}")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")


def page_name(name: str) -> str:
    """Return the file name of a package's page, without ending.

    Guarantees: different packages have different ones, on a disk that folds letter case too; it is one ASCII path segment.

    Example:
        >>> page_name("sykefravaer"), page_name("Æ/øå")
        ('sykefravaer', 'package-50cbb5fc')
    """
    if (
        _PLAIN.fullmatch(name)
        and len(name) <= 100
        and not _HASHED.fullmatch(name)
        and not _DEVICES.fullmatch(name)
    ):
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80]
    return f"{readable or 'package'}-{digest}"


def href(path: str) -> str:
    """Return a relative path as a link: each character that means something in a URL is percent-encoded, once.

    Example:
        >>> href("../data/års rapport #1 50%.parquet")
        '../data/%C3%A5rs%20rapport%20%231%2050%25.parquet'
    """
    encoded = quote(path, safe="/", errors="surrogatepass")
    first = encoded.partition("/")[0]
    return f"./{encoded}" if ":" in first or not first else encoded


def safe_url(url: str) -> str | None:
    """Return a URL that may be a link (``http``, ``https`` or ``mailto``), or None.

    Example:
        >>> safe_url("https://example.org/?a=1&b=2"), safe_url("JaVaScRiPt:alert(1)"), safe_url(" javascript:alert(1)")
        ('https://example.org/?a=1&b=2', None, None)
    """
    if _CONTROL.search(url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme.lower() in ("http", "https"):
        return url if parts.netloc and "@" not in parts.netloc else None
    return url if parts.scheme.lower() == "mailto" and "@" in parts.path else None


def folder_of(store_url: str) -> Path | None:
    """Return the folder of a local store, or None for any other."""
    if not store_url.startswith("file://"):
        return None
    return Path(unquote(urlsplit(store_url).path))


def in_store(store_url: str, path: str, *, page: Path, out: Path) -> str | None:
    """Return the link from a page to an object, or None where no link of a web page can reach it.

    A local store beside the site (or anywhere below the folder that holds the site) is linked relatively, so that both may be
    moved or served together. An ``http(s)`` store is linked in full. Anything else is for the reader's tools: no link.
    """
    if store_url.startswith(("http://", "https://")):
        return safe_url(f"{store_url.rstrip('/')}/{quote(path, safe='/')}")
    folder = folder_of(store_url)
    if folder is None or not folder.resolve().is_relative_to(out.resolve().parent):
        return None
    return href(Path(os.path.relpath(folder.resolve() / path, page.parent.resolve())).as_posix())
