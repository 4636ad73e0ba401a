"""From what a user writes to a place: the store, and the package's folder in it."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path

from dvengine._errors import ConfigError, DvengineError, InputError
from dvengine.config import Settings, StoreSettings, Url, load_settings, local_path
from dvengine.stores import Store, open_store

__all__ = ["Place", "key", "locate", "package_url", "relative"]

_COPY = "datapackage.json"


class Place:
    """A package's folder in a store.

    Attributes:
        store: Opened; no request has been made.
        folder: Path in the store, whole segments, or empty where the store itself is the package.
        url: Safe to show.
    """

    __slots__ = ("folder", "store", "url")

    def __init__(self, store: Store, folder: str) -> None:
        self.store, self.folder = store, folder
        self.url = package_url(store.url, folder)

    def __repr__(self) -> str:
        return f"Place({self.url})"


def package_url(store_url: str, folder: str) -> str:
    """Put a folder below a store's address, in front of its options.

    Example:
        >>> package_url("s3://bucket/open?region=eu-north-1", "sykefravaer")
        's3://bucket/open/sykefravaer?region=eu-north-1'
    """
    base, mark, options = store_url.partition("?")
    return f"{base.rstrip('/')}/{folder}{mark}{options}" if folder else store_url


def key(folder: str, path: str) -> str:
    """Return the store's key of a path in a package.

    Example:
        >>> key("sykefravaer", "data/a.parquet"), key("", "data/a.parquet")
        ('sykefravaer/data/a.parquet', 'data/a.parquet')
    """
    return f"{folder}/{path}" if folder else path


def relative(path: str, name: str) -> str:
    """Return a manifest's key as a path in its package, so that a folder that was copied elsewhere still reads.

    Example:
        >>> relative("sykefravaer/data/a.parquet", "sykefravaer")
        'data/a.parquet'
    """
    return path.removeprefix(f"{name}/")


def locate(where: str | Path | Store, *, settings: Settings | None = None) -> Place:
    """Find a package by its folder's URL or path, its ``datapackage.json``, or ``alias/name``.

    A URL below a store that the settings know is opened with that store's endpoint and credentials. An opened store is taken
    as the package's folder itself.

    Raises:
        ConfigError: No such alias or scheme; or a relative path that is not there, and begins almost as an alias does.
        InputError: The address names no folder.
    """
    if not isinstance(where, str | Path):
        return Place(where, "")
    settings = load_settings() if settings is None else settings
    if isinstance(where, str) and "://" not in where:
        alias, _, rest = where.strip("/").partition("/")
        if not where.startswith(("/", ".", "~")) and alias in settings.names("stores") and rest:
            return _below(settings.store(alias), rest)
        if rest and not where.startswith(("/", ".", "~")):
            _no_slip(alias, settings)
        where = Path(where)
    if isinstance(where, Path):
        return _below(settings.store(local_path(where)), "")
    url = Url.parse(where)
    if not url.options and not url.secrets and not url.password:
        known = _known(url, settings)
        if known is not None:
            found, rest = known
            return _below(found, rest)
    return _below(settings.store(where), "")


def _no_slip(alias: str, settings: Settings) -> None:
    near = difflib.get_close_matches(alias, settings.names("stores"), 1, 0.8)
    if near and not Path(alias).exists():
        raise ConfigError(f"no store named {alias!r}", hint=f"did you mean {near[0]!r}?")


def _below(settings: StoreSettings, rest: str) -> Place:
    """Open the folder above the package, so that keys read the same as when they were published."""
    base = settings.url.path.rstrip("/")
    folder = rest.strip("/").removesuffix(_COPY).rstrip("/")
    if not folder:
        whole = base.removesuffix(f"/{_COPY}")
        base, _, folder = whole.rpartition("/")
        if not folder:
            raise InputError(
                "this address names a store, not a package in it",
                hint="add the package's name: …/sykefravaer",
            )
        settings = replace(
            settings, url=replace(settings.url, path=base or ("/" if settings.url.scheme == "file" else ""))
        )
        if "://" in settings.name:
            settings = replace(settings, name=str(settings.url))
    return Place(open_store(settings), folder)


def _known(url: Url, settings: Settings) -> tuple[StoreSettings, str] | None:
    """Return the alias whose store holds the URL (the longest), and the path below it."""
    best: tuple[StoreSettings, str] | None = None
    for alias in settings.names("stores"):
        try:
            store = settings.store(alias)
        except DvengineError:  # an alias whose variables are not set here is not the one
            continue
        base = store.url.path.rstrip("/")
        same = (store.url.scheme, store.url.host, store.url.port) == (url.scheme, url.host, url.port)
        if same and url.path.startswith(f"{base}/"):
            rest = url.path[len(base) + 1 :]
            if best is None or len(rest) < len(best[1]):
                best = (store, rest)
    return best
