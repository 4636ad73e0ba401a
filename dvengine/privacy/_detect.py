"""Find national identity numbers in a stream of record batches: in text, in integers, nested, with their zeros lost.

A control digit proves little by itself: of random 11-digit numbers 0.72 % pass the widest rule, and of Norwegian account
numbers, which share the weights of the second control digit, 7.97 % (exact counts). So each column gets a verdict from the
share that passes among those that could: ``certain`` is beyond what account numbers give, ``possible`` is any other hit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dvengine.privacy._digits import TESTED, scan_numbers, scan_text
from dvengine.privacy._fnr import KINDS, NEW, OLD

__all__ = ["CHANCE", "Finding", "IdentityScanner"]

#: Share of valid numbers that a column without identity numbers may show: that of valid account numbers.
CHANCE = 0.0797

_SLICE = 1 << 16
_SURE = 0.15  # below this share a column may be account numbers of an unlucky series
_NATS = math.log(1000)


@dataclass(frozen=True, slots=True)
class Finding:
    """A column with valid identity numbers in it; no value is kept.

    Attributes:
        column: Its name; fields of a struct as ``a.b``, elements of a list as ``a[]``.
        rule: ``fnr:old`` where all that was found obeys the rule in force, ``fnr:2032`` where some obeys only the coming one.
        rows: Values (of a list: elements) that hold a valid number.
        share: ``rows`` among the values that could have held one, ``tested``.
        tested: Values with something of eleven digits in them, or of ten where a leading zero may be lost.
        verdict: ``certain`` where the share is beyond what account numbers show by chance, else ``possible``.
        kinds: How many of each kind (``plain``, ``D``, ``synthetic +80``, …).
    """

    column: str
    rule: str
    rows: int
    share: float
    tested: int = 0
    verdict: Literal["certain", "possible"] = "possible"
    kinds: dict[str, int] = field(default_factory=dict, compare=False)


class IdentityScanner:
    """Looks at every value of a stream, in memory bounded by a slice of one batch.

    Looked into: text and binary of any width and encoding (dictionary, view, run-end), integers of 32 bits and more, floats and
    decimals without a fraction, lists, structs, maps, unions and extension types. Found in text: eleven digits in a row that
    are not part of a longer number or of a code, and the ways they are written apart (``DDMMYY IIIKK`` and the like), also with
    other scripts' digits, hard spaces and soft hyphens. Found among numbers: ten digits too, for the lost zero. A category that
    no row has is stored with its column all the same: where the rows hold nothing, the categories count.

    Args:
        schema: Of the batches to come.

    Example:
        >>> batch = pa.record_batch({"id": [1, 2], "note": ["ringt", "gjelder 018245 60079"]})
        >>> scanner = IdentityScanner(batch.schema)
        >>> scanner.feed(batch)
        >>> [(f.column, f.rule, f.rows, f.verdict) for f in scanner.findings()]
        [('note', 'fnr:old', 1, 'possible')]
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._counts: dict[str, NDArray[np.int64]] = {}
        self._listed: dict[str, NDArray[np.int64]] = {}
        self._dictionaries: dict[str, Any] = {}

    def feed(self, batch: pa.RecordBatch) -> None:
        """Look at one more batch; the batch is neither kept nor changed."""
        for start in range(0, batch.num_rows, _SLICE):
            piece = batch.slice(start, _SLICE)
            for at, name in enumerate(piece.schema.names):
                self._look(name, piece.column(at))

    def findings(self) -> list[Finding]:
        """Return what was found so far, one a column; empty where there is nothing."""
        found = {
            column: finding
            for part in (self._listed, self._counts)
            for column, counts in part.items()
            if (finding := _judge(column, counts)) is not None
        }
        return list(found.values())

    def _look(self, path: str, array: Any) -> None:
        kind = array.type
        if isinstance(kind, pa.BaseExtensionType):
            self._look(path, array.storage)
        elif pa.types.is_struct(kind):
            for child, column in zip(kind, array.flatten(), strict=True):
                self._look(f"{path}.{child.name}", column)
        elif pa.types.is_map(kind):
            rows = array.drop_null()
            self._look(f"{path}.key", _within(rows, rows.keys))
            self._look(f"{path}.value", _within(rows, rows.items))
        elif (
            pa.types.is_list(kind)
            or pa.types.is_large_list(kind)
            or pa.types.is_fixed_size_list(kind)
            or pa.types.is_list_view(kind)
            or pa.types.is_large_list_view(kind)
        ):
            self._look(f"{path}[]", array.flatten())
        elif pa.types.is_union(kind):
            for at in range(kind.num_fields):
                self._look(f"{path}.{kind.field(at).name}", array.field(at))
        elif pa.types.is_run_end_encoded(kind):
            self._look(path, pc.call_function("run_end_decode", [array]))
        elif pa.types.is_dictionary(kind):
            self._list(path, array.dictionary)
            self._count(self._counts, path, _by_dictionary(array))
        else:
            self._count(self._counts, path, _scan(array))

    def _list(self, path: str, categories: Any) -> None:
        """Count the categories themselves, once where batch after batch brings the same."""
        known = self._dictionaries.get(path)
        if known is None or not _same(known, categories):
            self._dictionaries[path] = categories
            self._count(self._listed, path, _scan(categories))

    def _count(
        self, counted: dict[str, NDArray[np.int64]], path: str, codes: NDArray[np.uint8] | None
    ) -> None:
        if codes is None or not codes.size:
            return
        counts = np.bincount(codes, minlength=256)
        if path in counted:
            counted[path] += counts
        elif counts[0] != codes.size:
            counted[path] = counts


