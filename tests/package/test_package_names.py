"""Names and paths: what becomes a file name, and what never becomes a path."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvengine import DescriptorError
from dvengine.package._names import check_label, check_package_name, check_path, file_stem, file_stems


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Sykefravær år", "sykefravaer-ar"),
        ("sykefravær", "sykefravaer"),
        (unicodedata.normalize("NFD", "Måned"), "maned"),
        ("ØKONOMI/2025", "okonomi-2025"),
        ("Guovdageaidnu – Kautokeino", "guovdageaidnu-kautokeino"),
        ("Kárášjohka", "karasjohka"),
        ("..", None),
        ("日本", None),
        ("a b", "a-b"),
        ("<img src=x onerror=alert(1)>", "img-src-x-onerror-alert-1"),
    ],
)
def test_file_names_are_plain_ascii(name: str, stem: str | None) -> None:
    if stem is None:
        with pytest.raises(DescriptorError):
            file_stem(name)
    else:
        assert file_stem(name) == stem


@given(st.text(max_size=60))
def test_a_file_name_is_never_a_path_and_never_depends_on_case_or_normal_form(name: str) -> None:
    try:
        stem = file_stem(name)
    except DescriptorError:
        return
    assert set(stem) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert stem.strip("-") == stem != ""
    assert (
        file_stem(unicodedata.normalize("NFD", name)) == file_stem(unicodedata.normalize("NFC", name)) == stem
    )


@pytest.mark.parametrize(
    "pair",
    [
        ("Sykefravær", "sykefravaer"),
        ("år", unicodedata.normalize("NFD", "ÅR")),
        ("a b", "a-b"),
        ("A", "a"),
    ],
)
def test_names_that_share_a_file_are_refused_and_both_are_named(pair: tuple[str, str]) -> None:
    with pytest.raises(DescriptorError) as caught:
        file_stems(pair, what="resource")
    assert all(repr(name) in str(caught.value) for name in pair)


@pytest.mark.parametrize("name", ["sykefravaer", "a", "nav-2025.v1_b", "0"])
def test_package_names_by_rule_are_taken(name: str) -> None:
    assert check_package_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "UPPER",
        "Sykefravær år",
        "a b",
        "..",
        ".a",
        "a/b",
        "a..b",
        "-a",
        "a-",
        "å",
        "a" * 101,
        "a\n",
        None,
        7,
        "_dvengine",
    ],
)
def test_package_names_against_the_rule_are_refused_with_a_hint(name: object) -> None:
    with pytest.raises(DescriptorError) as caught:
        check_package_name(name)
    assert caught.value.hint


@pytest.mark.parametrize(
    "name", ["", "  ", " a", "a\nb", "a\u2028b", "a\x00", "a\u202eb", "\ud800", "..", "x" * 101, None]
)
def test_resource_names_that_cannot_be_read_are_refused(name: object) -> None:
    with pytest.raises(DescriptorError):
        check_label(name, what="resource")


def test_resource_names_keep_their_letters() -> None:
    assert check_label(unicodedata.normalize("NFD", "Sykefravær år"), what="resource") == "Sykefravær år"


@pytest.mark.parametrize(
    "path",
    [
        "../a.csv", "x/../../a.csv", "/etc/hostname", "file:///etc/hostname", "%2e%2e/a.csv", "%2E%2e/a.csv", "%252e%252e/a.csv",
        "~/a.csv", "..\\a.csv", "a.csv/", "a//b", "./a", "a/./b", "C:/a", "c:a", "a\x00b", "a\nb", "", None, 7, "http://e.test/a",
        "a%2f..%2f..%2fb", "a%5c..%5cb",
    ],
)  # fmt: skip
def test_paths_that_leave_the_package_are_refused(path: object) -> None:
    with pytest.raises(DescriptorError):
        check_path(path)


@pytest.mark.parametrize("path", ["data/a-00000.parquet", "års rapport #1 50%.parquet", "views/x.vl.json"])
def test_plain_relative_paths_are_taken_as_they_are(path: str) -> None:
    assert check_path(path) == path
