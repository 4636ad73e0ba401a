"""CSV as a source: nothing guessed, nothing lost, nothing shown (E09, E17)."""

from __future__ import annotations

import csv
import gzip
import io
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dvengine as dv
from dvengine.stores import open_store

MESSY = Path(__file__).parents[1] / "data" / "messy"
KOMM = "kommune;fnr;postnr;antall;andel\n0301;01010012345;0150;12;0,5\n1103;13019912345;4001;7;1,25\n0301;02020098765;0010;0;0\n"


@pytest.fixture
def komm(tmp_path: Path) -> Path:
    path = tmp_path / "komm.csv"
    path.write_text(KOMM, "utf-8")
    return path


def test_e17_every_column_is_text_unless_a_type_is_given(komm: Path) -> None:
    data = dv.read_files(komm)
    assert set(data.schema.types) == {pa.string()}
    assert data.to_arrow().to_pylist()[0] == {
        "kommune": "0301",
        "fnr": "01010012345",
        "postnr": "0150",
        "antall": "12",
        "andel": "0,5",
    }
    for out in (
        data.to_pandas(),
        data.to_polars(),
        data.lazy().collect(),
        data.sql("select * from self").to_polars(),
    ):
        assert list(out["kommune"]) == ["0301", "1103", "0301"]
        assert list(out["postnr"]) == ["0150", "4001", "0010"]


def test_e17_types_and_decimal_comma_are_exact_when_asked_for(komm: Path) -> None:
    asked = {"antall": pa.int64(), "andel": pa.decimal128(9, 2)}
    data = dv.read_files(komm, schema=asked, decimal=",")
    assert data.to_arrow()["antall"].to_pylist() == [12, 7, 0]
    assert data.to_arrow()["andel"].to_pylist() == [Decimal("0.50"), Decimal("1.25"), Decimal("0.00")]
    assert dv.read_files(komm, schema={"andel": pa.float64()}, decimal=",").to_arrow()[
        "andel"
    ].to_pylist() == [0.5, 1.25, 0.0]
    for wrong in (
        {"andel": pa.decimal128(9, 1)},
        {"andel": pa.int64()},
        {"fnr": pa.int32()},
        {"kommune": pa.date32()},
    ):
        with pytest.raises(dv.TypeMapError, match=f"'{next(iter(wrong))}' of .*komm.csv") as caught:
            dv.read_files(komm, schema=wrong, decimal=",").to_arrow()
        assert "01010012345" not in str(caught.value)
    with pytest.raises(dv.InputError, match="'nope'"):
        _ = dv.read_files(komm, schema={"nope": pa.int64()}).schema


def test_e17_a_late_zero_and_a_second_file_stay_text(tmp_path: Path) -> None:
    (tmp_path / "late.csv").write_text("kode\n" + "1103\n" * 4900 + "0301\n" + "1103\n" * 99)
    assert dv.read_files(tmp_path / "late.csv").to_arrow()["kode"].to_pylist()[4900] == "0301"
    (tmp_path / "a.csv").write_text("kode\n1103\n")
    (tmp_path / "b.csv").write_text("kode\n0301\n")
    assert sorted(dv.read_files([tmp_path / "a.csv", tmp_path / "b.csv"]).to_arrow()["kode"].to_pylist()) == [
        "0301",
        "1103",
    ]


def test_e09_a_file_with_only_its_header_keeps_the_schema(tmp_path: Path) -> None:
    for text in ("a;b", "a;b\n", "a;b\r\n"):
        (tmp_path / "h.csv").write_text(text, newline="")
        data = dv.read_files(tmp_path / "h.csv", schema={"b": pa.int64()})
        assert data.to_arrow().schema == pa.schema([("a", pa.string()), ("b", pa.int64())])
        assert data.sql("select count(*) as n from self").to_arrow().to_pylist() == [{"n": 0}]
    (tmp_path / "h.csv").write_text("")
    with pytest.raises(dv.InputError, match="no header"):
        dv.read_files(tmp_path / "h.csv").to_arrow()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le"])
def test_each_encoding_is_read_when_it_is_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "e.csv").write_bytes("navn;ø\nÆrlig blåbær;1\n".encode(encoding))
    assert dv.read_files(tmp_path / "e.csv", encoding=encoding).to_arrow().to_pylist() == [
        {"navn": "Ærlig blåbær", "ø": "1"}
    ]


