"""The docs are true: links lead somewhere, code compiles, the README shows the script that runs, generated pages are fresh."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("benchmarks/**/*.md"),
        ROOT / "tests" / "README.md",
    ]
)


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_relative_link_leads_to_a_file(page):
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_python_block_compiles(page):
    for block in blocks(page, "python"):
        if page.name != "api.md":
            ast.parse(block)


def test_readme_shows_the_script_that_the_demo_runs():
    script = (ROOT / "docs" / "tutorial" / "main_job.py").read_text("utf-8")
    assert script in blocks(ROOT / "README.md", "python")


def test_main_job_stays_short_and_public():
    script = (ROOT / "docs" / "tutorial" / "main_job.py").read_text("utf-8")
    tree = ast.parse(script)
    assert len(tree.body) <= 30
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not any(part.startswith("_") for part in (node.module or "").split("."))


@pytest.mark.slow
def test_generated_pages_are_fresh():
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "build.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_page_of_the_docs_is_in_the_navigation():
    nav = (ROOT / "zensical.toml").read_text("utf-8")
    for page in ROOT.glob("docs/**/*.md"):
        assert f'"{page.relative_to(ROOT / "docs")}"' in nav


def test_every_picture_is_used():
    text = "".join(page.read_text("utf-8") for page in PAGES)
    for picture in ROOT.glob("docs/images/*"):
        assert picture.name in text
