"""The static site as a parser sees it: complete, escaped, linked, and never half in place."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pytest

from dvengine._errors import AccessDenied, ConfigError, Conflict, InputError
from dvengine._events import Event, subscribe
from dvengine.catalog import _build, _site, build_catalog
from dvengine.catalog._links import href, page_name, safe_url
from dvengine.catalog._prose import prose
from dvengine.catalog._svg import still_svg
from dvengine.config import Settings
from dvengine.stores import CommitLog, Manifest, Store, open_store

Package = Callable[..., Manifest]

HOSTILE = [
    "<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", '" onmouseover="alert(1)', "' onmouseover='alert(1)",
    "[k](javascript:alert(1))", "[k](JaVaScRiPt:alert(1))", "[k]( javascript:alert(1))", "[k][r]\n\n[r]: javascript:alert(1)",
    "[k](data:text/html,<script>alert(1)</script>)", "![k](https://elsewhere.example/pixel.png)", "<javascript:alert(1)>",
    '<iframe srcdoc="<script>alert(1)</script>"></iframe>', "<svg onload=alert(1)>", "{{7*7}}", "{% include 'base.html' %}", "a\u2028b\u2029c", "]]>",
    "<!--<script>", "</title><script>alert(1)</script>", "</textarea><b>", "&lt;b&gt;&amp;", "a\x00b\x1b", "\u202egnp.exe",
]  # fmt: skip

VOID = {"meta", "link", "img", "br", "hr", "input"}
ELEMENTS = {
    "html", "head", "meta", "title", "link", "script", "body", "a", "header", "div", "img", "bdi", "main", "footer", "p", "time", "h1", "h2", "h3", "h4",
    "h5", "h6", "form", "label", "input", "select", "option", "ul", "ol", "li", "article", "section", "span", "nav", "dl", "dt", "dd", "figure",
    "figcaption", "table", "caption", "thead", "tbody", "tr", "th", "td", "code", "pre", "details", "summary", "aside", "strong", "em", "blockquote", "hr", "br",
}  # fmt: skip


class Page(HTMLParser):
    """Collects what a browser would act on, and the text a person would read."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.path = path
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.open: list[str] = []
        self.problems: list[str] = []
        self.feed(path.read_text("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if len({name for name, _ in attrs}) != len(attrs):
            self.problems.append(f"{tag} has an attribute twice")
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing of its own")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        else:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]

    def check(self) -> None:
        """Hold the page to what no package may change."""
        assert self.problems == []
        assert self.open == []
        assert {tag for tag, _ in self.elements} <= ELEMENTS
        for tag, attrs in self.elements:
            for name, value in attrs.items():
                assert not name.startswith("on"), f"{tag} {name}"
                assert name not in ("style", "srcdoc", "srcset", "formaction", "ping"), f"{tag} {name}"
                if name in ("href", "src", "action"):
                    assert urlsplit(value or "").scheme in ("", "http", "https", "mailto"), (
                        f"{tag} {name}={value}"
                    )
                    assert not (value or "").startswith("//")
            if tag in ("img", "link", "script") and (source := attrs.get("src") or attrs.get("href")):
                assert urlsplit(source).scheme == "", "the page fetches from elsewhere"
        for attrs, body in self.scripts:
            if attrs.get("src"):
                assert body == ""
            else:
                assert attrs["type"] in ("application/json", "application/ld+json")
                assert not set(body) & set("<>&\u2028\u2029")
                json.loads(body)
        (policy,) = [
            m["content"] for m in self.all("meta") if m.get("http-equiv") == "Content-Security-Policy"
        ]
        assert policy is not None
        assert "unsafe" not in policy
        assert self.elements[3][1].get("http-equiv") == "Content-Security-Policy", (
            "the policy stands before whatever it governs"
        )

    def links(self) -> list[str]:
        found = [a.get("href") for a in self.all("a")] + [
            e.get("src") for t in ("img", "script") for e in self.all(t)
        ]
        return [link for link in found + [e.get("href") for e in self.all("link")] if link]


def _pages(site: Path) -> list[Page]:
    return [Page(path) for path in sorted(site.rglob("*.html"))]


def _build_site(store: Store, out: Path, **more: Any) -> dict[str, Page]:
    build_catalog(store, out, **more)
    return {page.path.relative_to(out).as_posix(): page for page in _pages(out)}


def test_page_is_complete_without_javascript(package: Package, memory_store: Store, tmp_path: Path) -> None:
    titles = {"nb": "Sykefravær etter kommune", "en": "Sick leave by municipality"}
    package(
        memory_store,
        views={"Utvikling": b'<svg xmlns="http://www.w3.org/2000/svg"/>'},
        sources=[{"title": "registry"}],
        **{"dvengine:title": titles},
    )
    pages = _build_site(memory_store, tmp_path / "site", title="Open data")
    front, page = pages["index.html"], pages["packages/sykefravaer.html"]
    for wanted in (
        "Open data",
        "Sykefravær etter kommune",
        "Antall personer.",
        "Demo agency",
        "Open",
        "11 November 2026",
        "6 rows",
        "Version 1",
    ):
        assert wanted in front.words
    for wanted in (
        "Sykefravær etter kommune", "Sick leave by municipality", "Demo agency", "statistikk@example.org", "CC BY 4.0", "registry", "kommune", "integer",
        "9007199254740993", "0301", "certified against attacker", "Certified against attacker rule", "2 of 6 cells", "threshold(5)", "import dvengine as dv",
        "read_parquet", "sha256", "The first 6 rows of 6", "Utvikling",
    ):  # fmt: skip
        assert wanted.lower() in page.words.lower(), wanted
    assert all("hidden" in form for form in front.all("form")), "a search box without a script to drive it"
    assert not any(
        "hidden" in attrs for tag, attrs in page.elements if tag in ("section", "table", "details")
    )
    assert [image["alt"] for image in page.all("img") if image["alt"]] == [
        "Utvikling. The numbers are in the table sykefravaer."
    ]
    for each in pages.values():
        each.check()


def test_hidden_cells_show_the_symbol_with_words_and_sort_apart_from_zero(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    package(memory_store)
    page = _build_site(memory_store, tmp_path / "site")["packages/sykefravaer.html"]
    cells = [a for a in page.all("td") if "hidden-cell" in (a.get("class") or "")]
    assert len(cells) == 2
    assert page.words.count("hidden to protect persons") == 2
    html = page.path.read_text("utf-8")
    assert re.search(r'<td class="number">0</td>', html)


def test_rows_that_begin_with_totals_are_followed_by_some_that_have_hidden_cells(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    count = 30_000
    hidden = {place for place in range(count) if place >= 9000 and place % 3 == 0}
    table = pa.table(
        {
            "region": [f"r{place}" for place in range(count)],
            "n": pa.array([None if place in hidden else place for place in range(count)], pa.int64()),
            "status": [":" if place in hidden else "" for place in range(count)],
        }
    )
    package(memory_store, tables={"t": table})
    page = _build_site(memory_store, tmp_path / "site")["packages/sykefravaer.html"]
    page.check()
    shown = re.findall(r"<td>(r\d+)</td>", page.path.read_text("utf-8"))
    assert shown == [f"r{place}" for place in [*range(12), *range(9000, 9024, 3)]]
    assert "The first 12 rows, and the first 8 with hidden cells, of 30\u202f000." in page.path.read_text(
        "utf-8"
    )
    assert page.words.count("hidden to protect persons") == 8
    assert page.words.count("rows are left out here") == 1


def test_every_table_of_the_page_has_a_caption(package: Package, memory_store: Store, tmp_path: Path) -> None:
    package(memory_store)
    page = _build_site(memory_store, tmp_path / "site")["packages/sykefravaer.html"]
    assert len(page.all("caption")) == len(page.all("table")) == 3


def test_a_text_is_marked_with_its_own_language(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    resource = {"name": "t", "title": "Cases", "dvengine:title": {"en": "Cases"}, "description": "Antall saker", "path": ["x.parquet"]}  # fmt: skip
    view = {"name": "v", "dvengine:title": {"se": "Govus"}, "title": "Govus"}
    package(memory_store, tables={"t": pa.table({"n": [1]})}, certified=False, resources=[resource], title="Saker",
            **{"dvengine:views": [view], "dvengine:language": "nn", "dvengine:description": {"en": "All cases."}})  # fmt: skip
    pages = _build_site(memory_store, tmp_path / "site")
    html = pages["packages/sykefravaer.html"].path.read_text("utf-8")
    for marked in (
        '<h1 lang="nn"><bdi>Saker', '<h2 id="table-1-title" lang="en"><bdi>Cases', '<figcaption lang="se"><bdi>Govus',
        '<div class="prose" lang="en" dir="auto"><p>All cases.', '<div class="prose" lang="nn" dir="auto"><p>Antall saker',
    ):  # fmt: skip
        assert marked in html, marked
    assert '<p class="about" lang="en" dir="auto">All cases.' in pages["index.html"].path.read_text("utf-8")


@pytest.mark.parametrize(("snapshots", "said"), [(("1-1", "1-1"), True), (("1-1", None), False), ((None, None), False)])  # fmt: skip
def test_one_moment_is_said_only_where_every_table_has_one(
    package: Package, memory_store: Store, tmp_path: Path, snapshots: tuple[str | None, ...], said: bool
) -> None:
    resources = [
        {
            "name": f"t{n}",
            "path": ["x.parquet"],
            "dvengine:lineage": [{"source": "registry", "snapshot": snapshot}],
        }
        for n, snapshot in enumerate(snapshots)
    ]
    package(memory_store, tables={f"t{n}": pa.table({"n": [1]}) for n in range(2)}, certified=False, resources=resources)  # fmt: skip
    page = _build_site(memory_store, tmp_path / "site")["packages/sykefravaer.html"]
    assert ("Every table at one moment" in page.words) is said


def test_versions_tell_the_time_of_day_and_keep_their_notes_apart(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    manifest = package(memory_store)
    rules = [{"rule": rule, "reason": "agreed"} for rule in ("uncertified-table", "row-count")]
    raw = json.loads(manifest.to_json()) | {"version": 2, "parent": 1, "run_id": "r2", "overrides": rules}
    CommitLog(memory_store, "sykefravaer").commit(Manifest.from_json(json.dumps(raw).encode()))
    page = _build_site(memory_store, tmp_path / "site")["packages/sykefravaer.html"]
    assert "11 November 2026, 03:00 UTC" in page.words
    assert "Current · uncertified-table: agreed · row-count: agreed" in page.words


def test_site_of_open_packages_holds_nothing_of_the_others(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    package(memory_store, "aapen", title="Dette er åpent")
    for access in ("internal", "restricted", "what?"):
        package(memory_store, f"lukket-{access[:4]}", title="Dette er lukket", **{"dvengine:access": access})
    pages = _build_site(memory_store, tmp_path / "site", access="open")
    assert set(pages) == {"index.html", "packages/aapen.html"}
    assert not any(b"ukket" in path.read_bytes() for path in (tmp_path / "site").rglob("*") if path.is_file())
    assert len(_build_site(memory_store, tmp_path / "site")) == 5
    with pytest.raises(InputError, match="no such access level"):
        build_catalog(memory_store, tmp_path / "site", access="public")


def test_command_line_builds_the_site_of_one_access_level(
    package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dvengine.cli._main import main

    store = open_store(tmp_path / "store")
    package(store, "aapen")
    package(store, "lukket", **{"dvengine:access": "internal"})
    build = [
        "catalog",
        "build",
        "--store",
        str(tmp_path / "store"),
        "--out",
        str(tmp_path / "site"),
        "--json",
    ]
    assert main([*build, "--access", "open"]) == 0
    assert json.loads(capsys.readouterr().out)["packages"] == 1
    assert [page.path.name for page in _pages(tmp_path / "site" / "packages")] == ["aapen.html"]


def test_null_in_a_table_without_certificate_is_a_missing_value_and_not_hidden(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    package(
        memory_store,
        tables={"t": pa.table({"n": pa.array([1, None], pa.int64()), "status": ["", ":"]})},
        certified=False,
    )
    page = _build_site(memory_store, tmp_path / "site")["packages/sykefravaer.html"]
    assert "no value" in page.words
    assert "hidden to protect" not in page.words


def test_certificate_that_does_not_hold_is_said_so(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    manifest = package(memory_store)
    broken = {"sykefravaer": dict(manifest.certificates["sykefravaer"], valid=False, uncertified=3)}
    raw = json.loads(manifest.to_json()) | {"version": 2, "parent": 1, "run_id": "r2", "certificates": broken}
    CommitLog(memory_store, "sykefravaer").commit(Manifest.from_json(json.dumps(raw).encode()))
    page = _build_site(memory_store, tmp_path / "site")["packages/sykefravaer.html"]
    assert "Not certified." in page.words
    assert "Small numbers are hidden" not in page.words


def test_rows_of_a_table_with_identity_numbers_are_not_shown(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    fields = [{"name": "fnr", "type": "string", "dvengine:sensitive": "identity-number", "dvengine:nulls": 0}]
    package(memory_store, tables={"t": pa.table({"fnr": ["canary-4711"]})}, certified=False,
            resources=[{"name": "t", "path": ["x.parquet"], "schema": {"fields": fields}}])  # fmt: skip
    pages = _build_site(memory_store, tmp_path / "site")
    assert "the table holds identity numbers" in pages["packages/sykefravaer.html"].words
    assert not any("canary-4711" in page.path.read_text("utf-8") for page in pages.values())


@pytest.mark.parametrize("type_", [pa.decimal128(38, 10), pa.timestamp("ns", "Europe/Oslo"), pa.list_(pa.int64()), pa.struct({"a": pa.int8()}), pa.binary(),
                                   pa.bool_(), pa.float64(), pa.date32(), pa.duration("us"), pa.dictionary(pa.int8(), pa.string()), pa.null(), pa.uint64(),
                                   pa.time64("us"), pa.large_string()], ids=str)  # fmt: skip
def test_every_type_has_a_preview(
    package: Package, memory_store: Store, tmp_path: Path, type_: pa.DataType
) -> None:
    package(memory_store, tables={"t": pa.table({"c": pa.array([None, None], type_)})}, certified=False)
    page = _build_site(memory_store, tmp_path / "site")["packages/sykefravaer.html"]
    assert "The first 2 rows of 2" in page.words


def test_numbers_are_exact_and_aligned(package: Package, memory_store: Store, tmp_path: Path) -> None:
    from decimal import Decimal

    table = pa.table(
        {
            "i": pa.array([2**63 - 1]),
            "u": pa.array([2**64 - 1], pa.uint64()),
            "d": pa.array([Decimal("1234567890.1000")]),
            "k": ["0301"],
        }
    )
    package(memory_store, tables={"t": table}, certified=False)
    html = _build_site(memory_store, tmp_path / "site")["packages/sykefravaer.html"].path.read_text("utf-8")
    for exact in ("9223372036854775807", "18446744073709551615", "1234567890.1000"):
        assert f'<td class="number">{exact}</td>' in html
    assert "<td>0301</td>" in html


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_anywhere_is_only_text(
    package: Package, memory_store: Store, tmp_path: Path, hostile: str
) -> None:
    table = pa.table({hostile: [hostile], "n": pa.array([1])})
    package(
        memory_store, tables={hostile: table}, certified=False, views={hostile: b"<svg/>"}, title=hostile, description=hostile, keywords=[hostile],
        licenses=[{"name": hostile, "path": hostile, "title": hostile}], sources=[{"title": hostile}],
        contributors=[{"title": hostile, "path": hostile, "email": hostile, "roles": ["publisher", "contact"]}],
        **{"dvengine:title": {"nb": hostile, hostile: hostile + "2"}, "dvengine:language": hostile, "dvengine:themes": [hostile]},
    )  # fmt: skip
    pages = _build_site(memory_store, tmp_path / "site", title=hostile)
    assert len(pages) == 2
    for page in pages.values():
        page.check()
        assert "49" not in page.words.split(), "a template of the package was filled in"


def test_a_title_reads_as_typed(package: Package, memory_store: Store, tmp_path: Path) -> None:
    package(memory_store, title="Alder < 18 & > 66 &amp; {{7*7}}")
    for page in _build_site(memory_store, tmp_path / "site").values():
        assert "Alder < 18 & > 66 &amp; {{7*7}}" in page.words


def test_links_in_a_description_are_kept_whole_and_only_safe_ones() -> None:
    assert 'href="http://e.test/?a=1&amp;b=2"' in prose("[k](http://e.test/?a=1&b=2)")
    assert 'href="http://e.test/?a=1&amp;b=2"' in prose("<http://e.test/?a=1&b=2>")
    for text in HOSTILE:
        assert not re.search(r'href="(?!https?:|mailto:)', prose(text)), text
        assert "<img" not in prose(text)


@pytest.mark.parametrize(
    ("url", "safe"),
    [("https://a.test", True), ("mailto:a@b.test", True), ("javascript:alert(1)", False), (" javascript:alert(1)", False), ("java\nscript:alert(1)", False),
     ("data:text/html,x", False), ("//a.test", False), ("file:///etc/passwd", False), ("http://user:pw@a.test", False), ("relative", False), ("http://[", False)],
)  # fmt: skip
def test_only_web_and_mail_addresses_become_links(url: str, safe: bool) -> None:
    assert (safe_url(url) is not None) is safe


def test_every_link_leads_to_a_file_wherever_the_folder_is_moved(package: Package, tmp_path: Path) -> None:
    root = tmp_path / "første rot #1 50%"
    store = open_store(root / "lager æøå")
    package(
        store,
        file_names={"sykefravaer": "års rapport #1 50%.parquet"},
        views={"a": b'<svg xmlns="http://www.w3.org/2000/svg"/>'},
    )
    store.put("sykefravaer/datapackage.json", b"{}")
    build_catalog(store, root / "nett sted?")
    moved = tmp_path / "moved"
    shutil.move(root, moved)
    seen = 0
    for page in _pages(moved / "nett sted?"):
        for link in page.links():
            parts = urlsplit(link)
            if parts.scheme or not parts.path:
                continue
            assert (page.path.parent / unquote(parts.path)).resolve().is_file(), link
            seen += parts.path.endswith(".parquet")
    assert seen == 1


def test_objects_out_of_reach_are_told_by_address_and_not_linked(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    package(memory_store)
    page = _build_site(memory_store, tmp_path / "site")["packages/sykefravaer.html"]
    assert not any(".parquet" in link for link in page.links())
    assert f"{memory_store.url}/sykefravaer/data/" in page.words


def test_names_that_a_disk_would_fold_have_pages_of_their_own(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    names = ["a", "A", "a/a", "con", "Ærlig", "index", "x" * 200]
    for name in names:
        package(memory_store, name)
    built = build_catalog(memory_store, tmp_path / "site")
    assert sorted(built.packages) == sorted(names)
    pages = [path.name.lower() for path in (tmp_path / "site" / "packages").glob("*.html")]
    assert len(set(pages)) == len(names)
    assert all(page_name(name).isascii() for name in names)


def test_links_are_encoded_once() -> None:
    assert href("a b/å#%?.csv") == "a%20b/%C3%A5%23%25%3F.csv"
    assert unquote(href("a b/å#%?.csv")) == "a b/å#%?.csv"
    assert urlsplit(href("javascript:x")).scheme == ""


def test_highest_live_version_is_shown_and_withdrawn_packages_are_not(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    for version in (1, 2, 3):
        package(memory_store, "kept", version=version, title=f"Tittel {version}")
        package(
            memory_store,
            "gone",
            version=version,
            state="withdrawn" if version == 3 else "live",
            title="Trukket",
        )
    package(memory_store, "back", version=1, state="withdrawn")
    package(memory_store, "back", version=2, title="Tilbake")
    pages = _build_site(memory_store, tmp_path / "site")
    assert set(pages) == {"index.html", "packages/kept.html", "packages/back.html"}
    assert "Tittel 3" in pages["index.html"].words
    assert "Trukket" not in pages["index.html"].words
    assert "Withdrawn" in pages["packages/back.html"].words
    assert "Trukket" not in (tmp_path / "site" / "index.html").read_text("utf-8")


def test_package_that_cannot_be_read_is_named_and_the_others_are_built(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    package(memory_store, "good")
    memory_store.put("bad/_dvengine/manifest-000001.json", b"{half")
    built = build_catalog(memory_store, tmp_path / "site")
    assert built.packages == ("good",)
    assert [problem.partition(":")[0] for problem in built.problems] == ["bad"]


def test_lost_part_leaves_a_page_that_says_so(package: Package, memory_store: Store, tmp_path: Path) -> None:
    manifest = package(memory_store)
    memory_store.delete(manifest.parts["sykefravaer"][0].path)
    page = _build_site(memory_store, tmp_path / "site")["packages/sykefravaer.html"]
    assert "The rows cannot be shown here" in page.words


def test_overridden_rule_and_its_reason_are_shown(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    manifest = package(memory_store)
    raw = json.loads(manifest.to_json()) | {
        "version": 2,
        "parent": 1,
        "run_id": "r2",
        "overrides": [{"rule": "certificate", "reason": "Avtalt <i>"}],
    }
    CommitLog(memory_store, "sykefravaer").commit(Manifest.from_json(json.dumps(raw).encode()))
    page = _build_site(memory_store, tmp_path / "site")["packages/sykefravaer.html"]
    assert "A rule was overridden." in page.words
    assert "Avtalt <i>" in page.words


def test_markdown_view_is_shown_as_text(package: Package, memory_store: Store, tmp_path: Path) -> None:
    memory_store.put("sykefravaer/views/om-1.md", b"Om **tallene** <script>alert(1)</script>")
    manifest = package(memory_store)
    descriptor = manifest.descriptor | {
        "views": [{"name": "om", "specType": "markdown", "path": "views/om-1.md", "resources": []}]
    }
    raw = json.loads(manifest.to_json()) | {"version": 2, "parent": 1, "run_id": "r2", "descriptor": descriptor,
                                            "files": [{"path": "sykefravaer/views/om-1.md", "nbytes": 1, "sha256": "0" * 64}]}  # fmt: skip
    CommitLog(memory_store, "sykefravaer").commit(Manifest.from_json(json.dumps(raw).encode()))
    page = _build_site(memory_store, tmp_path / "site")["packages/sykefravaer.html"]
    page.check()
    assert "tallene" in page.words


def test_new_build_replaces_an_earlier_site_whole(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    package(memory_store, "a")
    build_catalog(memory_store, tmp_path / "site")
    (tmp_path / "site" / "left-over.html").write_text("old")
    package(memory_store, "b")
    built = build_catalog(memory_store, tmp_path / "site")
    assert built.pages == 3
    assert not (tmp_path / "site" / "left-over.html").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_failed_build_leaves_the_earlier_site_and_nothing_beside_it(
    package: Package, memory_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(memory_store, "a")
    build_catalog(memory_store, tmp_path / "site")
    before = {p: p.read_bytes() for p in (tmp_path / "site").rglob("*") if p.is_file()}

    def break_off(*_: Any, **__: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(_site, "index_page", break_off)
    with pytest.raises(KeyboardInterrupt):
        build_catalog(memory_store, tmp_path / "site")
    assert {p: p.read_bytes() for p in (tmp_path / "site").rglob("*") if p.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_folder_with_anything_else_in_it_is_left_alone(package: Package, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("dear")
    store = open_store(tmp_path / "store")
    package(store)
    with pytest.raises(Conflict, match="something else"):
        build_catalog(store, other)
    with pytest.raises(Conflict, match="is a file"):
        build_catalog(store, other / "thesis.txt")
    for out in (tmp_path / "store", tmp_path):
        with pytest.raises(InputError, match="replace the store"):
            build_catalog(store, out)
    assert (other / "thesis.txt").read_text() == "dear"
    assert CommitLog(store, "sykefravaer").versions() == [1]


def test_store_may_be_an_alias_and_an_unknown_one_is_a_config_error(package: Package, tmp_path: Path) -> None:
    settings = Settings({"stores": {"open-data": {"url": f"file://{tmp_path}/store"}}}, environ={})
    package(open_store(tmp_path / "store"))
    assert build_catalog("open-data", tmp_path / "site", settings=settings).packages == ("sykefravaer",)
    with pytest.raises(ConfigError):
        build_catalog("open-dta", tmp_path / "site", settings=settings)


def test_a_large_table_gives_a_small_page(package: Package, memory_store: Store, tmp_path: Path) -> None:
    big = pa.table(
        {"id": pa.array(range(20_000)), "text": ["æ" * 1000] * 20_000}
        | {f"c{i}": pa.nulls(20_000, pa.int8()) for i in range(60)}
    )
    package(memory_store, tables={"t": big}, certified=False)
    page = _build_site(memory_store, tmp_path / "site")["packages/sykefravaer.html"]
    assert page.path.stat().st_size < 100_000
    assert "The first 20 rows of 20\u202f000; 32 more columns are not shown" in page.path.read_text("utf-8")


@pytest.mark.parametrize(
    "part",
    ["<script>alert(1)</script>", '<a href="javascript:alert(1)"><path d="M0 0"/></a>', '<rect onclick="alert(1)"/>', '<image href="https://elsewhere.example/x.png"/>',
     '<use href="https://elsewhere.example/x.svg#a"/>', "<style>@import url(https://elsewhere.example)</style>", '<rect style="fill:url(https://elsewhere.example)"/>',
     "<foreignObject><iframe xmlns='http://www.w3.org/1999/xhtml' src='https://elsewhere.example'/></foreignObject>",
     '<set attributeName="href" to="javascript:alert(1)"/>', '<animate attributeName="href" values="javascript:alert(1)"/>',
     '<x:script xmlns:x="http://www.w3.org/2000/svg">alert(1)</x:script>', '<script xmlns="http://www.w3.org/1999/xhtml">alert(1)</script>'],
)  # fmt: skip
def test_pictures_keep_their_shapes_and_lose_what_acts(part: str) -> None:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><g>{part}<circle r="1"/>tail</g></svg>'.encode()
    still = still_svg(svg)
    assert still is not None
    assert b'<circle r="1"' in still
    for bad in (b"alert", b"elsewhere", b"onclick", b"script"):
        assert bad not in still


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html/>",
        b"\x89PNG",
        b"<svg/>",
        b'<!DOCTYPE s [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
    ],
)
def test_what_is_no_plain_svg_is_not_shown(data: bytes) -> None:
    assert still_svg(data) is None


def test_colours_meet_wcag_aa_in_both_schemes() -> None:
    css = (Path(_build.__file__).parent / "static" / "style.css").read_text("utf-8")
    light, dark = (
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    )

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    pairs = [
        (ink, paper)
        for ink in ("ink", "soft", "accent")
        for paper in ("paper", "raised", "code", "accent-wash")
    ]
    pairs += [("open", "open-wash"), ("restricted", "restricted-wash"), ("restricted", "accent-wash"), ("ink", "restricted-wash"), ("paper", "accent"),
              ("accent", "restricted-wash"), ("soft", "restricted-wash")]  # fmt: skip
    for scheme in (light, dark):
        for front, back in pairs:
            a, b = sorted((luminance(scheme[front]), luminance(scheme[back])))
            assert (b + 0.05) / (a + 0.05) >= 4.5, (front, back)


@pytest.mark.parametrize("missing", ["jinja2", "markdown_it", "elasticsearch"])
def test_search_in_files_needs_no_extra_and_the_rest_says_which(tmp_path: Path, missing: str) -> None:
    code = f"""
import sys
sys.modules["{missing}"] = None
import dvengine as dv
assert dv.search("x", catalog="{tmp_path}/index") == []
try:
    dv.build_catalog("memory://x", "{tmp_path}/site")
    dv.search("x", catalog="http://127.0.0.1:9/x")
except dv.MissingExtra as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    extra = "search" if missing == "elasticsearch" else "catalog"
    assert f'pip install "dvengine[{extra}]"' in ran.stdout


def test_two_builds_of_one_folder_at_once_leave_one_whole_site(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    package(memory_store)
    site = tmp_path / "site"
    build_catalog(memory_store, site)

    def build() -> None:
        with contextlib.suppress(AccessDenied):  # the slower one may find the other's site in its way
            build_catalog(memory_store, site)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: build(), range(8)))
    assert {p.path.name for p in _pages(site)} == {"index.html", "sykefravaer.html"}
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_litter_of_a_killed_build_is_swept_by_a_later_one(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    package(memory_store)
    for name, age in (
        (".site-0123abcd", 7200),
        (".site-0123abce-old", 7200),
        (".site-0123abcf", 0),
        (".site-notours", 7200),
    ):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    build_catalog(memory_store, tmp_path / "site")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".site-0123abcf", ".site-notours", "site"]


def test_site_behind_a_link_is_built_where_the_link_points(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    package(memory_store)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    build_catalog(memory_store, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "index.html").is_file()


def test_folder_that_cannot_be_written_is_access_denied(
    package: Package, memory_store: Store, tmp_path: Path
) -> None:
    package(memory_store)
    (tmp_path / "file").write_text("x")
    with pytest.raises(AccessDenied, match="cannot be written"):
        build_catalog(memory_store, tmp_path / "file" / "site")


def test_every_page_has_sound_bones(package: Package, memory_store: Store, tmp_path: Path) -> None:
    package(
        memory_store,
        views={"a": b'<svg xmlns="http://www.w3.org/2000/svg"/>'},
        tables={"a": pa.table({"n": [1]}), "b": pa.table({"n": [2]})},
        certified=False,
    )
    for page in _build_site(memory_store, tmp_path / "site").values():
        ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
        assert len(ids) == len(set(ids))
        wanted = [a[key] for _, a in page.elements for key in ("aria-labelledby", "for") if a.get(key)]
        wanted += [(a["href"] or "")[1:] for a in page.all("a") if (a.get("href") or "").startswith("#")]
        assert set(wanted) <= set(ids)
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise([0, *levels]))
        assert all(th.get("scope") for th in page.all("th"))
        assert all("alt" in image for image in page.all("img"))
        assert page.all("html")[0]["lang"] == "en"


def test_linked_data_describe_the_dataset(package: Package, memory_store: Store, tmp_path: Path) -> None:
    package(memory_store)
    page = _build_site(memory_store, tmp_path / "site")["packages/sykefravaer.html"]
    (text,) = [body for attrs, body in page.scripts if attrs.get("type") == "application/ld+json"]
    data = json.loads(text)
    assert data | {
        "@type": "Dataset", "name": "Sykefravær etter kommune", "license": "https://creativecommons.org/licenses/by/4.0/", "dateModified": "2026-11-11T03:00:00Z",
        "publisher": {"@type": "Organization", "name": "Demo agency"}, "variableMeasured": ["kommune", "kjonn", "n", "status"],
    } == data  # fmt: skip


def test_building_tells_how_far_it_is(package: Package, memory_store: Store, tmp_path: Path) -> None:
    package(memory_store, "a")
    package(memory_store, "b")
    seen: list[Event] = []
    stop = subscribe(seen.append)
    build_catalog(memory_store, tmp_path / "site", title="Open data")
    stop()
    assert [(e.state, e.parts) for e in seen if e.stage == "build"] == [
        ("start", 0),
        ("progress", 1),
        ("progress", 2),
        ("end", 2),
    ]
