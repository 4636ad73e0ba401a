"""Options that every command shares."""

from __future__ import annotations

import resource
import sys
from typing import Annotated

import typer

__all__ = ["Json", "ProgressMode", "peak_mb"]

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, errors included.")]
ProgressMode = Annotated[
    str,
    typer.Option(
        "--progress", help="auto, rich, plain, json or none; drawn on standard error.", metavar="MODE"
    ),
]


def peak_mb() -> float:
    """Return this process's peak resident memory in MB (10**6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6, 1)
