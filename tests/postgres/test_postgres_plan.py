from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from dvengine import InputError, QueryError
from dvengine.connectors import Cancel, Filter, Request
from dvengine.run import stream


def rows_per_partition(source, request):
    with source.open(request, cancel=Cancel()) as scan:
        return [sum(b.num_rows for b in source.read(p, cancel=Cancel())) for p in scan.partitions], scan


def sums(table, column="id"):
    return table.num_rows, pc.sum(table[column]).as_py(), pc.count_distinct(table[column]).as_py()


# --- E09 ------------------------------------------------------------------------------------------------------------


def test_e09_an_empty_result_keeps_its_schema(db):
    db.run(
        "create table sak(id int, j json, s text[], n numeric(10,2), t timestamptz)",
        "create table liten(id int, pad text)",
        "insert into liten values (1, 'x')",
    )
    full = db.source().schema(Request(table="sak"))
    assert full.types == [pa.int32(), pa.string(), pa.list_(pa.string()), pa.decimal128(10, 2), pa.timestamp("us", "UTC")]  # fmt: skip
    for text, more in [
        ("sak", {}), ("sak", {"partitions": 4}), ("sak", {"partition_on": "id", "partitions": 3}), ("select * from sak where false", {}),
        ("select * from sak where id < 0", {"partition_on": "id", "partitions": 2}),
    ]:  # fmt: skip
        table = db.read(text, **more)
        assert table.num_rows == 0
        assert table.schema == full
    assert db.read("liten", partitions=5).num_rows == 1


def test_e09_a_table_without_columns_has_its_rows(db):
    db.run("create table tom()", "insert into tom default values", "insert into tom default values")
    for table in (db.read("tom"), db.read("select * from tom"), db.read("select from tom")):
        assert (table.num_rows, table.num_columns) == (2, 0)
    assert stream(db.source(), Request(table="tom")).read_all().schema == pa.schema([])


def test_no_columns_asked_for_counts_the_rows(db):
    db.run("create table t as select g id from generate_series(1, 30000) g")
    batches = list(stream(db.source(), Request(table="t", columns=(), partitions=3)))
    assert sum(batch.num_rows for batch in batches) == 30000


# --- E10 ------------------------------------------------------------------------------------------------------------


def test_e10_two_columns_with_one_name_are_refused_before_reading(db):
    with pytest.raises(QueryError) as caught:
        db.source().schema(
            Request(query="select a.id, b.id, a.navn, b.navn from (values (1,'x')) a(id,navn) join (values (2,'y')) b(id,navn) on true")
        )  # fmt: skip
    assert "'id', 'navn'" in str(caught.value)
    assert 'as "id_1"' in str(caught.value)
    with pytest.raises(QueryError, match=r"'\?column\?'"):
        db.read('select 1 as "a", 2 as "A", 3, 4')


def test_e10_case_makes_another_name(db):
    assert db.read('select 1 as "a", 2 as "A"').to_pylist() == [{"a": 1, "A": 2}]


# --- E11 ------------------------------------------------------------------------------------------------------------


E11 = (
    "create table vedtak(id int, aar int)",
    "create table vedtak_gml() inherits (vedtak)",
    "insert into vedtak select g,2024 from generate_series(1,3000) g",
    "insert into vedtak_gml select g,2010 from generate_series(100001,105000) g",
    "create table del(id int, aar int, primary key(id,aar)) partition by range(aar)",
    "create table del_2023 partition of del for values from (2023) to (2024)",
    "create table del_2024 partition of del for values from (2024) to (2025) partition by list(aar)",
    "create table del_2024a partition of del_2024 for values in (2024)",
    "create table del_rest partition of del default",
    "insert into del select g, 2022+g%4 from generate_series(1,4000) g",
    "create view v_vedtak as select id, aar*10 aar10 from vedtak",
    "create materialized view m_vedtak as select * from vedtak",
)


