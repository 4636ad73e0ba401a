"""Datasets of files: a path, an address or a pattern, or several of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import pyarrow as pa

from dvengine._errors import InputError, NotFound
from dvengine.config import Settings, load_settings, local_path
from dvengine.connectors import Request
from dvengine.connectors.files import CsvOptions, Files, find, hive
from dvengine.datasets._dataset import Dataset
from dvengine.datasets._origins import SourceOrigin
from dvengine.stores import Store, open_store

__all__ = ["from_files", "located"]

Format = Literal["parquet", "csv"]
_ENDINGS: dict[str, Format] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".tsv": "csv",
    ".txt": "csv",
}


def from_files(
    files: str | Path | Sequence[str | Path],
    *,
    format: Format | None = None,  # noqa: A002 - the word users know
    schema: Mapping[str, pa.DataType] | pa.Schema | None = None,
    csv: CsvOptions | None = None,
    hive_folders: bool = True,
    name: str | None = None,
    settings: Settings | None = None,
) -> Dataset:
    """Return a dataset of files; they are listed now and read later. See `dvengine.read_files`."""
    wanted = [files] if isinstance(files, str | Path) else list(files)
    if not wanted:
        raise InputError("no file is given", hint="give a path, an address or a pattern")
    settings = settings or load_settings()
    store: Store | None = None
    paths: list[str] = []
    for one in wanted:
        found_store, found = located(one, settings, format=format)
        if store is not None and found_store.url != store.url:
            raise InputError(
                "the files lie in different folders or stores",
                hint="use one pattern such as folder/**/*.parquet, or read them apart and join with sql(…, other=…)",
            )
        store = store or found_store
        paths += found
    assert store is not None
    paths = list(dict.fromkeys(paths))
    formats = {format} if format is not None else {_format(path) for path in paths}
    if len(formats) > 1:
        raise InputError(
            "the pattern matches Parquet and CSV files", hint="narrow it, for example **/*.parquet"
        )
    types = dict(zip(schema.names, schema.types, strict=True)) if isinstance(schema, pa.Schema) else schema
    source = Files(
        store,
        tuple(paths),
        format=formats.pop(),
        types=types,
        csv=csv,
        hive=hive(paths) if hive_folders else None,
    )
    label = name or Path(str(files if isinstance(files, str | Path) else wanted[0])).name or "files"
    return Dataset(SourceOrigin(source, Request(table=label), label), name=label)


def _known(path: str) -> Format | None:
    return next((kind for ending, kind in _ENDINGS.items() if path.lower().endswith(ending)), None)


def _format(path: str) -> Format:
    kind = _known(path)
    if kind is None:
        raise InputError(
            f"the format of {path!r} is not known by its name", hint="say format='parquet' or format='csv'"
        )
    return kind


def located(file: str | Path, settings: Settings, *, format: Format | None = None) -> tuple[Store, list[str]]:  # noqa: A002
    """Return the store and the exact keys that a path, address or pattern means.

    The store is opened one folder above the fixed part of the pattern, so that a manifest beside the files is seen.

    Raises:
        NotFound: Nothing is there.
    """
    if isinstance(file, str) and "://" in file:
        parts = urlsplit(file)
        if parts.fragment:
            raise InputError("this address has a # in it", hint="write it as %23")
        raw = parts.path.split("/")
        # An address is decoded once, and a wildcard that came encoded is an ordinary character.
        segments = [unquote(part) if _magic(part) else _exactly(unquote(part)) for part in raw]
        fixed, pattern = _cut(segments)
        folder = urlunsplit(("", "", "/".join(quote(part) for part in fixed[:-1]) or "/", parts.query, ""))
        store: Store = open_store(settings.store(f"{parts.scheme}://{parts.netloc}{folder}"))
    elif file in settings.names("stores") and not Path(file).exists():
        store, fixed, pattern = open_store(settings.store(file)), [], ""
    else:
        path = local_path(file)
        segments = [_exactly(part) for part in path.parts] if path.exists() else list(path.parts)
        fixed, pattern = _cut(segments, file=path.is_file())
        store = open_store(settings.store(Path(*fixed[:-1])))
    base = fixed[-1] if fixed else ""
    if pattern:
        return store, find(store, base, f"{_exactly(base)}/{pattern}" if base else pattern)
    if format is not None and base:  # a name without a known ending may still be one file
        with contextlib.suppress(NotFound):
            return store, [store.head(base).path]
    keys = find(store, base, f"{_exactly(base)}/**/*" if base else "**/*")
    wanted = [key for key in keys if _known(key) in ({format} if format else {"parquet", "csv"})]
    if not wanted:
        raise NotFound(
            f"no Parquet or CSV file lies in {base!r}", hint="say which with a pattern and format="
        )
    return store, wanted


def _magic(part: str) -> bool:
    return any(sign in part for sign in "*?[")


def _exactly(part: str) -> str:
    """Escape wildcards."""
    return re.sub(r"([*?[])", r"[\1]", part)


def _plain(part: str) -> str:
    return re.sub(r"\[([*?[])\]", r"\1", part)


def _cut(segments: list[str], *, file: bool = False) -> tuple[list[str], str]:
    """Split the fixed segments, unescaped, from the pattern; no pattern means all files of a folder."""
    wild = next((i for i, part in enumerate(segments) if _magic(_escapes.sub("", part))), None)
    if wild is None:
        named = file or (segments[-1] != "" and _known(_plain(segments[-1])) is not None)
        wild = len(segments) - 1 if named else len(segments)
    fixed = [_plain(part) for i, part in enumerate(segments[:wild]) if part or i == 0]
    return fixed, "/".join(segments[wild:])


_escapes = re.compile(r"\[[*?[]\]")
