"""BatchStream: unbounded data on its way through the house, read once, closed always."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from dvengine._errors import Incomplete, StreamConsumed

__all__ = ["BatchStream"]


class BatchStream:
    """A single-use stream of record batches of one schema.

    Guarantees: it can be read once (a second pass raises `StreamConsumed`, never gives nothing); every batch has
    exactly ``schema``; closing early, or failing, closes the upstream; ``error`` keeps the original exception, because the
    Arrow C interface can carry only its text.

    Args:
        schema: Known before the first batch.
        batches: The upstream. If it is a generator, ``close`` ends it.
        close: Called once, at the end or early; it must not raise.

    Example:
        >>> import pyarrow as pa
        >>> batch = pa.record_batch({"a": [1, 2]})
        >>> with BatchStream(batch.schema, [batch]) as stream:
        ...     sum(b.num_rows for b in stream), stream.rows
        (2, 2)
    """

    def __init__(
        self, schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, close: Callable[[], None] | None = None
    ) -> None:
        self.schema = schema
        self.rows = 0
        self.nbytes = 0
        self.error: BaseException | None = None
        self._upstream = iter(batches)
        self._close = close
        self._state = "new"

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        if self._state != "new":
            raise StreamConsumed(
                "this stream has been read", hint="read the dataset again; a stream is single-use"
            )
        self._state = "reading"
        return self._deliver()

    def _deliver(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._upstream:
                if batch.schema != self.schema:
                    raise Incomplete(
                        "a batch does not have the stream's schema",
                        hint="this is a fault in the source; please report it",
                    )
                self.rows += batch.num_rows
                self.nbytes += batch.nbytes
                yield batch
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.close()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        reader: Any = self.reader()
        return reader.__arrow_c_stream__(requested_schema)

    def reader(self) -> pa.RecordBatchReader:
        """Return the stream as a pyarrow reader; this is the one pass."""
        return pa.RecordBatchReader.from_batches(self.schema, iter(self))

    def read_all(self) -> pa.Table:
        """Read everything into memory."""
        return pa.Table.from_batches(list(self), schema=self.schema)

    def close(self) -> None:
        """Stop the upstream; idempotent."""
        if self._state == "closed":
            return
        self._state = "closed"
        end: Any = getattr(self._upstream, "close", None)
        try:
            if end is not None:
                end()
        except ValueError:
            pass  # the generator is running in this very call: it is the one that is closing us
        finally:
            if self._close is not None:
                self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
