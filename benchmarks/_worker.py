"""One run of one contender, in a process of its own: a job on standard input, two JSON lines back."""

from __future__ import annotations

import json
import os
import sys
import time

from benchmarks._case import Absent, Job


def main() -> None:
    order = json.loads(sys.stdin.read())
    out = os.fdopen(os.dup(1), "w")  # whatever the contender prints goes elsewhere
    os.dup2(2, 1)

    def tell(**facts: object) -> None:
        out.write(json.dumps(facts) + "\n")
        out.flush()

    try:
        from benchmarks.cases import CASES

        contender = next(c for c in CASES[order["case"]].contenders if c.name == order["contender"])
        job = Job(**order["job"])
        work = contender.prepare(job)
        tell(ready=True)
        cpu, began = time.process_time(), time.perf_counter()
        result = work()
        tell(seconds=time.perf_counter() - began, cpu=time.process_time() - cpu)
        if order["check"] and contender.answer is not None:
            from benchmarks._answers import digest

            tell(answer=digest(contender.answer(job, result), job.table))
    except Absent as absent:
        tell(absent=str(absent))
    except BaseException as error:  # a driver's panic is a BaseException
        tell(failed=f"{type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}")
    out.flush()
    os._exit(0)  # a driver that crashes while it is taken down has given its answer already


if __name__ == "__main__":
    main()
