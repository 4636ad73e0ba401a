"""A read replica: what analysts are usually given."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from services._postgres import Postgres, PostgresProcess, _run

from dvengine.config import Settings
from dvengine.connectors import Cancel, Request, open_source
from dvengine.run import stream


class Standby(PostgresProcess):
    """A copy of a running server that follows it."""

    def __init__(self, primary: Postgres) -> None:
        super().__init__(
            primary.version, settings={"hot_standby": "on", "max_wal_senders": "3", "wal_level": "replica"}
        )
        self.primary = primary

    def _initdb(self, word) -> None:
        word.unlink()
        passfile = self.directory / "pgpass"
        secret = self.primary.password.replace("\\", "\\\\").replace(":", "\\:")
        passfile.touch(mode=0o600)
        passfile.write_text(f"*:*:*:*:{secret}\n")
        if self.user:
            os.chown(passfile, *self.user)
        address = (
            f"host={self.primary.host} port={self.primary.port} user={self.primary.user} passfile={passfile}"
        )
        done = _run(
            [self.binaries / "pg_basebackup", "-d", address, "-D", self.directory / "data", "-R", "-X", "stream", "-c", "fast"],
            self.user,
            cwd=self.directory,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def _launch(self, port: int, password: str) -> None:
        super()._launch(port, self.primary.password)


@pytest.fixture(scope="module")
def standby(postgres) -> Iterator[Postgres]:
    with Postgres.running(settings={"wal_level": "replica", "max_wal_senders": "3"}) as primary:
        primary.execute("create table vedtak(id int, pad text)")
        primary.execute("insert into vedtak select g, repeat('x', 100) from generate_series(1, 30000) g")
        process = Standby(primary)
        try:
            facts = process.start()
            yield Postgres(**{**facts, "user": primary.user, "password": primary.password})
        finally:
            process.stop()


def test_a_standby_is_read_in_parallel_in_one_moment(standby):
    source = open_source(Settings({}).source(standby.admin_url))
    assert source.check()["standby"] == "yes"
    scans = []
    table = stream(source, Request(table="vedtak", partitions=4), workers=4, on_scan=scans.append).read_all()
    assert sorted(table["id"].to_pylist()) == list(range(1, 30001))
    assert len(scans[0].partitions) == 4
    assert scans[0].snapshot
    with source.pin() as moment:
        assert stream(moment, Request(query="select count(*) as n from vedtak")).read_all()[
            "n"
        ].to_pylist() == [30000]


@pytest.mark.superuser
def test_a_server_that_does_not_share_a_snapshot_is_read_in_one_statement_and_says_so(db18, monkeypatch):
    """Some managed replicas refuse the function; here the right to call it is taken away."""
    role, password = db18.server.fresh_role()
    db18.run(
        "create table t as select generate_series(1, 20000) id", f'grant select on t to "{role}"',
        "revoke execute on function pg_export_snapshot() from public",
    )  # fmt: skip
    name = db18.rows("select current_database()")[0][0]
    db18.url = db18.server.url(name, user=role, password=password)
    table, scan = db18.scan("t", partitions=4)
    assert table.num_rows == 20000
    assert (len(scan.partitions), scan.snapshot, scan.consistent) == (1, None, True)
    assert "does not share a snapshot" in scan.reason
    from dvengine import NotSupported, Unavailable

    source = db18.source()
    with pytest.raises(NotSupported), source.pin():
        pass
    with source.open(Request(table="t"), cancel=Cancel()) as scan:
        left = scan.partitions[0]
    with pytest.raises(Unavailable):
        list(source.read(left, cancel=Cancel()))
