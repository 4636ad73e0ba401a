from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from dvengine import QueryError, TypeMapError
from dvengine.connectors import Filter

UTC = dt.UTC


# --- E01 ------------------------------------------------------------------------------------------------------------


BELOP = (
    "create table belop(id int, sats numeric(10,2), fritt numeric)",
    "insert into belop values (1,7.25,'Infinity'), (2,'NaN','NaN'), (3,null,'-Infinity'), (4,-0.01,1.5)",
)


def test_e01_nan_in_numeric_is_an_error_that_names_the_column(db):
    db.run(*BELOP)
    with pytest.raises(TypeMapError, match="'sats' holds NaN"):
        db.read("belop")
    with pytest.raises(TypeMapError, match="'sats' holds NaN"):
        db.read("select * from belop")


def test_e01_nan_is_text_when_asked_for_and_free_numerics_keep_the_servers_spelling(db):
    db.run(*BELOP)
    table = db.read("belop", types={"sats": pa.string()})
    assert table["sats"].to_pylist() == ["7.25", "NaN", None, "-0.01"]
    assert table["fritt"].to_pylist() == ["Infinity", "NaN", "-Infinity", "1.5"]


def test_e01_numeric_without_nan_is_decimal(db):
    db.run(*BELOP)
    table = db.read("select * from belop where id <> 2")
    assert table.schema.field("sats").type == pa.decimal128(10, 2)
    assert table["sats"].to_pylist() == [Decimal("7.25"), None, Decimal("-0.01")]


def test_e01_nan_in_the_last_row_of_the_last_partition_is_an_error_too(db):
    db.run(
        "create table sist(id int, sats numeric(10,2), pad text)",
        "insert into sist select g, 1, repeat('x', 200) from generate_series(1, 20000) g",
        "insert into sist values (20001, 'NaN', '')",
    )
    with pytest.raises(TypeMapError, match="'sats'"):
        db.read("sist", partitions=4)


# --- E02 ------------------------------------------------------------------------------------------------------------


SATS = (
    "create table sats(id int, v numeric)",
    "insert into sats values (1,5),(2,5.125),(3,4.875),(4,98765432109876543210.000000000123),(5,0.00)",
)


def test_e02_unconstrained_numeric_is_text_whatever_the_order(db):
    db.run(*SATS)
    right = ["5", "5.125", "4.875", "98765432109876543210.000000000123", "0.00"]
    assert db.read("select v from sats order by id")["v"].to_pylist() == right
    assert db.read("select v from sats order by id desc")["v"].to_pylist() == right[::-1]


def test_e02_aggregates_lose_the_typmod_and_become_text(db):
    db.run(*SATS)
    table = db.read("select sum(v) s, avg(v) a, max(v) m from sats where id < 4")
    assert table.to_pylist() == [{"s": "15.000", "a": "5.0000000000000000", "m": "5.125"}]


def test_e02_a_cast_gives_scale_and_a_minus_takes_it_away(db):
    table = db.read(
        "select 0::numeric(9,3) a, 0::numeric(7,0) b, 2.71828::numeric(15,7) c, (-0.25)::numeric(6,2) d, -0.25::numeric(6,2) e"
    )
    assert [str(v) for v in table.to_pylist()[0].values()] == ["0.000", "0", "2.7182800", "-0.25", "-0.25"]
    assert [f.type for f in table.schema][:4] == [
        pa.decimal128(*p) for p in ((9, 3), (7, 0), (15, 7), (6, 2))
    ]
    assert table.schema.field("e").type == pa.string()


def test_e02_an_asked_for_decimal_is_exact_or_an_error(db):
    db.run(*SATS)
    asked = {"v": pa.decimal128(38, 9)}
    with pytest.raises(TypeMapError, match="'v' holds a value that decimal128"):
        db.read("sats", types=asked)
    table = db.read("select v from sats where id < 4 order by id", types=asked)
    assert table["v"].to_pylist() == [Decimal("5.000000000"), Decimal("5.125000000"), Decimal("4.875000000")]
    wide = db.read("select v from sats where id = 4", types={"v": pa.decimal128(38, 12)})
    assert wide["v"].to_pylist() == [Decimal("98765432109876543210.000000000123")]


