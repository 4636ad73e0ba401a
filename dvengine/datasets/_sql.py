"""Datasets as DuckDB queries: one locked-down engine a run, streaming in and out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from dvengine._errors import (
    Cancelled,
    DvengineError,
    InputError,
    NotSupported,
    QueryError,
    TypeMapError,
    Unavailable,
)
from dvengine.arrow import BatchStream, check_case, check_names, contains, plain_schema, with_schema
from dvengine.datasets._origins import Origin, Run, Want, project, shape
from dvengine.datasets._relay import Relay

__all__ = ["SqlOrigin"]

_BATCH_ROWS = 16_384
#: What DuckDB hands to Arrow as its own bytes.
_BYTES_ONLY = re.compile(r"\b(BIT|BIGNUM|VARINT|TIME WITH TIME ZONE)\b")
# Set at opening; the lock comes last, because a statement could otherwise turn the rest on again.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
}


class _Table(pads.Dataset):
    """A dataset as DuckDB sees it: opened anew for each scan, and nothing is read before the first batch is asked for.

    DuckDB tells only a pyarrow dataset which columns it needs, and then leaves the filtering to it as well.
    """

    def __init__(self, origin: Origin, run: Run) -> None:
        self._origin, self._run = origin, run
        self.error: BaseException | None = None

    @property
    def schema(self) -> pa.Schema:
        return self._origin.schema()

    def scanner(self, columns: list[str] | None = None, **options: Any) -> Any:  # type: ignore[override]  # all by name
        names, condition = self.schema.names, options.get("filter")
        want = Want(columns=_needed(names, names if columns is None else columns, condition))
        out = project(self.schema, None if columns is None else tuple(columns))
        return _Scanner(lambda: pa.RecordBatchReader.from_batches(out, self._batches(want, condition, out)))

    def _batches(self, want: Want, condition: Any, out: pa.Schema) -> Iterator[pa.RecordBatch]:
        if self._run.dry:
            self._run.wants.append((self._origin, want))
            return
        try:
            with self._run.opened(self._origin.stream(want, self._run)) as stream:
                for batch in stream:
                    kept = batch if condition is None else batch.filter(condition)
                    yield kept.select(out.names)
            self._run.check()
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error  # the C interface carries only its text
            raise


@dataclass(frozen=True)
class _Scanner:
    to_reader: Callable[[], pa.RecordBatchReader]


def _needed(names: Sequence[str], columns: Sequence[str], condition: Any) -> tuple[str, ...]:
    """Return the columns to read: those asked for, and any that the condition may name; one too many does no harm."""
    text = "" if condition is None else str(condition)
    named = [name for name in names if text and (name in text or not name.isidentifier())]
    return tuple(name for name in names if name in columns or name in named)


def _refused(kind: pa.DataType) -> bool:
    return pa.types.is_decimal256(kind) or (pa.types.is_decimal(kind) and kind.scale < 0)


class SqlOrigin:
    """A query over other datasets."""

    engine = "DuckDB"

    def __init__(self, query: str, tables: Mapping[str, Origin], label: str) -> None:
        self._query, self._tables, self.label = query, tables, label
        self._schema: pa.Schema | None = None

    @contextmanager
    def _open(self, tables: Mapping[str, object]) -> Iterator[duckdb.DuckDBPyConnection]:
        # What does not fit in memory is spilled where only this user can read, and gone when the query is.
        with (
            TemporaryDirectory(prefix="dvengine-", ignore_cleanup_errors=True) as folder,
            duckdb.connect(":memory:", config={**_CONFIG, "temp_directory": f"{folder}/spill"}) as connection,
        ):
            self._prepare(connection, tables)
            yield connection

    @staticmethod
    def _prepare(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, object]) -> None:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("set preserve_insertion_order = true")
        connection.execute("set lock_configuration = true")
        for name, table in tables.items():
            connection.register(name, table)

    def schema(self) -> pa.Schema:
        """Bind the query against empty tables of the same types; reads no rows."""
        if self._schema is None:
            inputs = {name: origin.schema() for name, origin in self._tables.items()}
            for name, schema in inputs.items():
                check_case(schema.names, what=f"table {name!r}")
                for column in schema:
                    if contains(column.type, _refused):
                        raise TypeMapError(
                            f"column {column.name!r} is {column.type}, which DuckDB does not have",
                            hint="leave the column out with pipe(…), or ask for another type with types={…}",
                        )
            try:
                with self._open({n: s.empty_table() for n, s in inputs.items()}) as connection:
                    statements = connection.extract_statements(self._query)
                    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                        raise QueryError(
                            "sql() takes exactly one SELECT", hint="no other statement can run here"
                        )
                    result = connection.sql(self._query)
                    for name, kind in zip(result.columns, map(str, result.types), strict=True):
                        if _BYTES_ONLY.search(kind):
                            raise TypeMapError(
                                f"column {name!r} of the query is {kind}, which has no Arrow type",
                                hint=f"make it text in the query: {name}::varchar",
                            )
                    found = result.to_arrow_reader(1).schema
            except duckdb.Error as error:
                raise _mapped(error) from None
            check_names(found.names, what="the query's result")
            self._schema = _restored(plain_schema(found), inputs.values())
        return self._schema

    def wants(self) -> list[tuple[Origin, Want]]:
        """Run the query over no rows, to see what it asks each table for."""
        self.schema()
        run = Run(dry=True)
        try:
            with self._open({n: _Table(origin, run) for n, origin in self._tables.items()}) as connection:
                connection.sql(self._query).fetchall()
        except duckdb.Error as error:
            raise _mapped(error) from None
        return run.wants

    def stream(self, want: Want, run: Run) -> BatchStream:
        """Run the query; batches come as DuckDB makes them."""
        schema = self.schema()
        out = project(schema, want.columns)
        inner = run.inner()
        return BatchStream(out, shape(self._deliver(schema, inner), want, schema, out), close=inner.stop)

    def _deliver(self, schema: pa.Schema, run: Run) -> Iterator[pa.RecordBatch]:
        sources = run.inner()
        tables = {name: _Table(origin, sources) for name, origin in self._tables.items()}

        def produce(put: Callable[[pa.RecordBatch], bool]) -> None:
            with self._open(tables) as connection:
                run.on_stop(lambda: _interrupt(connection))
                reader = connection.sql(self._query).to_arrow_reader(_BATCH_ROWS)
                if plain_schema(reader.schema).names != schema.names:
                    raise NotSupported(
                        "the columns of this query depend on the values",
                        hint="spell the columns out instead of PIVOT without IN",
                    )
                for batch in reader:
                    if put(_finite(with_schema(batch, schema))):
                        break
                sources.stop()  # a source that waits to hand over more would keep the connection from closing

        relay = Relay(produce, stop=run.stop, name="dvengine-duckdb")
        run.on_stop(relay.close)
        try:
            with closing(iter(relay)) as batches:
                yield from batches
        except (duckdb.Error, pa.ArrowException, OSError, Cancelled) as error:
            for table in tables.values():
                if table.error is not None and not isinstance(table.error, Cancelled):
                    told = table.error
                    raise (_mapped(told) if isinstance(told, pa.ArrowException) else told) from None
            if isinstance(error, DvengineError):
                raise
            raise _mapped(error) from None


def _interrupt(connection: duckdb.DuckDBPyConnection) -> None:
    with suppress(duckdb.Error):  # closed already
        connection.interrupt()


def _restored(found: pa.Schema, inputs: object) -> pa.Schema:
    """Give a column the zone, unit or index type that the input of the same name has, where DuckDB has none of its own."""
    before: dict[str, list[pa.DataType]] = {}
    for schema in inputs:  # type: ignore[attr-defined]
        for column in schema:
            before.setdefault(column.name, []).append(column.type)
    return pa.schema([f.with_type(_same(f.type, before.get(f.name, []))) for f in found])


def _same(kind: pa.DataType, inputs: list[pa.DataType]) -> pa.DataType:
    if len(set(inputs)) != 1:
        return kind
    [before] = set(inputs)
    t = pa.types
    zoned = t.is_timestamp(kind) and t.is_timestamp(before) and kind.tz is not None and before.tz is not None
    times = t.is_time(kind) and t.is_time(before)
    fixed = t.is_binary(kind) and t.is_fixed_size_binary(before)
    coded = t.is_string(kind) and t.is_dictionary(before) and t.is_string(before.value_type)
    seconds = (
        t.is_timestamp(kind)
        and t.is_timestamp(before)
        and kind.tz is None
        and before.tz is None
        and before.unit == "us"
    )
    return before if zoned or times or fixed or seconds or coded else kind


def _finite(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Refuse DuckDB's infinite dates and timestamps, which Arrow would take for real ones far away."""
    for column, values in zip(batch.schema, batch.columns, strict=True):
        width = 64 if pa.types.is_timestamp(column.type) else 32 if pa.types.is_date32(column.type) else 0
        if not width or not len(values):
            continue
        counts: Any = values.view(pa.int64() if width == 64 else pa.int32())
        edges: Any = pc.min_max(counts).as_py()
        last = 2 ** (width - 1) - 1
        if edges["max"] == last or edges["min"] == -last:
            raise TypeMapError(
                f"column {column.name!r} of the query holds an infinite date or time",
                hint=f"replace it in the query: nullif({column.name}, 'infinity')",
            )
    return batch


def _mapped(error: BaseException) -> DvengineError:
    """Return our own error: DuckDB's text holds the statement, and often values."""
    kind = type(error).__name__
    if isinstance(error, duckdb.OutOfMemoryException):
        return Unavailable(
            "DuckDB ran out of memory", hint="group or filter earlier, or raise the machine's memory"
        )
    if isinstance(error, duckdb.CatalogException | duckdb.BinderException):
        return QueryError(
            f"DuckDB does not know a table, column or function of the query ({kind})",
            hint="this dataset is called self; name others as keywords, sql(…, other=ds2); see dataset.schema for columns",
        )
    if isinstance(error, duckdb.ParserException):
        return QueryError("the query is not valid SQL", hint="check commas, quotes and parentheses")
    if isinstance(error, duckdb.PermissionException):
        return QueryError(
            "the query reaches outside: files, network and settings are closed here",
            hint="read other data with read_files or read_sql, and pass it as a keyword",
        )
    return InputError(
        f"DuckDB could not run the query: {kind}",
        hint="a value may not fit its type; the details may hold values and are left out",
    )
