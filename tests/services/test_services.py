"""The servers are real, private to the run, and gone after it."""

from __future__ import annotations

import obstore
import psycopg
import pytest

from services import S3, Elasticsearch, Postgres


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
