"""The answer sheet of a table: counts, exact sums and an order-free hash, to be compared after any journey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dvengine.demo._streams import splitmix

__all__ = ["Fasit", "row_hashes"]

_NULL = np.uint64(0x6E756C6C)


@dataclass(slots=True)
class Fasit:
    """Facts about one table, gathered batch by batch; the order of rows and the cut into batches do not matter.

    Attributes:
        rows: How many.
        sums: Exact sum of every decimal column.
        nulls: Null count of every column.
        hash: Sum of all rows' hashes modulo 2^64.

    Example:
        >>> one, two = Fasit(), Fasit()
        >>> one.feed(pa.table({"a": [1, 2]})); two.feed(pa.table({"a": [2]})); two.feed(pa.table({"a": [1]}))
        >>> one.to_dict() == two.to_dict()
        True
    """

    rows: int = 0
    sums: dict[str, Decimal] = field(default_factory=dict)
    nulls: dict[str, int] = field(default_factory=dict)
    hash: int = 0

    def feed(self, data: pa.Table | pa.RecordBatch) -> None:
        """Take one more piece of the table in."""
        self.rows += data.num_rows
        self.hash = (self.hash + int(row_hashes(data).sum(dtype=np.uint64))) % (1 << 64)
        for name in data.schema.names:
            column: Any = data.column(name)
            self.nulls[name] = self.nulls.get(name, 0) + column.null_count
            if pa.types.is_decimal(column.type):
                wide = pc.sum(column.cast(pa.decimal128(38, column.type.scale))).as_py()
                self.sums[name] = self.sums.get(name, Decimal(0)) + (wide or Decimal(0))

    def to_dict(self) -> dict[str, Any]:
        """Return the facts ready for JSON; sums and hash as text, for they must stay exact."""
        sums = {name: str(value) for name, value in self.sums.items()}
        return {"rows": self.rows, "sums": sums, "nulls": dict(self.nulls), "hash": f"{self.hash:016x}"}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Fasit:
        """Read back what `to_dict` gave."""
        sums = {name: Decimal(value) for name, value in facts["sums"].items()}
        return cls(int(facts["rows"]), sums, dict(facts["nulls"]), int(facts["hash"], 16))


def row_hashes(data: pa.Table | pa.RecordBatch) -> NDArray[np.uint64]:
    """Return one 64-bit hash a row: equal values of equal types hash equally, wherever they come from."""
    total = np.zeros(data.num_rows, np.uint64)
    for at in range(data.num_columns):
        column: Any = data.column(at)
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        words = _words(array)
        if array.null_count:
            words = np.where(array.is_null().to_numpy(zero_copy_only=False), _NULL, words)
        total += splitmix(words ^ np.uint64((at + 1) * 0x9E3779B97F4A7C15 % (1 << 64)))
    return splitmix(total)


def _words(array: Any) -> NDArray[np.uint64]:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _words(array.dictionary_decode())
    if pa.types.is_decimal(kind):
        # The unscaled integer: 18 digits fit the low word.
        low: NDArray[np.uint64] = np.frombuffer(array.buffers()[1], np.uint64)[::2]
        return low[array.offset : array.offset + len(array)]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _text_words(array)
    if pa.types.is_timestamp(kind):
        array = array.cast(pa.timestamp("us", kind.tz)).cast(pa.int64())
    elif pa.types.is_date32(kind):
        array = array.cast(pa.int32())
    values: NDArray[Any] = array.fill_null(False if pa.types.is_boolean(kind) else 0).to_numpy(
        zero_copy_only=False
    )
    return values.astype(np.int64).view(np.uint64)


def _text_words(array: Any) -> NDArray[np.uint64]:
    encoded: Any = pc.dictionary_encode(array.fill_null(""))
    texts = [text.encode() for text in encoded.dictionary.to_pylist()]
    width = -(-max(map(len, texts), default=1) // 8) * 8 or 8
    padded = np.array(texts, dtype=f"S{width}").view(np.uint64).reshape(len(texts), width // 8)
    mixed = np.zeros(len(texts), np.uint64)
    for word in padded.T:
        # Padding words are zero and skipped, so that the longest text of a batch does not change the others' hashes.
        mixed = np.where(word == 0, mixed, splitmix(mixed ^ word))
    return mixed[encoded.indices.to_numpy()] if len(texts) else np.zeros(len(array), np.uint64)
