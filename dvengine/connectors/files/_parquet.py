"""Parquet, exactly: page checksums verified, INT96 checked, rows held against the footer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from dvengine._errors import DvengineError, TypeMapError, VerificationFailed
from dvengine.arrow import apply_types, cast_array, check_names, plain_schema, rows_only
from dvengine.stores import Store

__all__ = ["Footer", "batches", "footer"]

_BATCH_ROWS = 65_536
#: Row groups are read together up to this many uncompressed bytes.
_PARTITION_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class Footer:
    """What a file says of itself: its schema as this house spells it, and (rows, bytes) by row group."""

    schema: pa.Schema
    groups: list[tuple[int, int]]

    def cuts(self) -> Iterator[tuple[list[int], int]]:
        """Yield row groups that are read together, and their rows; a file without row groups has one empty cut."""
        held: list[int] = []
        rows = size = 0
        for index, (count, nbytes) in enumerate(self.groups):
            if held and size + nbytes > _PARTITION_BYTES:
                yield held, rows
                held, rows, size = [], 0, 0
            held.append(index)
            rows += count
            size += nbytes
        yield held, rows


@contextmanager
def _opened(store: Store, path: str, *, unit: str = "us") -> Iterator[pq.ParquetFile]:
    try:
        with store.open_parquet(path) as stream:
            yield pq.ParquetFile(stream, page_checksum_verification=True, coerce_int96_timestamp_unit=unit)
    except DvengineError:
        raise
    except (pa.ArrowException, OSError, EOFError, ValueError):
        raise VerificationFailed(
            f"{path!r} cannot be read as Parquet",
            hint="the file is damaged, not whole, or not Parquet; fetch it again from where it was made",
        ) from None


def _int96(file: pq.ParquetFile) -> set[str]:
    schema = file.schema
    return {schema.column(i).path for i in range(len(schema)) if schema.column(i).physical_type == "INT96"}


def footer(store: Store, path: str, types: Mapping[str, pa.DataType]) -> Footer:
    """Read a file's footer.

    Raises:
        VerificationFailed: Not a readable Parquet file.
        InputError: Column names that occur twice, or types for columns that are not there.
    """
    with _opened(store, path) as file:
        schema = plain_schema(file.schema_arrow)
        metadata = file.metadata
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        sizes = [(group.num_rows, group.total_byte_size) for group in groups]
    check_names(schema.names, what=repr(path))
    return Footer(apply_types(schema, dict(types)), sizes)


def batches(
    store: Store, path: str, groups: list[int], schema: pa.Schema, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    """Yield some row groups of a file, with ``columns`` in that order and of the types in ``schema``."""
    with _opened(store, path) as file:
        if not columns:
            for index in groups:
                yield rows_only(file.metadata.row_group(index).num_rows)
            return
        if not groups:
            return
        old = _int96(file) & set(columns)
        inside = {path.partition(".")[0] for path in _int96(file) if "." in path} & set(columns)
        if inside - old:
            raise TypeMapError(
                f"column {min(inside)!r} holds INT96 instants inside lists or structs, which cannot be checked",
                hint="leave the column out, or have the file written again with timestamps",
            )
        checks = (
            {unit: _again(store, path, groups, sorted(old), unit) for unit in ("ns", "ms")} if old else {}
        )
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=columns):
            found = dict(zip(batch.schema.names, batch.columns, strict=True))
            if old:
                others = {unit: next(again) for unit, again in checks.items()}
                for name in old:
                    exact = _exact_int96(
                        found[name], others["ns"], others["ms"], name, schema.field(name).type
                    )
                    found[name] = exact
            arrays = [cast_array(found[name], schema.field(name).type, column=name) for name in columns]
            yield pa.RecordBatch.from_arrays(arrays, names=columns)


def _again(
    store: Store, path: str, groups: list[int], columns: list[str], unit: str
) -> Iterator[pa.RecordBatch]:
    with _opened(store, path, unit=unit) as file:
        yield from file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=columns)


def _exact_int96(
    micros: Any, nanos: pa.RecordBatch, millis: pa.RecordBatch, name: str, kind: pa.DataType
) -> Any:
    """Return the instants of an INT96 column, if they are what the file holds.

    The reader cuts nanoseconds and wraps what lies outside the asked-for unit, both without a word; the same values read
    in three units agree only where nothing was lost.
    """
    pc: Any = pyarrow.compute
    ns, ms = nanos.column(name), millis.column(name)
    us = micros.cast(pa.int64())
    coarse = ms.cast(pa.int64())
    # Milliseconds reach 292 million years and INT96's days 12 million, so they never wrap; a product of them may.
    far = (2**63 - 1) // 1000 - 1
    in_us = pc.and_(pc.greater_equal(coarse, -far), pc.less_equal(coarse, far))
    if not pc.all(in_us).as_py():
        raise TypeMapError(
            f"column {name!r} holds INT96 instants that microseconds cannot count (beyond the year 294246)",
            hint="the file is damaged, or was written by a tool that overflowed",
        )
    low, high = -(2**63) // 1000 + 1, (2**63 - 1) // 1000 - 1
    fits = pc.and_(pc.greater_equal(us, low), pc.less_equal(us, high))
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        if not pc.all(fits).as_py():
            raise TypeMapError(
                f"column {name!r} holds instants outside what nanoseconds can count (1677 to 2262)",
                hint="leave out the type, which reads microseconds",
            )
        return ns
    whole = pc.equal(pc.multiply(pc.if_else(fits, us, 0), 1000), pc.if_else(fits, ns.cast(pa.int64()), 0))
    if not pc.all(whole).as_py():
        raise TypeMapError(
            f"column {name!r} holds INT96 instants finer than a microsecond",
            hint=f"schema={{{name!r}: pa.timestamp('ns')}} keeps them, if all lie between 1677 and 2262",
        )
    return micros
