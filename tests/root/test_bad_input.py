"""Bad input through the public face: a typed error with a hint, nothing secret in it, nothing written or left open."""

from __future__ import annotations

import json
import logging
import pickle
import resource
import socket
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
