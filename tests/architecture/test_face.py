"""The public face: what is listed is there, documented, and costs nothing to import."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from _source import REPOSITORY, is_type_checking, modules

import dvengine

every_name = pytest.mark.parametrize("name", dvengine.__all__)


def test_all_is_exactly_the_names_with_a_home() -> None:
    assert dvengine.__all__ == sorted(dvengine._HOME)


def test_type_checkers_see_the_same_homes() -> None:
    root = next(module for module in modules() if module.name == "")
    seen = {}
    for block in root.tree.body:
        if is_type_checking(block):
            for node in block.body:  # type: ignore[attr-defined]
                assert isinstance(node, ast.ImportFrom)
                for alias in node.names:
                    assert alias.asname == alias.name  # the form that re-exports
                    seen[alias.name] = node.module.removeprefix("dvengine.")
    assert seen == dvengine._HOME


@every_name
def test_public_name_resolves_in_its_home(name: str) -> None:
    value = getattr(dvengine, name)
    assert value.__module__ == f"dvengine.{dvengine._HOME[name]}"
    assert name in dir(dvengine)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        dvengine.no_such_thing  # noqa: B018


@every_name
def test_public_name_is_no_modules_name(name: str) -> None:
    """Else importing the module would put it where the function was."""
    taken = {module.name.partition(".")[0] for module in modules()}
    assert name not in taken
    assert name != dvengine._HOME[name].rpartition(".")[2]


@every_name
def test_public_object_is_described_with_an_example_that_runs(name: str) -> None:
    value = getattr(dvengine, name)
    text = inspect.getdoc(value) or ""
    assert text
    if (
        isinstance(value, type)
        and issubclass(value, dvengine.DvengineError)
        and value is not dvengine.DvengineError
    ):
        return  # an error's example is its root's; what each one means is in its line
    assert "Example" in text
    assert ">>>" in text
    assert "+SKIP" not in text


HEAVY = ["polars", "pyarrow", "pandas", "duckdb", "numpy", "pydantic", "rich", "typer", "importlib.metadata"]
MEASURE = f"""
import json, sys, time
began = time.perf_counter()
import dvengine
print(json.dumps([time.perf_counter() - began, [name for name in {HEAVY} if name in sys.modules]]))
"""


def test_import_is_quick_and_brings_no_library() -> None:
    seconds = []
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE], capture_output=True, check=True, text=True, cwd=REPOSITORY
        )
        took, brought = json.loads(done.stdout)
        assert brought == []
        seconds.append(took)
    assert min(seconds) < 0.080


def test_import_reads_no_settings_and_writes_nothing(tmp_path: Path) -> None:
    # An unreadable settings file and an empty home would show at once if importing looked for them.
    code = "import sys; sys.addaudithook(lambda event, args: print(args[0]) if event == 'open' else None); import dvengine"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, check=True, text=True, cwd=tmp_path,
        env={"HOME": str(tmp_path), "DVENGINE_SETTINGS": str(tmp_path / "none.toml"), "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert "none.toml" not in done.stdout
    assert "settings" not in done.stdout
    assert list(tmp_path.iterdir()) == []
