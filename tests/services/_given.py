"""Servers that somebody else runs, named by ``POSTGRES_URL`` or ``S3_URL`` and ``S3_ENDPOINT``: used, and left as they were found.

Nothing here skips: a server that was named and cannot be used is a failure of the run.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from services._postgres import Postgres
from services._process import ServiceBroken
from services._s3 import S3


@dataclass
class GivenPostgres(Postgres):
    """A server of somebody else's. Makes databases (and roles, where it may) of its own, and drops them at `close`."""

    database: str = "postgres"
    options: Mapping[str, str] = field(default_factory=dict)
    superuser: bool = False
    _databases: list[str] = field(default_factory=list)
    _roles: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, url: str) -> GivenPostgres:
        """Connect, and see what the role may do.

        Raises:
            ServiceBroken: It cannot be reached, or the role may not create databases.
        """
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        try:
            asked = conninfo_to_dict(url)
            with psycopg.connect(url, connect_timeout=10) as connection:
                info = connection.info
                row = connection.execute(
                    "select rolsuper, rolsuper or rolcreatedb from pg_roles where rolname = current_user"
                ).fetchone()
                facts = (info.host, info.port, info.user, info.password, info.server_version, info.dbname)
        except psycopg.Error as error:
            # The driver's text may quote the address, password included.
            raise ServiceBroken(f"POSTGRES_URL cannot be used ({type(error).__name__}): is it right, and does it answer?") from None  # fmt: skip
        superuser, may_create = row or (False, False)
        if not may_create:
            raise ServiceBroken("the role of POSTGRES_URL may not CREATE DATABASE, and a schema is not enough: give it CREATEDB")  # fmt: skip
        host, port, user, password, version, database = facts
        taken = {"host", "hostaddr", "port", "user", "password", "dbname"}
        options = {key: str(value) for key, value in asked.items() if key not in taken}
        return cls(host, port, user, password, version // 10000, "", 0, database, options, superuser)

    def url(self, database: str = "postgres", *, user: str | None = None, password: str | None = None) -> str:
        """Return the address of one database; ``postgres`` is the one that was given."""
        base = super().url(
            self.database if database == "postgres" else database, user=user, password=password
        )
        return f"{base}?{urlencode(self.options)}" if self.options else base

    def fresh_database(self, options: str = "") -> str:
        url = super().fresh_database(options)
        self._databases.append(urlsplit(url).path[1:])
        return url

    def fresh_role(self, *, options: str = "login") -> tuple[str, str]:
        name, password = super().fresh_role(options=options)
        self._roles.append(name)
        return name, password

    def close(self) -> None:
        """Drop every database, then every role, that was made here."""
        with self.connect() as connection:
            for database in self._databases:
                connection.execute(f'drop database if exists "{database}" with (force)')
            for role in self._roles:
                connection.execute(f'drop role if exists "{role}"')


@dataclass
class GivenS3(S3):
    """A bucket of somebody else's: what `fresh_bucket` returns is a fresh prefix in it, emptied at `close`."""

    place: str = ""
    _fresh: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, url: str, environ: Mapping[str, str]) -> GivenS3:
        """Write an object and delete it.

        Raises:
            ServiceBroken: Something of the address or the credentials is missing, or the write does not work.
        """
        import obstore
        from obstore.exceptions import BaseError

        names = ("S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        if missing := [name for name in names if not environ.get(name)]:
            raise ServiceBroken(f"S3_URL is set, but not {', '.join(missing)}")
        where = urlsplit(url)
        if where.scheme != "s3" or not where.netloc or where.query:
            raise ServiceBroken("S3_URL has the form s3://bucket/prefix")
        endpoint, access, secret = (environ[name] for name in names)
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        s3 = cls(endpoint.rstrip("/"), access, secret, 0, region, f"{where.netloc}{where.path}".rstrip("/"))
        try:
            options = {**s3.client_options()["client_options"], "timeout": "10s", "connect_timeout": "5s"}
            probe = s3.store(
                f"{s3.place}/probe-{uuid.uuid4().hex[:12]}",
                retry_config={"max_retries": 0},
                client_options=options,
            )
            obstore.put(probe, "probe", b"1")
            obstore.delete(probe, "probe")
        except (OSError, BaseError) as error:
            raise ServiceBroken(f"S3_URL cannot be written ({type(error).__name__}): are address and credentials right, and is the bucket there?") from None  # fmt: skip
        return s3

    def fresh_bucket(self) -> str:
        name = f"{self.place}/t-{uuid.uuid4().hex[:12]}"
        self._fresh.append(name)
        return name

    def store(self, bucket: str, prefix: str = "", **options: Any) -> Any:
        bucket, _, inside = bucket.partition("/")
        return super().store(bucket, "/".join(filter(None, (inside, prefix))), **options)

    def open_uploads(self, bucket: str, prefix: str = "") -> list[str]:
        bucket, _, inside = bucket.partition("/")
        return super().open_uploads(bucket, "/".join(filter(None, (inside, prefix))))

    def close(self) -> None:
        """Delete what was written below every fresh prefix."""
        import obstore

        for name in self._fresh:
            store = self.store(name)
            for found in obstore.list(store).collect():
                with contextlib.suppress(FileNotFoundError):
                    obstore.delete(store, found["path"])


def given_postgres() -> GivenPostgres | None:
    """Return the server of ``POSTGRES_URL``, or None where it is not set."""
    url = os.environ.get("POSTGRES_URL")
    return GivenPostgres.at(url) if url else None


def given_s3() -> GivenS3 | None:
    """Return the bucket of ``S3_URL``, or None where it is not set."""
    url = os.environ.get("S3_URL")
    if not url and os.environ.get("S3_ENDPOINT"):
        raise ServiceBroken("S3_ENDPOINT is set, but not S3_URL (s3://bucket/prefix)")
    return GivenS3.at(url, os.environ) if url else None