@pytest.fixture
def e11(db):
    db.run(*E11)
    host, port, user, password = db.server.host, db.server.port, db.server.user, db.server.password
    name = db.rows("select current_database()")[0][0]
    db.run(
        "create extension postgres_fdw",
        f"create server far foreign data wrapper postgres_fdw options (host '{host}', port '{port}', dbname '{name}')",
        f"create user mapping for current_user server far options (user '{user}', password '{password}')",
        "create foreign table f_vedtak(id int, aar int) server far options (table_name 'vedtak')",
    )
    return db


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_e11_every_kind_of_relation_means_what_select_means(e11, workers):
    for analyzed in (False, True):
        if analyzed:
            e11.run("analyze")
        for table in ("vedtak", "v_vedtak", "m_vedtak", "f_vedtak"):
            for partitions in (None, 4):
                got = sums(e11.read(table, workers=workers, partitions=partitions))
                assert got == (8000, 517004000, 8000), (table, partitions)
        assert sums(e11.read("del", workers=workers, partitions=6)) == (4000, 8002000, 4000)


def test_e11_only_leaves_the_children_out(e11):
    assert e11.read("vedtak", options={"only": True}).num_rows == 3000
    assert e11.read("vedtak", options={"only": True}, partitions=3).num_rows == 3000


def test_e11_a_partitioned_table_is_read_by_its_leaves(e11):
    counts, scan = rows_per_partition(e11.source(), Request(table="del"))
    assert sorted(counts) == [1000, 1000, 2000]
    assert scan.consistent
    assert {p.id.split("-")[1] for p in scan.partitions} == {"del_2023", "del_2024a", "del_rest"}


def test_e11_the_plan_says_why_it_does_not_cut(e11):
    for table, why in [("v_vedtak", "a view"), ("f_vedtak", "a foreign table")]:
        _, scan = e11.scan(table, partitions=4)
        assert len(scan.partitions) == 1
        assert why in scan.reason
        assert "ctid" not in scan.statements()[0]
    _, scan = e11.scan("m_vedtak", partitions=3)
    assert len(scan.partitions) == 3
    assert "ctid" in scan.statements()[0]


def test_columns_of_a_leaf_in_another_order_are_read_by_name(db):
    db.run(
        "create table p(a int, b text, c int) partition by range (a)",
        "create table p1(c int, gone int, b text, a int)",
        "alter table p1 drop column gone",
        "alter table p attach partition p1 for values from (0) to (10)",
        "create table p2 partition of p for values from (10) to (20)",
        "insert into p values (1, 'x', 100), (11, 'y', 200)",
    )
    assert sorted(db.read("p").to_pylist(), key=str) == [
        {"a": 1, "b": "x", "c": 100},
        {"a": 11, "b": "y", "c": 200},
    ]


def test_a_partitioned_table_without_partitions_is_empty(db):
    db.run("create table p(a int) partition by range (a)")
    assert db.read("p").num_rows == 0


@pytest.mark.superuser
def test_row_security_of_the_parent_is_not_walked_around(db):
    role, password = db.server.fresh_role()
    db.run(
        "create table p(a int) partition by range (a)",
        "create table p1 partition of p for values from (0) to (100)",
        "insert into p select generate_series(0, 99)",
        "alter table p enable row level security",
        f'create policy few on p for select to "{role}" using (a < 10)',
        f'grant select on p, p1 to "{role}"',
    )
    name = db.rows("select current_database()")[0][0]
    db.url = db.server.url(name, user=role, password=password)
    table, scan = db.scan("p", partitions=4)
    assert table.num_rows == 10
    assert "row security" in scan.reason


@pytest.mark.superuser
def test_a_user_who_may_read_the_table_but_not_its_leaves_reads_the_table(db):
    role, password = db.server.fresh_role()
    db.run(
        "create table p(a int) partition by range (a)",
        "create table p1 partition of p for values from (0) to (100)",
        "insert into p select generate_series(0, 99)",
        f'grant select on p to "{role}"',
    )
    name = db.rows("select current_database()")[0][0]
    db.url = db.server.url(name, user=role, password=password)
    table, scan = db.scan("p", partitions=4)
    assert table.num_rows == 100
    assert "not each of its partitions" in scan.reason


