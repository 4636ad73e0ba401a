"""The catalogue: an index that people search (Elasticsearch, or files in a store), and the static site they read."""

from dvengine.catalog._build import BuiltCatalog, build_catalog
from dvengine.catalog._document import document
from dvengine.catalog._find import search
from dvengine.catalog._index import Hit, Hits, Index
from dvengine.catalog._open import open_index

__all__ = ["BuiltCatalog", "Hit", "Hits", "Index", "build_catalog", "document", "open_index", "search"]
