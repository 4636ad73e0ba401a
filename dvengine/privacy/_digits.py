"""From Arrow buffers to candidate numbers: eleven digits each, found without a Python object per value."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from dvengine.privacy._fnr import classify

__all__ = ["TESTED", "plain_signs", "scan_numbers", "scan_text", "unusual"]

#: Set beside `classify`'s bits: the value had something that could have been a number.
TESTED = 128

_ZERO = 48
_PIECE = 8 << 20  # bytes of text looked at in one go
_LAST_SIGN = 0x20000  # beyond are ideographs only
#: How the eleven digits are written apart, as lengths of the runs of digits. ``4 2 5`` is an account number and not here.
_GROUPINGS = ((6, 5), (6, 3, 2), (2, 2, 2, 5), (2, 2, 2, 3, 2))
_LONGEST_GAP = 3  # as in "018245 - 60079"
_GAP = np.zeros(256, np.bool_)
_GAP[[ord(sign) for sign in " -./"]] = True
_LETTER = np.zeros(256, np.bool_)
_LETTER[[*range(65, 91), *range(97, 123)]] = True


@lru_cache(maxsize=1)
def unusual() -> tuple[list[str], list[str]]:
    """Signs beyond ASCII, and what each means here: digits of other scripts, spaces, dashes, and signs without width."""
    meaning: dict[str, str] = {}
    for point in range(128, _LAST_SIGN):
        sign = chr(point)
        category = unicodedata.category(sign)
        if category == "Nd":
            meaning[sign] = str(unicodedata.digit(sign))
        elif category in ("Zs", "Pd"):
            meaning[sign] = " " if category == "Zs" else "-"
        elif sign in "\u00ad\u200b\u200c\u200d\u2060\ufeff":
            meaning[sign] = ""
    meaning["\u2212"] = "-"
    return list(meaning), list(meaning.values())


def plain_signs(texts: pl.Series) -> pl.Series:
    """Write digits, spaces and dashes of any script in ASCII, and drop signs without width."""
    signs, plain = unusual()
    return texts.str.replace_many(signs, plain)


def scan_numbers(array: Any) -> NDArray[np.uint8]:
    """Give one code a value of an integer, float or decimal array: `TESTED` for ten or eleven digits, and `classify`'s bits."""
    kind = array.type
    if pa.types.is_decimal(kind):
        # 38 digits do not fit a float, but the few that matter here do, exactly.
        array = array.cast(pa.float64())
    values = np.asarray(array.fill_null(0) if array.null_count else array)
    out = np.zeros(values.size, np.uint8)
    # No number begins with two zeros, so ten digits are the fewest that a lost zero leaves.
    at = np.flatnonzero((values >= 10**9) & (values < 10**11))
    few = values[at]
    if few.dtype.kind == "f":
        whole = few == np.floor(few)
        at, few = at[whole], few[whole]
    whole_numbers = few.astype(np.uint64)
    digits = np.empty((11, few.size), np.uint8)
    upper = whole_numbers // np.uint64(10**6)
    # Five and six digits fit 32 bits, which divide several times faster.
    halves = ((range(4, -1, -1), upper), (range(10, 4, -1), whole_numbers - upper * np.uint64(10**6)))
    for places, half in halves:
        left = half.astype(np.uint32)
        for place in places:
            rest = left // np.uint32(10)
            digits[place] = left - rest * np.uint32(10)
            left = rest
    out[at] = classify(digits) | TESTED
    return out


def scan_text(array: Any) -> NDArray[np.uint8]:
    """Give one code a value of a text or binary array: `TESTED` where it holds a candidate, and `classify`'s bits."""
    rows = len(array)
    kind = array.type
    wide = pa.large_binary() if _is_bytes(kind) else pa.large_string()
    if kind != wide:
        array = array.cast(wide)
    out = np.zeros(rows, np.uint8)
    offsets_buffer, data_buffer = array.buffers()[1:3]
    if not rows or data_buffer is None:
        return out
    offsets = np.frombuffer(offsets_buffer, np.int64)[array.offset : array.offset + rows + 1]
    data = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    lengths = np.diff(offsets)
    if not data.size:
        return out
    if data.size > _PIECE and rows > 1:  # long texts: the work space is a few times the text
        half = rows // 2
        return np.concatenate([scan_text(array.slice(0, half)), scan_text(array.slice(half))])
    if np.all(lengths == 11):  # the plain case: a column of numbers
        digits = np.ascontiguousarray(data.reshape(rows, 11).T) - np.uint8(_ZERO)
        whole = (digits <= 9).all(axis=0)
        if whole.all():
            out[:] = classify(digits) | TESTED
            return _without_nulls(out, array)
    # In UTF-8 these lead bytes begin every sign of `unusual`; æ, ø, å and the rest of Latin have others.
    suspect = data >= 128 if _is_bytes(kind) else (data == 0xC2) | (data >= 0xD9)
    far = _rows_with(suspect, offsets)
    _scan_bytes(data, offsets, lengths, out)
    if far.size:
        # Judged on what the signs mean: a hard space parts digits, a full-width digit belongs to the number beside it.
        out[far] = _scan_far(array.take(pa.array(far)))
    return _without_nulls(out, array)


