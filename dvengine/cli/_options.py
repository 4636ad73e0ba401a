"""Options that every command shares."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Json", "ProgressMode"]

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, errors included.")]
ProgressMode = Annotated[
    str,
    typer.Option(
        "--progress", help="auto, rich, plain, json or none; drawn on standard error.", metavar="MODE"
    ),
]
