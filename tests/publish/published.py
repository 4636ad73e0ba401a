"""A place to publish to on each back end, as a user has it: an alias in the settings."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from services import S3

from dvengine import DataPackage
from dvengine.config import Settings
from dvengine.stores import CommitLog, open_store


@dataclass
class Target:
    """A store under the alias ``target``.

    Attributes:
        raw: The settings as a file would have them, also for another process.
    """

    kind: str
    raw: dict[str, Any]
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.settings = Settings(self.raw, environ={})

    def store(self) -> Any:
        return open_store(self.settings.store("target"))

    def listing(self) -> list[str]:
        return [info.path for info in self.store().list()]


def s3_target(s3: S3, bucket: str) -> Target:
    store = {
        "url": f"s3://{bucket}/t-{uuid.uuid4().hex[:10]}", "endpoint": s3.endpoint, "allow_http": "true",
        "access_key_id": s3.access_key, "secret_access_key": s3.secret_key,
    }  # fmt: skip
    return Target("s3", {"stores": {"target": store}})


def local_target(folder: Path) -> Target:
    return Target("local", {"stores": {"target": {"url": f"file://{folder}/store"}}})


def memory_target() -> Target:
    return Target("memory", {"stores": {"target": {"url": f"memory://{uuid.uuid4().hex}/in"}}})


COUNTS = pl.DataFrame({"kommune": ["0301", "1103", "5001", None], "antall": [12, 7, None, 2**53 + 1]})


def make_package(name: str = "fisk", **more: Any) -> DataPackage:
    """A complete package of one small table."""
    given = {
        "title": "Fangst",
        "license": "CC-BY-4.0",
        "contact": "post@example.org",
        "publisher": "Etaten",
    } | more
    package = DataPackage(name=name, **given)
    package.add("tall", COUNTS)
    return package


def listed(store: Any) -> set[str]:
    """Return every key that some manifest lists, with the manifests themselves and the copy."""
    log = CommitLog(store, "fisk")
    keys = {"fisk/datapackage.json"}
    for version in log.versions():
        manifest = log.read(version)
        keys.add(log.path(version))
        keys |= {part.path for parts in manifest.parts.values() for part in parts}
        keys |= {file["path"] for file in manifest.files}
    return keys
