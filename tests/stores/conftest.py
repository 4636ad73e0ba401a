"""One place per back end: a store to test, and a look behind it that does not go through dvengine."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
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
    return Place("s3", settings, lambda: open_uploads(s3, bucket, prefix), environ)


def _local_place(folder: Path) -> Place:
    root = folder / "a store"
    return Place(
        "local",
        Settings({}).store(root),
        lambda: [str(path) for path in root.rglob("*") if re.search(r"#\d+$", path.name)],
        {"DVENGINE_STORES__TARGET__URL": f"file://{urllib.parse.quote(str(root))}"},
    )


def open_uploads(s3: S3, bucket: str, prefix: str) -> list[str]:
    """Ask the server for its unfinished multipart uploads, in a request signed here."""
    moment = dt.datetime.now(dt.UTC)
    stamp, day = moment.strftime("%Y%m%dT%H%M%SZ"), moment.strftime("%Y%m%d")
    query = urllib.parse.urlencode({"prefix": prefix, "uploads": ""}, safe="", quote_via=urllib.parse.quote)
    empty, scope = hashlib.sha256(b"").hexdigest(), f"{day}/us-east-1/s3/aws4_request"
    signed = "host;x-amz-content-sha256;x-amz-date"
    host = s3.endpoint.removeprefix("http://")
    canonical = f"GET\n/{bucket}\n{query}\nhost:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{stamp}\n\n{signed}\n{empty}"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{s3.secret_key}".encode()
    for part in (day, "us-east-1", "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={s3.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
    )
    request = urllib.request.Request(
        f"{s3.endpoint}/{bucket}?{query}",
        headers={"x-amz-date": stamp, "x-amz-content-sha256": empty, "Authorization": authorization},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return re.findall(r"<Key>([^<]*)</Key>", answer.read().decode())


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
