"""The main job end to end, as a user runs it: PostgreSQL, suppression, a package on a folder or S3, an index, a page."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dvengine as dv
from dvengine.demo._server import _Cluster

pytestmark = [pytest.mark.service, pytest.mark.slow]

PERSONS = "20000"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("main job")
    yield place
    shutil.rmtree(_Cluster(place)._home, ignore_errors=True)


def demo(work: Path, *words: str, **environ: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "dvengine", "demo", "--work", str(work), "--persons", PERSONS, "--json", *words],
        capture_output=True, text=True, env={**os.environ, **environ}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reading person: done" in done.stderr  # progress, on standard error
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def test_main_job_publishes_a_certified_package_and_a_second_run_its_next_version(work: Path) -> None:
    first = demo(work)
    second = demo(work)
    assert (first["version"], second["version"]) == (1, 2)
    assert (first["registry"], second["registry"]) == ("loaded", "reused")
    assert len(first) - len(("v", "ok")) <= 15
    assert first["certificate"].startswith("valid")
    assert first["hidden_primary"] > 0
    assert {key: first[key] for key in ("rows", "cells", "hidden_primary", "hidden_secondary")} == {
        key: second[key] for key in ("rows", "cells", "hidden_primary", "hidden_secondary")
    }
    package = dv.open_package(second["url"])
    assert list(package.versions) == [1, 2]
    assert dv.verify(second["url"]).ok
    frame = package["sykefravaer"].to_pandas()
    assert str(frame["n"].dtype) == "Int64"
    assert "0301" in set(frame["region"])
    assert not ((frame["n"] > 0) & (frame["n"] < 5)).any()
    page = Path(second["page"])
    assert "Sykefravær etter kommune" in page.read_text("utf-8")
    (hit,) = dv.search("sykefraværet", catalog=str(work / "index"))
    assert hit.version == 2


def test_main_job_runs_on_s3_and_elasticsearch(work: Path, s3: Any, elasticsearch: Any) -> None:
    bucket = s3.fresh_bucket()
    store = f"s3://{bucket}/pub?endpoint={s3.endpoint}&allow_http=true&region=us-east-1"
    keys = {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
    summary = demo(work, STORE=store, SEARCH=elasticsearch.url, **keys)
    assert (summary["version"], summary["indexed"]) == (1, True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in keys.items():
            patch.setenv(name, value)
        assert dv.verify(summary["url"]).ok
    assert [hit.version for hit in dv.search("kommuner", catalog=elasticsearch.url)] == [1]
    assert s3.secret_key not in json.dumps(summary)
