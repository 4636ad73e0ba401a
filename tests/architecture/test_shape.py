"""The form of the code: size, names, banned calls, and what the repository may not say."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator

from _source import REPOSITORY, Module, modules, walk


def test_modules_are_short_and_named_for_what_they_hold() -> None:
    long = [f"{m.where}: {m.text.count(chr(10))} lines" for m in modules() if m.text.count("\n") > 400]
    vague = [
        m.where for m in modules() if m.path.stem.strip("_") in ("utils", "util", "helpers", "common", "misc")
    ]
    assert not long + vague, "\n".join(long + vague)


def test_every_all_is_a_sorted_literal_without_repeats() -> None:
    wrong = [
        module.where for module in modules() for names in listed_names(module) if names != in_order(names)
    ]
    assert not wrong, "\n".join(wrong)


def listed_names(module: Module) -> Iterator[list[str]]:
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and [getattr(t, "id", "") for t in node.targets] == ["__all__"]:
            yield list(ast.literal_eval(node.value))


def in_order(names: list[str]) -> list[str]:
    """CONSTANTS, then Classes, then functions: as the linter sorts."""

    def key(name: str) -> tuple[int, str]:
        if name.isupper() and len(name) > 1:
            return 0, name
        return (1 if name.lstrip("_")[:1].isupper() else 2), name

    return sorted(set(names), key=key)


BANNED = {
    "scan_arrow_c_stream": "gives 0 rows without an error when the plan is collected twice",
    "collect_batches": "never closes its source",
}


def test_no_call_that_loses_rows_in_silence() -> None:
    found = [
        f"{module.where}:{node.lineno} {node.attr} {BANNED[node.attr]}"
        for module in modules()
        for node in walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in BANNED
    ]
    assert not found, "\n".join(found)


def test_no_file_object_in_stores_closes_itself_when_collected() -> None:
    """An ``io.IOBase`` closes in ``__del__``: after an exception that would publish a short, valid file."""
    found = [
        f"{module.where}:{node.lineno} {node.name}({ast.unparse(base)})"
        for module in modules()
        if module.name.partition(".")[0] == "stores"
        for node in walk(module.tree)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if ast.unparse(base).rpartition(".")[2] in dir(io)
    ]
    assert not found, "\n".join(found)


def test_catching_everything_says_why() -> None:
    """A comment on the line, before it, or first thing inside; ``noqa`` alone is no reason."""
    found = []
    for module in modules():
        said = {
            token.start[0]
            for token in tokenize.generate_tokens(io.StringIO(module.text).readline)
            if token.type == tokenize.COMMENT and not BARE.fullmatch(token.string)
        }
        found += [
            f"{module.where}:{line}" for line in wide_catches(module) if not said & {line - 1, line, line + 1}
        ]
    assert not found, "\n".join(found)


BARE = re.compile(r"#\s*(noqa(: [A-Z0-9, ]+)?|type: ignore.*|fmt: .*)")


def wide_catches(module: Module) -> Iterator[int]:
    for node in walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and catches_everything(node.type):
            # One that goes on failing, in its own words or ours, needs no excuse.
            if not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
                yield node.lineno
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "suppress":
            yield from [node.lineno for argument in node.args if catches_everything(argument)]


def catches_everything(kind: ast.expr | None) -> bool:
    if isinstance(kind, ast.Tuple):
        return any(catches_everything(element) for element in kind.elts)
    return kind is None or ast.unparse(kind) in ("Exception", "BaseException")


# Spelled in pieces, or this file would be the first to break the rule.
REGISTRIES = [
    "pypi" + ".org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com", "yarn" + "pkg.com", "crates" + ".io",
    "anaconda" + ".org", "repo." + "maven." + "apache.org", "repo1." + "maven" + ".org", "proxy." + "golang.org", "ghcr" + ".io",
    "rubygems" + ".org", "artifact" + "ory",
]  # fmt: skip
MACHINE = re.compile(r"(?<![\w.:~$}*/-])/(?:" + "|".join(["wo" + "rk", "ro" + "ot", "fa" + "rm"]) + r")/")


def test_no_file_names_a_registry_or_a_folder_of_some_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    ).stdout
    found = []
    for name in filter(None, listed.decode().split("\0")):
        path = REPOSITORY / name
        if not path.is_file() or b"\0" in (data := path.read_bytes())[:8192]:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            if MACHINE.search(line) or any(host in line for host in REGISTRIES):
                found.append(f"{name}:{number}")
    assert not found
