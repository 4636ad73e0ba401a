"""Bad input through the public face: a typed error with a hint, nothing secret in it, nothing written or left open."""

from __future__ import annotations

import json
import logging
import pickle
import resource
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from services import S3, Postgres

import dvengine as dv
from dvengine.config import Settings

PASSWORD, LITERAL, VALUE = "hunter2-canary", "literal-canary", "value-canary"
EMPTY = Settings({}, environ={})
COUNTS = pl.DataFrame({"region": ["03", "11", "11"], "sex": ["K", "K", "M"], "n": [9, 8, 7]})


@dataclass
class Watch:
    """What was heard while the bad input was tried: log records and events, and what has to be as before afterwards."""

    folder: Path
    caplog: pytest.LogCaptureFixture
    events: list[dv.Event] = field(default_factory=list)

    def refuses(
        self,
        kind: type[dv.DvengineError],
        call: Callable[[], object],
        *,
        names: str = "",
        retryable: bool = False,
    ) -> dv.DvengineError:
        """Make a call that must fail with ``kind``, and hold the error to all that an error of ours promises."""
        before = self.listing()
        with self.caplog.at_level(logging.DEBUG), pytest.raises(dv.DvengineError) as caught:
            call()
        error = caught.value
        assert type(error) is kind
        assert error.hint
        assert error.retryable is retryable
        assert names in error.message
        said = self.said(error)
        assert not [word for word in (PASSWORD, LITERAL, VALUE) if word in said]
        copied = pickle.loads(pickle.dumps(error))
        assert (type(copied), str(copied), copied.retryable) == (kind, str(error), retryable)
        assert self.listing() == before
        return error

    def said(self, error: BaseException) -> str:
        """Return all that a person or a log could see of an error, with whatever hangs below it."""
        chain: list[BaseException] = []
        below: list[BaseException | None] = [error]
        while below:
            one = below.pop()
            if one is not None and one not in chain:
                chain.append(one)
                # `from None` hides a context when printed, but a logger that walks it sees it.
                below += [one.__cause__, one.__context__]
        parts = [text for one in chain for text in (str(one), repr(one), repr(one.args), repr(vars(one)))]
        # Not the source lines: those of this file hold the canaries.
        stack = traceback.TracebackException.from_exception(error, capture_locals=False)
        parts += [line for line in stack.format_exception_only() if line]
        parts += [
            str(pickle.dumps(error)),
            json.dumps(error.to_dict()) if isinstance(error, dv.DvengineError) else "",
        ]
        parts += [f"{record.getMessage()} {record.exc_text}" for record in self.caplog.records]
        parts += [repr(event) for event in self.events]
        return "\n".join(parts)

    def listing(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}


@pytest.fixture
def watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Watch]:
    monkeypatch.chdir(tmp_path)
    made = Watch(tmp_path, caplog)
    stop = dv.subscribe(made.events.append)
    yield made
    stop()


@dataclass
class Registry:
    """A database with one small table, and a look at who is connected to it."""

    url: str

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                answer = connection.execute(statement)
            return answer.fetchall() if answer.description else []

    def left_open(self) -> int:
        """Count dvengine's sessions, waiting a little for those that are on their way out."""
        query = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'"
        for _ in range(50):
            if (count := self.run(query)[0][0]) == 0:
                return 0
            time.sleep(0.05)
        return int(count)


@pytest.fixture(scope="module")
def registry(postgres: Postgres) -> Registry:
    made = Registry(postgres.fresh_database())
    made.run(
        "create table person (id int primary key, name text, born date)",
        f"insert into person select g, '{VALUE}', date '1980-01-01' from generate_series(1, 1000) g",
    )
    return made


def read(registry: Registry, *args: Any, **options: Any) -> Callable[[], object]:
    return lambda: dv.read_sql(registry.url, *args, settings=EMPTY, **options).to_arrow()


def package(**more: Any) -> dv.DataPackage:
    made = dv.DataPackage(**({"name": "fisk", "title": "Fisk"} | more))
    made.add("tall", COUNTS)
    return made


OPEN = {"access": "open", "license": "CC-BY-4.0", "contact": "post@example.org", "publisher": "Etaten"}


# --- where from -------------------------------------------------------------------------------------------------


