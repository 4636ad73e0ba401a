"""The demo: prepare a registry, run the main job as a user would write it, and sum up what happened."""

from __future__ import annotations

import contextlib
import os
import runpy
import time
from collections import defaultdict
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from dvengine._errors import InputError, NotFound
from dvengine._events import Event, subscribe
from dvengine._progress import peak_mb, show_progress
from dvengine.demo._load import prepare

__all__ = ["run_demo"]


class _Tally:
    """Adds up what the event stream tells: rows and bytes read, and the time between first start and last end of each stage."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = defaultdict(int)
        self.nbytes: dict[str, int] = defaultdict(int)
        self._first: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        if event.state == "start":
            self._first.setdefault(event.stage, event.time)
        elif event.state == "end":
            self.rows[event.stage] += event.rows
            self.nbytes[event.stage] += event.nbytes
            self._last[event.stage] = event.time

    def seconds(self, stage: str) -> float:
        return max(self._last.get(stage, 0.0) - self._first.get(stage, 0.0), 1e-3)


def run_demo(
    work: Path,
    *,
    persons: int,
    store: str | None = None,
    search: str | None = None,
    progress: str = "auto",
    seed: int = 20240101,
) -> dict[str, Any]:
    """Run the main job on a synthetic registry; a second run reuses the server's data and publishes the next version.

    Args:
        work: Folder for the database, the default store, the file index and the pages.
        persons: Size of the population.
        store: URL to publish to; default: a folder below ``work``.
        search: URL of an Elasticsearch to index in; default: files below ``work``.
        progress: As for `dvengine.show_progress`.
        seed: Of the synthetic registry.

    Returns:
        The summary, 15 entries. ``rows`` and ``mb_per_s`` (10**6 bytes of Arrow buffers) are of what was read from the registry;
        ``hidden_primary`` counts the cells hidden by the rule, zeros below a hidden count among them.
    """
    began = time.monotonic()
    work = work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    tally = _Tally()
    stop = subscribe(tally)
    try:
        with show_progress(progress), prepare(work, persons=persons, seed=seed) as registry:  # type: ignore[arg-type]
            loaded = time.monotonic() - began
            with _settings(work, registry.url, store, search), contextlib.chdir(work):
                made = runpy.run_path(str(_script()))
    finally:
        stop()
    release, certificate = made["release"], made["safe"].certificate
    return {
        "persons": persons,
        "registry": "reused" if registry.reused else "loaded",
        "registry_seconds": round(loaded, 1),
        "rows": tally.rows["read"],
        "mb_per_s": round(tally.nbytes["read"] / 1e6 / tally.seconds("read"), 1),
        "seconds": round(time.monotonic() - began, 1),
        "peak_mb": peak_mb(),
        "cells": certificate.cells,
        "hidden_primary": certificate.primary,
        "hidden_secondary": certificate.secondary,
        "certificate": f"{'valid' if certificate.valid else 'INVALID'} against attacker {certificate.attacker!r}, {certificate.rule}",
        "version": release.version,
        "indexed": release.indexed,
        "url": release.url,
        "page": str(Path(work, "catalogue", "index.html")),
    }


def _script() -> Path:
    packaged = Path(str(files("dvengine.demo") / "main_job.py"))
    source = Path(__file__).parents[2] / "docs" / "tutorial" / "main_job.py"
    for path in (packaged, source):
        if path.is_file():
            return path
    raise NotFound("the demo's script is not installed", hint="reinstall dvengine")


@contextlib.contextmanager
def _settings(work: Path, registry: str, store: str | None, search: str | None) -> Iterator[None]:
    """Give the script its aliases through a settings file, as a user would."""
    for name, value in (("store", store), ("search", search)):
        if value is not None and "://" not in value:
            raise InputError(f"{name} wants a URL", hint="s3://bucket/prefix, or http://host:9200")
    lines = [
        "[sources.registry]", f"url = {_quoted(registry)}",
        "[stores.open-data]", f"url = {_quoted(store or (work / 'store').as_uri())}",
        "[catalogs.open]", 'access = "open"', f"url = {_quoted(search or (work / 'index').as_uri())}",
    ]  # fmt: skip
    path = work / "settings.toml"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    path.chmod(0o600)
    before = os.environ.get("DVENGINE_SETTINGS")
    os.environ["DVENGINE_SETTINGS"] = str(path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["DVENGINE_SETTINGS"]
        else:
            os.environ["DVENGINE_SETTINGS"] = before


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
