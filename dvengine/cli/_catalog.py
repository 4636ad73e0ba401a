"""catalog build, and search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dvengine.cli._options import Json
from dvengine.cli._output import Output

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="The static catalogue site.", no_args_is_help=True)
    group.command("build", epilog="Example: dvengine catalog build --store open-data --out site/")(build)
    app.add_typer(group, name="catalog")
    app.command(epilog='Example: dvengine search "sykefravær kommune" --catalog open')(search)


def build(
    store: Annotated[str, typer.Option(help="Alias, URL or path of the store to show.")],
    out: Annotated[Path, typer.Option(help="Folder to write the site into; replaced whole.")],
    title: Annotated[str, typer.Option(help="The site's title.")] = "Catalogue",
    access: Annotated[
        str | None,
        typer.Option(help="Show only packages of this access level: open, internal or restricted."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a static site of every package in a store; it works without JavaScript and from a file."""
    import dvengine as dv

    built = dv.build_catalog(store, out, title=title, access=access)
    Output(as_json=as_json).result(
        {
            "packages": len(built.packages), "pages": built.pages, "path": str(built.path),
            "problems": list(built.problems),
        }
    )  # fmt: skip


def search(
    text: Annotated[str, typer.Argument(help="Words to look for.")],
    catalog: Annotated[str, typer.Option(help="Alias or address of the catalogue.")],
    size: Annotated[int, typer.Option(min=1, max=1000, help="At most so many hits.")] = 20,
    as_json: Json = False,
) -> None:
    """Find published packages by their metadata."""
    import dvengine as dv

    hits = dv.search(text, catalog=catalog, size=size)
    rows = [{"id": hit.id, "title": hit.title, "url": hit.url, "score": hit.score} for hit in hits]
    shown = "\n".join(f"{row['title']}\n  {row['url']}" for row in rows) or "nothing found"
    Output(as_json=as_json).result({"hits": rows}, text=shown)
