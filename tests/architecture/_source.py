"""What the source says, read as syntax trees: nothing is imported to find out."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "dvengine"


@dataclass(frozen=True)
class Import:
    """One import as written; ``target`` is the full dotted name, ``names`` what is taken from it."""

    target: str
    names: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Module:
    path: Path
    name: str  # dotted, without the leading "dvengine."; "" is the root
    text: str
    tree: ast.Module

    @property
    def where(self) -> str:
        return str(self.path.relative_to(REPOSITORY))


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text("utf-8")
        found.append(Module(path, name, text, ast.parse(text, str(path))))
    return tuple(found)


def is_type_checking(node: ast.AST) -> bool:
    """Whether a node is ``if TYPE_CHECKING:``."""
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Visit what runs: everything, inside functions too, but what only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            for other in child.orelse:  # type: ignore[attr-defined]
                yield other
                yield from walk(other)
        else:
            yield child
            yield from walk(child)


def imports(module: Module) -> Iterator[Import]:
    """Every import that may run, including ``require("library", …)`` and ``import_module("library")``.

    A ``require`` whose result is dropped only asks whether an extra is there, for a room below to use.
    """
    asked_only = {id(node.value) for node in walk(module.tree) if isinstance(node, ast.Expr)}
    for node in walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, (), node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.where}:{node.lineno}: imports are absolute"
            yield Import(node.module or "", tuple(alias.name for alias in node.names), node.lineno)
        elif isinstance(node, ast.Call) and node.args and id(node) not in asked_only:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            ours = called == "require" and any(keyword.arg == "extra" for keyword in node.keywords)
            if (
                (ours or called in ("import_module", "find_spec", "__import__"))
                and isinstance(first, ast.Constant)
                and isinstance(first.value, str)
            ):
                yield Import(first.value, (), node.lineno)


def is_third_party(target: str) -> bool:
    root = target.partition(".")[0]
    return root != "dvengine" and root not in sys.stdlib_module_names and root != "__future__"
