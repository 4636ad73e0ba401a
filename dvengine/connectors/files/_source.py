"""The source over a fixed list of files: one partition a group of row groups, or a CSV file."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self

import pyarrow as pa

from dvengine._errors import Incomplete, TypeMapError
from dvengine.arrow import apply_types, with_schema
from dvengine.connectors._protocols import Cancel, Capabilities, Filter, Partition, Request
from dvengine.connectors.files import _csv, _parquet
from dvengine.stores import Store

__all__ = ["Files"]


@dataclass(slots=True, kw_only=True)
class FilesScan:
    """See `dvengine.connectors.Scan`."""

    schema: pa.Schema
    partitions: tuple[Partition, ...]
    snapshot: str | None
    consistent: bool
    reason: str | None
    residual: tuple[Filter, ...]
    rows_estimate: int | None
    lines: tuple[str, ...]

    def statements(self) -> list[str]:
        """What is read, by name."""
        return list(self.lines)


class Files:
    """A fixed list of files of one format and one schema.

    Guarantees: every file has the same columns and types, or the read fails and names the file and the column; the rows
    read are the rows that each file's own index promises.

    Args:
        store: Where they lie.
        paths: Exact keys, in order.
        format: ``parquet`` or ``csv``.
        schema: What each Parquet file must have; None takes the first one's.
        types: Columns to be read as another type, exactly; for CSV the types of all that is not text.
        csv: How the CSV is written.
        hive: Folders ``name=value`` become text columns, zeros and all.
    """

    capabilities = Capabilities(snapshot="none", resumable=True, pushdown=frozenset({"columns"}))

    def __init__(
        self,
        store: Store,
        paths: tuple[str, ...],
        *,
        format: Literal["parquet", "csv"] = "parquet",  # noqa: A002 - the word users know
        schema: pa.Schema | None = None,
        types: Mapping[str, pa.DataType] | None = None,
        csv: _csv.CsvOptions | None = None,
        hive: Mapping[str, Mapping[str, str | None]] | None = None,
    ) -> None:
        self.name = store.name
        self._store, self._paths, self._format = store, paths, format
        self._expected, self._types = schema, dict(types or {})
        self._csv = csv or _csv.CsvOptions()
        self._hive = hive or {}
        self._found: pa.Schema | None = None

    def _hive_fields(self) -> list[pa.Field[Any]]:
        names = list(next(iter(self._hive.values()))) if self._hive else []
        return [pa.field(name, pa.string()) for name in names]

    def _file_schema(self) -> pa.Schema:
        """What every file has, before projection and without folder columns."""
        if self._found is None:
            if self._format == "csv":
                self._found = _csv.schema_of(self._store, self._paths[0], self._csv, self._types)
            else:
                self._found = _parquet.footer(self._store, self._paths[0], self._types).schema
                if self._expected is not None:
                    _alike(self._found, self._expected, self._paths[0])
        return self._found

    def _full(self, request: Request) -> pa.Schema:
        full = pa.schema([*self._file_schema(), *self._hive_fields()])
        return apply_types(full, dict(request.types))

    def schema(self, request: Request) -> pa.Schema:
        """Return what the first file has; reads a footer or a header."""
        full = self._full(request)
        return full if request.columns is None else pa.schema([full.field(name) for name in request.columns])

    @contextmanager
    def open(self, request: Request, *, cancel: Cancel) -> Iterator[FilesScan]:
        """Read every footer, hold the schemas against each other, and cut."""
        schema = self.schema(request)
        common = {
            "columns": list(request.columns) if request.columns is not None else None,
            "types": pa.schema(list(request.types.items())).serialize().to_pybytes().hex(),
        }
        cuts: list[tuple[dict[str, Any], int | None]] = []
        for path in self._paths:
            cancel.check()
            if self._format == "csv":
                _alike(_csv.schema_of(self._store, path, self._csv, self._types), self._file_schema(), path)
                cuts.append(({"path": path, **common}, None))
                continue
            footer = _parquet.footer(self._store, path, self._types)
            _alike(footer.schema, self._file_schema(), path)
            for groups, rows in footer.cuts():
                cuts.append(({"path": path, "groups": groups, "rows": rows, **common}, rows))
        known = [rows for _, rows in cuts if rows is not None]
        yield FilesScan(
            schema=schema,
            partitions=tuple(
                Partition(id=f"{i:05d}", index=i, token=json.dumps(token).encode(), rows_estimate=rows)
                for i, (token, rows) in enumerate(cuts)
            ),
            snapshot=None,  # two lists of one folder are not two moments of one thing
            consistent=True,
            reason=f"{len(self._paths)} file{'s' * (len(self._paths) != 1)}, listed once",
            residual=request.where,
            rows_estimate=sum(known) if len(known) == len(cuts) else None,
            lines=tuple(f"read {path}" for path in self._paths),
        )

    def read(self, partition: Partition, *, cancel: Cancel) -> Generator[pa.RecordBatch, None, None]:
        """Read some row groups, or one CSV file."""
        token = json.loads(partition.token)
        types = dict(
            zip(*_pairs(pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(token["types"])))), strict=True)
        )
        full = apply_types(pa.schema([*self._file_schema(), *self._hive_fields()]), types)
        names = full.names if token["columns"] is None else token["columns"]
        out = pa.schema([full.field(name) for name in names])
        inner = [name for name in names if name in self._file_schema().names]
        path, rows = token["path"], 0
        for batch in self._batches(token, inner):
            cancel.check()
            rows += batch.num_rows
            yield with_schema(self._with_folders(batch, path, names), out)
        if token.get("rows") is not None and rows != token["rows"]:
            raise Incomplete(
                f"{path!r} gave {rows} rows where its footer promises {token['rows']}",
                hint="the file is damaged, or was replaced while it was read",
            )

    def _batches(self, token: dict[str, Any], columns: list[str]) -> Iterator[pa.RecordBatch]:
        if self._format == "csv":
            return _csv.batches(self._store, token["path"], self._csv, self._file_schema(), columns)
        return _parquet.batches(self._store, token["path"], token["groups"], self._file_schema(), columns)

    def _with_folders(self, batch: pa.RecordBatch, path: str, names: list[str]) -> pa.RecordBatch:
        folders = self._hive.get(path, {})
        if not any(name in folders for name in names):
            return batch
        columns = [
            pa.repeat(pa.scalar(folders[name], pa.string()), batch.num_rows)
            if name in folders
            else batch.column(name)
            for name in names
        ]
        return pa.RecordBatch.from_arrays(columns, names=names)

    @contextmanager
    def pin(self) -> Iterator[Self]:
        """The list of files is fixed already."""
        yield self

    def check(self) -> dict[str, str]:
        """Look at the first file."""
        return {"files": str(len(self._paths)), "columns": str(len(self._file_schema()))}


def _pairs(schema: pa.Schema) -> tuple[list[str], list[pa.DataType]]:
    return schema.names, schema.types


def _alike(have: pa.Schema, want: pa.Schema, path: str) -> None:
    if have.equals(want):
        return
    if have.names != want.names:
        odd = sorted(set(have.names) ^ set(want.names)) or ["their order"]
        raise TypeMapError(
            f"{path!r} does not have the columns of the others: {', '.join(odd)}",
            hint="read the files in groups that agree, and join them with Polars or SQL",
        )
    for a, b in zip(have, want, strict=True):
        if a.type != b.type:
            raise TypeMapError(
                f"column {a.name!r} of {path!r} is {a.type} where {b.type} is expected",
                hint="give the type that fits all files with schema={…}",
            )
