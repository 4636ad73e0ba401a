"""Folding and stemming, held to whole families of Norwegian words, in Python and in the site's own JavaScript."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dvengine.catalog
from dvengine.catalog._words import SUFFIXES, fold, near, stem, words

FAMILIES = [
    ["kommune", "kommuner", "kommunen", "kommunene", "kommunens", "kommunes"],
    ["stønad", "stønader", "stønaden", "stønadene", "stønadens", "stønads"],
    ["fravær", "fraværet", "fraværene", "fraværets", "fraværs"],
    ["fylke", "fylker", "fylket", "fylkene", "fylkets"],
    ["år", "året", "årene", "års"],
    ["frø", "frøene", "frøets"],
    ["ytelse", "ytelser", "ytelsen", "ytelsene"],
]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family[0])
def test_inflections_of_a_word_share_a_stem(family: list[str]) -> None:
    assert len({stem(fold(word)) for word in family}) == 1


def test_families_do_not_share_stems() -> None:
    assert len({stem(fold(family[0])) for family in FAMILIES}) == len(FAMILIES)


def test_letters_are_spelled_one_way_in_any_unicode_form_and_case() -> None:
    for text in ("Åsane ÆRFUGL ø", "Kárášjohka", "Müller"):
        forms = {fold(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")} | {fold(text.upper())}
        assert len(forms) == 1
    assert fold("år") == fold("aar") == "aar"
    assert fold("sykefravær") == fold("sykefravaer")


@given(st.text(max_size=40))
def test_folding_twice_is_folding_once_and_words_are_never_empty(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert all(words(text))


@given(st.text("abcdeæ", max_size=8), st.text("abcdeæ", max_size=8))
def test_near_is_symmetric(a: str, b: str) -> None:
    assert near(a, b) == near(b, a)


@given(st.text("abcde", min_size=1, max_size=8), st.integers(0, 7), st.sampled_from("xyz"))
def test_one_slip_is_near_and_two_at_the_ends_are_not(word: str, at: int, letter: str) -> None:
    at = min(at, len(word) - 1)
    assert near(word, word[:at] + letter + word[at:])
    assert near(word, word[:at] + letter + word[at + 1 :])
    assert near(word, word[:at] + word[at + 1 :])
    assert not near(word, f"{letter}{word}{letter}")


def test_search_box_folds_and_stems_as_the_file_index_does(chromium: Any) -> None:
    script = (Path(dvengine.catalog.__file__).parent / "static" / "catalog.js").read_text("utf-8")
    texts = [word for family in FAMILIES for word in family] + [
        "Andel_kvinner (20–66 år)",
        "Kárášjohka",
        "ÆØÅ",
        "Åre",
        "e\u0301",
    ]
    page = chromium.new_page()
    in_browser = page.evaluate(
        "([script, texts, suffixes]) => { const run = new Function(script + '; return [wordsOf, stem];'); "
        "const [wordsOf, stem] = run(); return texts.map((t) => wordsOf(t).map((w) => [w, stem(w, suffixes)])); }",
        [script, texts, list(SUFFIXES)],
    )
    page.close()
    assert json.loads(json.dumps(in_browser)) == [[[w, stem(w)] for w in words(text)] for text in texts]