def test_numeric_as_wide_as_arrow_and_wider(db):
    digits = "9" * 38
    table = db.read(
        f"select {digits}::numeric(38,0) a, '0.{digits}'::numeric(38,38) b, 1::numeric(39,0) c, 0.00099::numeric(2,5) d, 1234::numeric(2,-2) e"
    )
    assert [f.type for f in table.schema] == [
        pa.decimal128(38, 0), pa.decimal128(38, 38), pa.string(), pa.decimal128(5, 5), pa.string(),
    ]  # fmt: skip
    row = table.to_pylist()[0]
    assert (str(row["a"]), str(row["b"])) == (digits, "0." + digits)
    assert (row["c"], row["d"], row["e"]) == ("1", Decimal("0.00099"), "1200")


def test_e06_nullable_integers_arrive_as_integers(db):
    db.run(
        "create table nullbar(id bigint, i int, b boolean, d date, s smallint)",
        "insert into nullbar values (9007199254740993,1,true,'2024-02-29',-32768),(null,null,null,null,null),"
        "(-9223372036854775808,2,false,'0001-01-01',32767)",
    )
    table = db.read("nullbar")
    assert table.schema.types == [pa.int64(), pa.int32(), pa.bool_(), pa.date32(), pa.int16()]
    assert table["id"].to_pylist() == [9007199254740993, None, -9223372036854775808]
    assert table["d"].to_pylist() == [dt.date(2024, 2, 29), None, dt.date(1, 1, 1)]


# --- E04, E05 -------------------------------------------------------------------------------------------------------


GYLDIG = (
    "create table gyldig(id int, fra timestamp, til timestamptz, dato date)",
    """insert into gyldig values
 (1,'1899-12-31 23:00','infinity','infinity'),
 (2,'-infinity','2025-01-01 00:00+01','-infinity'),
 (3,'0044-03-15 BC','9999-12-31 00:00+00','4713-01-01 BC'),
 (4,'1582-10-10','0001-01-01 00:00+00','2024-02-29')""",
)


@pytest.mark.parametrize("column", ["fra", "til", "dato"])
def test_e04_infinity_is_an_error_that_names_the_column(db, column):
    db.run(*GYLDIG)
    with pytest.raises(TypeMapError, match=f"'{column}' holds infinity"):
        db.read("gyldig", columns=(column,))


def test_e04_infinity_is_null_or_text_when_asked_for(db):
    db.run(*GYLDIG)
    table = db.read("select * from gyldig order by id", options={"infinity": "null"})
    assert [table[c].null_count for c in ("fra", "til", "dato")] == [1, 1, 2]
    text = db.read("select til from gyldig order by id", types={"til": pa.string()})
    assert text["til"].to_pylist()[:2] == ["infinity", "2024-12-31 23:00:00+00"]
    for read in ("gyldig", "select * from gyldig order by id"):
        spelled = db.read(read, options={"infinity": "string"})
        assert spelled.schema.types == [pa.int32(), pa.string(), pa.string(), pa.string()]
        assert spelled["dato"].to_pylist()[:2] == ["infinity", "-infinity"]
        assert spelled["fra"].to_pylist()[2] == "0044-03-15 00:00:00 BC"


def test_e04_bc_and_far_instants_are_exact(db):
    db.run(*GYLDIG)
    table = db.read("select * from gyldig order by id", options={"infinity": "null"})
    micros = table["fra"].cast(pa.int64()).to_pylist()
    # 44-03-15 BC is year -43 of the proleptic Gregorian calendar
    assert micros[2] == -63517824000000000
    assert micros[3] == int((dt.datetime(1582, 10, 10) - dt.datetime(1970, 1, 1)).total_seconds()) * 10**6
    assert micros[0] == int((dt.datetime(1899, 12, 31, 23) - dt.datetime(1970, 1, 1)).total_seconds()) * 10**6
    assert table["dato"].cast(pa.int32()).to_pylist() == [None, None, -2440550, 19782]
    assert table["til"].to_pylist()[2:] == [
        dt.datetime(9999, 12, 31, tzinfo=UTC),
        dt.datetime(1, 1, 1, tzinfo=UTC),
    ]


