"""Write one Parquet part: encode, hash and upload in step, in bounded memory, whole or not at all.

Leaving early, however that happens, aborts the multipart upload. Only a process that is killed cannot: its chunks stay in
the bucket, unseen, until a lifecycle rule (``AbortIncompleteMultipartUpload``) removes them; on a local folder they are
``#digits`` files.
"""

from __future__ import annotations

import contextlib
import hashlib
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import obstore
import pyarrow as pa
import pyarrow.parquet as pq

from dvengine._errors import DvengineError, InputError
from dvengine.stores import _local
from dvengine.stores._faults import boundary
from dvengine.stores._protocols import PartReceipt

if TYPE_CHECKING:
    from dvengine.stores._store import ObjectStore

__all__ = ["ParquetPart", "schema_sha256"]

_CHUNK = 8 << 20
# S3 takes ten thousand chunks, and some stores want them all of one size.
_LARGEST = _CHUNK * 10_000
_IN_FLIGHT = 2
_GROUP_ROWS = 1 << 20
_GROUP_BYTES = 16 << 20
# A column whose values are nearly all distinct gives its dictionary up here: a larger one costs memory and time, and the
# file grows, because every value is then stored once and pointed to once.
_DICTIONARY_BYTES = 128 << 10


def schema_sha256(schema: pa.Schema) -> str:
    """Return the hash of names, types and nullability, in order.

    Metadata and the names of list items are left out: reading a part back gives the format's own.

    Example:
        >>> import pyarrow as pa
        >>> schema_sha256(pa.schema({"a": pa.list_(pa.field("x", pa.int32()))})) == schema_sha256(
        ...     pa.schema({"a": pa.list_(pa.int32())}, metadata={"k": "v"})
        ... )
        True
    """
    bare = pa.schema([_bare(field, field.name) for field in schema])
    return hashlib.sha256(bare.serialize()).hexdigest()


def _bare(field: pa.Field[Any], name: str) -> pa.Field[Any]:
    kind: Any = field.type
    if pa.types.is_struct(kind):
        kind = pa.struct([_bare(child, child.name) for child in kind])
    elif pa.types.is_map(kind):
        kind = pa.map_(kind.key_type, _bare(kind.item_field, "value"), kind.keys_sorted)
    elif pa.types.is_fixed_size_list(kind):
        kind = pa.list_(_bare(kind.value_field, "item"), kind.list_size)
    elif pa.types.is_large_list(kind):
        kind = pa.large_list(_bare(kind.value_field, "item"))
    elif pa.types.is_list(kind):
        kind = pa.list_(_bare(kind.value_field, "item"))
    return pa.field(name, kind, nullable=field.nullable)


class ParquetPart:
    """One part being written; see `dvengine.stores.PartWriter`.

    Memory: at most one row group of Arrow data (16 MiB, or 1 Mi rows) and one batch, the encoded form of one column of
    it, and 24 MiB on its way to the store; it does not grow with rows.
    """

    def __init__(self, store: ObjectStore, path: str, schema: pa.Schema, *, partition_id: str | None) -> None:
        kept = {k: v for k, v in (schema.metadata or {}).items() if k != b"pandas"}
        self._schema = schema.with_metadata(kept) if kept else schema.remove_metadata()
        self._path, self._partition_id = path, partition_id
        self._sink = _Sink(store, path)
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = self._pending_bytes = self._rows = 0
        self._state = "open"
        try:
            self._writer = pq.ParquetWriter(
                self._sink,  # type: ignore[arg-type]  # duck-typed on purpose
                self._schema,
                version="2.6",
                compression="zstd",
                data_page_version="1.0",
                store_decimal_as_integer=True,
                dictionary_pagesize_limit=_DICTIONARY_BYTES,
            )
        except (pa.ArrowException, ValueError, TypeError):
            self._sink.abort()
            raise InputError(
                f"{path!r} cannot be written: a column has a type that Parquet does not know",
                hint="cast it, for example intervals to strings",
            ) from None

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch of the part's schema (metadata aside)."""
        if self._state != "open":
            raise InputError(f"{self._path!r} is {self._state}")
        if not batch.schema.equals(self._schema, check_metadata=False):
            self.abort()
            raise InputError(f"a batch does not have the schema of {self._path!r}")
        if batch.num_rows == 0:
            return
        self._pending.append(pa.RecordBatch.from_arrays(batch.columns, schema=self._schema))
        self._pending_rows += batch.num_rows
        self._pending_bytes += batch.nbytes
        self._rows += batch.num_rows
        if self._pending_rows >= _GROUP_ROWS or self._pending_bytes >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        table = pa.Table.from_batches(self._pending, schema=self._schema)
        # One group as a rule; a batch far larger than a group becomes several of equal size.
        groups = max(round(self._pending_bytes / _GROUP_BYTES), round(table.num_rows / _GROUP_ROWS), 1)
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0
        with self._aborting():
            self._writer.write_table(table, row_group_size=-(-table.num_rows // groups))

    def finish(self) -> PartReceipt:
        """Complete the upload; the object exists from now on, whole."""
        if self._state != "open":
            raise InputError(f"{self._path!r} is {self._state}")
        self._flush()
        with self._aborting():
            self._writer.close()
            self._sink.finish()
        self._state = "finished"
        return PartReceipt(
            path=self._path,
            rows=self._rows,
            nbytes=self._sink.nbytes,
            sha256=self._sink.sha256.hexdigest(),
            schema_sha256=schema_sha256(self._schema),
            partition_id=self._partition_id,
        )

    @contextlib.contextmanager
    def _aborting(self) -> Any:
        try:
            yield
        except BaseException as error:
            self.abort()
            if isinstance(error, DvengineError) or not isinstance(error, pa.ArrowException):
                raise
            raise InputError(
                f"{self._path!r} cannot be written: a value does not fit its Parquet type"
            ) from None

    def abort(self) -> None:
        """Leave nothing behind; idempotent, harmless after `finish`."""
        if self._state != "open":
            return
        self._state = "aborted"
        self._pending = []
        self._sink.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


class _Sink:
    """What pyarrow writes to. No ``io`` class on purpose: their destructors close, and closing would publish."""

    closed = False

    def __init__(self, store: ObjectStore, path: str) -> None:
        self._store, self._path = store, path
        self._upload = obstore.open_writer(
            store.inner, store.key(path), buffer_size=_CHUNK, max_concurrency=_IN_FLIGHT
        )
        self.sha256 = hashlib.sha256()
        self.nbytes = 0
        self._dead = False

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        if self._dead:  # a writer that is being thrown away still wants to write its footer
            return size
        if self.nbytes + size > _LARGEST:
            raise InputError(
                f"{self._path!r} grows above {_LARGEST >> 30} GiB, the most that a store takes in one upload",
                hint="cut the data into smaller parts",
            )
        self.sha256.update(data)
        self.nbytes += size
        with boundary(self._store.name, "write", self._path):
            self._upload.write(data)
        return size

    def flush(self) -> None:
        """Nothing to do: the upload flushes by whole chunks."""

    def close(self) -> None:
        """Nothing to do: only `finish` publishes."""

    def finish(self) -> None:
        with boundary(self._store.name, "write", self._path):
            self._upload.close()
            if self._store.root is not None:
                _local.sync(self._store.root / self._path)
        self._dead = True

    def abort(self) -> None:
        if self._dead:
            return
        self._dead = True
        with contextlib.suppress(DvengineError), boundary(self._store.name, "abort", self._path):
            self._upload.__exit__(RuntimeError, RuntimeError(), None)
