"""Packages made by hand, through the stores' own doors: the catalogue is tested without the publishing that comes after it."""

from __future__ import annotations

import hashlib
import io
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dvengine.stores import CommitLog, Manifest, PartReceipt, Store, open_store

CERTIFICATE = {
    "table_sha256": "ab" * 32, "rule": "threshold(5)", "attacker": "rule", "method": "greedy secondary, exact proof",
    "cells": 6, "required_width": 1, "uncertified": 0, "solver": "HiGHS 1.11", "max_residual": 0.0, "linked_to": [],
    "engine": "dvengine 0.1.0", "hidden": 2, "valid": True,
}  # fmt: skip


def safe_table() -> pa.Table:
    return pa.table(
        {
            "kommune": ["0301", "0301", "1103", "1103", "5601", "5601"],
            "kjonn": ["K", "M", "K", "M", "K", "M"],
            "n": pa.array([9007199254740993, 120, None, None, 33, 0], pa.int64()),
            "status": ["", "", ":", ":", "", ""],
        }
    )


def put_package(
    store: Store,
    name: str = "sykefravaer",
    *,
    version: int = 1,
    tables: Mapping[str, pa.Table] | None = None,
    file_names: Mapping[str, str] | None = None,
    certified: bool = True,
    views: Mapping[str, bytes] | None = None,
    state: str = "live",
    **descriptor: Any,
) -> Manifest:
    """Write parts, views and manifest as publish lays them out, and commit."""
    tables = {"sykefravaer": safe_table()} if tables is None else tables
    parts: dict[str, tuple[PartReceipt, ...]] = {}
    resources, files = [], []
    for number, (resource, table) in enumerate(tables.items()):
        path = f"{name}/data/" + (file_names or {}).get(resource, f"r{number}-{version:08d}-00000.parquet")
        sink = io.BytesIO()
        pq.write_table(table, sink)
        data = sink.getvalue()
        store.put(path, data)
        parts[resource] = (
            PartReceipt(path=path, rows=table.num_rows, nbytes=len(data), sha256=hashlib.sha256(data).hexdigest(), schema_sha256="0" * 64),
        )  # fmt: skip
        fields = [
            {"name": f.name, "type": "integer" if pa.types.is_integer(f.type) else "string"}
            for f in table.schema
        ]
        resources.append(
            {
                "name": resource,
                "path": [path.removeprefix(f"{name}/")],
                "format": "parquet",
                "schema": {"fields": fields},
            }
        )
    listed = []
    for number, (view, svg) in enumerate((views or {}).items()):
        path = f"{name}/views/v{number}-{version:08d}.svg"
        store.put(path, svg)
        files.append({"path": path, "nbytes": len(svg), "sha256": hashlib.sha256(svg).hexdigest()})
        listed.append(
            {
                "name": view,
                "title": view,
                "path": path.removeprefix(f"{name}/"),
                "resource": next(iter(tables), ""),
            }
        )
    manifest = Manifest(
        version=version,
        parent=version - 1,
        run_id=f"run-{version}",
        created=f"2026-11-{10 + version:02d}T03:00:00Z",
        state="withdrawn" if state == "withdrawn" else "live",
        descriptor={
            "name": name, "title": "Sykefravær etter kommune", "description": "Antall personer.", "keywords": ["helse"],
            "licenses": [{"name": "CC-BY-4.0", "path": "https://creativecommons.org/licenses/by/4.0/", "title": "CC BY 4.0"}],
            "contributors": [{"title": "Demo agency", "roles": ["publisher"]},
                             {"title": "statistikk@example.org", "email": "statistikk@example.org", "roles": ["contact"]}],
            "dvengine:access": "open", "resources": resources, "views": listed, **descriptor,
        },
        parts=parts,
        files=tuple(files),
        rows={resource: table.num_rows for resource, table in tables.items()},
        certificates=dict.fromkeys(tables, CERTIFICATE) if certified else {},
    )  # fmt: skip
    CommitLog(store, name).commit(manifest)
    return manifest


@pytest.fixture
def package() -> Callable[..., Manifest]:
    return put_package


@pytest.fixture
def memory_store() -> Store:
    return open_store(f"memory://catalog-{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A real browser. Without one the tests are skipped, except where services are required."""
    executable = next(
        (
            p
            for p in ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
            if Path(p).exists()
        ),
        None,
    )
    if executable is None:
        reason = "no Chromium on this machine (Debian: apt install chromium)"
        if os.environ.get("DVENGINE_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--no-first-run"]  # fmt: skip
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=flags)
        yield browser
        browser.close()
