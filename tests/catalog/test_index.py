"""What every index promises: files in memory, on disk and in S3, and a real Elasticsearch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dvengine import search
from dvengine._errors import InputError
from dvengine.catalog import Index, document, open_index
from dvengine.config import CatalogSettings, Settings, Url
from dvengine.stores import Manifest


def _doc(
    name: str = "sykefravaer", version: int = 1, *, also: dict[str, Any] | None = None, **descriptor: Any
) -> dict[str, Any]:
    descriptor |= also or {}
    manifest = Manifest(
        version=version, parent=version - 1, run_id=f"r{version}", created=f"2026-11-{version:02d}T00:00:00Z",
        descriptor={"name": name, "title": name, **descriptor},
    )  # fmt: skip
    return document(manifest, "s3://open/" + name)


@pytest.fixture(scope="module")
def bucket(request: pytest.FixtureRequest) -> str:
    """One for the module, with a prefix for each test: a small S3 server runs out of volumes before we run out of tests."""
    return request.getfixturevalue("s3").fresh_bucket()


@pytest.fixture(params=["memory", "folder", "s3", "elasticsearch"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    kind = request.param
    if kind == "elasticsearch":
        server = request.getfixturevalue("elasticsearch")
        opened = open_index(CatalogSettings("test", Url.parse(f"{server.url}/{server.fresh_index()}")))
    elif kind == "s3":
        s3 = request.getfixturevalue("s3")
        store = s3.settings(request.getfixturevalue("bucket"), prefix=tmp_path.name)
        opened = open_index(CatalogSettings("test", store.url, "internal", store.options, store.secrets))
    else:
        url = f"memory://{tmp_path.name}" if kind == "memory" else f"file://{tmp_path}"
        opened = open_index(CatalogSettings("test", Url.parse(url)))
    yield opened
    opened.close()


def _names(index: Index, text: str, **more: Any) -> list[str]:
    return [hit.name for hit in index.search(text, **more)]


def test_what_put_returned_from_is_found_at_once(index: Index) -> None:
    assert index.put(_doc(title="Sykefravær etter kommune"))
    assert _names(index, "sykefravær") == ["sykefravaer"]
    assert index.count() == 1


def test_a_catalogue_nothing_was_published_to_is_empty_and_not_an_error(index: Index) -> None:
    assert index.search("sykefravær").total == 0
    assert index.count() == 0


def test_inflected_words_find_each_other_in_norwegian(index: Index) -> None:
    index.put(_doc("a", title="Arbeidsledige i hver kommune"))
    index.put(_doc("b", title="Stønader til enslige"))
    index.put(_doc("c", title="Ærfugl på øya i året"))
    assert _names(index, "kommuner") == ["a"]
    assert _names(index, "kommunene") == ["a"]
    assert _names(index, "stønad") == ["b"]
    assert _names(index, "stønaden") == ["b"]
    assert _names(index, "ÆRFUGL") == ["c"]
    assert _names(index, "enslig stønad") == ["b"]


def test_every_word_asked_for_must_be_somewhere_and_small_words_do_not_matter(index: Index) -> None:
    index.put(_doc("a", title="Sykefravær etter kommune", keywords=["helse"]))
    index.put(_doc("b", title="Sykefravær etter næring"))
    assert _names(index, "sykefravær og helse") == ["a"]
    assert _names(index, "sykefravær traktor") == []


def test_a_slip_of_one_letter_is_forgiven(index: Index) -> None:
    index.put(_doc("a", title="Uføretrygd etter fylke"))
    index.put(_doc("b", title="Dagpenger"))
    assert _names(index, "uføretrykd") == ["a"]
    assert _names(index, "uforetrygd") == ["a"]


def test_title_counts_more_than_description(index: Index) -> None:
    index.put(_doc("a", title="Noe annet", description="Nevner pensjon i forbifarten."))
    index.put(_doc("b", title="Pensjon"))
    assert _names(index, "pensjon") == ["b", "a"]


def test_columns_are_found_by_name_parts_and_description(index: Index) -> None:
    fields = [{"name": "antall_personer", "type": "integer", "description": "Legemeldt fravær"}]
    index.put(_doc("a", resources=[{"name": "t", "schema": {"fields": fields}}]))
    assert _names(index, "personer") == ["a"]
    assert _names(index, "legemeldt") == ["a"]


def test_same_version_again_changes_nothing_but_takes_the_newer_text(index: Index) -> None:
    assert index.put(_doc(title="Gammel tittel"))
    assert index.put(_doc(title="Ny tittel"))
    assert index.count() == 1
    assert [hit.title for hit in index.search("tittel")] == ["Ny tittel"]


def test_late_retry_of_an_older_version_does_not_win(index: Index) -> None:
    assert index.put(_doc(version=5, title="Femte"))
    assert index.put(_doc(version=4, title="Fjerde")) is False
    assert [(hit.version, hit.title) for hit in index.search("")] == [(5, "Femte")]
    assert index.count() == 1


def test_newer_version_replaces_the_older(index: Index) -> None:
    index.put(_doc(version=9, title="Niende"))
    index.put(_doc(version=10, title="Tiende"))
    assert [hit.version for hit in index.search("")] == [10]


def test_deleted_is_gone_and_only_the_same_or_a_newer_version_brings_it_back(index: Index) -> None:
    doc = _doc(version=3)
    index.put(doc)
    index.delete(doc["id"])
    assert (index.count(), index.search("").total, _names(index, "sykefravaer")) == (0, 0, [])
    assert index.put(_doc(version=2)) is False
    assert index.count() == 0
    assert index.put(_doc(version=3))
    assert index.count() == 1


def test_deleting_what_is_not_there_is_fine(index: Index) -> None:
    index.delete("nothing-0123456789ab")
    index.put(_doc())
    index.delete("nothing-0123456789ab")
    assert index.count() == 1


def test_withdrawn_manifest_takes_the_package_out(index: Index) -> None:
    index.put(_doc(version=1))
    tombstone = Manifest(
        version=2,
        parent=1,
        run_id="r",
        created="2026-11-02T00:00:00Z",
        state="withdrawn",
        descriptor={"name": "sykefravaer"},
    )
    assert index.put(document(tombstone, "s3://open/sykefravaer"))
    assert index.count() == 0
    assert index.put(_doc(version=1)) is False
    assert index.count() == 0


@pytest.mark.parametrize("character", ["ø", "x", "\U0001f600"])
def test_immense_terms_do_not_lose_the_document(index: Index, character: str) -> None:
    immense = character * 40_000
    doc = _doc(
        "a",
        title=immense,
        keywords=[immense, "helse"],
        description=immense,
        **{"dvengine:publisher": immense, "dvengine:themes": [immense]},
    )
    doc["resources"] = [
        {"name": immense, "columns": [{"name": immense, "type": immense, "description": immense}]}
    ]
    assert index.put(doc)
    assert _names(index, "helse") == ["a"]
    assert index.search("").hits[0].document["keyword"] == [immense, "helse"]


def test_control_characters_in_a_title_do_not_lose_the_document(index: Index) -> None:
    assert index.put(_doc("a", title="Fravær\x00\x1e\x1f etter\u2028fylke", keywords=["\x1f", ""]))
    assert _names(index, "fylke") == ["a"]


def test_versions_that_look_like_dates_are_kept_as_text(index: Index) -> None:
    for name, release, created in (
        ("a", "2025-01-01", "2025-01-01"),
        ("b", "v2", "våren 2024"),
        ("c", "3.0", "20250101"),
    ):
        assert index.put(
            _doc(name, keywords=[release], also={"version": release, "dvengine:issued": created})
        )
    assert index.count() == 3
    assert _names(index, "", filters={"keyword": "2025-01-01"}) == ["a"]


def test_filters_narrow_and_several_values_mean_any(index: Index) -> None:
    index.put(
        _doc("a", keywords=["helse"], **{"dvengine:access": "open", "dvengine:publisher": {"name": "Etaten"}})
    )
    index.put(_doc("b", keywords=["arbeid"], **{"dvengine:access": "restricted"}))
    index.put(_doc("c", keywords=["helse"]))
    assert _names(index, "", filters={"access": "open"}) == ["a"]
    assert sorted(_names(index, "", filters={"access": ["open", "restricted"]})) == ["a", "b"]
    assert sorted(_names(index, "", filters={"keyword": "helse"})) == ["a", "c"]
    assert _names(index, "", filters={"keyword": "helse", "access": "internal"}) == ["c"]
    assert _names(index, "", filters={"publisher": "Etaten"}) == ["a"]
    with pytest.raises(InputError, match="no filter named 'colour'"):
        index.search("", filters={"colour": "red"})


def test_size_limits_the_hits_and_the_total_is_still_told(index: Index) -> None:
    for number in range(5):
        index.put(_doc(f"p{number}", title=f"Pakke {number}"))
    found = index.search("pakke", size=2)
    assert (found.total, len(found)) == (5, 2)


def test_no_words_gives_all_newest_first(index: Index) -> None:
    index.put(_doc("a", version=1))
    index.put(_doc("b", version=3))
    index.put(_doc("c", version=2))
    assert _names(index, "") == ["b", "c", "a"]


@pytest.mark.parametrize("text", ['"', "a AND (b", "title:*", "\\", "*", "/x/", "🙂", "(" * 2000])
def test_any_text_may_be_searched_for(index: Index, text: str) -> None:
    index.put(_doc())
    index.search(text)


def test_check_tells_facts_that_may_be_shown(index: Index) -> None:
    index.put(_doc())
    facts = index.check()
    assert facts["packages"] == "1"
    assert facts["kind"] in ("files", "elasticsearch")


def test_search_is_the_public_face_over_a_folder(
    tmp_path: Path, package: Callable[..., Manifest], memory_store: Any
) -> None:
    settings = Settings({"catalogs": {"open": {"url": f"file://{tmp_path}", "access": "open"}}}, environ={})
    with_index = open_index(settings.catalog("open"))
    with_index.put(document(package(memory_store), "s3://open/sykefravaer"))
    (hit,) = search("sykefravær", catalog="open", settings=settings)
    assert (hit.name, hit.url, hit.version, hit.access) == ("sykefravaer", "s3://open/sykefravaer", 1, "open")
    assert [h.name for h in search("", catalog=tmp_path, settings=settings)] == ["sykefravaer"]
    with pytest.raises(InputError, match="size"):
        search("x", catalog="open", size=0, settings=settings)


def test_damaged_document_is_named_and_never_passed_over(tmp_path: Path) -> None:
    from dvengine._errors import VerificationFailed

    index = open_index(CatalogSettings("files", Url.parse(f"file://{tmp_path}")))
    doc = _doc()
    index.put(doc)
    next(tmp_path.rglob("*.json")).write_text("{half")
    with pytest.raises(VerificationFailed, match=doc["id"]):
        index.search("")


def test_document_replaced_while_a_search_is_under_way_is_found_in_its_new_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = CatalogSettings("files", Url.parse(f"file://{tmp_path}"))
    reader, writer = open_index(settings), open_index(settings)
    writer.put(_doc(version=1))
    kind = type(reader._store)  # type: ignore[attr-defined]
    honest = kind.list
    listed = list(reader._store.list("_catalog/documents"))  # type: ignore[attr-defined]

    def stale(self: Any, prefix: str = "") -> Any:
        return listed if prefix == "_catalog/documents" else honest(self, prefix)

    writer.put(_doc(version=2))
    with monkeypatch.context() as late:
        late.setattr(kind, "list", stale)
        assert [hit.version for hit in reader.search("")] == [2]


def test_two_writers_leave_the_newest(tmp_path: Path) -> None:
    indices = [open_index(CatalogSettings("files", Url.parse(f"file://{tmp_path}"))) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda pair: pair[1].put(_doc(version=pair[0] + 1)), enumerate(indices)))
    assert [hit.version for hit in indices[0].search("")] == [8]
