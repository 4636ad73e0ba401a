"""kill -9 at fifty instants: readers see the old version or the new one, whole and verified; the next publish succeeds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from published import Target, listed

from dvengine import open_package, verify

INSTANTS = 50


class Publisher:
    """Starts publishes and kills them."""

    def __init__(self, target: Target, source: Path) -> None:
        script = Path(__file__).with_name("publisher.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), json.dumps(target.raw), str(source)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip

    def run(self, *, send: int = 0, after: float = 0) -> tuple[int, float]:
        """Return the wait status of one publish, and its seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{send} {after}\n")
        status, seconds = self.process.stdout.readline().split()
        return int(status), float(seconds)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture
def publisher(shared_target: Target, tmp_path: Path) -> Iterator[Publisher]:
    source = tmp_path / "source"
    source.mkdir()
    rng = np.random.default_rng(7)
    for index in range(4):
        frame = pl.DataFrame({"id": np.arange(100_000) + index * 100_000, "x": rng.random(100_000)})
        frame.write_parquet(source / f"{index}.parquet")
    publisher = Publisher(shared_target, source)
    yield publisher
    publisher.close()


@pytest.mark.slow
def test_killed_publish_leaves_old_version_readable(shared_target: Target, publisher: Publisher) -> None:
    publisher.run()
    whole = max(publisher.run()[1] for _ in range(3))
    outcomes: list[bool] = []
    for instant in np.linspace(0, whole, INSTANTS):
        old = open_package("target/fisk", settings=shared_target.settings).version
        status, _ = publisher.run(send=signal.SIGKILL, after=float(instant))
        assert os.WIFSIGNALED(status) or status == 0
        opened = open_package("target/fisk", settings=shared_target.settings)
        assert opened.version in (old, old + 1)
        assert opened.manifest.rows == {"stort": 400_000, "lite": 3}
        assert verify("target/fisk", settings=shared_target.settings).problems == ()
        outcomes.append(opened.version == old + 1)
    # The instants did cover the publish: some were too early for the commit, and the last came after it or close.
    assert outcomes.count(False) >= INSTANTS // 4
    status, _ = publisher.run()
    assert status == 0
    assert verify("target/fisk", settings=shared_target.settings).ok


@pytest.mark.slow
def test_an_interrupted_publish_cleans_up_and_leaves_old_or_new(
    shared_target: Target, publisher: Publisher
) -> None:
    publisher.run()
    whole = max(publisher.run()[1] for _ in range(3))
    store, interrupted = shared_target.store(), 0
    for instant in np.linspace(0.02, whole * 0.9, 12):
        old = open_package("target/fisk", settings=shared_target.settings).version
        status, seconds = publisher.run(send=signal.SIGINT, after=float(instant))
        assert os.WEXITSTATUS(status) in (0, 2)
        interrupted += os.WEXITSTATUS(status) == 2
        assert seconds < instant + whole + 2
        opened = open_package("target/fisk", settings=shared_target.settings)
        assert opened.version in (old, old + 1)
        assert verify("target/fisk", settings=shared_target.settings).problems == ()
        assert set(shared_target.listing()) <= listed(store)
    assert interrupted
