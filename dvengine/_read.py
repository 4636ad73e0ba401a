"""Ways in: SQL sources, files, and objects that are in memory already."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from dvengine._arguments import typed
from dvengine._errors import InputError, NotFound
from dvengine.config import Settings, load_settings
from dvengine.connectors import Request, Source, open_source
from dvengine.connectors.files import CsvOptions
from dvengine.datasets import Dataset, from_files, from_object, from_source

__all__ = ["dataset", "read_files", "read_sql", "snapshot"]

_NAME = re.compile(r"[^\W\d]\w{0,62}(\.\w{1,63})?")


def _source(source: str | Source, settings: Settings | None) -> Source:
    if isinstance(source, str):
        return open_source((settings or load_settings()).source(source))
    if not isinstance(source, Source):
        raise InputError(
            f"a {type(source).__name__} is no source",
            hint="give an alias, an address, or what dv.snapshot gave",
        )
    return source


@typed(texts=("query", "params"))
def read_sql(
    source: str | Source,
    query: str | Path | None = None,
    *,
    table: str | None = None,
    params: Mapping[str, Any] | None = None,
    columns: Sequence[str] | None = None,
    partitions: int | None = None,
    partition_on: str | None = None,
    types: Mapping[str, pa.DataType] | None = None,
    infinity: Literal["raise", "null", "string"] = "raise",
    settings: Settings | None = None,
) -> Dataset:
    """Return a dataset of a query's result or a whole table; nothing runs yet.

    Guarantees: all partitions of one reading see one moment, or the plan says that they do not; every value is exact or the
    read fails and names the column; memory does not grow with rows.

    Args:
        source: An alias of the settings, an address such as ``postgresql://host/db``, or what `snapshot` gave.
        query: One statement, byte for byte; or a file of one, as a `Path` or a name that ends in ``.sql``.
        table: ``table`` or ``schema.table``, instead of a query: cut and read in parallel.
        params: Values for ``%(name)s`` in the query; without params, ``%`` is an ordinary character.
        columns: Only these, in this order.
        partitions: Into how many pieces to cut; None lets the source choose.
        partition_on: A column to cut a query's result on.
        types: Asked-for Arrow types by column; exact, or an error.
        infinity: What to do with an infinite date or timestamp: an error, null, or every column of dates or timestamps as text.
        settings: `dvengine.config.Settings`; None reads the settings file.

    Raises:
        InputError: Both or neither of query and table.
        ConfigError: No such alias or scheme.
        NotFound: The query's file is not there.

    Example:
        >>> read_sql("postgresql://db.example/registry", table="ytelse.vedtak")
        Dataset(ytelse.vedtak: not read, schema not asked for yet)
    """
    if (query is None) == (table is None):
        raise InputError("give either a query or table=", hint='for example table="vedtak"')
    if table is not None and params is not None:
        raise InputError("params belong to a query", hint="filter a table with pipe(lambda lf: lf.filter(…))")
    if isinstance(query, str) and _NAME.fullmatch(query.strip()) and not _is_file(query):
        raise InputError(
            "the query is one word, and no statement is", hint=f'for a whole table: table="{query.strip()}"'
        )
    text = _statement(query) if query is not None else None
    name = Path(str(query)).stem if query is not None and _is_file(query) else None
    request = Request(
        query=text,
        table=table,
        params=dict(params) if params is not None else None,
        columns=tuple(columns) if columns is not None else None,
        partition_on=partition_on,
        partitions=partitions,
        types=dict(types or {}),
        options={} if infinity == "raise" else {"infinity": infinity},  # not every source knows the word
    )
    return from_source(_source(source, settings), request, name=name)


def _is_file(query: str | Path) -> bool:
    return isinstance(query, Path) or (query.endswith(".sql") and "\n" not in query)


def _statement(query: str | Path) -> str:
    if not _is_file(query):
        return str(query)
    path = Path(query)
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise NotFound(f"there is no query file {path.name!r}", hint=f"looked in {path.parent}") from None
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path.name!r} cannot be read as text", hint="it must be a UTF-8 file") from None


@typed()
@contextmanager
def snapshot(source: str | Source, *, settings: Settings | None = None) -> Iterator[Source]:
    """Give a source all of whose readings see one moment, until the context ends.

    Raises:
        NotSupported: The source has no snapshot.

    Example:
        >>> from dvengine.connectors.files import Files
        >>> from dvengine.stores import open_store
        >>> _ = dataset(pa.table({"n": [1, 2]})).write_parquet("memory://moment/fangst.parquet", overwrite=True)
        >>> with snapshot(Files(open_store("memory://moment"), ("fangst.parquet",))) as moment:
        ...     fangst = read_sql(moment, table="fangst")
        ...     fangst.to_arrow().num_rows, fangst.lineage[0]["consistent"]
        (2, True)
    """
    with _source(source, settings).pin() as pinned:
        yield pinned


@typed()
def read_files(
    files: str | Path | Sequence[str | Path],
    *,
    format: Literal["parquet", "csv"] | None = None,  # noqa: A002 - the word users know
    schema: Mapping[str, pa.DataType] | pa.Schema | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    decimal: str = ".",
    skip_rows: int = 0,
    hive: bool = True,
    name: str | None = None,
    settings: Settings | None = None,
) -> Dataset:
    """Return a dataset of Parquet or CSV files; they are listed now and read later, in parallel.

    Guarantees: all files have one schema, or the read fails and names the file and the column; page checksums are verified,
    and the rows are those that the files promise; nothing is guessed from values: **every CSV column is text** unless
    ``schema`` gives it a type, so codes keep their zeros. A folder that `Dataset.write_parquet` filled is read as its manifest says:
    whole, or not at all.

    Args:
        files: A path, an address, a folder, or a pattern with ``*``, ``[…]`` and ``**/``; or several. In an address, special
            characters of a name are percent-encoded, and ``?`` begins options.
        format: None goes by the names.
        schema: Types by column, exact or an error. An empty CSV cell is null; a quoted empty one is empty text.
        delimiter: None finds ``;``, tab or ``,`` in the CSV's header.
        encoding: Of CSV: ``utf-8`` (with or without a byte order mark), ``latin-1``, ``cp1252``, ``utf-16``; never guessed.
        decimal: The decimal sign of CSV columns that are given a number type.
        skip_rows: Lines before the CSV's header.
        hive: Folders ``name=value`` become text columns, exactly as spelled.
        name: What to call the dataset.
        settings: `dvengine.config.Settings`; None reads the settings file.

    Raises:
        NotFound: Nothing matches.
        InputError: A ragged CSV row (file and row are named), or text that is not in the encoding.
        VerificationFailed: A damaged Parquet file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Path(folder, "komm.csv").open("w") as file:
        ...         print("kommune;antall", "0301;12", sep=chr(10), file=file)
        ...     read_files(f"{folder}/*.csv", schema={"antall": pa.int64()}).to_arrow().to_pylist()
        [{'kommune': '0301', 'antall': 12}]
    """
    options = CsvOptions(delimiter=delimiter, encoding=encoding, decimal=decimal, skip_rows=skip_rows)
    return from_files(
        files, format=format, schema=schema, csv=options, hive_folders=hive, name=name, settings=settings
    )


@typed()
def dataset(obj: Any, *, name: str | None = None) -> Dataset:
    """Return a dataset of something in memory: pandas, Polars, pyarrow, DuckDB, anything with ``__arrow_c_stream__``.

    A pandas frame's named index becomes columns, an unnamed ``RangeIndex`` is left out, and any other unnamed index is an error;
    NaN becomes null there, and frames are never changed.

    Example:
        >>> import pandas as pd
        >>> dataset(pd.DataFrame({"n": [12]}, index=pd.Index(["0301"], name="kommune"))).to_arrow().to_pylist()
        [{'kommune': '0301', 'n': 12}]
    """
    return from_object(obj, name=name)
