from __future__ import annotations

import random
import re
import tracemalloc
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dvengine.privacy._detect import Finding, IdentityScanner
from dvengine.privacy._digits import scan_text
from dvengine.privacy._fnr import NEW as NEW_RULE
from dvengine.privacy._fnr import OLD as OLD_RULE
from dvengine.privacy._fnr import check_number

OLD, NEW = "01824560079", "01824564015"
LOST = 5815160160  # 05815160160 without its zero


def scan(array: Any, *, name: str = "x", cut: int | None = None) -> list[Finding]:
    batch = pa.record_batch({name: array})
    scanner = IdentityScanner(batch.schema)
    step = cut or max(batch.num_rows, 1)
    for start in range(0, batch.num_rows, step):
        scanner.feed(batch.slice(start, step))
    return scanner.findings()


def rows(array: Any) -> int:
    return sum(finding.rows for finding in scan(array))


FOUND = [
    "018245 60079", "018245-60079", "018245\u00a060079", "fnr01824560079.", "(01824560079,01824564015)", "０１８２４５６００７９",
    "01824560079", " 01824560079 ", "x:01824560079\n", "018245 600 79", "01.82.45 60079", "01 82 45 60079", "018245 - 60079",
    "018245\u202f60079", "018245\u201360079", "018245\u00ad60079", "018\u200b24560079", "٠١٨٢٤٥٦٠٠٧٩", "ærlig talt 01824560079 ja",
    "01824560079²", "født01824560079", "41824560062", "01024561077", "5815160160",
]  # fmt: skip
NOT_FOUND = [
    "1234018245600790", "018245\t60079", "018245\n60079", "01824560070", "889640782", "889640782 01", "0182 45 60079",
    "4791234567", "+47 912 34 567", "00000000000", "", " ", "018245600791", "a01824560079b", "１01824560079", "2024-01-18T24:56:00",
]  # fmt: skip


@pytest.mark.parametrize("text", FOUND)
def test_number_is_found_however_it_is_written(text: str) -> None:
    assert rows(pa.array(["uten", text, None])) == 1
    assert rows(pa.array(["uten", text, None], pa.large_string())) == 1
    assert rows(pa.array([text.encode()], pa.binary())) == 1


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_is_not_a_number_is_not_found(text: str) -> None:
    assert rows(pa.array(["uten", text, None])) == 0
    assert rows(pa.array([text.encode()], pa.binary())) == 0


def test_digits_never_join_over_a_border_of_rows() -> None:
    assert rows(pa.array(["018245", "60079", "0182456", "0079", "1", "01824560079", "2"])) == 1
    assert rows(pa.array(["018245", "", None, "60079"])) == 0


@pytest.mark.parametrize(
    "array",
    [
        pa.array([LOST, 7, None], pa.int64()),
        pa.array([LOST, 7, None], pa.uint64()),
        pa.array([float(LOST), 7.5, None, float("nan"), float("inf")]),
        pa.array([Decimal(LOST), Decimal(7), None], pa.decimal128(11, 0)),
        pa.array([Decimal(LOST), Decimal("7.25")], pa.decimal128(20, 2)),
        pa.array([Decimal(LOST), Decimal(10) ** 60], pa.decimal256(70, 0)),
        pa.array([1824560079, -5], pa.int32()),
        pa.array([1824560079], pa.uint32()),
    ],
    ids=lambda a: str(a.type),
)  # fmt: skip
def test_number_with_its_leading_zero_lost_is_found(array: pa.Array) -> None:
    assert rows(array) == 1


def test_numbers_that_are_no_whole_number_or_too_long_are_left_alone() -> None:
    assert rows(pa.array([LOST + 0.5, LOST * 100.0])) == 0
    assert rows(pa.array([LOST * 10, -LOST, 0])) == 0
    assert rows(pa.array([Decimal(LOST) + Decimal("0.01")], pa.decimal128(18, 2))) == 0
    assert rows(pa.array([True, None])) == 0


NESTED = {
    "x[]": pa.array([["a", OLD], [], None], pa.list_(pa.string())),
    "x.id": pa.array([{"id": OLD, "n": 1}, None]),
    "x.value": pa.array([[("k", OLD)], None, []], pa.map_(pa.string(), pa.string())),
    "x.key": pa.array([[(OLD, 1)]], pa.map_(pa.string(), pa.int64())),
    "x[].ids[]": pa.array([[{"ids": [LOST]}]]),
    "x": pa.array([OLD, "b", OLD, None]).dictionary_encode(),
}