# --- E12 ------------------------------------------------------------------------------------------------------------


def test_e12_sizes_are_measured_and_not_believed(db):
    db.run(
        "create table fersk(id int, pad text) with (autovacuum_enabled=off)",
        "insert into fersk select g, repeat('x',200) from generate_series(1,1000) g",
        "analyze fersk",
        "insert into fersk select g, repeat('x',200) from generate_series(1001,50000) g",
        "create table ny(id int) with (autovacuum_enabled=off)",
        "insert into ny select generate_series(1,10000)",
    )
    for table, rows, total in [("fersk", 50000, 1250025000), ("ny", 10000, 50005000)]:
        counts, _ = rows_per_partition(db.source(), Request(table=table, partitions=4))
        assert len(counts) == 4
        assert max(counts) <= 2 * rows / 4
        assert sums(db.read(table, partitions=4)) == (rows, total, rows)


def test_e12_rows_added_after_the_plan_do_not_appear(db):
    db.run("create table t(id int)", "insert into t select generate_series(1, 10000)")
    source = db.source()
    with source.open(Request(table="t", partitions=4), cancel=Cancel()) as scan:
        db.run("insert into t select generate_series(10001, 30000)")
        read = [b for p in scan.partitions for b in source.read(p, cancel=Cancel())]
    assert sums(pa.Table.from_batches(read)) == (10000, 50005000, 10000)


def test_e12_progress_never_passes_the_whole(db18):
    from dvengine import subscribe

    db18.run(
        "create table fersk(id int, pad text) with (autovacuum_enabled=off)",
        "insert into fersk select g, repeat('x',2000) from generate_series(1,1000) g", "analyze fersk",
        "insert into fersk select g, '' from generate_series(1,20000) g",
    )  # fmt: skip
    seen = []
    stop = subscribe(seen.append)
    db18.read("fersk", partitions=3)
    stop()
    reads = [event for event in seen if event.stage == "read" and event.name == "fersk"]
    assert [event.state for event in reads if event.state != "progress"] == ["start", "end"]
    assert all(event.total_rows is None or event.rows <= event.total_rows for event in reads)
    assert all(event.parts <= event.total_parts for event in reads if event.total_parts is not None)
    assert (reads[-1].rows, reads[-1].parts) == (21000, 3)


# --- E13 ------------------------------------------------------------------------------------------------------------


E13 = (
    "create table null_n(id int primary key, del int, info text, u uuid, d date, konst int, n numeric, ts timestamp, tz timestamptz, f float8, b bigint)",
    """insert into null_n select g, case when g%10=0 then null else g end, case when g%7=0 then null else 'r'||g end,
       case when g%3=0 then null else md5(g::text)::uuid end,
       case when g=1 then 'infinity' when g=2 then '-infinity' when g%5=0 then null else date '2000-01-01' + g end, 7, g/3.0,
       timestamp '0044-03-15 BC' + g * interval '7 days', case when g%9=0 then 'infinity' else now() + g * interval '1 hour' end,
       case when g%4=0 then float8 'NaN' else g end, case when g=1 then -9223372036854775808 when g=2 then 9223372036854775807 else g end
       from generate_series(1,1000) g""",
    "create table null_alle(id int, del int)",
    "insert into null_alle select g, null from generate_series(1,17) g",
    "create table ett(id int, del int)",
    "insert into ett values (1, 5)",
    "create table ingen(id int, del int)",
)


