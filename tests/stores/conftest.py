"""One place per back end: a store to test, and a look behind it that does not go through dvengine."""

from __future__ import annotations

import re
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from services import S3

from dvengine.config import Settings, StoreSettings
from dvengine.stores import open_store


@dataclass
class Place:
    """Where a test may write.

    Attributes:
        settings: How to open it, also from another process where ``shareable``.
        uploads: What is begun but not finished, as the back end itself sees it.
    """

    kind: str
    settings: StoreSettings
    uploads: Callable[[], list[str]]
    environ: dict[str, str] = field(default_factory=dict)

    def open(self) -> Any:
        return open_store(self.settings)


def _s3_place(s3: S3, bucket: str, endpoint: str | None = None) -> Place:
    prefix = f"t-{uuid.uuid4().hex[:10]}"
    settings = s3.settings(bucket, prefix, endpoint=endpoint)
    environ = {
        "DVENGINE_STORES__TARGET__URL": f"s3://{bucket}/{prefix}",
        "DVENGINE_STORES__TARGET__ENDPOINT": endpoint or s3.endpoint,
        "DVENGINE_STORES__TARGET__ALLOW_HTTP": "true",
        "DVENGINE_STORES__TARGET__ACCESS_KEY_ID": s3.access_key,
        "DVENGINE_STORES__TARGET__SECRET_ACCESS_KEY": s3.secret_key,
    }
    return Place("s3", settings, lambda: s3.open_uploads(bucket, prefix), environ)


def _local_place(folder: Path) -> Place:
    root = folder / "a store"
    return Place(
        "local",
        Settings({}).store(root),
        lambda: [str(path) for path in root.rglob("*") if re.search(r"#\d+$", path.name)],
        {"DVENGINE_STORES__TARGET__URL": f"file://{urllib.parse.quote(str(root))}"},
    )


@pytest.fixture(scope="session")
def bucket(s3: S3) -> str:
    return s3.fresh_bucket()


@pytest.fixture
def s3_place(s3: S3, bucket: str) -> Callable[..., Place]:
    """Build a place on S3, behind a proxy's ``endpoint`` when given."""
    return lambda endpoint=None: _s3_place(s3, bucket, endpoint)


@pytest.fixture
def local_place(tmp_path: Path) -> Place:
    return _local_place(tmp_path)


@pytest.fixture(params=["local", "memory", pytest.param("s3", marks=pytest.mark.service)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "s3":
        return _s3_place(request.getfixturevalue("s3"), request.getfixturevalue("bucket"))
    if request.param == "local":
        return _local_place(tmp_path)
    return Place("memory", Settings({}).store(f"memory://{uuid.uuid4().hex}/in"), list)


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.service)])
def shared_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place that other processes can open by ``place.environ`` and the alias ``target``."""
    if request.param == "s3":
        return _s3_place(request.getfixturevalue("s3"), request.getfixturevalue("bucket"))
    return _local_place(tmp_path)