def test_a_wrong_encoding_is_said_and_never_guessed(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes("navn\nBlåbær\n".encode("latin-1"))
    (tmp_path / "late.csv").write_bytes(b"navn\n" + b"a\n" * 700_000 + "Blåbær\n".encode("latin-1"))
    for name in ("l.csv", "late.csv"):
        with pytest.raises(dv.InputError, match="is not utf-8 text") as caught:
            dv.read_files(tmp_path / name).to_arrow()
        assert "latin-1" in str(caught.value.hint)
    with pytest.raises(dv.InputError, match="no encoding"):
        dv.read_files(tmp_path / "l.csv", encoding="latin-x")


@pytest.mark.parametrize("rows_before", [0, 1, 700_000])
def test_a_ragged_row_names_file_and_row_and_shows_nothing(tmp_path: Path, rows_before: int) -> None:
    (tmp_path / "r.csv").write_text("a,b\n" + "1,2\n" * rows_before + "3,4,hemmelig\n5,6\n")
    with pytest.raises(dv.InputError, match=rf"r\.csv', row {rows_before + 2} ") as caught:
        dv.read_files(tmp_path / "r.csv").to_arrow()
    assert "hemmelig" not in str(caught.value)


def test_the_delimiter_comes_from_the_header_or_the_caller(tmp_path: Path) -> None:
    for sign in (";", "\t", ","):
        (tmp_path / "d.csv").write_text(sign.join("abc") + "\n" + sign.join("123") + "\n")
        assert dv.read_files(tmp_path / "d.csv").schema.names == ["a", "b", "c"]
    (tmp_path / "d.csv").write_text("a|b\n1|2\n")
    assert dv.read_files(tmp_path / "d.csv", delimiter="|").to_arrow().to_pylist() == [{"a": "1", "b": "2"}]
    (tmp_path / "one.csv").write_text("a\n1,5\n")
    assert dv.read_files(tmp_path / "one.csv").to_arrow().to_pylist() == [{"a": "1,5"}]


def test_empty_cells_are_null_and_quoted_ones_are_empty(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text('a,b,land\n,"",NA\n"x\ny",nan,NULL\n')
    rows = dv.read_files(tmp_path / "n.csv").to_arrow().to_pylist()
    assert rows == [{"a": None, "b": "", "land": "NA"}, {"a": "x\ny", "b": "nan", "land": "NULL"}]


def test_header_faults_are_refused(tmp_path: Path) -> None:
    for header, word in (("a;a", "'a'"), ("a;", "without a name")):
        (tmp_path / "h.csv").write_text(header + "\n1;2\n")
        with pytest.raises(dv.InputError, match=word):
            _ = dv.read_files(tmp_path / "h.csv").schema


def test_files_with_other_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a;b\n1;2\n")
    (tmp_path / "b.csv").write_text("a;c\n1;2\n")
    with pytest.raises(dv.TypeMapError, match=r"b\.csv"):
        dv.read_files(tmp_path / "*.csv").to_arrow()


def test_columns_are_projected_and_gzip_is_unpacked(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "k.csv.gz", "wt") as file:
        file.write(KOMM)
    data = dv.read_files(tmp_path / "k.csv.gz")
    assert data.lazy().select("postnr", "kommune").collect().to_dicts()[0] == {
        "postnr": "0150",
        "kommune": "0301",
    }
    assert data.pipe(lambda lf: lf.select("antall")).to_arrow()["antall"].to_pylist() == ["12", "7", "0"]


@pytest.mark.parametrize(
    ("name", "options", "rows", "columns"),
    [
        ("udir_mobbing_utf16le_tab.csv", {"encoding": "utf-16-le", "skip_rows": 1}, 4, 41),
        ("ssb_klass_endringer_2019_2020_cp1252.csv", {"encoding": "cp1252"}, 313, 3),
        ("fad_lonn_a_tabell_desimalkomma.csv", {}, 98, 14),
        ("oed_normpriser_datoer.csv", {}, 300, 6),
    ],
)
def test_real_messy_files_are_read_whole(
    name: str, options: dict[str, object], rows: int, columns: int
) -> None:
    table = dv.read_files(MESSY / name, **options).to_arrow()  # type: ignore[arg-type]
    assert (table.num_rows, table.num_columns) == (rows, columns)


def test_real_windows_1252_keeps_its_sami_letter_and_no_break_spaces() -> None:
    table = dv.read_files(MESSY / "ssb_klass_endringer_2019_2020_cp1252.csv", encoding="cp1252").to_arrow()
    text = "".join(cell or "" for column in table.columns for cell in column.to_pylist())
    assert "Kárášjohka" in text
    assert "\u00a0" in text


def test_a_real_file_whose_rows_are_shorter_than_its_header_is_refused() -> None:
    with pytest.raises(dv.InputError, match=r"row 2.*8 cells"):
        dv.read_files(MESSY / "ssb_klass_kommuneinndeling_2026_latin1.csv", encoding="latin-1").to_arrow()


cells = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r\ufeff"), max_size=6),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(cells, cells), max_size=8),
    st.sampled_from(";,\t|"),
    st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]),
)
def test_whatever_is_written_is_read_back(
    rows: list[tuple[str | None, str | None]], delimiter: str, encoding: str
) -> None:
    out = io.StringIO()
    writer = csv.writer(
        out,
        delimiter=delimiter,
        quoting=csv.QUOTE_NOTNULL if hasattr(csv, "QUOTE_NOTNULL") else csv.QUOTE_ALL,
        lineterminator="\n",
    )
    shown = rows if hasattr(csv, "QUOTE_NOTNULL") else [(a or "", b or "") for a, b in rows]
    writer.writerow(("a", "b"))
    writer.writerows(shown)
    open_store("memory://csv").put("x.csv", out.getvalue().encode(encoding))
    back = dv.read_files("memory://csv/x.csv", delimiter=delimiter, encoding=encoding).to_arrow()
    assert [tuple(row.values()) for row in back.to_pylist()] == shown


def test_two_files_of_one_folder_are_one_consistent_reading(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("k;v\n1;2\n")
    (tmp_path / "b.csv").write_text("k;w\n1;3\n")
    joined = dv.read_files(tmp_path / "a.csv").sql(
        "select v, w from self join b using (k)", b=dv.read_files(tmp_path / "b.csv")
    )
    assert joined.to_arrow().to_pylist() == [{"v": "2", "w": "3"}]
    assert [step["consistent"] for step in joined.lineage] == [True, True]