@pytest.mark.parametrize("parts", [1, 3, 8])
def test_e13_null_in_the_key_loses_no_row(db, parts):
    db.run(*E13)
    for body in ("null_n", "select * from null_n"):
        for key in ("del", "info", "u", "d", "konst", "n", "ts", "tz", "f", "b"):
            table, scan = db.scan(body, partition_on=key, partitions=parts, columns=("id",))
            assert sums(table) == (1000, 500500, 1000), (body, key)
            assert "is null" in scan.statements()[0]
            assert "is null" in scan.reason
    assert db.read("null_alle", partition_on="del", partitions=parts).num_rows == 17
    assert db.read("ett", partition_on="del", partitions=parts).num_rows == 1
    assert db.read("ingen", partition_on="del", partitions=parts).num_rows == 0


def test_e13_a_key_really_spreads_the_rows(db18):
    db18.run(*E13)
    for key in ("id", "u", "ts"):
        counts, _ = rows_per_partition(
            db18.source(), Request(table="null_n", partition_on=key, partitions=4, columns=("id",))
        )
        assert max(counts[1:]) < 500, (key, counts)


def test_a_key_that_is_not_there_is_an_error_with_the_nearest(db18):
    db18.run(*E13)
    with pytest.raises(QueryError, match="did you mean 'info'"):
        db18.read("null_n", partition_on="infp")


def test_a_query_that_costs_more_in_parts_is_not_cut_and_says_so(db18):
    db18.run("create table stor as select g id, g % 1000 k from generate_series(1, 300000) g", "analyze stor")
    table, scan = db18.scan("select k, count(*) as n from stor group by k", partition_on="k", partitions=6)
    assert table.num_rows == 1000
    assert len(scan.partitions) == 1
    assert "times as much" in scan.reason


def test_a_query_that_depends_on_the_clock_is_not_cut(db18):
    _, scan = db18.scan(
        "select g as k, now() as t from generate_series(1, 10) g", partition_on="k", partitions=3
    )
    assert len(scan.partitions) == 1
    assert "clock" in scan.reason


# --- projection, filters, limit -------------------------------------------------------------------------------------


def test_columns_come_in_the_order_asked_for(db18):
    db18.run("create table t as select 1 a, 2 b, 3 c")
    assert db18.read("t", columns=("c", "a")).to_pylist() == [{"c": 3, "a": 1}]
    assert db18.read("select * from t", columns=("b",)).to_pylist() == [{"b": 2}]
    with pytest.raises(QueryError, match="did you mean 'a'"):
        db18.read("t", columns=("A",))
    with pytest.raises(QueryError, match="twice"):
        db18.read("t", columns=("a", "a"))


@pytest.mark.parametrize("partitions", [1, 4])
def test_a_limit_counts_over_the_whole(db18, partitions):
    db18.run("create table t as select generate_series(1, 50000) id")
    assert db18.read("t", limit=7, partitions=partitions).num_rows == 7
    assert db18.read("t", limit=0).num_rows == 0
    assert db18.read("select * from t order by id desc", limit=2)["id"].to_pylist() == [50000, 49999]
    with pytest.raises(InputError):
        db18.read("t", limit=-1)


