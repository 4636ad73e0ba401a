"""One server per test run, whoever asks first: started by a keeper process, ended when its last user is gone.

Every user (an xdist worker, or the only process) holds a *shared* lock on a file for as long as it lives; the keeper
waits for the *exclusive* lock. The kernel drops a user's lock however the user ends, so a killed test run leaves
nothing behind. If the keeper itself is killed, the kernel ends the server (see `_LAUNCHER`).
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from services._process import ServiceBroken, ServiceMissing

RUN_VARIABLE = "DVENGINE_TEST_RUN"
TESTS = Path(__file__).parent.parent


def begin_run() -> None:
    """Name the folder that the workers of this test run share; call it before they start."""
    if RUN_VARIABLE not in os.environ:
        os.environ[RUN_VARIABLE] = tempfile.mkdtemp(prefix="dvengine-test-")


class Shared:
    """This process's share of the run's servers."""

    def __init__(self) -> None:
        begin_run()
        self._folder = Path(os.environ[RUN_VARIABLE])
        self._held: dict[str, IO[str]] = {}

    def get(self, service: str) -> dict[str, Any]:
        """Return the facts of the run's one server of that kind, starting it if need be.

        Raises:
            ServiceMissing: It is not installed.
            ServiceBroken: It is, but it did not come up.
        """
        folder = self._folder / service
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / "start.lock").open("a") as start:
            fcntl.flock(start, fcntl.LOCK_EX)
            if service not in self._held:
                users = (folder / "users.lock").open("a")
                fcntl.flock(users, fcntl.LOCK_SH)  # waits while an old keeper, left alone, is closing
                self._held[service] = users
            answer = folder / "answer.json"
            if not answer.exists():
                self._start(service, folder, answer)
        facts: dict[str, Any] = json.loads(answer.read_text("utf-8"))
        if "missing" in facts:
            raise ServiceMissing(facts["missing"])
        if "broken" in facts:
            raise ServiceBroken(facts["broken"])
        return facts

    def _start(self, service: str, folder: Path, answer: Path) -> None:
        with (folder / "keeper.log").open("ab") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "services._keeper", service, str(folder)],
                cwd=TESTS,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 400
        while not answer.exists():
            if keeper.poll() is not None and not answer.exists():
                raise ServiceBroken((folder / "keeper.log").read_text("utf-8", "replace")[-3000:])
            if time.monotonic() > deadline:
                keeper.kill()
                raise ServiceBroken(f"{service} did not come up within 400 s")
            time.sleep(0.05)
        # The keeper outlives us on purpose: it is init's to reap, not ours.
        keeper.returncode = 0

    def close(self) -> None:
        """Give up this process's share; the last one to do so ends the servers."""
        for lock in self._held.values():
            lock.close()
        self._held.clear()
