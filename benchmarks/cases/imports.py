"""What `import dvengine` costs, beside the libraries that a user has anyway."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from benchmarks._case import OURS, Case, Contender, Job


def _importing(module: str, name: str | None = None) -> Callable[[Job], Callable[[], Any]]:
    def prepare(job: Job) -> Callable[[], Any]:
        def work() -> None:
            loaded = import_module(module)
            if name:
                getattr(loaded, name)

        return work

    return prepare


CASE = Case(
    name="imports",
    title="import, in a fresh process",
    tables=("none",),
    contenders=(
        Contender(OURS, _importing("dvengine"), None, "loads its parts at first use"),
        Contender("dvengine.read_sql, first use", _importing("dvengine", "read_sql"), None),
        *(Contender(f"import {name}", _importing(name), None) for name in ("pyarrow", "polars", "pandas")),
    ),
    ratios=False,
)