BLIND = "create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
FILTERED = (
    """create table f(i int, l bigint, n numeric(10,2), t text, ci text collate {blind}, c char(4), d date, ts timestamp, tz timestamptz, b boolean,
       f8 float8, u uuid, fri numeric)""",
    """insert into f values
      (1, 9007199254740993, 1.50, 'a', 'a', 'a', '2024-01-01', '2024-01-01 00:00', '2024-01-01 00:00+00', true, 1.5, '7D9F0C1E-52AB-4E0C-9D3A-0B1C2D3E4F50', 1.0),
      (2, -1, -0.01, 'A', 'A', 'A', '2025-01-01', '2025-01-01 00:00:00.000001', '2025-01-01 00:00+01', false, 'NaN', null, 1.00),
      (3, null, 99.99, 'ø', 'ø', 'ø', '0044-03-15 BC', '1582-10-10', '1894-12-31 23:30+00', null, '-0', md5('x')::uuid, 2),
      (null, 0, null, 'it''s\\', null, null, null, null, null, true, null, null, null)""",
)
CASES = [
    ("i", "=", 1), ("i", "!=", 1), ("i", ">", 1), ("i", "in", [1, 3]), ("i", "in", []), ("i", "is_null", None), ("i", "not_null", None),
    ("l", "=", 9007199254740993), ("l", ">=", 9007199254740993), ("l", "<", 0), ("n", "=", Decimal("1.5")), ("n", "<", Decimal("-0.001")), ("n", ">", 1),
    ("t", "=", "a"), ("t", "!=", "a"), ("t", ">", "A"), ("t", "<=", "a"), ("t", "in", ["ø", "it's\\"]), ("ci", "=", "a"), ("ci", "!=", "a"), ("ci", "in", ["A"]),
    ("d", "=", dt.date(2024, 1, 1)), ("d", "<", dt.date(1, 1, 1)), ("ts", ">", dt.datetime(2025, 1, 1)), ("ts", "=", dt.datetime(1582, 10, 10)),
    ("tz", "=", dt.datetime(2024, 12, 31, 23, tzinfo=dt.UTC)), ("tz", "<", dt.datetime(2024, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2)))),
    ("b", "=", True), ("b", "!=", True), ("f8", "=", 1.5), ("f8", ">", 1.0), ("f8", "<", 1.0), ("f8", "!=", 1.5), ("f8", "=", 0.0),
    ("u", "=", "7d9f0c1e-52ab-4e0c-9d3a-0b1c2d3e4f50"), ("u", ">", "7"),
]  # fmt: skip


def make_filtered(db):
    """The wheel's server is built without ICU, so that only the system's has a collation that is blind to case."""
    blind = "blind" if db.server.version == 15 else '"C"'
    if blind == "blind":
        db.run(BLIND)
    db.run(FILTERED[0].format(blind=blind), FILTERED[1])


def arrow_mask(column, op, value):
    if op == "is_null":
        return pc.is_null(column)
    if op == "not_null":
        return pc.is_valid(column)
    if op == "in":
        return pc.and_(pc.is_valid(column), pc.is_in(column, pa.array(value, column.type)))
    names = {
        "=": "equal",
        "!=": "not_equal",
        "<": "less",
        "<=": "less_equal",
        ">": "greater",
        ">=": "greater_equal",
    }
    literal = pa.scalar(value) if column.type != pa.timestamp("us", "UTC") else pa.scalar(value, column.type)
    return getattr(pc, names[op])(column, literal)


def test_filters_on_the_server_mean_what_they_mean_in_arrow(db):
    make_filtered(db)
    whole = db.read("f")
    for case in CASES:
        asked = Filter(*case)
        right = whole.filter(arrow_mask(whole[asked.column], asked.op, asked.value))
        table, scan = db.scan("f", where=(asked,))
        assert scan.residual == () or case[:2] == ("f8", ">"), case
        if scan.residual:
            assert table.num_rows >= right.num_rows
            table = table.filter(arrow_mask(table[asked.column], asked.op, asked.value))
        assert table["t"].to_pylist() == right["t"].to_pylist(), case
        assert "where" in scan.statements()[0], case


@pytest.mark.parametrize(
    "case",
    [
        ("i", "=", 1.5), ("i", "=", None), ("i", "=", True), ("n", "=", 1.5), ("n", "=", Decimal("NaN")), ("t", "=", 1), ("t", "=", "a\x00"), ("t", "in", ["a", None]),
        ("t", "in", "a"), ("d", "=", dt.datetime(2024, 1, 1)), ("ts", "=", dt.datetime(2024, 1, 1, tzinfo=dt.UTC)), ("tz", "=", dt.datetime(2024, 1, 1)),
        ("f8", "=", float("nan")), ("c", "=", "a"), ("fri", "=", 1), ("i", "=", 2**63), ("t", "=", "\ud800"), ("i", "like", 1),
    ],
)  # fmt: skip
def test_filters_that_the_server_would_read_otherwise_are_left_to_the_caller(db18, case):
    make_filtered(db18)
    table, scan = db18.scan("f", where=(Filter(*case),), limit=1)
    assert scan.residual == (Filter(*case),)
    # and a limit below a filter that is still to come would give too few
    assert table.num_rows == 4