def test_unknown_alias(watch: Watch) -> None:
    known = Settings({"sources": {"registry": {"url": f"postgresql://u:{PASSWORD}@db/x"}}}, environ={})
    error = watch.refuses(
        dv.ConfigError, lambda: dv.read_sql("registri", table="t", settings=known), names="registri"
    )
    assert "registry" in str(error.hint)
    watch.refuses(dv.ConfigError, lambda: dv.publish(package(), "nowhere", settings=known), names="nowhere")
    watch.refuses(dv.ConfigError, lambda: dv.search("x", catalog="nowhere", settings=known), names="nowhere")


@pytest.mark.parametrize(
    "address", [f"pigeon://u:{PASSWORD}@loft/x", f"u:{PASSWORD}@db/x", f"postgresql//u:{PASSWORD}@db"]
)
def test_unknown_scheme(watch: Watch, address: str) -> None:
    watch.refuses(dv.ConfigError, lambda: dv.read_sql(address, table="t", settings=EMPTY).to_arrow())
    watch.refuses(
        dv.ConfigError, lambda: dv.publish(package(), f"pigeon://u:{PASSWORD}@loft", settings=EMPTY)
    )


def test_server_down(watch: Watch) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else gets the port, and nobody answers
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql://u:{PASSWORD}@127.0.0.1:{taken.getsockname()[1]}/db"
        read = dv.read_sql(url, table="person", settings=EMPTY)
        watch.refuses(dv.Unavailable, read.to_arrow, retryable=True)
        watch.refuses(dv.Unavailable, lambda: read.write_parquet(watch.folder / "out"), retryable=True)


def test_wrong_password(watch: Watch, postgres: Postgres, registry: Registry) -> None:
    user, _ = postgres.fresh_role()
    url = postgres.url(registry.url.rpartition("/")[2], user=user, password=PASSWORD)
    watch.refuses(dv.AccessDenied, lambda: dv.read_sql(url, table="person", settings=EMPTY).to_arrow())
    assert registry.left_open() == 0


def test_table_not_there(watch: Watch, registry: Registry) -> None:
    watch.refuses(dv.QueryError, read(registry, table="persn"), names="persn")
    watch.refuses(dv.QueryError, read(registry, f"select '{LITERAL}' from persn"))
    assert registry.left_open() == 0


def test_column_not_there(watch: Watch, registry: Registry) -> None:
    watch.refuses(dv.QueryError, read(registry, table="person", columns=["id", "nme"]), names="nme")
    watch.refuses(dv.QueryError, read(registry, f"select nme, '{LITERAL}' from person"))
    lazy = dv.read_sql(registry.url, table="person", settings=EMPTY).pipe(lambda lf: lf.select("nme"))
    watch.refuses(dv.QueryError, lazy.to_arrow, names="nme")
    assert registry.left_open() == 0


def test_syntax_error_in_sql(watch: Watch, registry: Registry) -> None:
    for text in (
        f"selct '{LITERAL}'",
        f"select * from person where name = '{LITERAL}",
        f"select '{LITERAL}' from person where",
        f"select 1; select '{LITERAL}'",
        f"delete from person where name = '{LITERAL}'",
        f"select 1 -- {LITERAL}\n from",
    ):
        watch.refuses(dv.QueryError, read(registry, text))
    memory = dv.dataset(COUNTS)
    watch.refuses(dv.QueryError, lambda: memory.sql(f"selct '{LITERAL}'").to_arrow())
    watch.refuses(dv.QueryError, lambda: memory.sql(f"select nme, '{LITERAL}' from self").to_arrow())
    assert registry.left_open() == 0
    assert registry.run("select count(*) from person") == [(1000,)]


def test_value_that_a_query_stops_at_is_not_told(watch: Watch, registry: Registry) -> None:
    watch.refuses(dv.QueryError, read(registry, "select name::int from person"))
    watch.refuses(dv.QueryError, read(registry, "select 1 / (id - 700) as x from person"))
    assert registry.left_open() == 0


def test_type_without_exact_mapping(watch: Watch, registry: Registry) -> None:
    asked = {"name": pa.int32()}
    watch.refuses(
        dv.TypeMapError, read(registry, table="person", columns=["name"], types=asked), names="name"
    )
    watch.refuses(dv.TypeMapError, read(registry, "select 'infinity'::date as d"), names="d")
    out = dv.read_sql(registry.url, "select 'infinity'::date as d", settings=EMPTY)
    watch.refuses(dv.TypeMapError, lambda: out.write_parquet(watch.folder / "out.parquet"), names="d")
    wide = dv.dataset(pa.table({"d": pa.array([1], pa.decimal256(60, 2))}))
    watch.refuses(dv.TypeMapError, wide.to_polars, names="d")
    assert registry.left_open() == 0


