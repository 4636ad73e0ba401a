"""``dv.search``: find a package by words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from dvengine._arguments import typed
from dvengine._errors import InputError
from dvengine.catalog._index import Hit
from dvengine.catalog._open import open_index
from dvengine.config import Settings, load_settings, local_path

__all__ = ["search"]


@typed()
def search(
    text: str,
    *,
    catalog: str | Path,
    size: int = 20,
    filters: Mapping[str, str | Sequence[str]] | None = None,
    settings: Settings | None = None,
) -> list[Hit]:
    """Find packages whose title, description, keywords, columns or publisher hold every word asked for.

    Guarantees: inflection (*kommune*, *kommuner*) and small slips are allowed for; best first; withdrawn packages never appear.

    Args:
        text: Words. None of them gives every package, newest first.
        catalog: A catalogue by alias, by URL (``https://…`` is Elasticsearch) or by local path.
        size: At most so many, 1 to 1000.
        filters: Narrow by ``access``, ``keyword``, ``language``, ``license``, ``publisher`` or ``theme``; several values mean any.
        settings: Where aliases are looked up; read from the usual place if None.

    Raises:
        ConfigError: No such catalogue.
        InputError: An unknown filter, or a size out of range.
        Unavailable: The index does not answer.

    Example:
        >>> import tempfile
        >>> search("sykefravær", catalog=tempfile.mkdtemp())
        []
    """
    if not 1 <= size <= 1000:
        raise InputError("size must be between 1 and 1000")
    with closing(open_index((settings or load_settings()).catalog(_address(catalog)))) as index:
        return list(index.search(text, filters=filters, size=size))


def _address(catalog: str | Path) -> str:
    return str(local_path(catalog)) if isinstance(catalog, Path) else catalog
