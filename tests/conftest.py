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
from services._shared import Shared, begin_run

SERVICES = {"postgres", "postgres15", "s3", "elasticsearch"}


def pytest_configure(config: pytest.Config) -> None:
    begin_run()


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Keep ``--doctest-modules`` to the package: the helpers here, conftest.py of each room, are no tests."""
    helper = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return True if helper else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server, so that no test has to say it twice: by its fixtures, or a parameter that names one."""
    for item in items:
        asked = {*getattr(item, "fixturenames", ())}
        if callspec := getattr(item, "callspec", None):
            asked |= {value for value in callspec.params.values() if isinstance(value, str)}
        if SERVICES & asked:
            item.add_marker("service")


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


def _facts(shared: Shared, service: str) -> dict[str, object]:
    try:
        return shared.get(service)
    except ServiceMissing as missing:
        reason = f"{service}: {missing}"
        if os.environ.get("DVENGINE_REQUIRE_SERVICES") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres(_shared: Shared) -> Postgres:
    """PostgreSQL 18; take ``postgres.fresh_database()`` rather than its shared ones."""
    return Postgres(**_facts(_shared, "postgres"))


@pytest.fixture(scope="session")
def postgres15(_shared: Shared) -> Postgres:
    """PostgreSQL 15 from the system's packages."""
    return Postgres(**_facts(_shared, "postgres15"))


@pytest.fixture(scope="session")
def s3(_shared: Shared) -> S3:
    """An S3 server; take ``s3.fresh_bucket()``."""
    return S3(**_facts(_shared, "s3"))


@pytest.fixture(scope="session")
def elasticsearch(_shared: Shared) -> Elasticsearch:
    """An Elasticsearch 9 node; take ``elasticsearch.fresh_index()``."""
    return Elasticsearch(**_facts(_shared, "elasticsearch"))