# --- where to ---------------------------------------------------------------------------------------------------


def test_disk_full(watch: Watch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = dv.dataset(pl.DataFrame({"x": pl.int_range(200_000, eager=True).hash()}))
    big = dv.DataPackage(name="fisk", title="Fisk")
    big.add("tall", noise)
    # A disk with room for small files only: the kernel refuses the rest as it does on a full one.
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        watch.refuses(dv.Unavailable, lambda: noise.write_parquet(watch.folder / "out.parquet"))
        watch.refuses(dv.Unavailable, lambda: noise.write_parquet(watch.folder / "parts"))
        watch.refuses(dv.Unavailable, lambda: dv.publish(big, watch.folder / "store", settings=EMPTY))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert dv.publish(big, watch.folder / "store", settings=EMPTY).version == 1


def test_read_only_target(watch: Watch) -> None:
    for target in (Path("/proc/dvengine"), Path("/proc/dvengine/out.parquet")):
        with pytest.raises(dv.DvengineError) as caught:
            dv.dataset(COUNTS).write_parquet(target)
        assert isinstance(caught.value, dv.AccessDenied | dv.NotFound)
        assert caught.value.hint
    with pytest.raises((dv.AccessDenied, dv.NotFound)):
        dv.publish(package(), Path("/proc/dvengine"), settings=EMPTY)


def test_store_that_does_not_let_us_in(watch: Watch, s3: S3) -> None:
    bucket = s3.fresh_bucket()
    store = {
        "url": f"s3://{bucket}/x", "endpoint": s3.endpoint, "allow_http": "true", "access_key_id": s3.access_key,
        "secret_access_key": PASSWORD,
    }  # fmt: skip
    wrong = Settings({"stores": {"target": store}}, environ={})
    watch.refuses(dv.AccessDenied, lambda: dv.publish(package(), "target", settings=wrong))
    watch.refuses(dv.AccessDenied, lambda: dv.dataset(COUNTS).write_parquet("target", settings=wrong))
    assert list(s3.store(bucket).list().collect()) == []
    assert s3.open_uploads(bucket) == []


def test_read_that_breaks_leaves_nothing_in_the_store(watch: Watch, registry: Registry, s3: S3) -> None:
    bucket = s3.fresh_bucket()
    store = {
        "url": f"s3://{bucket}/x", "endpoint": s3.endpoint, "allow_http": "true", "access_key_id": s3.access_key,
        "secret_access_key": s3.secret_key,
    }  # fmt: skip
    settings = Settings({"stores": {"target": store}}, environ={})
    broken = dv.read_sql(
        registry.url, "select repeat(md5(g::text), 400) as noise, 1 / (3000 - g) as x from generate_series(1, 3000) g", settings=EMPTY
    )  # fmt: skip
    watch.refuses(dv.QueryError, lambda: broken.write_parquet("target", settings=settings))
    made = dv.DataPackage(name="fisk", title="Fisk")
    made.add("tall", broken)
    watch.refuses(dv.QueryError, lambda: dv.publish(made, "target", settings=settings))
    assert list(s3.store(bucket).list().collect()) == []
    assert s3.open_uploads(bucket) == []
    assert registry.left_open() == 0


def test_target_that_holds_another_thing(watch: Watch) -> None:
    (watch.folder / "store" / "fisk").mkdir(parents=True)
    (watch.folder / "store" / "fisk" / "diary.txt").write_text(VALUE)
    (watch.folder / "notes.parquet").write_text(VALUE)
    watch.refuses(
        dv.Conflict, lambda: dv.publish(package(), watch.folder / "store", settings=EMPTY), names="fisk"
    )
    watch.refuses(dv.Conflict, lambda: dv.dataset(COUNTS).write_parquet(watch.folder / "store" / "fisk"))
    watch.refuses(dv.AlreadyExists, lambda: dv.dataset(COUNTS).write_parquet(watch.folder / "notes.parquet"))
    watch.refuses(
        dv.Conflict, lambda: dv.build_catalog("memory://none", watch.folder / "store", settings=EMPTY)
    )
    assert (watch.folder / "store" / "fisk" / "diary.txt").read_text() == VALUE
    assert (watch.folder / "notes.parquet").read_text() == VALUE


# --- tables -----------------------------------------------------------------------------------------------------


def test_by_column_not_there(watch: Watch) -> None:
    watch.refuses(dv.TableError, lambda: dv.tabulate(COUNTS, ["kjonn"]), names="kjonn")
    watch.refuses(dv.TableError, lambda: dv.tabulate(COUNTS, ["sex"], unit="id"), names="id")
    watch.refuses(dv.TableError, lambda: dv.tabulate(COUNTS, ["sex"], values={"tonn": "sum"}), names="tonn")
    watch.refuses(
        dv.TableError, lambda: dv.Tabulation.from_frame(COUNTS, ["sex"], measure="antall"), names="antall"
    )


def test_negative_counts(watch: Watch) -> None:
    below = pl.DataFrame({"sex": ["K", "M"], "n": [4, -1]})
    watch.refuses(dv.TableError, lambda: dv.Tabulation.from_frame(below, ["sex"]), names="negative")


def test_hierarchy_with_a_leaf_missing(watch: Watch) -> None:
    people = pl.DataFrame({"kommune": ["0301", VALUE]})
    watch.refuses(
        dv.TableError,
        lambda: dv.tabulate(people, ["kommune"], hierarchies={"kommune": {"0301": "03"}}),
        names="kommune",
    )


def test_hierarchy_with_a_circle(watch: Watch) -> None:
    people = pl.DataFrame({"k": ["a"]})
    for tree in ({"a": "b", "b": "a"}, {"a": "a"}, {"a": VALUE, VALUE: "b", "b": VALUE}):
        watch.refuses(
            dv.TableError, partial(dv.tabulate, people, ["k"], hierarchies={"k": tree}), names="'k'"
        )


def test_empty_result_goes_all_the_way(watch: Watch, registry: Registry) -> None:
    empty = dv.read_sql(registry.url, "select name, born, id from person where false", settings=EMPTY)
    assert empty.to_arrow().schema == empty.schema
    assert empty.to_polars().columns == ["name", "born", "id"]
    assert list(empty.to_pandas().columns) == ["name", "born", "id"]
    safe = dv.suppress(dv.tabulate(empty, ["name", "born"]), rule=dv.Threshold(5))
    assert (safe.frame.height, safe.certificate.cells, safe.certificate.uncertified) == (0, 0, 0)
    made = dv.DataPackage(name="tomt", title="Tomt", **OPEN)
    made.add("tabell", safe)
    made.add("rader", empty)
    release = dv.publish(made, watch.folder / "store", settings=EMPTY, reason="a test of what has no rows")
    opened = dv.open_package(release.url, settings=EMPTY)
    assert release.rows == 0
    assert opened["rader"].schema == empty.schema
    assert opened["tabell"].to_polars().columns == safe.frame.columns
    assert dv.verify(release.url, settings=EMPTY).problems == ()
    assert registry.left_open() == 0


# --- publishing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lacking", ["license", "contact", "publisher"])
def test_open_without_licence_or_contact(watch: Watch, lacking: str) -> None:
    made = package(**{key: value for key, value in OPEN.items() if key != lacking})
    watch.refuses(
        dv.DescriptorError, lambda: dv.publish(made, watch.folder / "store", settings=EMPTY), names=lacking
    )


def test_certificate_that_no_longer_fits(watch: Watch) -> None:
    safe = dv.suppress(dv.Tabulation.from_frame(COUNTS, ["region", "sex"]), rule=dv.Threshold(5))
    changed = replace(safe, frame=safe.frame.with_columns(pl.lit(VALUE).alias("sex")))
    made = dv.DataPackage(name="fisk", title="Fisk", **OPEN)
    made.add("tall", changed)
    error = watch.refuses(
        dv.Refused, lambda: dv.publish(made, watch.folder / "store", settings=EMPTY), names="tall"
    )
    assert isinstance(error, dv.Refused)
    assert error.rules


# --- beyond what anybody lists: of each kind of malice one test ------------------------------------------------

ODD: tuple[Any, ...] = (None, 0, -1, 1.5, True, "", b"x", [], {}, (), object(), float("nan"), "\0", "æ" * 100_000, Path("x"),
       ["a", None], {"a": 1}, 10**30, "x\ny", "~nobody-has-this-name/x", {1: 2}, pa.int8(), [b"x"])  # fmt: skip


def _calls(folder: Path) -> dict[str, Callable[[Any], object]]:
    """Return each argument of each public function, as a function of a value for it."""
    data, table = dv.dataset(COUNTS), dv.Tabulation.from_frame(COUNTS, ["region", "sex"])
    safe, rule = dv.suppress(table, rule=dv.Threshold(5)), dv.Threshold(5)
    (folder / "in.csv").write_text("a;b\n1;2\n")
    url = f"postgresql://u:{PASSWORD}@127.0.0.1:1/db"
    keys = Settings({"keys": {"k": {"secret": "0123456789abcdef" * 4}}}, environ={})

    def each(
        function: Callable[..., Any], names: str, *args: Any, **options: Any
    ) -> dict[str, Callable[[Any], object]]:
        return {
            f"{function.__qualname__} {name}": lambda odd, name=name: function(*args, **(options | {name: odd})) for name in names.split()
        }  # fmt: skip

    return {
        "read_sql source": lambda odd: dv.read_sql(odd, table="t", settings=EMPTY),
        "read_sql query": lambda odd: dv.read_sql(url, odd, settings=EMPTY).name,
        **each(dv.read_sql, "table", url, settings=EMPTY),
        **each(dv.read_sql, "columns partitions partition_on types infinity settings", url, table="t"),
        **each(dv.read_sql, "params", url, "select 1", settings=EMPTY),
        "read_files": lambda odd: dv.read_files(odd, settings=EMPTY),
        **each(dv.read_files, "format schema delimiter encoding decimal skip_rows hive name settings", str(folder / "in.csv")),
        **each(dv.dataset, "name", COUNTS),
        "dataset": lambda odd: dv.dataset(odd).to_arrow(),
        "batches": lambda odd: list(data.batches(batch_rows=odd)),
        "head": data.head,
        "to_pandas": lambda odd: data.to_pandas(dtypes=odd),
        "pipe": lambda odd: data.pipe(odd).to_arrow(),
        "pipe's answer": lambda odd: data.pipe(lambda _: odd).to_arrow(),
        "pipe schema": lambda odd: data.pipe(lambda lf: lf, schema=odd).to_arrow(),
        "sql": lambda odd: data.sql(odd).to_arrow(),
        "sql other": lambda odd: data.sql("select * from o", o=odd).to_arrow(),
        "write_parquet": lambda odd: data.write_parquet("memory://odd/a.parquet" if odd == Path("x") else odd, settings=EMPTY),
        **each(data.write_parquet, "overwrite settings", "memory://odd/b.parquet"),
        "tabulate": lambda odd: dv.tabulate(odd, ["sex"]),
        **each(dv.tabulate, "by unit values hierarchies total", COUNTS, by=["sex"]),
        "hierarchy": lambda odd: dv.tabulate(COUNTS, ["sex"], hierarchies={"sex": odd}),
        "from_frame": lambda odd: dv.Tabulation.from_frame(odd, ["sex"]),
        **each(dv.Tabulation.from_frame, "by measure values hierarchies total", COUNTS, by=["region", "sex"]),
        "suppress": lambda odd: dv.suppress(odd, rule=rule),
        **each(dv.suppress, "rule attacker width time_limit seed symbol", table, rule=rule),
        "Threshold": dv.Threshold,
        "audit": lambda odd: dv.audit(odd, safe.structure, rule=rule),
        **each(dv.audit, "structure attacker rule status width", safe.frame, structure=safe.structure, rule=rule),
        "pseudonymise": lambda odd: dv.pseudonymise(odd, ["sex"], key="k", settings=keys),
        **each(dv.pseudonymise, "columns key kind domain settings", COUNTS, columns=["sex"], key="k", settings=keys),
        **each(dv.DataPackage, "name title description license contact publisher access keywords themes language sources", name="a", title="b"),
        **each(dv.DataPackage(name="a", title="b").add, "title description fields", "odd", COUNTS),
        "add": lambda odd: dv.DataPackage(name="a", title="b").add(odd, COUNTS),
        "add data": lambda odd: dv.DataPackage(name="a", title="b").add("odd", odd),
        "add_view": lambda odd: dv.DataPackage(name="a", title="b").add_view("odd", odd),
        "publish": lambda odd: dv.publish(odd, "memory://odd", settings=EMPTY),
        **each(dv.publish, "target catalog reason settings", package(), target="memory://odd"),
        "open_package": lambda odd: dv.open_package(odd, settings=EMPTY),
        **each(dv.open_package, "version settings", "memory://odd/fisk"),
        "verify": lambda odd: dv.verify(odd, settings=EMPTY),
        **each(dv.verify, "version settings", "memory://odd/fisk"),
        "search": lambda odd: dv.search(odd, catalog="memory://odd", settings=EMPTY),
        **each(dv.search, "catalog size filters settings", "x", catalog="memory://odd"),
        "build_catalog": lambda odd: dv.build_catalog(odd, folder / "site", settings=EMPTY),
        **each(dv.build_catalog, "out title settings", "memory://odd", out=folder / "site"),
        "snapshot": lambda odd: dv.snapshot(odd, settings=EMPTY).__enter__(),
        "subscribe": dv.subscribe,
        "show_progress": lambda odd: dv.show_progress(odd).stop(),
        "Settings": Settings,
    }  # fmt: skip


def test_odd_arguments_are_answered_by_errors_of_ours(watch: Watch) -> None:
    dv.publish(package(), "memory://odd", settings=EMPTY)
    raised: list[str] = []
    tried = 0
    for what, call in _calls(watch.folder).items():
        for odd in ODD:
            tried += 1
            try:
                call(odd)
            except dv.DvengineError as error:
                if not error.hint or PASSWORD in watch.said(error):
                    raised.append(f"{what}({odd!r:.40}): {error}")
            except Exception as error:
                raised.append(f"{what}({odd!r:.40}): {type(error).__name__} {error}")
    assert tried > 1500
    assert raised == []


def test_foreign_streams_that_break_are_told_without_their_text(watch: Watch) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"a": [1]})
        raise RuntimeError(VALUE)

    def reader() -> dv.Dataset:
        return dv.dataset(pa.RecordBatchReader.from_batches(pa.schema([("a", pa.int64())]), broken()))

    class Liar:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            raise RuntimeError(VALUE)

    made = package()
    made.add("strøm", reader())
    for call in (
        lambda: dv.dataset(Liar()).to_arrow(),
        lambda: reader().to_arrow(),
        lambda: reader().pipe(lambda lf: lf).to_arrow(),
        lambda: reader().sql("select * from self").to_arrow(),
        lambda: reader().write_parquet(watch.folder / "out"),
        lambda: dv.tabulate(reader(), ["a"]),
        lambda: dv.publish(made, watch.folder / "store", settings=EMPTY),
    ):
        watch.refuses(dv.InputError, call)