def test_e04_an_instant_beyond_arrows_calendar_is_an_error_and_the_last_within_is_not(db):
    with pytest.raises(TypeMapError, match="'t' holds an instant later"):
        db.read("select timestamp '294276-12-31' as t", options={"infinity": "null"})
    last = db.read("select timestamp '294247-01-10 04:00:54.775807' as t, date '5874897-12-31' as d")
    assert last["t"].cast(pa.int64()).to_pylist() == [2**63 - 1]
    first = db.read("select timestamp '4714-11-24 00:00:00 BC' as t, date '4714-11-24 BC' as d")
    assert first["d"].cast(pa.int32()).to_pylist() == [-2440588]


@pytest.mark.parametrize("zone", ["Europe/Oslo", "UTC", "America/New_York"])
def test_e05_the_hour_that_happens_twice(db, zone, monkeypatch):
    name = db.rows("select current_database()")[0][0]
    monkeypatch.setenv("TZ", zone)
    monkeypatch.setenv("PGTZ", zone)
    db.run(
        f"alter database \"{name}\" set timezone = '{zone}'",
        "create table vakt(id int, t timestamptz, l timestamp)",
        """insert into vakt values (1,'2025-10-26 02:30:00+02','2025-10-26 02:30'),(2,'2025-10-26 02:30:00+01','2025-10-26 02:30'),
 (3,'2025-03-30 03:30:00+02','2025-03-30 02:30'),(4,'1894-12-31 23:30:00+00','1894-12-31 23:30')""",
    )
    table = db.read("select * from vakt order by id")
    assert table.schema.field("t").type == pa.timestamp("us", "UTC")
    assert table["t"].to_pylist() == [
        dt.datetime(2025, 10, 26, 0, 30, tzinfo=UTC),
        dt.datetime(2025, 10, 26, 1, 30, tzinfo=UTC),
        dt.datetime(2025, 3, 30, 1, 30, tzinfo=UTC),
        dt.datetime(1894, 12, 31, 23, 30, tzinfo=UTC),
    ]
    assert table["l"].to_pylist()[2] == dt.datetime(2025, 3, 30, 2, 30)
    oslo = db.read("select t from vakt order by id", types={"t": pa.timestamp("us", "Europe/Oslo")})
    assert oslo["t"].to_pylist()[0].fold != oslo["t"].to_pylist()[1].fold
    assert oslo["t"].cast(pa.int64()).equals(table["t"].cast(pa.int64()))


def test_time_of_day_is_exact_and_24_00_is_an_error(db):
    table = db.read(
        "select time '23:59:59.999999' as t, timetz '02:30+02' as z, interval '1 year 2 days 03:04:05.5' as i"
    )
    assert table.to_pylist() == [
        {"t": dt.time(23, 59, 59, 999999), "z": "02:30:00+02", "i": "P1Y2DT3H4M5.5S"}
    ]
    with pytest.raises(TypeMapError, match="'t' holds 24:00"):
        db.read("select time '24:00' as t")
    assert db.read("select time '24:00' as t", types={"t": pa.string()})["t"].to_pylist() == ["24:00:00"]


# --- E07, E08 -------------------------------------------------------------------------------------------------------


RUTE = (
    "create table rute(id int, tall int[], tekst text[][])",
    "insert into rute values (1,'{1,2,NULL,4}','{a,NULL}'), (2,'{{10,20,30},{40,50,60}}','{{nord,sør},{øst,vest}}'), (3,'{}',null), (4,'[0:1]={7,8}','{}')",
)


