"""Rounds of fresh processes, contenders taking turns, and what may be said of the result."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks._answers import same
from benchmarks._case import OURS, Case, Contender, Job

_TIMEOUT = 900


@dataclass
class Run:
    """One run of one contender. ``peak_mb`` is of its process and all it started, sampled while the clock ran."""

    seconds: float | None = None
    cpu: float | None = None
    peak_mb: float = 0.0
    answer: dict[str, Any] | None = None
    trouble: str = ""


@dataclass
class Line:
    """One contender on one table: medians, and its time over ours, paired by round."""

    case: str
    table: str
    contender: str
    note: str = ""
    comparable: bool = True
    runs: list[Run] = field(default_factory=list)
    seconds: float | None = None
    peak_mb: float | None = None
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    verdict: str = ""
    held: dict[str, str] = field(default_factory=dict)


def measure(case: Case, table: str, job: Job, *, rounds: int, say: Any) -> list[Line]:
    """Run every contender ``rounds`` times; each round begins with another one."""
    lines = {c.name: Line(case.name, table, c.name, c.note, c.answer is not None) for c in case.contenders}
    alive = list(case.contenders)
    for number in range(rounds):
        shift = number % len(alive)
        for contender in alive[shift:] + alive[:shift]:
            store = {
                **job.store,
                "prefix": f"{case.name}-{table}-{number}-{contender.name}".replace(" ", "-"),
            }
            run = _run(case, contender, Job(job.url, job.table, store), check=number == 0)
            lines[contender.name].runs.append(run)
            told = run.trouble or f"{run.seconds:.2f} s"
            say(f"  {case.name} {table} [{number + 1}/{rounds}] {contender.name}: {told}")
        alive = [c for c in alive if not lines[c.name].runs[-1].trouble]
        if not alive:
            break
    _judge(lines, ratios=case.ratios)
    return list(lines.values())


def _run(case: Case, contender: Contender, job: Job, *, check: bool) -> Run:
    order = {"case": case.name, "contender": contender.name, "job": asdict(job), "check": check}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks._worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    run, timer = Run(), threading.Timer(_TIMEOUT, process.kill)
    timer.start()
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(json.dumps(order))
        process.stdin.close()
        for line in process.stdout:
            told = json.loads(line)
            if told.get("ready"):
                sampler = _Sampler(process.pid)
            elif "seconds" in told:
                run.peak_mb = sampler.stop()
                run.seconds, run.cpu = told["seconds"], told["cpu"]
            elif "answer" in told:
                run.answer = told["answer"]
            else:
                run.trouble = (
                    f"not here: {told['absent']}" if "absent" in told else f"failed: {told['failed']}"
                )
        if process.wait() and not run.trouble:
            run.trouble = f"failed: the process ended with {process.returncode}"
        elif run.seconds is None and not run.trouble:
            run.trouble = "failed: the process said nothing"
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
    return run


class _Sampler:
    """Adds up the resident memory of a process and its children every 10 ms, and keeps the highest sum."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._peak, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while True:
            total = 0
            try:
                for process in (self._process, *self._process.children(recursive=True)):
                    total += process.memory_info().rss
            except psutil.Error:
                pass
            self._peak = max(self._peak, total)
            if self._over.wait(0.01):
                return

    def stop(self) -> float:
        self._over.set()
        self._thread.join()
        return self._peak / 1e6


def _judge(lines: dict[str, Line], *, ratios: bool) -> None:
    ours = lines[OURS]
    mine = next((run.answer for run in ours.runs if run.answer), None)
    for line in lines.values():
        good = [run for run in line.runs if run.seconds is not None and not run.trouble]
        trouble = next((run.trouble for run in line.runs if run.trouble), "")
        if good:
            line.seconds = float(np.median([run.seconds for run in good]))
            line.peak_mb = max(run.peak_mb for run in good)
        theirs = next((run.answer for run in line.runs if run.answer), None)
        line.held = theirs["held"] if theirs else {}
        if trouble:
            line.verdict = trouble
            continue
        if line is ours:
            line.verdict = "the measure" + _held(line)
            continue
        if not line.comparable:
            line.verdict = "no answer to compare" if ratios else ""
        elif theirs is None or mine is None:
            line.verdict = "not compared, so no ratio"
            continue
        elif differs := same(mine, theirs):
            line.verdict = f"other answer, so no ratio: {differs}"
            continue
        else:
            line.verdict = "same answer" + _held(line)
        pairs = [
            (his.seconds, my.seconds)
            for his, my in zip(line.runs, ours.runs, strict=False)
            if his.seconds is not None and my.seconds is not None and not my.trouble
        ]
        if pairs and ratios:
            line.ratio, line.interval = paired_ratio(pairs)


def _held(line: Line) -> str:
    return f" ({', '.join(sorted(set(line.held.values())))})" if line.held else ""


def paired_ratio(
    pairs: list[tuple[float, float]], *, draws: int = 10_000
) -> tuple[float, tuple[float, float]]:
    """Return the median of theirs over ours, round by round, and its bootstrap 95 % interval (percentiles of resampled medians).

    With fewer than about six rounds the interval is little more than the range that was seen.
    """
    ratios = np.array([theirs / ours for theirs, ours in pairs])
    drawn = np.random.default_rng(0).choice(ratios, (draws, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(np.median(ratios)), (float(low), float(high))


def keep(lines: list[Line], facts: dict[str, Any], folder: Path) -> Path:
    """Write everything that was measured as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(
        json.dumps({**facts, "lines": [asdict(line) for line in lines]}, indent=1) + "\n", "utf-8"
    )
    return path