def test_used_and_closed_streams(watch: Watch) -> None:
    used = dv.dataset(COUNTS).batches()
    list(used)
    closed = dv.dataset(COUNTS).batches()
    closed.close()
    once = dv.dataset(
        pa.RecordBatchReader.from_batches(COUNTS.to_arrow().schema, COUNTS.to_arrow().to_batches())
    )
    once.to_arrow()
    for call in (
        used.read_all,
        used.reader,
        closed.read_all,
        partial(list, closed),
        once.to_arrow,
        once.sql("select 1 as a from self").to_arrow,
    ):
        watch.refuses(dv.StreamConsumed, call)


def test_values_that_break_a_plan_are_not_told(watch: Watch) -> None:
    data = dv.dataset(pl.DataFrame({"s": [VALUE, "1"]}))
    number = pl.col("s").cast(pl.Int64)
    for call in (
        lambda: data.pipe(lambda lf: lf.select(number)).to_arrow(),
        lambda: data.sql("select s::int as s from self").to_arrow(),
        lambda: dv.tabulate(data.pipe(lambda lf: lf.select(number)), ["s"]),
        lambda: dv.tabulate(pl.LazyFrame({"s": [VALUE]}).select(number), ["s"]),
    ):
        watch.refuses(dv.InputError, call)
    (watch.folder / "in.csv").write_text(f"a;b\n{VALUE};2\n")
    watch.refuses(
        dv.TypeMapError, lambda: dv.read_files("in.csv", schema={"a": pa.int64()}).to_arrow(), names="'a'"
    )
    (watch.folder / "in.csv").write_text(f"a;b\n{VALUE};2;3\n")
    watch.refuses(dv.InputError, lambda: dv.read_files("in.csv").to_arrow(), names="row 2")
    (watch.folder / "in.csv").write_text(f"a;b\n{VALUE};2\n")
    watch.refuses(
        dv.InputError, lambda: dv.read_files("in.csv", encoding="utf-16").to_arrow(), names="utf-16"
    )


