"""demo: the main job, end to end, on a synthetic registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dvengine.cli._options import Json, ProgressMode
from dvengine.cli._output import Output

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: dvengine demo --persons 100000 --json")(demo)


def demo(
    persons: Annotated[
        int, typer.Option(min=1_000, max=10_000_000, help="Size of the synthetic population.")
    ] = 100_000,
    store: Annotated[
        str | None, typer.Option(help="Store to publish to (s3://…); default: a folder.", envvar="STORE")
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(help="Elasticsearch to index in (http://…); default: files.", envvar="SEARCH"),
    ] = None,
    work: Annotated[Path, typer.Option(help="Folder for the database, the store and the pages.")] = Path(
        ".demo"
    ),
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the catalogue page when done.")
    ] = False,
    progress: ProgressMode = "auto",
    as_json: Json = False,
) -> None:
    """Load a synthetic registry into PostgreSQL, run the main job on it, and show the page. No row describes a real person."""
    from dvengine.demo._run import run_demo

    summary = run_demo(work, persons=persons, store=store or None, search=search or None, progress=progress)
    Output(as_json=as_json).result(summary)
    if open_page and not as_json:
        typer.launch(str(summary["page"]))