def _same(one: Any, other: Any) -> bool:
    """Whether two arrays are the same memory."""
    places = [
        [buffer.address if buffer is not None else None for buffer in array.buffers()]
        for array in (one, other)
    ]
    return places[0] == places[1] and (one.offset, len(one)) == (other.offset, len(other))


def _within(rows: Any, values: Any) -> Any:
    """Cut a map's keys or items to those of a sliced array's rows."""
    offsets = np.asarray(rows.offsets)
    return values.slice(int(offsets[0]), int(offsets[-1] - offsets[0])) if len(rows) else values.slice(0, 0)


def _scan(array: Any) -> NDArray[np.uint8] | None:
    """One code a value, or None for types that hold no such number."""
    kind = array.type
    if (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    ):
        return scan_text(array)
    wide_enough = pa.types.is_integer(kind) and kind.bit_width >= 32
    if wide_enough or pa.types.is_decimal(kind) or pa.types.is_float64(kind) or pa.types.is_float32(kind):
        return scan_numbers(array)
    return None


def _by_dictionary(array: Any) -> NDArray[np.uint8] | None:
    if len(array.dictionary) > len(array):
        return _scan(array.dictionary_decode())
    codes = _scan(array.dictionary)
    if codes is None or not codes.any():
        return None
    # A null index points nowhere: it is given the place of an empty value.
    places = array.indices.fill_null(len(codes)) if array.indices.null_count else array.indices
    return np.append(codes, np.uint8(0))[np.asarray(places).astype(np.int64)]


def _judge(column: str, counts: NDArray[np.int64]) -> Finding | None:
    codes = np.arange(256)
    hits = int(counts[(codes & (OLD | NEW)) > 0].sum())
    if not hits:
        return None
    tested = int(counts[(codes & TESTED) > 0].sum())
    share = hits / tested
    old = int(counts[(codes & OLD) > 0].sum())
    kinds: dict[str, int] = {}
    for code in np.flatnonzero(counts):
        if code & NEW:
            name = KINDS[int(code) & ~(OLD | NEW | TESTED)]
            kinds[name] = kinds.get(name, 0) + int(counts[code])
    # Chernoff's bound on the chance of so many among account numbers, in nats.
    surprise = tested * (share * math.log(share / CHANCE) + _rest(share))
    return Finding(
        column=column,
        rule="fnr:old" if old == hits else "fnr:2032",
        rows=hits,
        share=share,
        tested=tested,
        verdict="certain" if share >= _SURE and surprise >= _NATS else "possible",
        kinds=kinds,
    )


def _rest(share: float) -> float:
    return 0.0 if share >= 1 else (1 - share) * math.log((1 - share) / (1 - CHANCE))