def test_e07_a_two_dimensional_array_is_an_error_that_names_the_column(db):
    db.run(*RUTE)
    with pytest.raises(TypeMapError, match="'tall' holds a 2-dimensional array"):
        db.read("rute")
    with pytest.raises(TypeMapError, match="'tekst' holds a 2-dimensional array"):
        db.read("select id, tekst from rute")


def test_e07_flat_arrays_are_lists_and_empty_is_not_null(db):
    db.run(*RUTE)
    table = db.read("select * from rute where id <> 2 order by id")
    assert table.schema.field("tall").type == pa.list_(pa.int32())
    assert table["tall"].to_pylist() == [[1, 2, None, 4], [], [7, 8]]
    assert table["tekst"].to_pylist() == [["a", None], None, []]


def test_e07_arrays_of_any_dimension_are_text_when_asked_for(db):
    db.run(*RUTE)
    table = db.read("select tall from rute where id = 2", types={"tall": pa.string()})
    assert table["tall"].to_pylist() == ["{{10,20,30},{40,50,60}}"]


def test_arrays_of_every_kind_are_exact(db):
    db.run(
        "create type status as enum ('Åpen', 'lukket')",
        "create domain kode as varchar(4)",
        "create domain koder as kode[]",
    )
    table = db.read(
        """select array[1.25, null]::numeric(10,2)[] n, array[1.5]::numeric[] f, array['7D9F0C1E-52AB-4E0C-9D3A-0B1C2D3E4F50']::uuid[] u,
           array['Åpen', null]::status[] s, array['2024-02-29', '0044-03-15 BC']::date[] d, array['2025-01-01 00:00+01']::timestamptz[] t,
           array['0301']::kode[] k, array['0301']::koder kk, array['\\x00ff']::bytea[] b, array['{"a": 1}']::jsonb[] j, array[4294967295]::oid[] o,
           array['ab']::char(4)[] c, array[true, null] l, array['P1D']::interval[] i, array[1.5::float4] f4, array[null]::numeric(5,1)[] z"""
    )
    days = pc.cast(pc.list_flatten(table["d"]), pa.int32()).to_pylist()
    assert days == [19782, -735160]
    assert table.drop_columns("d").to_pylist() == [
        {
            "n": [Decimal("1.25"), None], "f": ["1.5"], "u": ["7d9f0c1e-52ab-4e0c-9d3a-0b1c2d3e4f50"], "s": ["Åpen", None],
            "t": [dt.datetime(2024, 12, 31, 23, tzinfo=UTC)], "k": ["0301"], "kk": ["0301"], "b": [b"\x00\xff"], "j": ['{"a": 1}'],
            "o": [4294967295], "c": ["ab  "], "l": [True, None], "i": ["P1D"], "f4": [1.5], "z": [None],
        }
    ]  # fmt: skip


def test_elements_of_arrays_are_guarded_too(db):
    with pytest.raises(TypeMapError, match="'a' holds infinity"):
        db.read("select array[date 'infinity'] as a")
    with pytest.raises(TypeMapError, match="'a' holds NaN"):
        db.read("select array['NaN']::numeric(5,2)[] as a")
    assert db.read("select array[date 'infinity', null] as a", options={"infinity": "null"})[
        "a"
    ].to_pylist() == [[None, None]]