@pytest.mark.parametrize("path", NESTED)
def test_nested_and_encoded_columns_are_looked_into(path: str) -> None:
    (finding,) = scan(NESTED[path])
    assert finding.column == path
    assert finding.rows == (2 if path == "x" else 1)


@pytest.mark.parametrize(
    "kind",
    [pa.string_view(), pa.binary_view(), pa.binary(11), pa.large_binary(), pa.large_list(pa.string()), pa.list_(pa.string(), 1),
     pa.list_view(pa.string()), pa.run_end_encoded(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.large_string())],
    ids=str,
)  # fmt: skip
def test_every_way_to_store_text_is_read(kind: pa.DataType) -> None:
    value: Any = OLD.encode() if "binary" in str(kind) else [OLD] if "list" in str(kind) else OLD
    if pa.types.is_run_end_encoded(kind):
        array = pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([value]))
    elif pa.types.is_dictionary(kind):
        array = pa.array([value], pa.large_string()).dictionary_encode()
    else:
        array = pa.array([value], kind)
    assert rows(array) == len(array)


def test_hidden_rows_of_slices_and_nulls_do_not_count() -> None:
    array = pa.array([OLD, "a", OLD, None, "b"])
    assert rows(array.slice(1, 1)) == 0
    assert rows(array.slice(3, 2)) == 0
    masked = pa.Array.from_buffers(pa.string(), 1, [pa.py_buffer(b"\0"), *pa.array([OLD]).buffers()[1:]])
    assert rows(masked) == 0
    structs = pa.StructArray.from_arrays([pa.array([OLD, OLD])], ["id"], mask=pa.array([True, False]))
    assert rows(structs) == 1
    maps = pa.array([[("a", OLD)], [("b", "c")], [("d", OLD)]], pa.map_(pa.string(), pa.string()))
    assert rows(maps.slice(1, 1)) == 0


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.int64(), pa.null(), pa.list_(pa.string()), pa.date32(), pa.decimal128(5, 2)],
    ids=str,
)
def test_empty_and_null_columns_hold_nothing(kind: pa.DataType) -> None:
    assert scan(pa.array([], kind)) == []
    assert scan(pa.array([None, None], kind)) == []


def test_few_among_many_are_found_and_certain() -> None:
    texts = [f"sak {i}" for i in range(100_000)]
    for at in (5, 77_777, 99_999):
        texts[at] = f"gjelder {OLD}"
    (finding,) = scan(pa.array(texts))
    assert (finding.rows, finding.tested, finding.share, finding.verdict) == (3, 3, 1.0, "certain")
    assert finding.rule == "fnr:old"


def test_column_of_numbers_is_certain_and_says_kind_and_rule() -> None:
    (finding,) = scan(pa.array([OLD, NEW, "41824560062", None] * 5))
    assert (finding.rule, finding.rows, finding.share, finding.verdict) == ("fnr:2032", 15, 1.0, "certain")
    assert finding.kinds == {"synthetic +80": 10, "D and +80": 5}


def account_numbers(n: int) -> list[str]:
    rng, weights, out = random.Random(5), (5, 4, 3, 2, 7, 6, 5, 4, 3, 2), []
    while len(out) < n:
        head = f"{rng.randrange(10**10):010d}"
        control = -sum(w * int(d) for w, d in zip(weights, head, strict=True)) % 11
        if control < 10:
            out.append(f"{head}{control}")
    return out


def test_account_numbers_are_possible_at_the_share_that_chance_gives() -> None:
    (finding,) = scan(pa.array(account_numbers(30_000)))
    assert finding.verdict == "possible"
    assert 0.074 < finding.share < 0.086
    as_written = pa.array([f"{a[:4]} {a[4:6]} {a[6:]}" for a in account_numbers(2_000)])
    assert scan(as_written) == []


def test_look_alikes_are_not_taken_for_certain() -> None:
    rng = np.random.default_rng(2)
    wrong = [a[:10] + str((int(a[10]) + 1) % 10) for a in account_numbers(5_000)]
    assert scan(pa.array(wrong)) == []
    assert scan(pa.array([f"47{n}" for n in rng.integers(20_000_000, 99_999_999, 5_000)])) == []
    assert scan(pa.array(rng.integers(800_000_000, 999_999_999, 5_000))) == []
    (orders,) = scan(pa.array(rng.integers(10**10, 10**11, 50_000)))
    assert orders.verdict == "possible"
    assert orders.share < 0.01


def test_codes_with_letters_hold_next_to_nothing() -> None:
    rng = random.Random(1)
    texts = [str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(20_000)]
    texts += [f"{rng.getrandbits(256):064x}" for _ in range(20_000)]
    assert all(f.verdict == "possible" and f.rows < 10 for f in scan(pa.array(texts)))


