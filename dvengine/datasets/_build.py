"""Datasets out of what the caller has: a source and a request, an object in memory, stored Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from dvengine._errors import InputError
from dvengine.connectors import Request, Source
from dvengine.datasets._dataset import Dataset
from dvengine.datasets._objects import origin_of
from dvengine.datasets._origins import SourceOrigin
from dvengine.stores import Store

__all__ = ["from_object", "from_parquet", "from_source"]


def from_source(source: Source, request: Request, *, name: str | None = None) -> Dataset:
    """Return a dataset of what ``request`` asks of ``source``; nothing is opened."""
    if request.where:
        raise InputError(
            "filters are not part of the request", hint="filter with pipe(lambda lf: lf.filter(…))"
        )
    return Dataset(SourceOrigin(source, request, name or request.label), name=name or request.label)


def from_object(obj: Any, *, name: str | None = None) -> Dataset:
    """Return a dataset of a pandas, Polars, pyarrow or DuckDB object, or of anything with ``__arrow_c_stream__``.

    A pandas frame's named index becomes columns; see `dvengine.arrow`'s pandas edge for the rest. A record batch reader and
    any other stream of unknown kind can be read once.

    Raises:
        InputError: The object offers no Arrow stream.

    Example:
        >>> from_object(pa.table({"n": [1]}), name="tall").schema.names
        ['n']
    """
    if isinstance(obj, Dataset):
        return obj if name in (None, obj.name) else Dataset(obj._origin, name=name)
    return Dataset(origin_of(obj, name or "data"))


def from_parquet(
    store: Store, paths: Sequence[str], *, name: str | None = None, schema: pa.Schema | None = None
) -> Dataset:
    """Return a dataset of the Parquet objects at ``paths``, read in parallel; nothing is opened.

    Args:
        store: Where they lie.
        paths: Exact keys, never patterns.
        name: Defaults to ``parquet``.
        schema: What they must have; None takes the first one's, and the others must agree.

    Raises:
        TypeMapError: When read: an object has another schema; the message names it and the column.
    """
    from dvengine.connectors.files import Files

    source = Files(store, tuple(paths), schema=schema)
    label = name or "parquet"
    return Dataset(SourceOrigin(source, Request(table=label), label), name=label)
