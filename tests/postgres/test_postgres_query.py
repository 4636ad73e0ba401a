from __future__ import annotations

import datetime as dt
import pickle
import socket
import time
import traceback
from decimal import Decimal

import pyarrow as pa
import pytest

from dvengine import AccessDenied, ConfigError, DvengineError, NotFound, QueryError, TypeMapError, Unavailable
from dvengine.config import Settings
from dvengine.connectors import Cancel, Filter, Request, open_source
from dvengine.connectors.postgres._statement import masked, one_statement, tokens
from dvengine.run import stream

# --- E16 ------------------------------------------------------------------------------------------------------------

E16 = {
    "1": (
        "select 10 % 3 as r, 'a%' like 'a\\%' as l, 'x:y' as c, '%s' as p, 1::int as t -- merk: 100 % :sikker",
        [{"r": 1, "l": True, "c": "x:y", "p": "%s", "t": 1}],
    ),
    "2": ("select 1 as a;", [{"a": 1}]),
    "3": ("select 1 as a ; -- slutt\n", [{"a": 1}]),
    "4": (
        "/* start ; */ with t as (select ';' as s, 1 as n) select * from t /* ; */ ;\n\n",
        [{"s": ";", "n": 1}],
    ),
    "5": (
        "select $$;--$$ as d, E'\\'' as q, \"Gate; navn\" from (select 'ø' as \"Gate; navn\") x",
        [{"d": ";--", "q": "'", "Gate; navn": "ø"}],
    ),
    "6": ("table sats", [{"x": 1}]),
    "7": ("values (1,'a'),(2,'b')", [{"column1": 1, "column2": "a"}, {"column1": 2, "column2": "b"}]),
}


@pytest.mark.parametrize("case", E16)
def test_e16_the_query_is_the_users_byte_for_byte(db, case):
    db.run("create table sats(x int)", "insert into sats values (1)")
    query, right = E16[case]
    assert db.read(query=query).to_pylist() == right
    assert db.source().schema(Request(query=query)).names == list(right[0])
    assert db.read(query=query, columns=()).num_rows == len(right)
    name = next(iter(right[0]))
    assert db.read(query=query, columns=(name,)).to_pylist() == [{name: row[name]} for row in right]
    assert db.read(query=query, partition_on=name, partitions=2, workers=1).num_rows == len(right)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("select 1 as a; select 2 as b", "two statements"), ("-- bare kommentar", "no statement"), ("", "no statement"), (";", "no statement"),
        ("/* a /* b */", "never ends"), ("select 'a", "never ends"), ('select "a', "never ends"), ("select $a$ $b$", "never ends"),
        ("select 1;;", None), ("select 1\x00", "NUL"),
    ],
)  # fmt: skip
def test_e16_what_is_not_one_statement_is_refused_before_anything_is_sent(query, why):
    if why is None:
        assert one_statement(query) == "select 1"
        return
    with pytest.raises(QueryError, match=why):
        one_statement(query)


def test_e16_params_bind_by_name_and_a_double_percent_is_one(db):
    db.run(
        "create table t(navn text, aar int)", "insert into t values ('A%', 2025), ('AB', 2025), ('A', 2024)"
    )
    query = "select * from t where navn like 'A%%' and aar = %(aar)s and %(aar)s % 2 = 1 -- 100 %%"
    with pytest.raises(QueryError, match="do not fit"):
        db.read(query=query, params={"aar": 2025})
    table = db.read(query=query.replace(" % 2", " %% 2"), params={"aar": 2025})
    assert table.num_rows == 2
    with pytest.raises(QueryError, match="no value for 'aar'"):
        db.read(query=query, params={"a": 1})
    with pytest.raises(QueryError, match="do not fit"):
        db.read(query="select %s as a", params={"a": 1})
    with pytest.raises(QueryError, match="mapping"):
        db.read(query="select %s as a", params=[1])
    assert db.read(query="select 'A%%' as a").to_pylist() == [{"a": "A%%"}]


def test_e16_the_question_mark_of_jsonb_stays_an_operator(db):
    db.run("create table d(data jsonb)", """insert into d values ('{"k": 1, "a:b": "x"}')""")
    assert db.read("select data ? 'k' as k, data->>'a:b' as ab from d").to_pylist() == [
        {"k": True, "ab": "x"}
    ]


