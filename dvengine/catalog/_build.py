"""``dv.build_catalog``: a static site from the packages of a store, built aside and put in place at the end."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from dvengine._arguments import typed
from dvengine._errors import AccessDenied, Conflict, InputError, NotFound
from dvengine._events import stage
from dvengine._extras import require
from dvengine.catalog._links import folder_of
from dvengine.catalog._load import load
from dvengine.config import Settings, StoreSettings, load_settings, local_path
from dvengine.stores import Store, open_store

__all__ = ["BuiltCatalog", "build_catalog"]

#: Says that a folder is a site of ours, which may be replaced.
_MARKER = ".dvengine-catalog"
_STALE = 3600
_ACCESS = ("open", "internal", "restricted")


@dataclass(frozen=True, slots=True)
class BuiltCatalog:
    """A site that was built.

    Attributes:
        path: Its front page.
        pages: How many pages it has.
        packages: Names of the packages in it.
        problems: Packages that could not be read and are not in it, each with the reason.
    """

    path: Path
    pages: int
    packages: tuple[str, ...]
    problems: tuple[str, ...] = ()


@typed()
def build_catalog(
    store: str | Path | StoreSettings | Store,
    out: str | Path,
    *,
    title: str = "Catalogue",
    access: str | None = None,
    settings: Settings | None = None,
) -> BuiltCatalog:
    """Build a static site of every package in a store: a page for each, and a front page to find them by.

    Guarantees: shows the current version of each package and no withdrawn one; works from ``file://``, under any sub-path of a
    server and without JavaScript; nothing that a package holds runs in the reader's browser; no request leaves the site. An older
    site in ``out`` stays until the new one is complete. A package that cannot be read is left out and named in ``problems``.

    Args:
        store: A store by alias, URL or local path, or one that is open.
        out: The local folder that becomes the site: new, empty, or an earlier site.
        title: Of the catalogue, on every page.
        access: ``"open"``, ``"internal"`` or ``"restricted"``: show only the packages whose current version has that access, as a
            site for the public must. All of them if None.
        settings: Where aliases are looked up; read from the usual place if None.

    Raises:
        Conflict: ``out`` holds something that is not a site of ours; it is left alone.
        MissingExtra: The extra ``catalog`` is not installed.
        InputError: ``out`` is the store's own folder or holds it, or ``access`` is no access level.
        NotFound: The store is a local folder that is not there.
        AccessDenied: ``out`` cannot be written.
        Unavailable: The store does not answer.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> built = build_catalog("memory://nothing-yet", folder / "site", title="Open data")
        >>> built.pages, built.packages, built.path.name
        (1, (), 'index.html')
    """
    if access not in (None, *_ACCESS):
        raise InputError(
            "there is no such access level", hint=f"say one of {', '.join(_ACCESS)}, or None for all"
        )
    if isinstance(store, str | Path):
        store = (settings or load_settings()).store(store)
    if isinstance(store, StoreSettings):
        store = open_store(store)
    target = local_path(out).resolve()
    _check_target(target, store)
    for library in ("jinja2", "markdown_it"):
        require(library, extra="catalog")
    from dvengine.catalog._site import index_page, package_page, view_file

    with stage("build", title) as span:
        loaded, problems = load(store, access=access)
        built = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        aside = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
        try:
            aside.mkdir(parents=True)
            _write_static(aside)
            for package in loaded:
                # Links are made for the place where the page will stand, not for where it is written.
                page = package_page(package, title=title, built=built, out=target)
                _write(aside / "packages" / f"{package.page}.html", page)
                for number, view in enumerate(package.summary.views):
                    if image := package.images.get(view.name):
                        _write(aside / "packages" / package.page / view_file(number), image)
                span.advance(parts=1, rows=package.summary.rows)
            _write(aside / "index.html", index_page(loaded, title=title, built=built))
            _swap(aside, target)
            _sweep(target)
        except OSError as error:
            raise AccessDenied(
                f"the folder of the site cannot be written ({type(error).__name__})",
                hint="check its rights and the disk",
            ) from None
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return BuiltCatalog(
        target / "index.html", 1 + len(loaded), tuple(p.summary.name for p in loaded), tuple(problems)
    )


def _check_target(target: Path, store: Store) -> None:
    folder = folder_of(store.url)
    if (
        folder is not None and not folder.is_dir()
    ):  # else a slip of the pen would replace the site by an empty one
        raise NotFound(
            f"there is no store in {folder.name!r}", hint="check the path; the first publish makes the folder"
        )
    if folder is not None and folder.resolve().is_relative_to(target.resolve()):
        raise InputError("the site would replace the store", hint="name another folder, beside the store")
    if target.is_dir():
        if not (target / _MARKER).is_file() and any(target.iterdir()):
            raise Conflict(f"{target.name!r} holds something else", hint="name a new or empty folder")
    elif target.exists():
        raise Conflict(f"{target.name!r} is a file", hint="name a folder")


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A lone surrogate in a title is shown as "?"; it must not keep the catalogue from being built.
    path.write_bytes(content.encode("utf-8", "replace") if isinstance(content, str) else content)


def _write_static(folder: Path) -> None:
    for item in files("dvengine.catalog").joinpath("static").iterdir():
        _write(folder / "static" / item.name, item.read_bytes())
    _write(folder / _MARKER, "A site built by dvengine; the next build replaces it.\n")


def _swap(aside: Path, target: Path) -> None:
    """Put the finished site in place. Two renames: a reader may miss the site for an instant, but never sees half of one."""
    old = target.with_name(f"{aside.name}-old")
    if target.exists():
        os.replace(target, old)  # noqa: PTH105 - one rename each, as the line below
    try:
        os.replace(aside, target)  # noqa: PTH105
    except OSError:
        if old.exists() and not target.exists():
            os.replace(old, target)  # noqa: PTH105
        raise
    finally:
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)


def _sweep(target: Path) -> None:
    """Remove what killed builds left beside the site an hour ago or more; a build that is under way is younger."""
    ours = re.compile(re.escape(f".{target.name}-") + r"[0-9a-f]{8}(-old)?")
    for path in target.parent.glob(".*"):
        if ours.fullmatch(path.name) and path.is_dir() and path.stat().st_mtime < time.time() - _STALE:
            shutil.rmtree(path, ignore_errors=True)