def _is_bytes(kind: pa.DataType) -> bool:
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _without_nulls(out: NDArray[np.uint8], array: Any) -> NDArray[np.uint8]:
    if array.null_count:
        out[np.asarray(array.is_null())] = 0
    return out


def _rows_with(mask: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    places = np.flatnonzero(mask)
    return np.unique(np.searchsorted(offsets, places, side="right") - 1) if places.size else places


def _scan_far(array: Any) -> NDArray[np.uint8]:
    if _is_bytes(array.type):
        try:
            array = array.cast(pa.large_string())
        except pa.ArrowInvalid:  # not UTF-8: Latin-1 reads anything, and only digits and spaces matter
            texts = [None if v is None else v.decode("latin-1") for v in array.to_pylist()]
            array = pa.array(texts, pa.large_string())
    plain: Any = plain_signs(pl.Series(array)).to_arrow().cast(pa.large_string())
    out = np.zeros(len(plain), np.uint8)
    data_buffer = plain.buffers()[2]
    if data_buffer is not None:
        offsets = np.frombuffer(plain.buffers()[1], np.int64)[plain.offset : plain.offset + len(plain) + 1]
        data = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
        offsets = offsets - offsets[0]
        _scan_bytes(data, offsets, np.diff(offsets), out)
    return out


def _scan_bytes(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], lengths: NDArray[np.int64], out: NDArray[np.uint8]
) -> None:
    """Find candidates in the joined bytes of all rows and write their codes into ``out``."""
    if not data.size:
        return
    digit = (data - np.uint8(_ZERO)) <= 9
    first = np.zeros(data.size + 1, np.bool_)  # where a row begins: a number never runs over a border
    first[offsets[:-1]] = True
    begins, ends = digit.copy(), digit.copy()
    begins[1:] &= ~digit[:-1] | first[1:-1]
    ends[:-1] &= ~digit[1:] | first[1:-1]
    start = np.flatnonzero(begins)
    if not start.size:
        return
    stop = np.flatnonzero(ends) + 1
    run = stop - start
    # Row of each run; empty rows share an offset with the next, and the last of them owns the bytes.
    row = np.searchsorted(offsets, start, side="right") - 1

    eleven = np.flatnonzero(run == 11)
    if eleven.size:
        # Letters on both sides make it part of a code, such as a hash in hexadecimal.
        s, e, r = start[eleven], stop[eleven], row[eleven]
        before = (s > offsets[r]) & _LETTER[data[np.maximum(s - 1, 0)]]
        after = (e < offsets[r + 1]) & _LETTER[data[np.minimum(e, data.size - 1)]]
        eleven = eleven[~(before & after)]
        _note(data[start[eleven][:, None] + np.arange(11)], row[eleven], out)

    ten = np.flatnonzero((run == 10) & (lengths[row] == 10))
    if ten.size:
        padded = np.full((ten.size, 11), _ZERO, np.uint8)
        padded[:, 1:] = data[start[ten][:, None] + np.arange(10)]
        _note(padded, row[ten], out)

    for grouping in _GROUPINGS:
        n = len(grouping)
        if start.size < n:
            continue
        fits = np.ones(start.size - n + 1, np.bool_)
        for i, length in enumerate(grouping):
            fits &= run[i : start.size - n + 1 + i] == length
        at = np.flatnonzero(fits)
        at = at[row[at] == row[at + n - 1]]
        for i in range(n - 1):
            at = at[_joined(data, stop[at + i], start[at + i + 1])]
        if at.size:
            parts = [data[start[at + i][:, None] + np.arange(length)] for i, length in enumerate(grouping)]
            _note(np.concatenate(parts, axis=1), row[at], out)


def _joined(data: NDArray[np.uint8], left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether only spaces, dashes, points or slashes stand between, and few of them."""
    fine = right - left <= _LONGEST_GAP
    for step in range(_LONGEST_GAP):
        place = left + step
        fine &= (place >= right) | _GAP[data[np.minimum(place, data.size - 1)]]
    return fine


def _note(signs: NDArray[np.uint8], row: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
    codes = classify(np.ascontiguousarray(signs.T) - np.uint8(_ZERO))
    out[row] |= TESTED
    hit = codes > 0
    # Of two numbers in one value the last one's kind is kept; the value counts once.
    out[row[hit]] = codes[hit] | TESTED
