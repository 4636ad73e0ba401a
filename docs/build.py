"""Write the generated reference pages, then build the site strictly.

python docs/build.py            pages and site (into site/)
python docs/build.py --check    fail if a generated page is stale; builds nothing
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent


def api_page() -> str:
    """One heading a public name, with its signature and docstring."""
    import dvengine as dv

    lines = ["# API", "", "Generated from the docstrings. Everything here is importable from `dvengine`.", ""]
    errors = [
        n for n in dv.__all__ if inspect.isclass(getattr(dv, n)) and issubclass(getattr(dv, n), Exception)
    ]
    for name in dv.__all__:
        if name in errors:
            continue
        thing = getattr(dv, name)
        lines += [f"## {name}", "", "```python", _signature(name, thing), "```", "", *_doc(thing), ""]
        if inspect.isclass(thing):
            for attribute, member in sorted(vars(thing).items()):
                if not attribute.startswith("_") and inspect.isfunction(member) and member.__doc__:
                    lines += [
                        f"### {name}.{attribute}",
                        "",
                        "```python",
                        _signature(attribute, member),
                        "```",
                        "",
                        *_doc(member),
                        "",
                    ]
    return "\n".join(lines).rstrip() + "\n"


def _signature(name: str, thing: object) -> str:
    try:
        return f"{name}{inspect.signature(thing)}"  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return name


def _doc(thing: object) -> list[str]:
    text = inspect.getdoc(thing) or ""
    return ["```text", *text.splitlines(), "```"]


def errors_page() -> str:
    """The error tree as it stands in the code."""
    from dvengine import _errors

    tree = inspect.cleandoc(_errors.__doc__ or "")
    return "\n".join(
        ["# Errors", "", "Generated from `dvengine/_errors.py`.", "", "```text", tree, "```", ""]
    )


def cli_page() -> str:
    """Each command's help, as printed."""
    commands = [
        [],
        ["extract"],
        ["publish"],
        ["verify"],
        ["catalog"],
        ["catalog", "build"],
        ["search"],
        ["doctor"],
        ["demo"],
    ]
    lines = ["# Command line", "", "Generated from `--help`.", ""]
    for words in commands:
        shown = " ".join(["dvengine", *words])
        printed = subprocess.run(
            [sys.executable, "-m", "dvengine", *words, "--help"], capture_output=True, text=True, check=True,
            env={"COLUMNS": "100", "TERMINAL_WIDTH": "100", "PATH": "/usr/bin:/bin", "NO_COLOR": "1"},
        ).stdout  # fmt: skip
        lines += [
            f"## {shown}",
            "",
            "```text",
            *(line.rstrip() for line in printed.strip().splitlines()),
            "```",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


PAGES = {"reference/api.md": api_page, "reference/errors.md": errors_page, "reference/cli.md": cli_page}


def main() -> int:
    """Generate, or check."""
    check = "--check" in sys.argv
    stale = []
    for path, make in PAGES.items():
        file, text = DOCS / path, make()
        if not file.exists() or file.read_text("utf-8") != text:
            stale.append(path)
            if not check:
                file.write_text(text, "utf-8")
    if check:
        for path in stale:
            sys.stderr.write(f"stale: docs/{path}; run make docs\n")
        return 1 if stale else 0
    return subprocess.run(
        [Path(sys.executable).with_name("zensical"), "build", "--strict", "--clean"], cwd=ROOT, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