def test_quote_that_is_never_closed_swallows_no_rows(watch: Watch) -> None:
    for text in ('"a;b\n1;2\n', 'a;b\n1;"2\n3;4\n5;6\n', 'a\n"1\n2\n', 'a;b\n1;"2\n3;4'):
        (watch.folder / "in.csv").write_text(text)
        watch.refuses(dv.InputError, lambda: dv.read_files("in.csv").to_arrow())
        (watch.folder / "in.csv").unlink()
    (watch.folder / "whole.csv").write_text('a;b\n1;"2\n3"\n5;"6\n"\n')
    assert dv.read_files("whole.csv").to_arrow()["b"].to_pylist() == ["2\n3", "6\n"]


def test_one_file_is_read_whatever_lies_beside_it(watch: Watch) -> None:
    (watch.folder / "in.csv").write_text("a;b\n1;2\n")
    (watch.folder / "round").symlink_to(watch.folder / "and-round")
    (watch.folder / "and-round").symlink_to(watch.folder / "round")
    assert dv.read_files("in.csv").to_arrow().num_rows == 1
    for call in (
        lambda: dv.dataset(COUNTS).write_parquet(watch.folder / "round" / "x"),
        lambda: dv.search("x", catalog="./round", settings=EMPTY),
        lambda: dv.build_catalog("memory://none", "./round", settings=EMPTY),
    ):
        watch.refuses(dv.ConfigError, call)