def test_values_of_every_kind_bind_as_what_they_are(db):
    values = {
        "text": "it's \\ \"q\" % ; -- $$ 'ø", "number": Decimal("1.50"), "day": dt.date(2024, 2, 29), "none": None, "list": [1, 2], "flag": True,
        "when": dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "raw": b"\x00\xff",
    }  # fmt: skip
    table = db.read(
        query="""select %(text)s as t, %(number)s::numeric(5,2) as n, %(day)s::date as d, %(none)s::int as x, 2 = any(%(list)s) as l,
                 %(flag)s as f, %(when)s::timestamptz as w, %(raw)s::bytea as r""",
        params=values,
    )
    assert table.to_pylist() == [
        {"t": values["text"], "n": Decimal("1.50"), "d": values["day"], "x": None, "l": True, "f": True, "w": values["when"], "r": b"\x00\xff"}
    ]  # fmt: skip


def test_a_query_that_writes_is_refused(db):
    db.run(
        "create table t(a int)",
        "create function skriv() returns int language sql as 'insert into t values (1) returning a'",
    )
    for query in (
        "select skriv() as a",
        "insert into t values (1) returning a",
        "with x as (delete from t returning a) select * from x",
    ):
        with pytest.raises(QueryError):
            db.read(query=query)
    assert db.rows("select count(*) from t") == [(0,)]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("select 1.5e3, 'a''b', E'\\'x', $q$ 'y' $q$, \"navn\", b'1' /* 'c' */ from t1 -- 7", 'select ?, ?, ?, ?, "navn", ?  from t1 '),
        ("a$1b + $1 + 0x1F + .5", "a$1b + $? + ? + ?"),
        ("x'1f' u&'d' n'x'", "? ? ?"),
    ],
)  # fmt: skip
def test_literals_are_masked_and_names_are_not(text, right):
    assert masked(text) == right
    assert "".join(text[t.start : t.end] for t in tokens(text)) == text


# --- errors: what they are, and what they do not say ------------------------------------------------------------------

CANARY = "KANARI42fugl"
NUMBER = "13019912345"


def reveals(error: BaseException) -> str:
    """Everything that a log, a notebook or another process could get to see of an error."""
    seen, chain = [], error
    while chain is not None:
        seen += [str(chain), repr(chain), repr(chain.args), "".join(traceback.format_exception_only(chain))]
        if isinstance(chain, DvengineError):
            seen += [repr(pickle.dumps(chain)), repr(chain.to_dict()), str(pickle.loads(pickle.dumps(chain)))]
        chain = chain.__cause__ or chain.__context__
    return "\n".join(seen)


QUERIES = {
    "syntax": f"select '{CANARY}' as a frm t where fnr = '{NUMBER}'",
    "syntax at the literal": f"select 1 as a '{CANARY}' {NUMBER}",
    "no such table": f'select * from "{CANARY}" where fnr = {NUMBER}',
    "no such column": f"select \"{CANARY}\" from t where fnr = '{NUMBER}'",
    "a literal in the wrong quotes": f'select * from t where navn = "{CANARY}"',
    "no such function": f"select {CANARY}('{NUMBER}') as a",
    "no such type": f"select '{NUMBER}'::{CANARY} as a",
    "cast of a literal": f"select '{CANARY}'::int as a",
    "cast of a value": "select navn::int as a from t",
    "cast of a date": f"select '{CANARY}'::date as a",
    "out of range": f"select {NUMBER}::int as a",
    "division by zero": f"select {NUMBER} / (fnr::bigint - {NUMBER}) as a from t",
    "raised by a function": "select sig(navn) as a from t",
    "noticed by a function": "select roper(navn) as a, 1/0 as b from t",
    "regular expression": f"select navn ~ '({CANARY}' as a from t",
    "json": f"select '{CANARY}'::json as a",
    "too many rows": f"select (select navn from t union all select '{CANARY}') as a",
    "two statements": f"select '{CANARY}' as a; select {NUMBER} as b",
    "never ends": f"select '{CANARY}",
    "twice": f"select '{CANARY}' as a, {NUMBER} as a",
    "an infinite date": f"select 'infinity'::date as a, '{CANARY}' as b",
    "NaN": f"select 'NaN'::numeric(5,2) as a, '{CANARY}' as b",
    "two dimensions": f"select array[array['{CANARY}']] as a",
    "permission": f"select '{CANARY}' as a, * from hemmelig",
    "writes": f"select ny('{CANARY}') as a",
}


