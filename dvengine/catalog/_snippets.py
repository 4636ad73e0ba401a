"""A few lines to paste, in each language people read tables with. Every name in them is quoted for that language."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Snippet", "snippets"]

_MANY = 8


class Snippet(NamedTuple):
    """Code for one tool."""

    tool: str
    code: str


def snippets(package_url: str, resource: str, files: Sequence[str]) -> list[Snippet]:
    """Return how to read one resource.

    Args:
        package_url: The package's address.
        resource: Its name.
        files: Address of each Parquet part. Beyond eight, only dvengine's own lines are given, for they do not list parts.
    """
    own = Snippet(
        "Python",
        f"import dvengine as dv\n\npackage = dv.open_package({_text(package_url)})\nframe = package[{_text(resource)}].to_polars()",
    )
    if not 0 < len(files) <= _MANY:
        return [own]
    listed = _listed([_text(file) for file in files], "[", "]")
    in_r = _listed([_text(file) for file in files], "c(", ")")
    in_sql = _listed([_sql(file) for file in files], "[", "]")
    pandas = (
        f'pd.read_parquet({_text(files[0])}, dtype_backend="pyarrow")'
        if len(files) == 1
        else f'pd.concat(pd.read_parquet(part, dtype_backend="pyarrow") for part in {listed})'
    )
    return [
        own,
        Snippet("pandas", f"import pandas as pd\n\nframe = {pandas}"),
        Snippet("Polars", f"import polars as pl\n\nframe = pl.read_parquet({listed})"),
        Snippet("DuckDB", f"select * from read_parquet({in_sql});"),  # noqa: S608 - text for the reader, never run here
        Snippet("R", f"library(arrow)\n\nframe <- dplyr::collect(open_dataset({in_r}))"),
    ]


def _listed(quoted: Sequence[str], start: str, end: str) -> str:
    if len(quoted) == 1:
        return f"{start}{quoted[0]}{end}"
    return f"{start}\n    " + ",\n    ".join(quoted) + f"\n{end}"


def _text(value: str) -> str:
    """Quote for Python and for R, which agree on JSON's escapes."""
    return json.dumps(value, ensure_ascii=False)


def _sql(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