def test_lines_to_skip_beyond_the_file_end_at_once(watch: Watch) -> None:
    (watch.folder / "in.csv").write_text("a;b\n1;2\n")
    watch.refuses(dv.InputError, lambda: dv.read_files("in.csv", skip_rows=999_999).to_arrow())
    watch.refuses(dv.InputError, lambda: dv.read_files("in.csv", skip_rows=10**15).to_arrow())


def test_sums_that_no_64_bits_hold_are_refused_and_never_wrap(watch: Watch) -> None:
    most = pl.DataFrame({"k": ["a", "b"], "u": [1, 2], "v": [2**63 - 1, 1], "n": [2**62, 2**62]})
    watch.refuses(dv.TableError, lambda: dv.tabulate(most.drop("n"), ["k"], values={"v": "sum"}), names="'v'")
    watch.refuses(
        dv.TableError, lambda: dv.tabulate(most.drop("n"), ["k"], unit="u", values={"v": "sum"}), names="'v'"
    )
    watch.refuses(dv.TableError, lambda: dv.Tabulation.from_frame(most, ["k"]), names="'n'")
    exact = dv.tabulate(
        most.with_columns(pl.col("v").cast(pl.Decimal(38, 0))).drop("n"), ["k"], values={"v": "sum"}
    )
    assert exact.frame["v"].to_list() == [2**63, 2**63 - 1, 1]


