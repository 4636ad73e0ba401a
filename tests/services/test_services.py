"""The servers are real, private to the run, and gone after it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import obstore
import psycopg
import pytest

from services import S3, Elasticsearch, HttpProxy, Postgres, TcpProxy
from services._postgres import wait_for_port_to_close


def test_postgres_18_asks_for_a_password_and_each_database_is_new(postgres: Postgres) -> None:
    first, second = postgres.fresh_database(), postgres.fresh_database()
    with psycopg.connect(first) as connection:
        connection.execute("create table t as select 1 as a")
        assert connection.info.server_version // 10000 == 18
    with psycopg.connect(second) as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("select * from t")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres.url(password="wrong"))


def test_postgres_15_is_a_second_server(postgres15: Postgres) -> None:
    with postgres15.connect() as connection:
        assert connection.info.server_version // 10000 == 15


def test_s3_checks_signatures_and_refuses_a_second_create(s3: S3) -> None:
    bucket = s3.fresh_bucket()
    store = s3.store(bucket)
    obstore.put(store, "a/b", b"1", mode="create")
    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        obstore.put(store, "a/b", b"2", mode="create")
    assert bytes(obstore.get(store, "a/b").bytes()) == b"1"
    stranger = s3.store(bucket, secret_access_key="wrong")
    with pytest.raises((PermissionError, obstore.exceptions.BaseError)):
        obstore.get(stranger, "a/b")


def test_elasticsearch_is_a_9_node_that_stems_norwegian(elasticsearch: Elasticsearch) -> None:
    from elasticsearch import Elasticsearch as Client

    with Client(elasticsearch.url) as client:
        assert client.info()["version"]["number"].startswith("9.")
        name = elasticsearch.fresh_index()
        client.indices.create(index=name)
        tokens = client.indices.analyze(index=name, analyzer="norwegian", text="Bøkene og byene")["tokens"]
        assert [token["token"] for token in tokens] == ["bøk", "byen"]
        client.indices.delete(index=name)


def test_s3_signatures_hold_through_the_proxy_and_a_dropped_reply_was_done(s3: S3) -> None:
    bucket = s3.fresh_bucket()
    with HttpProxy(s3.endpoint) as proxy:
        store = s3.store(bucket, endpoint=proxy.url, retry_config={"max_retries": 0})
        obstore.put(store, "æ ø/%.bin", b"1" * 100_000)
        assert bytes(obstore.get_range(store, "æ ø/%.bin", start=5, end=10)) == b"11111"
        proxy.drop_reply(method="PUT")
        with pytest.raises(obstore.exceptions.BaseError):
            obstore.put(store, "b", b"2")
        proxy.cut_body(1000, method="GET")
        with pytest.raises(obstore.exceptions.BaseError):
            obstore.get(store, "æ ø/%.bin").bytes()
        assert proxy.faults == ["drop_reply", "cut_body"]
    assert bytes(obstore.get(s3.store(bucket), "b").bytes()) == b"2"


def test_postgres_through_the_proxy_ends_when_cut(postgres: Postgres) -> None:
    with TcpProxy.before(postgres.admin_url) as proxy:
        proxy.cut_after(200_000)
        with (
            psycopg.connect(proxy.rewrite(postgres.admin_url)) as connection,
            pytest.raises(psycopg.OperationalError),
        ):
            connection.execute("select repeat('x', 1000) from generate_series(1, 10000)")
        assert proxy.bytes_to_client == 200_000


USER = """
import json, sys, time
from services._shared import Shared
shared = Shared()
print(json.dumps([shared.get("postgres"), shared.get("s3")]), flush=True)
time.sleep(600)
"""


def test_killed_test_run_leaves_no_server_and_no_folder_behind(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command, environ = [sys.executable, "-c", USER], {**os.environ, "DVENGINE_TEST_RUN": str(run)}
    tests = Path(__file__).parent.parent
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, cwd=tests) as first:
        postgres, s3 = json.loads(first.stdout.readline())
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, cwd=tests) as second:
            assert json.loads(second.stdout.readline())[0] == postgres  # one server for both
            first.kill()
            first.wait()
            with psycopg.connect(Postgres(**postgres).url()) as connection:  # the other still has it
                connection.execute("select 1")
            second.kill()
    ports = [postgres["port"], urlsplit(s3["endpoint"]).port]
    deadline = time.monotonic() + 20
    while run.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not run.exists()
    assert not Path(postgres["directory"]).exists()
    assert [is_open(port) for port in ports] == [False, False]


def test_killed_keeper_takes_its_server_with_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services._keeper", "postgres", str(tmp_path)]
    (tmp_path / "users.lock").touch()
    with (tmp_path / "users.lock").open() as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        with subprocess.Popen(command, cwd=Path(__file__).parent.parent) as keeper:
            while not (tmp_path / "answer.json").exists():
                time.sleep(0.05)
            facts = json.loads((tmp_path / "answer.json").read_text())
            assert is_open(facts["port"])
            keeper.kill()
    assert wait_for_port_to_close(facts["port"])
    shutil.rmtree(facts["directory"])


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
