"""A process that publishes on request, each time in a fork of its own, so that it can be killed at any instant.

Each line of standard input is a signal's number and the seconds after which the fork gets it; signal 0 lets it finish. The
answer is its wait status and its seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path

import polars as pl

import dvengine._publish
from dvengine.config import Settings
from dvengine.datasets._build import from_parquet
from dvengine.package._model import DataPackage
from dvengine.stores import open_store


def publish_once(settings: Settings, source: Path) -> None:
    package = DataPackage(name="fisk", title="Fangst")
    files = sorted(path.name for path in source.iterdir())
    package.add("stort", from_parquet(open_store(source), files, name="stort"))
    package.add("lite", pl.DataFrame({"n": [1, 2, 3]}))
    package.add_view("om", "# Om tallene")
    dvengine._publish.publish(package, "target", settings=settings)


def main() -> None:
    settings = Settings(json.loads(sys.argv[1]), environ={})
    source = Path(sys.argv[2])
    for line in sys.stdin:
        began = time.perf_counter()
        pid = os.fork()
        if pid == 0:
            try:
                publish_once(settings, source)
            except KeyboardInterrupt:
                os._exit(2)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        number, seconds = line.split()
        if number != "0":
            time.sleep(float(seconds))
            os.kill(pid, int(number))  # not waited for yet, so the process id is still its own
        print(os.waitpid(pid, 0)[1], time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
