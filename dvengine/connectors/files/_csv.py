"""CSV: every column is text unless a type is given, so no zero in front and no digit is ever lost to a guess."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv as pacsv

from dvengine._errors import DvengineError, InputError, TypeMapError
from dvengine.arrow import apply_types, check_names
from dvengine.stores import Store

__all__ = ["CsvOptions", "batches", "schema_of"]

_NO_SIGN = '"\r\n\0'
_MOST_SKIPPED = 1_000_000
_HEADER_BYTES = 1 << 20
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvOptions:
    """How the CSV is written.

    Attributes:
        delimiter: One character; None finds ``;``, tab or ``,`` in the header, whichever occurs most.
        encoding: ``utf-8`` (a byte order mark is skipped), ``latin-1``, ``cp1252``, ``utf-16``, ``utf-16-le``, …: never guessed.
        decimal: The decimal sign of columns that are given a number type.
        skip_rows: Lines before the header.
    """

    delimiter: str | None = None
    encoding: str = "utf-8"
    decimal: str = "."
    skip_rows: int = 0

    def __post_init__(self) -> None:
        try:
            known = codecs.lookup(self.encoding)._is_text_encoding  # hex and zip are none
        except (LookupError, ValueError):
            known = False
        if not known:
            raise InputError(
                f"no encoding is called {self.encoding!r}",
                hint="for example utf-8, latin-1, cp1252 or utf-16",
            )
        for what, sign in (("delimiter", self.delimiter), ("decimal sign", self.decimal)):
            if sign is not None and (len(sign) != 1 or not sign.isascii() or sign in _NO_SIGN):
                raise InputError(
                    f"the {what} is one ASCII character, and no quote or line break",
                    hint="for example ';', ',' or a tab for the cells, '.' or ',' for decimals",
                )
        if self.delimiter == self.decimal:
            raise InputError(
                "the delimiter and the decimal sign are the same", hint="give delimiter= or decimal= another"
            )
        if not 0 <= self.skip_rows <= _MOST_SKIPPED:
            raise InputError(
                f"skip_rows must lie between 0 and {_MOST_SKIPPED:,}",
                hint="it is the number of lines before the header",
            )


def _codec(options: CsvOptions) -> str:
    name = codecs.lookup(options.encoding).name
    return "utf-8-sig" if name == "utf-8" else name


@contextmanager
def _bytes(store: Store, path: str) -> Iterator[Any]:
    """Open a file, unpacked if its name ends in .gz."""
    with store.open_parquet(path) as raw:
        yield pa.CompressedInputStream(raw, "gzip") if path.endswith(".gz") else raw


def _header(store: Store, path: str, options: CsvOptions) -> tuple[list[str], str]:
    """Return the column names and the delimiter."""
    try:
        with _bytes(store, path) as stream:
            data = stream.read(_HEADER_BYTES)
    except (pa.ArrowException, EOFError):
        raise InputError(f"{path!r} cannot be unpacked", hint="its name ends in .gz; is it gzip?") from None
    try:
        text = codecs.getincrementaldecoder(_codec(options))().decode(data)
    except UnicodeError:
        raise _encoding(path, options) from None
    lines = io.StringIO(text, newline="")
    for _ in range(options.skip_rows):
        if not lines.readline():
            break
    start = lines.tell()
    first = lines.readline()
    if not first.strip("\r\n"):
        raise InputError(
            f"{path!r} has no header where one is expected", hint="skip_rows= passes lines before the header"
        )
    delimiter = options.delimiter or max(";\t,", key=first.count)
    lines.seek(start)
    try:
        names = next(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:  # its text is general, but a cell of 128 kB or a NUL is no header
        raise InputError(
            f"the header of {path!r} cannot be read", hint="check delimiter, quotes and skip_rows"
        ) from None
    if any(name == "" for name in names):
        raise InputError(f"{path!r} has a column without a name", hint="name every column in the header")
    check_names(names, what=repr(path))
    return names, delimiter


def _encoding(path: str, options: CsvOptions) -> InputError:
    return InputError(
        f"{path!r} is not {options.encoding} text",
        hint="say which encoding it has: encoding='latin-1', 'cp1252' or 'utf-16'",
    )


def schema_of(store: Store, path: str, options: CsvOptions, types: Mapping[str, pa.DataType]) -> pa.Schema:
    """Return the header's columns: text, but for those that a type is given for."""
    names, _ = _header(store, path, options)
    return apply_types(pa.schema([(name, pa.string()) for name in names]), dict(types))


def batches(
    store: Store, path: str, options: CsvOptions, schema: pa.Schema, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    """Yield one file. An empty cell is null; a quoted empty cell is the empty text."""
    names, delimiter = _header(store, path, options)
    bad: list[int | None] = []

    def ragged(row: Any) -> Literal["error"]:
        bad.append(row.number)
        return "error"

    read = pacsv.ReadOptions(
        use_threads=False, block_size=_BLOCK_BYTES, skip_rows=options.skip_rows, encoding=_codec(options)
    )
    parse = pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=ragged)
    convert = pacsv.ConvertOptions(
        column_types=schema,
        include_columns=list(dict.fromkeys([*columns, names[-1]])),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        decimal_point=options.decimal,
        true_values=["true", "True", "TRUE", "1"],
        false_values=["false", "False", "FALSE", "0"],
    )
    last: object = None
    try:
        with _bytes(store, path) as stream:
            for batch in pacsv.open_csv(stream, read, parse, convert):
                last = batch.column(names[-1])[-1].as_py() if batch.num_rows else last
                yield batch.select(columns)
        if (
            isinstance(last, str)
            and ("\n" in last or "\r" in last)
            and not _ends_in_quote(store, path, options)
        ):
            raise InputError(
                f"{path!r} ends inside a quoted cell, which holds the rows after its opening quote",
                hint="the cell that has a line break in it lacks its closing quote",
            )
    except DvengineError:
        raise
    except UnicodeError:
        raise _encoding(path, options) from None
    except (pa.ArrowException, OSError, EOFError) as error:
        if "Empty CSV file" in str(error):
            return  # a header without a line break, and no rows
        raise _mapped(error, path, options, bad, names) from None


def _ends_in_quote(store: Store, path: str, options: CsvOptions) -> bool:
    """Whether the last cell was closed. Arrow takes the end of the file for a closing quote, and rows would be lost."""
    decoder = codecs.getincrementaldecoder(_codec(options))()
    tail = ""
    with _bytes(store, path) as stream:
        while data := stream.read(_BLOCK_BYTES):
            tail = (tail + decoder.decode(data)).rstrip("\r\n")[-1:]
    return tail == '"'


def _mapped(
    error: BaseException, path: str, options: CsvOptions, bad: list[int | None], names: list[str]
) -> DvengineError:
    """Return our own error: Arrow's text holds the row."""
    if bad:
        where = f", row {bad[0]} from the top of the file," if bad[0] is not None else ""
        return InputError(
            f"{path!r}{where} does not have {len(names)} cells as the header has",
            hint="a delimiter or a line break may lack its quotes",
        )
    text = str(error)
    if "UTF8" in text or "UTF-8" in text:
        return _encoding(path, options)
    for index, name in enumerate(names):
        if f"column #{index}:" in text or f"column #{index} " in text:
            return TypeMapError(
                f"column {name!r} of {path!r} holds a cell that is not of the type given",
                hint="read it as text (leave the type out), or mend decimal= or the type",
            )
    return InputError(f"{path!r} cannot be read as CSV", hint="check delimiter, quotes and encoding")