def test_a_snapshot_that_has_ended(watch: Watch, registry: Registry) -> None:
    with dv.snapshot(registry.url, settings=EMPTY) as moment:
        person = dv.read_sql(moment, table="person")
        begun = person.batches()
    for call in (
        person.to_arrow,
        begun.read_all,
        person.explain,
        lambda: person.write_parquet(watch.folder / "out"),
    ):
        watch.refuses(dv.InputError, call, names="has ended")
    assert registry.left_open() == 0


def test_settings_of_a_source_that_cannot_be(watch: Watch, registry: Registry) -> None:
    for option in ("frog=1", "batch_bytes=frog", "batch_bytes=0", "sslmode=frog"):
        source = dv.read_sql(f"{registry.url}?{option}", table="person", settings=EMPTY)
        watch.refuses(dv.ConfigError, source.to_arrow)


@pytest.mark.parametrize("text", ["{", "", "null", "[]", "[" * 100_000, '"x"', "\0"])
def test_manifest_that_is_none(watch: Watch, text: str) -> None:
    dv.publish(package(), watch.folder / "store", settings=EMPTY)
    _manifest(watch).write_text(text)
    _is_damaged(watch)


def test_manifest_with_a_field_of_another_type_or_of_the_future(watch: Watch) -> None:
    dv.publish(package(), watch.folder / "store", settings=EMPTY)
    raw = json.loads(_manifest(watch).read_text())
    part = {"path": None, "rows": "x", "nbytes": None}
    wrong: list[dict[str, Any]] = [
        {"format": 99},
        {"frog": 1},
        {"created": "yesterday"},
        {"rows": {"tall": "3"}},
        {"overrides": ["x"]},
    ]
    wrong += [{name: None} for name in raw] + [{name: [7]} for name in raw]
    wrong += [{"parts": {"tall": [raw["parts"]["tall"][0] | {key: value}]}} for key, value in part.items()]
    for change in wrong:
        _manifest(watch).write_text(json.dumps(raw | change))
        _is_damaged(watch)