@pytest.fixture
def canaries(db):
    db.run(
        "create table t(fnr text, navn text)", f"insert into t values ('{NUMBER}', '{CANARY}')", "create table hemmelig(a int)",
        "create function sig(x text) returns int language plpgsql as $$ begin raise exception 'har %', x; end $$",
        "create function roper(x text) returns int language plpgsql as $$ begin raise warning 'har %', x; return 1; end $$",
        "create function ny(x text) returns int language sql as 'insert into t values (x, x) returning 1'",
    )  # fmt: skip
    role, _ = db.server.fresh_role()
    password = f"pw-{CANARY}-{NUMBER}"
    db.run(f"alter role \"{role}\" password '{password}'", f'grant select on t to "{role}"')
    name = db.rows("select current_database()")[0][0]
    db.url = db.server.url(name, user=role, password=password)
    return db


@pytest.mark.parametrize("what", QUERIES)
def test_no_error_repeats_a_literal_a_value_or_a_password(canaries, what, capfd):
    with pytest.raises(DvengineError) as caught:
        canaries.read(query=QUERIES[what])
    said = reveals(caught.value)
    assert CANARY not in said, what
    assert NUMBER not in said, what
    captured = capfd.readouterr()
    assert CANARY not in captured.out + captured.err


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("select %(a)s::int as x", {"a": CANARY}), ("select %(a)s as x frm", {"a": CANARY}), ("select %(a)s as x, %(b)s as y", {"a": CANARY}),
        ("select %s as x", {"a": CANARY}), ("select %(a)s as x", {"a": object()}), ("select %(a)s as x", {"a": CANARY + "\x00"}),
        ("select %(a)s::text as x, 1/0 as y", {"a": CANARY}),
    ],
)  # fmt: skip
def test_no_error_repeats_a_bound_value(canaries, query, params):
    with pytest.raises(DvengineError) as caught:
        canaries.read(query=query, params=params)
    assert CANARY not in reveals(caught.value)


def test_no_error_repeats_a_value_while_casting(canaries):
    for asked in (pa.decimal128(5, 2), pa.int32(), pa.dictionary(pa.int8(), pa.int32())):
        with pytest.raises(TypeMapError) as caught:
            canaries.read("select fnr, navn from t", types={"navn": asked})
        assert CANARY not in reveals(caught.value)


def test_nothing_that_is_shown_of_a_request_or_a_plan_holds_a_literal(canaries):
    request = Request(query=f"select *, '{CANARY}' as c from t where fnr = %(f)s", params={"f": NUMBER}, where=(Filter("navn", "=", CANARY),))  # fmt: skip
    source = canaries.source()
    with source.open(request, cancel=Cancel()) as scan:
        shown = repr((request, source, scan, scan.partitions, scan.statements(), source.check()))
        assert CANARY not in shown
        assert NUMBER not in shown
        assert "pw-" not in shown
        batches = [b for p in scan.partitions for b in source.read(p, cancel=Cancel())]
    assert pa.Table.from_batches(batches).num_rows == 1
    with pytest.raises(TypeError):
        pickle.dumps(source)


def test_a_syntax_error_says_where(db):
    with pytest.raises(QueryError, match=r"syntax error at line 2, column 6 \(SQLSTATE 42601\)") as caught:
        db.read(query="select 1 as a\nfrom frm frm frm".replace("from frm frm frm", "from from x"))
    assert caught.value.sqlstate == "42601"
    with pytest.raises(QueryError, match=r"syntax error at line 3 \("):
        db.read(query="select %(a)s as a\n,1 as b\nfrom from x", params={"a": "x"})