def test_findings_do_not_depend_on_how_the_stream_is_cut() -> None:
    rng = random.Random(9)
    texts = [
        rng.choice([OLD, NEW, "x", None, f"{rng.randrange(10**11)}", "fnr 018245 60079 ja", "møte kl 12"])
        for _ in range(3_000)
    ]
    whole = scan(pa.array(texts))
    assert whole == scan(pa.array(texts), cut=7) == scan(pa.array(texts).dictionary_encode(), cut=501)
    truth = sum(t is not None and (check_number(t) is not None or " 60079" in t or (len(t) == 10 and check_number("0" + t) is not None)) for t in texts)  # fmt: skip
    assert whole[0].rows == truth


_APART = r"[ \-./]{1,3}"
_SPELLINGS = [
    re.compile(r"(?=(?<![0-9])" + _APART.join(f"([0-9]{{{n}}})" for n in grouping) + r"(?![0-9]))")
    for grouping in ((11,), (6, 5), (6, 3, 2), (2, 2, 2, 5), (2, 2, 2, 3, 2))
]


def by_regular_expression(text: str) -> bool:
    """The same promise in other words: an independent second opinion."""
    if re.fullmatch("[0-9]{10}", text) and check_number("0" + text):
        return True
    for spelling in _SPELLINGS:
        for match in spelling.finditer(text):
            number = "".join(match.groups())
            before, after = (
                text[match.start() - 1 : match.start()],
                text[match.start() + 11 : match.start() + 12],
            )
            in_a_code = spelling is _SPELLINGS[0] and re.fullmatch("[a-zA-Z]{2}", before + after)
            if not in_a_code and check_number(number):
                return True
    return False


@pytest.mark.parametrize("seed", range(5))
def test_random_texts_are_judged_as_by_a_regular_expression(seed: int) -> None:
    rng = random.Random(seed)
    pieces = [OLD, OLD[:6], OLD[6:], NEW, "01824", "0", "7", " ", "-", ".", "/", "\t", "\n", "a", "Z", "ø", "日", "", "01", "82", "45", "600", "79",
              "5815160160", "x", ","]  # fmt: skip
    texts = ["".join(rng.choices(pieces, k=rng.randrange(7))) for _ in range(4_000)]
    expected = [by_regular_expression(text) for text in texts]
    assert 100 < sum(expected) < 3_900
    found = scan_text(pa.array(texts)) & (OLD_RULE | NEW_RULE) > 0
    assert [t for t, e, f in zip(texts, expected, found, strict=True) if e != f] == []
    assert (scan_text(pa.array([t.encode() for t in texts])) & (OLD_RULE | NEW_RULE) > 0).tolist() == expected


def test_long_texts_are_looked_at_in_pieces() -> None:
    page = "Vedtaket gjelder søker " * 20_000
    texts = [page, f"{page} {OLD}", None, page, f"{OLD} {page}"] * 20
    array = pa.array(texts, pa.large_string())
    assert array.nbytes > 8 << 20
    tracemalloc.start()
    assert rows(array) == 40
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20
    assert array.nbytes * 6 > 100 << 20  # what the work space would be for all at once


def test_no_value_is_kept_or_shown() -> None:
    batch = pa.record_batch({"fnr": [OLD, "018245 60079"] * 10})
    scanner = IdentityScanner(batch.schema)
    scanner.feed(batch)
    shown = repr(scanner.findings()) + repr(vars(scanner)) + repr(scanner)
    assert "60079" not in shown
    assert "182456" not in shown


def test_a_category_that_no_row_has_is_found() -> None:
    """Parquet and the descriptor keep it: a filter on the rows does not take it out."""
    codes = pa.DictionaryArray.from_arrays(pa.array([0, 1, None] * 5, pa.int8()), ["a", "b", "01824560079"])
    scanner = IdentityScanner(pa.schema({"k": codes.type}))
    for start in (0, 5):
        scanner.feed(pa.record_batch({"k": codes.slice(start, 5)}))
    (finding,) = scanner.findings()
    assert (finding.column, finding.rows, finding.share) == ("k", 1, 1.0)


def test_where_rows_hold_a_number_they_are_what_is_counted() -> None:
    codes = pa.DictionaryArray.from_arrays(pa.array([2, 1, 2], pa.int8()), ["a", "b", "01824560079"])
    scanner = IdentityScanner(pa.schema({"k": codes.type}))
    scanner.feed(pa.record_batch({"k": codes}))
    assert [finding.rows for finding in scanner.findings()] == [2]
