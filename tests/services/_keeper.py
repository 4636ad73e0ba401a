"""The process that owns a shared server: start it, write down where it is, wait until nobody uses it, stop it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import signal
import sys
import traceback
from pathlib import Path

from services._elasticsearch import ElasticsearchProcess
from services._postgres import PostgresProcess
from services._process import ServiceMissing
from services._s3 import S3Process

STARTERS = {
    "postgres": PostgresProcess,
    "postgres15": lambda: PostgresProcess(15),
    "s3": S3Process,
    "elasticsearch": ElasticsearchProcess,
}


def main(service: str, folder: Path) -> None:
    # A polite end is an end like any other: the server is stopped and its folder removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = None
    try:
        try:
            server = STARTERS[service]()
            answer = server.start()
        except ServiceMissing as missing:
            answer = {"missing": str(missing)}
        except Exception:
            answer = {"broken": traceback.format_exc()}
        _write(folder / "answer.json", answer)
        with (folder / "users.lock").open("a") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
            # From here on a newcomer waits for us, then finds no answer and starts anew.
            (folder / "answer.json").unlink()
            if server is not None:
                server.stop()
                server = None
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                folder.parent.rmdir()
    finally:
        if server is not None:
            server.stop()


def _write(path: Path, answer: dict[str, object]) -> None:
    unfinished = path.with_suffix(".part")
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps(answer), "utf-8")
    unfinished.rename(path)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
