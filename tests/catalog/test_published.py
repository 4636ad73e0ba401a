"""A package that was really published: found by its words, shown with its proof."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import altair as alt
import duckdb
import polars as pl
from test_site import Page

import dvengine as dv
from dvengine.config import Settings


def _snippets(page: Page) -> dict[str, str]:
    html = page.path.read_text("utf-8")
    found = re.findall(r"<summary>([^<]*)</summary>\s*<pre[^>]*><code>(.*?)</code></pre>", html, re.DOTALL)
    return {tool: unescape(code) for tool, code in found}


def test_published_safe_table_is_found_and_shown_with_its_certificate(tmp_path: Path) -> None:
    rows = [
        (k, s)
        for k, s, n in (
            ("0301", "K", 40),
            ("0301", "M", 30),
            ("1103", "K", 2),
            ("1103", "M", 25),
            ("5601", "K", 9),
            ("5601", "M", 3),
        )
        for _ in range(n)
    ]
    table = dv.tabulate(
        pl.DataFrame(rows, schema=["kommune", "kjonn"], orient="row"), by=["kommune", "kjonn"]
    )
    safe = dv.suppress(table, rule=dv.Threshold(5))
    chart = alt.Chart(safe.frame.filter(kjonn="total")).mark_bar().encode(x="n:Q", y="kommune:N")
    settings = Settings(
        {
            "stores": {"open-data": {"url": f"file://{tmp_path}/store"}},
            "catalogs": {"open": {"url": f"file://{tmp_path}/index", "access": "open"}},
        },
        environ={},
    )
    package = dv.DataPackage(
        name="sykefravaer", title={"nb": "Sykefravær etter kommune", "en": "Sick leave"}, license="CC-BY-4.0", publisher="Demo agency",
        contact="statistikk@example.org", access="open", keywords=["helse"],
    )  # fmt: skip
    package.add("tabell", safe, title="Personer", fields={"kommune": "Kommunenummer"})
    package.add_view("fylker", chart, title="Etter kommune", resource="tabell")
    package.add_view("om", "Om **tallene**", title="Om")
    release = dv.publish(package, "open-data", catalog="open", settings=settings)
    assert release.indexed

    (hit,) = dv.search("sykefraværet kommuner", catalog="open", settings=settings)
    assert (hit.name, hit.url, hit.version, hit.access) == ("sykefravaer", release.url, 1, "open")

    built = dv.build_catalog("open-data", tmp_path / "site", title="Open data", settings=settings)
    assert (built.packages, built.problems) == (("sykefravaer",), ())
    page = Page(built.path.parent / "packages" / "sykefravaer.html")
    page.check()
    certificate = safe.certificate
    assert f"{certificate.hidden} of {certificate.cells} cells" in page.words
    assert page.words.count("hidden to protect persons") == safe.frame["n"].null_count()
    assert "Kommunenummer" in page.words

    # Every line that the page offers to be copied gives the same table.
    offered = _snippets(page)
    assert list(offered) == ["Python", "pandas", "Polars", "DuckDB", "R"]
    for tool in ("Python", "pandas", "Polars"):
        space: dict[str, object] = {}
        exec(offered[tool], space)
        assert pl.DataFrame(space["frame"]).equals(safe.frame), tool
    assert duckdb.sql(offered["DuckDB"]).pl().equals(safe.frame)
    assert "Om tallene" in page.words
    assert len(list((tmp_path / "site" / "packages").rglob("*.svg"))) == 1
    assert any(
        link.endswith(".parquet") and (page.path.parent / link).resolve().is_file() for link in page.links()
    )


def test_the_page_says_which_rule_was_overridden_where_and_why(tmp_path: Path) -> None:
    package = dv.DataPackage(
        name="fisk", title="Fisk", license="CC0-1.0", publisher="Demo agency", contact="post@example.org", access="open"
    )  # fmt: skip
    package.add("fangst", pl.DataFrame({"art": ["torsk"], "tonn": [12]}))
    dv.publish(package, tmp_path / "store", reason="Fish are no persons")
    dv.build_catalog(tmp_path / "store", tmp_path / "site")
    words = Page(tmp_path / "site" / "packages" / "fisk.html").words
    assert re.search(r"uncertified-table ?, resource 'fangst' ?: Fish are no persons", words)


def test_the_legend_does_not_deny_that_zeros_may_be_covered(tmp_path: Path) -> None:
    counts = pl.DataFrame(
        {"r": ["a"] * 5 + ["b"] * 5, "k": list("vwxyz") * 2, "n": [1, 1, 1, 1, 0, *[20] * 5]}
    )
    safe = dv.suppress(dv.Tabulation.from_frame(counts, ["r", "k"]), rule=dv.Threshold(5))
    assert safe.frame.filter(r="a", k="z")["n"].to_list() == [None]
    package = dv.DataPackage(name="fisk", title="Fisk")
    package.add("tabell", safe)
    dv.publish(package, tmp_path / "store")
    dv.build_catalog(tmp_path / "store", tmp_path / "site")
    words = Page(tmp_path / "site" / "packages" / "fisk.html").words
    assert "can be zero only where a sum that it is part of is hidden too" in words
    assert "every small number stays uncertain" in words
