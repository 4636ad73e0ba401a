"""Fixtures for the whole suite: real servers, started when a test first asks, one of each per run.

With ``DVENGINE_REQUIRE_SERVICES=1`` (``make test`` sets it) a server that is not installed fails the test that needs
it; otherwise the test is skipped with the reason. A server that is installed but does not start always fails.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The helpers are imported as `services` by tests in every folder, whatever pytest's import mode.
sys.path.insert(0, str(Path(__file__).parent))

from services import S3, Elasticsearch, Postgres, ServiceMissing
from services._given import given_postgres, given_s3
from services._process import ServiceBroken
from services._shared import Shared, begin_run

NOT_ON_GIVEN = pytest.StashKey[dict[str, str]]()
SERVICES = {"postgres", "postgres15", "s3", "elasticsearch"}


def pytest_configure(config: pytest.Config) -> None:
    """Begin; a server that was given by name and cannot be used ends the run before its first test."""
    begin_run()
    try:
        given_s3()
        given = given_postgres()
    except ServiceBroken as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[NOT_ON_GIVEN] = reasons = {}
    if given is not None:
        reasons |= {"postgres15": "they are about a PostgreSQL 15 of this machine", "own_server": "they start servers of their own"}  # fmt: skip
        if not given.superuser:
            reasons["superuser"] = "they need a superuser, which the role of POSTGRES_URL is not"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Keep ``--doctest-modules`` to the package: the helpers here, conftest.py of each room, are no tests."""
    helper = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return True if helper else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a server, so that no test has to say it twice: by its fixtures, or a parameter that names one."""
    left_out: dict[str, list[pytest.Item]] = {}
    for item in items:
        asked = {*getattr(item, "fixturenames", ())}
        if callspec := getattr(item, "callspec", None):
            asked |= {value for value in callspec.params.values() if isinstance(value, str)}
        if SERVICES & asked:
            item.add_marker("service")
        asked |= {mark.name for mark in item.iter_markers()}
        if reason := next((why for what, why in config.stash[NOT_ON_GIVEN].items() if what in asked), None):
            left_out.setdefault(reason, []).append(item)
    for reason, out in left_out.items():
        config.hook.pytest_deselected(items=out)
        print(f"\nnot run on the given server, {len(out)} tests: {reason}")
    gone = {item for out in left_out.values() for item in out}
    items[:] = [item for item in items if item not in gone]


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        folder = Path(os.environ["DVENGINE_TEST_RUN"])
        if folder.is_dir() and not any(folder.iterdir()):  # else the last keeper removes it
            folder.rmdir()


@pytest.fixture(scope="session")
def _shared(request: pytest.FixtureRequest) -> Iterator[Shared]:
    if "not service" in request.config.option.markexpr:
        pytest.fail("a test that asks for a server while it runs must be marked service", pytrace=False)
    shared = Shared()
    yield shared
    shared.close()


def _facts(shared: Shared, service: str, *, optional: bool = False) -> dict[str, object]:
    try:
        return shared.get(service)
    except ServiceMissing as missing:
        reason = f"{service}: {missing}"
        if os.environ.get("DVENGINE_REQUIRE_SERVICES") == "1" and not optional:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """PostgreSQL 18, or that of ``POSTGRES_URL``; take ``postgres.fresh_database()`` rather than its shared ones."""
    if given := given_postgres():
        yield given
        given.close()
    else:
        yield Postgres(**_facts(request.getfixturevalue("_shared"), "postgres"))


@pytest.fixture(scope="session")
def postgres15(_shared: Shared) -> Postgres:
    """PostgreSQL 15 from the system's packages; a second version, so its tests skip, saying so, where it is not to be had."""
    return Postgres(**_facts(_shared, "postgres15", optional=True))


@pytest.fixture(scope="session")
def s3(request: pytest.FixtureRequest) -> Iterator[S3]:
    """An S3 server, or the bucket of ``S3_URL``; take ``s3.fresh_bucket()``."""
    if given := given_s3():
        yield given
        given.close()
    else:
        yield S3(**_facts(request.getfixturevalue("_shared"), "s3"))


@pytest.fixture(scope="session")
def elasticsearch(_shared: Shared) -> Elasticsearch:
    """An Elasticsearch 9 node; take ``elasticsearch.fresh_index()``."""
    return Elasticsearch(**_facts(_shared, "elasticsearch"))
