from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dvengine import Conflict, subscribe
from dvengine.demo import Fasit, prepare
from dvengine.demo._server import _Cluster

pytestmark = pytest.mark.service  # starts its own server


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    # A space and a letter beyond ASCII: the clone may lie anywhere.
    place = tmp_path_factory.mktemp("demo work å")
    yield place
    shutil.rmtree(
        _Cluster(place)._home
    )  # outside the temporary directory where root's server account cannot enter it


def _pid(work: Path) -> int:
    return int((_Cluster(work)._data / "postmaster.pid").read_text().splitlines()[0])


def test_registry_is_loaded_whole_then_reused_and_the_server_is_stopped(work: Path) -> None:
    seen = []
    stop = subscribe(seen.append)
    with prepare(work, persons=3_000) as first:
        assert not first.reused
        assert first.url not in repr(seen)
        with psycopg.connect(first.url) as connection:
            for table, rows in first.rows.items():
                assert connection.execute(f"select count(*) from {table}").fetchone() == (rows,)
            sums = connection.execute(
                "select sum(grad), sum(dagsats), sum(utbetalt) from sykefravaer"
            ).fetchone()
            assert sums == tuple(first.fasit["sykefravaer"].sums[c] for c in ("grad", "dagsats", "utbetalt"))
            with pytest.raises(psycopg.errors.ForeignKeyViolation):
                connection.execute("delete from person")
    stop()
    assert {event.stage for event in seen} == {"load"}
    assert sum(event.rows for event in seen if event.state == "end") == sum(first.rows.values())
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(first.url)

    with prepare(work, persons=3_000) as second:
        assert second.reused
        assert (second.rows, second.fasit) == (first.rows, first.fasit)
        with psycopg.connect(second.url) as connection:
            assert connection.execute("select count(*) from person").fetchone() == (3_000,)


def test_other_dials_load_anew_and_a_second_demo_in_the_same_place_is_told(work: Path) -> None:
    with prepare(work, persons=1_000, seed=5) as registry:
        assert not registry.reused
        assert registry.rows["person"] == 1_000
        with pytest.raises(Conflict, match="another demo"), prepare(work, persons=1_000):
            pass


def test_server_killed_under_an_earlier_run_comes_back_with_its_rows(work: Path) -> None:
    with prepare(work, persons=1_000, seed=5):
        os.kill(_pid(work), signal.SIGKILL)
    with prepare(work, persons=1_000, seed=5) as registry:
        assert registry.reused
        with psycopg.connect(registry.url) as connection:
            assert connection.execute("select count(*) from sykefravaer").fetchone() == (
                registry.rows["sykefravaer"],
            )


def test_rows_in_the_database_have_the_answer_sheets_hash(work: Path) -> None:
    with prepare(work, persons=1_000, seed=5) as registry:
        import adbc_driver_postgresql.dbapi as adbc
        import pyarrow as pa

        from dvengine.demo._registry import SCHEMAS

        columns = [
            f"{f.name}::text"
            if pa.types.is_decimal(f.type) or f.name in ("sivilstand", "avsluttet_aarsak")
            else f.name
            for f in SCHEMAS["sykefravaer"]
        ]
        with adbc.connect(registry.url) as connection, connection.cursor() as cursor:
            cursor.execute(f"select {', '.join(columns)} from sykefravaer order by random()")
            table = cursor.fetch_arrow_table().rename_columns(SCHEMAS["sykefravaer"].names)
        back = Fasit()
        back.feed(table.cast(SCHEMAS["sykefravaer"]))
        assert back.hash == registry.fasit["sykefravaer"].hash


def test_only_with_the_password_is_the_server_open(work: Path) -> None:
    with prepare(work, persons=1_000, seed=5) as registry:
        head, _, tail = registry.url.partition("@")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"{head.rpartition(':')[0]}:wrong@{tail}")


def test_demo_killed_while_loading_leaves_nothing_half_made(work: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from dvengine import subscribe; from dvengine.demo import prepare\n"
        "def kill(event):\n"
        "    if event.name == 'registry' and event.rows: os.kill(os.getpid(), signal.SIGKILL)\n"
        "subscribe(kill)\n"
        "with prepare(Path(sys.argv[1]), persons=2_000, seed=9): print('loaded')\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(work)], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    left_running = _pid(work)
    with prepare(work, persons=2_000, seed=9) as registry:
        assert (
            _pid(work) == left_running
        )  # the server that was left behind is taken over, and stopped in the end
        assert not registry.reused
        with psycopg.connect(registry.url) as connection:
            assert connection.execute("select count(*) from person").fetchone() == (2_000,)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(registry.url)