def _manifest(watch: Watch) -> Path:
    return watch.folder / "store" / "fisk" / "_dvengine" / "manifest-000001.json"


def _is_damaged(watch: Watch) -> None:
    url = str(watch.folder / "store" / "fisk")
    watch.refuses(dv.VerificationFailed, lambda: dv.open_package(url, settings=EMPTY), names="manifest")
    watch.refuses(
        dv.VerificationFailed, lambda: dv.publish(package(), watch.folder / "store", settings=EMPTY)
    )
    assert not dv.verify(url, settings=EMPTY).ok
    assert dv.build_catalog(watch.folder / "store", watch.folder / "site", settings=EMPTY).problems


def test_a_catalogue_of_a_store_that_is_not_there_replaces_no_site(watch: Watch) -> None:
    dv.publish(package(), watch.folder / "store", settings=EMPTY)
    dv.build_catalog(watch.folder / "store", watch.folder / "site", settings=EMPTY)
    watch.refuses(
        dv.NotFound, lambda: dv.build_catalog(watch.folder / "stoer", watch.folder / "site", settings=EMPTY)
    )


# --- the command line -------------------------------------------------------------------------------------------


def cli(words: str, *, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        f"{sys.executable} -m dvengine {words}", shell=True, cwd=cwd, text=True, capture_output=True, check=False, timeout=60, **options
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code"),
    [("doctor >&-", 0), ("doctor --json >&-", 0), ("doctor --json >/dev/full", 1), ("doctor | true; exit ${PIPESTATUS[0]}", 0),
     ("verify nope >&- 2>&-", 1), ("verify nope 2>/dev/full", 1), ("verify nope --json <&-", 1)],
)  # fmt: skip
def test_closed_and_full_outputs_are_no_bug(tmp_path: Path, words: str, code: int) -> None:
    done = cli(words, cwd=tmp_path, executable="/bin/bash")
    assert done.returncode == code
    assert "bug" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "settings",
    [
        "x",
        "sources=5",
        "[sources]\nx=5",
        "[sources.x]\nurl=5",
        f'[sources.x]\nurl="postgresql://u:can#{PASSWORD}@h/x"',
    ],
)
def test_settings_file_of_another_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from dvengine.cli._main import main

    (tmp_path / "s.toml").write_text(settings)
    monkeypatch.setenv("DVENGINE_SETTINGS", str(tmp_path / "s.toml"))
    for words in (
        ["doctor", "--json"],
        ["extract", "x", "--table", "t", "--out", str(tmp_path / "out"), "--json"],
    ):
        assert main(words) in (1, 3)
        said = capsys.readouterr().out
        assert json.loads(said)["v"] == 1
        assert PASSWORD not in said
    assert [path.name for path in tmp_path.iterdir()] == ["s.toml"]


def test_ctrl_c_in_extract_ends_the_servers_statement_and_leaves_nothing(
    watch: Watch, registry: Registry
) -> None:
    (watch.folder / "q.sql").write_text(
        f"select g, pg_sleep(0.01)::text, '{LITERAL}' as x from generate_series(1, 100000) g"
    )
    words = [
        sys.executable,
        "-m",
        "dvengine",
        "extract",
        registry.url,
        "--query",
        "q.sql",
        "--out",
        str(watch.folder / "out"),
        "--json",
    ]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    busy = "select count(*) from pg_stat_activity where datname = current_database() and state = 'active' and query like '%%pg_sleep%%' and pid <> pg_backend_pid()"
    for _ in range(300):
        if registry.run(busy) != [(0,)]:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert json.loads(out)["error"]["kind"] == "Interrupted"
    assert not [word for word in (LITERAL, "Traceback", registry.url) if word in out + err]
    assert registry.left_open() == 0
    assert watch.listing() == {"q.sql"}