def test_e08_what_has_no_arrow_type_is_the_servers_own_text(db):
    db.run(
        "create extension hstore", "create extension citext",
        "create type status as enum ('Åpen','lukket','AVSLÅTT')",
        # The wheel's server is built without XML; the system's has it.
        f"create table sak(id int, j json, b jsonb, s status, ci citext, h hstore, u uuid, x {'xml' if db.server.version == 15 else 'text'}, bi bytea, ss status[])",
        """insert into sak values (1,'{"b":1,  "a":12345678901234567890.10}','{"b":1,"a":12345678901234567890.10,"a":2}','AVSLÅTT','Ærlig',
 'a=>1,b=>NULL','7D9F0C1E-52AB-4E0C-9D3A-0B1C2D3E4F50','<a>ø</a>','\\x00ff01','{Åpen,NULL,lukket}'), (2,null,'null',null,null,null,null,null,'\\x',null)""",
    )  # fmt: skip
    for table in (db.read("sak"), db.read("select * from sak order by id")):
        assert table.to_pylist() == [
            {
                "id": 1, "j": '{"b":1,  "a":12345678901234567890.10}', "b": '{"a": 2, "b": 1}', "s": "AVSLÅTT", "ci": "Ærlig",
                "h": '"a"=>"1", "b"=>NULL', "u": "7d9f0c1e-52ab-4e0c-9d3a-0b1c2d3e4f50", "x": "<a>ø</a>", "bi": b"\x00\xff\x01",
                "ss": ["Åpen", None, "lukket"],
            },
            {"id": 2, "j": None, "b": "null", "s": None, "ci": None, "h": None, "u": None, "x": None, "bi": b"", "ss": None},
        ]  # fmt: skip


def test_e08_a_type_made_after_the_source_was_opened_is_read(db):
    db.run("create table for_ever(id int)", "insert into for_ever values (1)")
    with db.source().pin() as moment:
        assert moment.check()["database"]
    source = db.source()
    assert source.check()["server"].startswith("PostgreSQL")
    db.run(
        "create type ny as enum ('a')",
        "create table ny_tabell(n ny, nn ny[])",
        "insert into ny_tabell values ('a', '{a}')",
    )
    from dvengine.connectors import Request
    from dvengine.run import stream

    assert stream(source, Request(table="ny_tabell")).read_all().to_pylist() == [{"n": "a", "nn": ["a"]}]


def test_the_rest_of_the_type_table(db):
    db.run(
        "create domain belop as numeric(12,2)",
        "create domain dyr as belop check (value > 0)",
        "create type par as (a int, b text)",
    )
    table = db.read(
        """select 4294967295::oid o, '12.50'::money m, 'ab'::char(5) c, 'x'::name n, 'y'::"char" q, inet '10.0.0.1/8' i, b'101' b, b'1'::varbit vb,
           int4range(1,5) r, row(1,'a')::par p, row(1,'a') rec, 1.5::dyr d, point(1,2) pt, to_tsvector('katt') ts, '0/16B3748'::pg_lsn lsn,
           1.1::float8 f8, 'NaN'::float8 nan, '-0'::float8 z, 'pg_class'::regclass rc, macaddr '08:00:2b:01:02:03' mac, null as u"""
    )
    row = table.to_pylist()[0]
    assert row.pop("nan") != 0
    assert row == {
        "o": 4294967295, "m": "12.50", "c": "ab   ", "n": "x", "q": "y", "i": "10.0.0.1/8", "b": "101", "vb": "1", "r": "[1,5)",
        "p": "(1,a)", "rec": "(1,a)", "d": Decimal("1.50"), "pt": "(1,2)", "ts": "'katt':1", "lsn": "0/16B3748", "f8": 1.1,
        "z": 0.0, "rc": "pg_class", "mac": "08:00:2b:01:02:03", "u": None,
    }  # fmt: skip
    assert table.schema.field("d").type == pa.decimal128(12, 2)
    assert str(row["z"]) == "-0.0"


# --- asked-for types ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "asked", "right"),
    [
        ("1::int", pa.int64(), 1),
        ("1::bigint", pa.int8(), 1),
        ("1::bigint", pa.decimal128(10, 2), Decimal("1.00")),
        ("1::numeric", pa.int64(), 1),
        ("'12.50'::money", pa.decimal128(19, 2), Decimal("12.50")),
        ("'a'::text", pa.large_string(), "a"),
        ("'a'::text", pa.dictionary(pa.int32(), pa.string()), "a"),
        ("'nan'::float4", pa.float64(), None),
        ("timestamp '2024-01-01 00:00'", pa.date32(), dt.date(2024, 1, 1)),
        ("date '2024-01-01'", pa.timestamp("ms"), dt.datetime(2024, 1, 1)),
        ("1.5::float8", pa.string(), "1.5"),
        ("7::int", pa.string(), "7"),
        ("array[1,2]", pa.string(), "{1,2}"),
    ],
)
def test_an_asked_for_type_is_given_where_it_is_exact(db18, expression, asked, right):
    table = db18.read(f"select {expression} as x", types={"x": asked})
    assert table.schema.field("x").type == asked
    value = table["x"].to_pylist()[0]
    assert value == right or (right is None and value != value)


