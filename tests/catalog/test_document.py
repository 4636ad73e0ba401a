"""The index document: fixed fields, stable ids, nothing of the rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvengine.catalog import document
from dvengine.catalog._document import document_id
from dvengine.catalog._mapping import index_body
from dvengine.stores import Manifest, Store


def _keys(value: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield prefix + key
            yield from _keys(inner, f"{prefix}{key}.")
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner, prefix)


def test_document_holds_what_the_manifest_says(package: Callable[..., Manifest], memory_store: Store) -> None:
    titles = {"nb": "Sykefravær", "en": "Sick leave"}
    manifest = package(memory_store, views={"utvikling": b"<svg/>"}, **{"dvengine:title": titles})
    doc = document(manifest, "s3://open/sykefravaer")
    assert (doc["title"], doc["accessRights"], doc["license"]) == ("Sykefravær", "open", "CC-BY-4.0")
    assert doc["titles"] == [
        {"language": "en", "text": "Sick leave"},
        {"language": "nb", "text": "Sykefravær"},
    ]
    assert doc["publisher"] == {"name": "Demo agency"}
    assert doc["contactPoint"]["email"] == "statistikk@example.org"
    (resource,) = doc["resources"]
    assert (resource["name"], resource["rows"]) == ("sykefravaer", 6)
    assert [c["name"] for c in resource["columns"]] == ["kommune", "kjonn", "n", "status"]
    assert doc["views"] == [{"name": "utvikling", "title": "utvikling", "resource": "sykefravaer"}]
    assert doc["certificates"][0] | {"hidden": 2, "valid": True} == doc["certificates"][0]
    assert doc["suggest"] == ["Sykefravær", "Sick leave", "helse"]


def test_document_holds_no_value_of_the_rows(package: Callable[..., Manifest], memory_store: Store) -> None:
    assert "9007199254740993" not in json.dumps(document(package(memory_store), "s3://open/sykefravaer"))


def test_every_field_of_a_document_is_mapped_by_name(
    package: Callable[..., Manifest], memory_store: Store
) -> None:
    def mapped(properties: dict[str, Any], prefix: str = "") -> Iterator[str]:
        for name, rule in properties.items():
            yield prefix + name
            yield from mapped(rule.get("properties", {}), f"{prefix}{name}.")

    manifest = package(memory_store, views={"v": b"<svg/>"})
    known = set(mapped(index_body()["mappings"]["properties"]))
    loose = {"provenance", "certificates"}
    unknown = {
        key
        for key in _keys(document(manifest, "s3://o/s"))
        if key not in known and key.partition(".")[0] not in loose
    }
    assert unknown == set()


def test_same_package_keeps_its_id_and_others_have_their_own(
    package: Callable[..., Manifest], memory_store: Store
) -> None:
    first, second = package(memory_store), package(memory_store, version=2)
    here = "s3://open/sykefravaer"
    ids = [
        document(m, u)["id"] for m in (first, second) for u in (here, here + "/", here + "/datapackage.json")
    ]
    assert len(set(ids)) == 1
    assert document(first, "s3://other/sykefravaer")["id"] != ids[0]
    assert document_id("a", here).lower() != document_id("A", here).lower()


@given(st.text(max_size=300), st.text(max_size=60))
def test_an_id_is_one_short_path_segment_whatever_the_name(name: str, url: str) -> None:
    identifier = document_id(name, url)
    assert 0 < len(identifier.encode()) <= 120
    assert not set(identifier) - set("abcdefghijklmnopqrstuvwxyz0123456789._-")
    assert not identifier.startswith(".")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "title", "path", "fields", "roles", "nb", "x.y"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
_KEYS = ["name", "title", "description", "keywords", "licenses", "contributors", "sources", "resources", "dvengine:views", "dvengine:title",
         "dvengine:access", "dvengine:language", "dvengine:publisher", "dvengine:themes", "dvengine:issued"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=8))
def test_any_descriptor_gives_a_document_with_fixed_fields(descriptor: dict[str, Any]) -> None:
    manifest = Manifest(
        version=1, parent=0, run_id="r", created="2026-11-01T00:00:00Z", descriptor=descriptor
    )
    doc = document(manifest, "s3://open/x")
    json.dumps(doc)
    plain = document(
        Manifest(version=1, parent=0, run_id="r", created="2026-11-01T00:00:00Z", descriptor={}),
        "s3://open/x",
    )
    assert set(doc) == set(plain)
    assert not any("x.y" in key for key in _keys(doc))


@pytest.mark.parametrize(
    ("given_access", "kept"),
    [("open", "open"), ("OPEN", "internal"), (None, "internal"), (["open"], "internal")],
)
def test_access_that_is_not_understood_is_not_called_open(given_access: Any, kept: str) -> None:
    manifest = Manifest(
        version=1,
        parent=0,
        run_id="r",
        created="2026-11-01T00:00:00Z",
        descriptor={"dvengine:access": given_access},
    )
    assert document(manifest, "s3://open/x")["accessRights"] == kept
