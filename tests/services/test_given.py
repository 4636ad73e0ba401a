"""A server that is named is used with fresh places of its own, and left as it was found; one that cannot be used is an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import obstore
import pytest

from services import S3, GivenPostgres, GivenS3, Postgres
from services._process import ServiceBroken

ROOT = Path(__file__).parents[2]


def test_databases_and_roles_made_on_a_given_server_are_gone_afterwards(postgres: Postgres) -> None:
    given = GivenPostgres.at(postgres.fresh_database() + "?application_name=contract")
    url = given.fresh_database()
    assert url.endswith("?application_name=contract")
    name, _ = given.fresh_role()
    database = url.rpartition("/")[2].partition("?")[0]
    given.execute(f'create table t(); alter table t owner to "{name}"', database)
    given.close()
    with postgres.connect() as connection:
        left = "select datname from pg_database where datname = %s union select rolname from pg_roles where rolname = %s"
        assert connection.execute(left, [database, name]).fetchall() == []


def test_a_role_that_may_not_create_databases_is_told(postgres: Postgres) -> None:
    role, password = postgres.fresh_role()
    with pytest.raises(ServiceBroken, match="may not CREATE DATABASE"):
        GivenPostgres.at(postgres.url(user=role, password=password))


def test_what_is_written_to_a_given_bucket_is_gone_afterwards_and_the_rest_stays(s3: S3) -> None:
    bucket = s3.fresh_bucket()
    store = s3.store(bucket)
    obstore.put(store, "prefix/dear", b"1")
    environ = {"S3_ENDPOINT": s3.endpoint, "AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}  # fmt: skip
    given = GivenS3.at(f"s3://{bucket}/prefix", environ)
    first, second = given.fresh_bucket(), given.fresh_bucket()
    obstore.put(given.store(first), "a/b", b"1")
    assert [found["path"] for found in obstore.list(given.store(second)).collect()] == []
    assert given.open_uploads(first) == []
    given.close()
    assert [found["path"] for found in obstore.list(store).collect()] == ["prefix/dear"]
    with pytest.raises(ServiceBroken, match="cannot be written"):
        GivenS3.at(f"s3://{bucket}/prefix", environ | {"AWS_SECRET_ACCESS_KEY": "wrong"})


@pytest.mark.parametrize(
    "named",
    [
        {"POSTGRES_URL": "postgresql://u:canary-4711@127.0.0.1:9/x"},
        {"S3_URL": "s3://b/p", "S3_ENDPOINT": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "canary-4711"},
        {"S3_URL": "s3://b/p"},
        {"S3_ENDPOINT": "http://127.0.0.1:9"},
    ],
    ids=["postgres", "s3", "no endpoint", "no bucket"],
)  # fmt: skip
def test_a_named_server_that_cannot_be_used_ends_the_run_with_an_error(named: dict[str, str]) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PYTEST_", "DVENGINE_TEST_RUN"))}  # fmt: skip
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/services/test_proxy.py"],
        cwd=ROOT, env=kept | named, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    assert "POSTGRES_URL" in ran.stderr or "S3_URL" in ran.stderr
    assert "canary-4711" not in ran.stdout + ran.stderr