def test_names_that_are_not_there_come_with_the_nearest_that_are(db):
    db.run(
        "create schema ytelse", "create table ytelse.vedtak(id int, belop int)", 'create table "Stor"(x int)'
    )
    with pytest.raises(QueryError, match=r"no table 'ytelse.vedtk'") as caught:
        db.read(table="ytelse.vedtk")
    assert caught.value.hint == "did you mean 'ytelse.vedtak'?"
    with pytest.raises(QueryError, match=r"did you mean 'public\.Stor'"):
        db.read(table="stor")
    with pytest.raises(
        QueryError, match=r"a table is not there at line 1, column 15 .*\n.*did you mean 'ytelse.vedtak'"
    ):
        db.read(query="select * from ytelse.vedtakk")
    with pytest.raises(QueryError, match=r"a column is not there.*\n.*did you mean 'v.belop'"):
        db.read(query="select v.belopp from ytelse.vedtak v")
    with pytest.raises(QueryError, match="did you mean 'belop'"):
        db.read(table="ytelse.vedtak", columns=("belopp",))
    with pytest.raises(QueryError, match=r"no table 'nope\.nope'"):
        db.read(table="nope.nope")


# --- connecting -----------------------------------------------------------------------------------------------------


def check(url, **row):
    open_source(Settings({"sources": {"registry": {"url": url, **row}}}).source("registry")).check()


def test_a_wrong_password_is_access_denied_and_not_echoed(postgres):
    with pytest.raises(AccessDenied, match="does not accept") as caught:
        check(postgres.url(password=CANARY))
    assert CANARY not in reveals(caught.value)
    with pytest.raises(AccessDenied) as caught:
        check(postgres.url(user="ingen", password=CANARY))
    assert CANARY not in reveals(caught.value)


def test_no_password_is_access_denied_and_says_so(postgres, monkeypatch):
    monkeypatch.delenv("PGPASSWORD", raising=False)
    with pytest.raises(AccessDenied, match="wants a password"):
        check(f"postgresql://{postgres.user}@{postgres.host}:{postgres.port}/postgres?passfile=/dev/null")


def test_an_unknown_database_is_not_found(postgres):
    with pytest.raises(NotFound, match="database is not there"):
        check(postgres.url("finnes_ikke"))


def test_a_server_that_is_down_is_unavailable_in_seconds():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(Unavailable, match="is the server up") as caught:
            check(f"postgresql://u:{CANARY}@127.0.0.1:{port}/d")
    assert time.monotonic() - began < 3
    assert caught.value.retryable
    assert CANARY not in reveals(caught.value)


def test_a_server_that_does_not_answer_is_unavailable_in_time():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        with pytest.raises(Unavailable, match="no answer in time"):
            check(f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/d?connect_timeout=2")
        assert time.monotonic() - began < 6


def test_encryption_that_the_server_has_not_is_a_settings_error(postgres):
    with pytest.raises(ConfigError, match="encrypted"):
        check(postgres.url() + "?sslmode=require")


def test_an_unknown_option_is_refused_and_a_known_one_reaches_libpq(postgres):
    with pytest.raises(ConfigError, match="did you mean 'sslmode'"):
        check(postgres.url() + "?sslmod=require")
    with pytest.raises(ConfigError, match="did you mean 'batch_bytes'"):
        check(postgres.url(), batch_byte=5)
    with pytest.raises(ConfigError):
        check(postgres.url(), sslmode="perhaps")
    source = open_source(
        Settings({}).source(postgres.url() + "?options=-c%20search_path%3Dpg_catalog&application_name=mitt")
    )
    assert stream(source, Request(query="select current_setting('search_path') s, current_setting('application_name') a")).read_all().to_pylist() == [{"s": "pg_catalog", "a": "mitt"}]  # fmt: skip


def test_permission_denied_is_access_denied(canaries):
    for request in (Request(table="hemmelig"), Request(query="select * from hemmelig")):
        with pytest.raises(AccessDenied, match="permission denied"):
            stream(canaries.source(), request).read_all()


def test_check_gives_facts_that_may_be_shown(db):
    facts = db.source().check()
    assert facts["server"].startswith(f"PostgreSQL {db.server.version}")
    assert facts["standby"] == "no"
    assert db.server.password not in repr(facts)


def test_a_refusal_in_the_servers_own_language_is_not_taken_for_an_outage(postgres):
    """Taken for an outage it would be tried again, and lock the account."""
    import psycopg

    from dvengine.connectors.postgres._errors import from_connect

    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(postgres.url(password="feil"))
    caught.value.args = ("FATALT: passordet er ikke godkjent",)
    made = from_connect(caught.value, "registry")
    assert isinstance(made, AccessDenied)
    assert not made.retryable
