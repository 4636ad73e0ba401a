"""What Elasticsearch is told about a document: every field by name, and none by guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["MAPPING_VERSION", "index_body", "query"]

#: Raise it with any change below: indices are named by it, and documents are copied into the new one.
MAPPING_VERSION = 1

# A term holds at most 32,766 bytes and ignore_above counts characters: 8191 four-byte characters are 32,764 bytes.
_KEYWORD: dict[str, Any] = {"type": "keyword", "ignore_above": 8191}
_STORED: dict[str, Any] = {"type": "keyword", "index": False, "doc_values": False}


def _text(*, everything: bool = True) -> dict[str, Any]:
    return {"type": "text", "analyzer": "norwegian", **({"copy_to": "everything"} if everything else {})}


_TITLED = {"language": _KEYWORD, "text": _text()}
_PARTY = {"name": _KEYWORD | {"copy_to": "everything"}, "email": _STORED, "url": _STORED}

_PROPERTIES: dict[str, Any] = {
    "id": _KEYWORD,
    "type": _KEYWORD,
    "format": _KEYWORD,
    "name": _KEYWORD,
    "version": {"type": "long"},
    "withdrawn": {"type": "boolean"},
    "title": _text(),
    "titles": {"properties": _TITLED},
    "description": _text(),
    "descriptions": {"properties": _TITLED},
    "keyword": {**_KEYWORD, "copy_to": "everything", "fields": {"text": _text(everything=False)}},
    "theme": {**_KEYWORD, "copy_to": "everything"},
    "accessRights": _KEYWORD,
    "license": _KEYWORD,
    "language": _KEYWORD,
    "publisher": {"properties": _PARTY},
    "contactPoint": {"properties": {"name": _KEYWORD, "email": _STORED, "url": _STORED}},
    "issued": {"type": "date"},
    "modified": {"type": "date"},
    "provenance": {"type": "object", "enabled": False},
    "resources": {
        "properties": {
            "name": _KEYWORD,
            "title": _text(),
            "description": _text(),
            "format": _KEYWORD,
            "rows": {"type": "long"},
            "bytes": {"type": "long"},
            "columns": {"properties": {"name": _KEYWORD, "type": _KEYWORD, "description": _text()}},
        }
    },
    "views": {"properties": {"name": _KEYWORD, "title": _text(), "resource": _KEYWORD}},
    "certificates": {"type": "object", "enabled": False},
    "rows": {"type": "long"},
    "bytes": {"type": "long"},
    "url": _STORED,
    "suggest": {"type": "completion"},
    "words": _text(),
    "everything": _text(everything=False),
}


def index_body() -> dict[str, Any]:
    """Return settings and mappings of a new index.

    ``dynamic: false`` keeps what an older or newer dvengine adds without making a field of it; nothing is guessed to be a date.
    """
    return {
        "mappings": {
            "dynamic": False,
            "date_detection": False,
            "numeric_detection": False,
            "_meta": {"dvengine": MAPPING_VERSION},
            "properties": _PROPERTIES,
        },
    }


def query(text: str, filters: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the query: every word somewhere (inflected or nearly), ranked by where; tombstones never."""
    body: dict[str, Any] = {
        "must_not": [{"term": {"withdrawn": True}}],
        "filter": [{"terms": {field: list(values)}} for field, values in filters.items()],
    }
    if text.strip():
        fuzzy = {"fuzziness": "AUTO", "prefix_length": 1, "max_expansions": 30}
        body["must"] = [
            {"match": {"everything": {"query": text, "operator": "and", "zero_terms_query": "all", **fuzzy}}}
        ]
        fields = ["title^4", "titles.text^4", "keyword.text^3", "words^1.5", "description", "descriptions.text",
                  "resources.title", "resources.columns.description", "views.title"]  # fmt: skip
        body["should"] = [
            {"multi_match": {"query": text, "fields": fields, "type": "most_fields", "boost": 4}},
            {"multi_match": {"query": text, "fields": fields, **fuzzy}},
        ]
    return {"bool": body}
