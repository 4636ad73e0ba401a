from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from dvengine.config import Settings
from dvengine.connectors import Request, Scan, Source, open_source
from dvengine.run import stream

sys.path.insert(0, str(Path(__file__).parent))


@dataclass
class Database:
    """An empty database of a real server: written past dvengine, read through it."""

    url: str
    server: Any

    def run(self, *statements: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement).fetchall()

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, autocommit=True)

    def source(self, **options: Any) -> Source:
        return open_source(
            Settings({"sources": {"registry": {"url": self.url, **options}}}).source("registry")
        )

    def read(
        self, table_or_query: str | None = None, *, workers: int | None = None, **request: Any
    ) -> pa.Table:
        return self.scan(table_or_query, workers=workers, **request)[0]

    def scan(
        self, text: str | None = None, *, workers: int | None = None, **request: Any
    ) -> tuple[pa.Table, Scan]:
        """A text with a space in it is a query."""
        if text is not None:
            request["query" if " " in text or "\n" in text else "table"] = text
        scans: list[Scan] = []
        table = stream(self.source(), Request(**request), workers=workers, on_scan=scans.append).read_all()
        return table, scans[0]

    def active(self) -> int:
        """How many sessions of dvengine are at work in this database."""
        return self.rows(
            "select count(*) from pg_stat_activity where application_name = 'dvengine' and state <> 'idle'"
            " and datname = current_database()"
        )[0][0]


@pytest.fixture(params=["postgres", "postgres15"])
def db(request: pytest.FixtureRequest) -> Database:
    """A fresh database on each server version that we have."""
    server = request.getfixturevalue(request.param)
    return Database(server.fresh_database(), server)


@pytest.fixture
def db18(postgres: Any) -> Database:
    return Database(postgres.fresh_database(), postgres)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        asked = {*getattr(item, "fixturenames", ())}
        if "db" in asked:
            item.add_marker("service")
        if asked & {"canaries", "e11"}:  # a role of its own, a foreign server
            item.add_marker("superuser")
        if "standby" in asked:
            item.add_marker("own_server")