def test_filters_reach_every_partition_and_every_kind_of_body(db18):
    db18.run("create table t as select g id, 'r' || g % 3 k from generate_series(1, 9000) g")
    where = (Filter("k", "=", "r0"), Filter("id", ">", 3000))
    for text, more in [
        ("t", {"partitions": 4}),
        ("select * from t", {}),
        ("t", {"partition_on": "id", "partitions": 3}),
    ]:
        table, scan = db18.scan(text, where=where, **more)
        assert table.num_rows == 2000
        assert scan.rows_estimate is None
    assert db18.read("t", where=where, columns=()).num_rows == 2000
    with pytest.raises(QueryError, match="'nope'"):
        db18.read("t", where=(Filter("nope", "=", 1),))


def test_infinity_made_null_is_not_filtered_on_the_server_by_null(db18):
    db18.run("create table t(d date)", "insert into t values ('infinity'), (null), ('2024-01-01')")
    table, scan = db18.scan("t", where=(Filter("d", "is_null"),), options={"infinity": "null"})
    assert scan.residual
    assert table["d"].null_count == 2


# --- names ----------------------------------------------------------------------------------------------------------


def test_a_table_is_named_with_or_without_schema_and_quotes(db18):
    db18.run('create schema "Ytelse.x"', 'create table "Ytelse.x"."Ved""tak"(id int)', 'insert into "Ytelse.x"."Ved""tak" values (1)')  # fmt: skip
    assert db18.read(table='"Ytelse.x"."Ved""tak"').num_rows == 1
    db18.run('create table public."with space"(id int)')
    assert db18.read(table="public.with space").num_rows == 0
    for wrong in ("a.b.c", "", "a.", '"a', '"a"b'):
        with pytest.raises(InputError):
            db18.read(table=wrong)


def test_options_and_contradictions_are_refused(db18):
    for wrong in (
        {"query": "select 1", "table": "x"}, {}, {"table": "x", "params": {}}, {"table": "x", "options": {"infinite": "null"}},
        {"table": "x", "options": {"infinity": "zero"}},
    ):  # fmt: skip
        with pytest.raises(InputError):
            db18.source().schema(Request(**wrong))


def test_a_key_with_an_index_is_cut_in_ranges_and_one_without_by_hash(db18):
    db18.run(
        "create table t as select g id, timestamptz '2024-01-01' + g * interval '1 minute' tz, date '2000-01-01' + g % 9000 d, g::bigint * 7 b, timestamp '2000-01-01' + g * interval '1 s' ts from generate_series(1, 60000) g",
        "create index on t(id)", "create index on t(tz)", "create index on t(d)", "create index on t(b)", "create index on t(ts)", "analyze t",
        "create view v as select * from t",
    )  # fmt: skip
    for key in ("id", "tz", "d", "b", "ts"):
        for text in ("t", "v", "select * from t"):
            table, scan = db18.scan(text, partition_on=key, partitions=4)
            assert sums(table) == (60000, 1800030000, 60000), (key, text)
            assert len(scan.partitions) == 5
            assert "hashtext" not in "".join(scan.statements())
    db18.run("create table u as select generate_series(1, 1000) id")
    _, scan = db18.scan("u", partition_on="id", partitions=4)
    assert "hashtext" in scan.statements()[1]


def test_a_large_table_begins_at_its_beginning_whoever_else_reads_it(db18):
    db18.run("create table stor as select g id, repeat('x', 300) pad from generate_series(1, 100000) g")
    with db18.connect() as other, other.cursor("halfway") as cursor:
        other.execute("begin")
        cursor.execute("select id from stor")
        cursor.fetchmany(60000)
        assert db18.read("stor", limit=2)["id"].to_pylist() == [1, 2]
        assert db18.read("select id from stor")["id"][0].as_py() == 1
