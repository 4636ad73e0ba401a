"""A place to publish to on each back end."""

from __future__ import annotations

from pathlib import Path

import pytest
from published import Target, local_target, memory_target, s3_target
from services import S3


@pytest.fixture(scope="session")
def bucket(s3: S3) -> str:
    return s3.fresh_bucket()


@pytest.fixture(params=["local", "memory", pytest.param("s3", marks=pytest.mark.service)])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    if request.param == "s3":
        return s3_target(request.getfixturevalue("s3"), request.getfixturevalue("bucket"))
    return local_target(tmp_path) if request.param == "local" else memory_target()


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.service)])
def shared_target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    """One that other processes can reach."""
    if request.param == "s3":
        return s3_target(request.getfixturevalue("s3"), request.getfixturevalue("bucket"))
    return local_target(tmp_path)


@pytest.fixture
def memory() -> Target:
    return memory_target()
