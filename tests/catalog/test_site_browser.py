"""The site in a real Chromium: the policy holds, nothing of a package runs, nothing overflows, and the search box finds."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from test_site import HOSTILE

from dvengine.catalog import build_catalog
from dvengine.stores import Manifest, Store

Package = Callable[..., Manifest]

ACTIVE_SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20" onload="alert(1)"><script>alert(1)</script>'
    b'<rect width="30" height="10" fill="#0a5a6e"/></svg>'
)


class Visit:
    """A page that was opened, and everything it said or did."""

    def __init__(self, browser: Any, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on(
            "dialog", lambda dialog: (self.said.append(f"dialog: {dialog.message}"), dialog.dismiss())
        )
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, url: str) -> Any:
        self.page.goto(url)
        self.page.wait_for_load_state("load")
        return self.page

    def overflow(self) -> int:
        return int(
            self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        )


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []

    def start(**context: Any) -> Visit:
        visits.append(Visit(chromium, **context))
        return visits[-1]

    yield start
    for each in visits:
        each.context.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A plain web server whose root is above the site, so that the site lies under a sub-path."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def _hostile(package: Package, store: Store) -> None:
    for number, text in enumerate(HOSTILE):
        package(
            store, f"hostile-{number}", tables={text: pa.table({text: [text], "n": [1]})}, certified=False, views={text: ACTIVE_SVG}, title=text,
            description=text, keywords=[text], sources=[{"title": text}], contributors=[{"title": text, "email": text, "path": text, "roles": ["publisher", "contact"]}],
            licenses=[{"name": text, "path": text}],
        )  # fmt: skip


def test_no_script_of_a_package_runs_and_the_policy_is_never_broken(
    package: Package, memory_store: Store, tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    _hostile(package, memory_store)
    site = build_catalog(memory_store, tmp_path / "site", title="</title><script>alert(1)</script>").path
    seen = visit()
    for path in [site, *sorted((site.parent / "packages").glob("*.html"))]:
        seen.open(path.as_uri())
        assert seen.page.evaluate("document.scripts.length") == 2, path.name
        assert seen.overflow() <= 0
    for picture in sorted((site.parent / "packages").rglob("*.svg"))[:2]:
        seen.open(picture.as_uri())
    assert seen.said == []
    assert all(url.startswith("file://") for url in seen.requests)


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_pages_load_without_a_word_on_the_console_and_ask_nobody_else(
    package: Package,
    memory_store: Store,
    tmp_path: Path,
    visit: Callable[..., Visit],
    served: str,
    scheme: str,
) -> None:
    package(memory_store, views={"Utvikling": ACTIVE_SVG})
    package(memory_store, "annen", title="Annen pakke")
    build_catalog(memory_store, tmp_path / "under" / "site")
    root = (tmp_path / "under" / "site").as_uri() if scheme == "file" else f"{served}/under/site"
    seen = visit()
    page = seen.open(f"{root}/index.html")
    page.get_by_role("link", name="Sykefravær etter kommune").click()
    page.wait_for_url("**/packages/sykefravaer.html")
    picture = page.get_by_alt_text("Utvikling. The numbers are in the table sykefravaer.")
    picture.scroll_into_view_if_needed()
    page.wait_for_function("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    assert page.evaluate("getComputedStyle(document.querySelector('.facts')).display") == "grid", (
        "the style sheet was not applied"
    )
    assert seen.said == []
    assert all(url.startswith(root) for url in seen.requests)


def test_policy_stops_what_would_slip_through(
    package: Package, memory_store: Store, tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    package(memory_store)
    site = build_catalog(memory_store, tmp_path / "site").path
    page = site.parent / "packages" / "sykefravaer.html"
    page.write_text(
        page.read_text("utf-8").replace(
            "</article>",
            "<img src=x onerror='document.title=1'><script>document.title = 2</script></article>",
        )
    )
    seen = visit()
    opened = seen.open(page.as_uri())
    assert opened.title().startswith("Sykefravær")
    assert sum("Content Security Policy" in line for line in seen.said) >= 2


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_page_is_wider_than_its_window(
    package: Package, memory_store: Store, tmp_path: Path, visit: Callable[..., Visit], width: int
) -> None:
    wide = pa.table({f"en_ganske_lang_kolonne_{i}": ["x" * 100] for i in range(30)})
    package(
        memory_store,
        tables={"t" * 80: wide},
        title="Arbeidsmarkedsintegreringsforordningen" * 4,
        keywords=["k" * 120],
        views={"v": ACTIVE_SVG},
    )
    site = build_catalog(memory_store, tmp_path / "site", title="T" * 120).path
    seen = visit(viewport={"width": width, "height": 800})
    for path in (site, site.parent / "packages" / "sykefravaer.html"):
        seen.open(path.as_uri())
        assert seen.overflow() <= 0, path.name


def test_search_box_appears_with_javascript_and_finds_inflected_words(
    package: Package, memory_store: Store, tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    package(memory_store, "a", title="Arbeidsledige i hver kommune", description="", keywords=[])
    package(
        memory_store,
        "b",
        title="Stønader",
        description="",
        keywords=["økonomi"],
        **{"dvengine:access": "internal"},
    )
    site = build_catalog(memory_store, tmp_path / "site").path
    seen = visit()
    page = seen.open(site.as_uri())

    def found(text: str) -> list[str]:
        page.get_by_label("Search").fill(text)
        return list(page.locator(".card:not([hidden]) h2").all_inner_texts())

    assert len(found("")) == 2
    assert found("arbeidsledig kommuner") == ["Arbeidsledige i hver kommune"]
    assert found("stønaden") == ["Stønader"]
    assert found("ØKONOMI") == ["Stønader"]
    assert found("ledige") == ["Arbeidsledige i hver kommune"]
    assert found("traktor") == []
    assert page.locator("#found").inner_text().startswith("No package fits")
    found("")
    page.get_by_label("Access").select_option("internal")
    assert page.locator(".card:not([hidden]) h2").all_inner_texts() == ["Stønader"]
    assert seen.said == []


def test_everything_is_there_without_javascript(
    package: Package, memory_store: Store, tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    package(memory_store, "a", views={"Utvikling": ACTIVE_SVG})
    package(memory_store, "b", title="Annen")
    site = build_catalog(memory_store, tmp_path / "site").path
    seen = visit(java_script_enabled=False)
    page = seen.open(site.as_uri())
    assert page.locator(".card h2").count() == 2
    assert not page.locator("#search").is_visible()
    page.get_by_role("link", name="Sykefravær etter kommune").click()
    page.get_by_text("DuckDB", exact=True).click()
    assert page.get_by_text("select * from read_parquet").is_visible()


def test_code_tabs_are_driven_by_the_keyboard(
    package: Package, memory_store: Store, tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    package(memory_store)
    site = build_catalog(memory_store, tmp_path / "site").path
    seen = visit()
    page = seen.open((site.parent / "packages" / "sykefravaer.html").as_uri())
    page.get_by_role("tab", name="Python").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="pandas").get_attribute("aria-selected") == "true"
    assert page.get_by_text("pd.read_parquet").is_visible()
    assert not page.get_by_text("dv.open_package").is_visible()
    assert seen.said == []


def test_first_tab_stop_skips_to_the_content(
    package: Package, memory_store: Store, tmp_path: Path, visit: Callable[..., Visit]
) -> None:
    package(memory_store)
    site = build_catalog(memory_store, tmp_path / "site").path
    page = visit().open(site.as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