@pytest.mark.parametrize(
    ("expression", "asked"),
    [
        ("300::int", pa.int8()),
        ("'0301'::text", pa.int32()),
        ("1.5::numeric(3,1)", pa.float64()),
        ("1.5::numeric(3,1)", pa.int64()),
        ("9007199254740993::bigint", pa.float64()),
        ("timestamp '2024-01-01 00:01'", pa.date32()),
        ("timestamp '9999-01-01'", pa.timestamp("ns")),
        ("'\\x00'::bytea", pa.string()),
        ("array[1,2]", pa.list_(pa.int64())),
        ("1.1::float8", pa.float32()),
        ("'x'::text", pa.date32()),
        ("1::numeric", pa.decimal256(40, 2)),
    ],
)
def test_an_asked_for_type_that_cannot_be_exact_is_an_error(db18, expression, asked):
    with pytest.raises(TypeMapError, match="'x'"):
        db18.read(f"select {expression} as x", types={"x": asked})


def test_types_for_a_column_that_is_not_there_is_an_error(db18):
    with pytest.raises(QueryError, match="'y'"):
        db18.read("select 1 as x", types={"y": pa.int64()})


def test_the_schema_is_known_without_reading_and_equals_the_batches(db):
    db.run(*SATS)
    from dvengine.connectors import Request

    source = db.source()
    asked = source.schema(Request(query="select id, v, now() as t from sats"))
    assert asked == db.read("select id, v, now() as t from sats").schema
    assert pc.count(pa.array(asked.names)).as_py() == 3


@pytest.fixture
def in_encoding(postgres, db18):
    def make(encoding):
        url = postgres.fresh_database(f"encoding '{encoding}' locale 'C' template template0")
        return type(db18)(url, postgres)

    return make


@pytest.mark.parametrize("encoding", ["LATIN1", "WIN1252", "UTF8"])
def test_text_is_the_same_whatever_the_database_is_kept_in(in_encoding, encoding):
    db = in_encoding(encoding)
    with db.connect() as connection:
        connection.execute("set client_encoding = 'UTF8'")
        connection.execute("create table blåbær(navn text, kode char(3), l text[])")
        connection.execute("insert into blåbær values ('æøå Ü', 'ø', '{å}'), ('a', 'a', '{}')")
    assert db.read("blåbær").to_pylist() == [{"navn": "æøå Ü", "kode": "ø  ", "l": ["å"]}, {"navn": "a", "kode": "a  ", "l": []}]  # fmt: skip
    table, scan = db.scan("blåbær", where=(Filter("navn", "=", "æøå Ü"),))
    assert (table.num_rows, scan.residual) == (1, ())
    _, scan = db.scan("blåbær", where=(Filter("navn", "<", "b"),))
    assert bool(scan.residual) == (encoding == "WIN1252")


def test_text_that_is_not_utf8_in_a_database_without_encoding_is_an_error(in_encoding):
    db = in_encoding("SQL_ASCII")
    with db.connect() as connection:
        connection.execute(b"create table t(id int, navn text)")
        connection.execute(b"insert into t values (1, E'bl\\xc3\\xa5'), (2, E'bl\\xe5')")
    assert db.read("select navn from t where id = 1").to_pylist() == [{"navn": "blå"}]
    with pytest.raises(QueryError, match="not valid in its encoding"):
        db.read("t")
