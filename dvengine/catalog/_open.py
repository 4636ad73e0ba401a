"""Which index an address means."""

from __future__ import annotations

from dvengine.catalog._elasticsearch import ElasticsearchIndex
from dvengine.catalog._fileindex import FileIndex
from dvengine.catalog._index import Index
from dvengine.config import CatalogSettings, StoreSettings
from dvengine.stores import open_store

__all__ = ["open_index"]


def open_index(settings: CatalogSettings) -> Index:
    """Open a catalogue's index: Elasticsearch where its URL is ``http(s)``, else JSON files in a store.

    Guarantees: no request is made before the first method is called.

    Raises:
        MissingExtra: The Elasticsearch client is not installed.
        ConfigError: The address cannot name an index.
    """
    if settings.url.scheme in ("http", "https"):
        return ElasticsearchIndex(settings)
    store = open_store(
        StoreSettings(settings.name, settings.url, dict(settings.options), dict(settings.secrets))
    )
    return FileIndex(store, name=settings.name)
