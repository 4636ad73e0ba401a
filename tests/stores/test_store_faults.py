"""What happens when the network, the disk or the credentials fail: a typed error, a hint, and nothing half written."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from services import HttpProxy

from dvengine import AccessDenied, AlreadyExists, Conflict, DvengineError, InputError, NotFound, Unavailable
from dvengine.config import Secret, Settings, StoreSettings
from dvengine.stores import open_store


@pytest.fixture
def proxy(s3: Any) -> Any:
    with HttpProxy(s3.endpoint) as proxy:
        yield proxy


@pytest.fixture
def behind(proxy: HttpProxy, s3_place: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A place behind the proxy, whose retries take tenths of seconds."""
    import datetime as dt

    from dvengine.stores import _open

    backoff = {
        "init_backoff": dt.timedelta(milliseconds=5),
        "max_backoff": dt.timedelta(milliseconds=50),
        "base": 2,
    }
    monkeypatch.setitem(_open._RETRY, "backoff", backoff)
    return s3_place(proxy.url)


@pytest.fixture(scope="module")
def noise() -> pa.RecordBatch:
    """Three chunks of what does not compress."""
    return pa.record_batch({f"c{n}": np.random.default_rng(n).normal(size=300_000) for n in range(9)})


def write(store: Any, batch: pa.RecordBatch, path: str = "new.parquet") -> Any:
    with store.part(path, batch.schema) as part:
        part.write(batch)
        return part.finish()


def test_chunks_are_of_one_size_but_the_last(proxy: HttpProxy, behind: Any, noise: pa.RecordBatch) -> None:
    receipt = write(behind.open(), noise)
    sizes = {seen.path: len(seen.body) for seen in proxy.requests if "partNumber" in seen.path}
    *whole, last = sorted(sizes.values(), reverse=True)
    assert set(whole) == {8 << 20}
    assert 0 < last <= 8 << 20
    assert sum(sizes.values()) == receipt.nbytes


def test_a_part_larger_than_an_upload_can_be_is_refused_before_the_limit(
    s3_place: Any, noise: pa.RecordBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dvengine.stores import _parts

    monkeypatch.setattr(_parts, "_LARGEST", 10 << 20)
    place = s3_place()
    store = place.open()
    with pytest.raises(InputError, match="grows above") as caught:
        write(store, noise)
    assert "smaller parts" in (caught.value.hint or "")
    assert list(store.list()) == []
    assert place.uploads() == []


def test_two_503_and_then_an_answer_is_success(proxy: HttpProxy, behind: Any, noise: pa.RecordBatch) -> None:
    store = behind.open()
    proxy.answer(503, times=2, method="PUT")
    store.put("a", b"1")
    proxy.answer(503, times=2, method="GET")
    assert store.get("a") == b"1"
    proxy.answer(503, times=2, method="POST", path="uploads")
    proxy.answer(503, times=2, method="PUT", path="partNumber=2")
    receipt = write(store, noise)
    assert proxy.faults == ["answer 503"] * 8
    assert hashlib.sha256(store.get("new.parquet")).hexdigest() == receipt.sha256
    assert behind.uploads() == []


_BROKEN = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>try again</Message></Error>"


@pytest.mark.parametrize(
    ("status", "method", "path", "body"),
    [
        (503, "POST", "uploads", b""),
        (503, "PUT", "partNumber=1", b""),
        (503, "PUT", "partNumber=3", b""),
        (503, "POST", "uploadId", b""),
        (200, "POST", "uploadId", _BROKEN),
    ],
)
def test_an_upload_that_fails_for_ever_is_unavailable_and_leaves_nothing(
    proxy: HttpProxy, behind: Any, noise: pa.RecordBatch, status: int, method: str, path: str, body: bytes
) -> None:
    store = behind.open()
    store.put("new.parquet", b"the old version")
    proxy.answer(status, times=1000, method=method, path=path, body=body)
    with pytest.raises(Unavailable) as caught:
        write(store, noise)
    assert caught.value.retryable
    assert proxy.faults
    proxy.heal()
    assert store.get("new.parquet") == b"the old version"
    assert [found.path for found in store.list()] == ["new.parquet"]
    assert behind.uploads() == []


def test_a_completion_that_answers_200_with_an_error_once_is_tried_again(
    proxy: HttpProxy, behind: Any, noise: pa.RecordBatch
) -> None:
    store = behind.open()
    proxy.answer(200, method="POST", path="uploadId", body=_BROKEN)
    receipt = write(store, noise)
    assert proxy.faults == ["answer 200"]
    assert hashlib.sha256(store.get("new.parquet")).hexdigest() == receipt.sha256


def test_a_completion_whose_reply_was_lost_is_recognised_by_its_bytes(
    proxy: HttpProxy, behind: Any, noise: pa.RecordBatch
) -> None:
    store = behind.open()
    proxy.drop_reply(method="POST", path="uploadId")
    receipt = write(store, noise)
    assert proxy.faults == ["drop_reply"]
    assert hashlib.sha256(store.get("new.parquet")).hexdigest() == receipt.sha256
    assert behind.uploads() == []


def test_a_create_whose_reply_was_lost_is_recognised_as_ours(proxy: HttpProxy, behind: Any) -> None:
    store = behind.open()
    proxy.drop_reply(method="PUT")
    store.create("prize", b"ours")
    assert proxy.faults == ["drop_reply"]
    assert store.get("prize") == b"ours"


def test_a_create_that_never_arrived_is_tried_again_and_one_that_lost_is_told(
    proxy: HttpProxy, behind: Any
) -> None:
    store = behind.open()
    proxy.drop_request(method="PUT")
    store.create("prize", b"ours")
    assert store.get("prize") == b"ours"
    proxy.drop_request(method="PUT")
    with pytest.raises(AlreadyExists):
        store.create("prize", b"theirs")
    proxy.drop_request(times=1000, method="PUT")
    with pytest.raises(Unavailable):
        store.create("other", b"ours")
    assert [found.path for found in store.list()] == ["prize"]


def test_a_download_that_is_cut_never_comes_back_short(proxy: HttpProxy, behind: Any) -> None:
    store = behind.open()
    data = os.urandom(2_000_000)
    store.put("a", data)
    proxy.cut_body(700_000, method="GET")
    assert store.get("a") == data
    proxy.cut_body(100, times=1000, method="GET")
    with pytest.raises(Unavailable):
        store.get("a")


def test_an_expired_token_in_the_middle_is_access_denied_and_leaves_nothing(
    proxy: HttpProxy, behind: Any, noise: pa.RecordBatch
) -> None:
    store = behind.open()
    expired = b"<Error><Code>ExpiredToken</Code><Message>The provided token AKIASECRET has expired.</Message></Error>"
    proxy.answer(400, times=1000, method="PUT", path="partNumber=2", body=expired)
    with pytest.raises(AccessDenied, match="expired") as caught:
        write(store, noise)
    assert "AKIASECRET" not in repr(caught.value) + str(caught.value)
    proxy.heal()
    assert list(store.list()) == []
    assert behind.uploads() == []


@pytest.mark.parametrize("wrong", ["access_key_id", "secret_access_key"])
def test_wrong_credentials_are_access_denied_and_never_echoed(s3: Any, s3_place: Any, wrong: str) -> None:
    place = s3_place()
    secret = "AKIA-not-the-one-123456"
    bad = StoreSettings(
        "target",
        place.settings.url,
        place.settings.options,
        {**place.settings.secrets, wrong: Secret.literal(secret)},
    )
    store = open_store(bad)
    began = time.monotonic()
    for act in (
        lambda: store.get("a"), lambda: store.put("a", b"1"), lambda: store.create("a", b"1"), lambda: store.head("a"),
        lambda: list(store.list()), lambda: store.delete("a"), lambda: store.open_parquet("a"), store.check,
        lambda: write(store, pa.record_batch({"a": np.random.default_rng(1).normal(size=3_000_000)})),
    ):  # fmt: skip
        with pytest.raises(AccessDenied) as caught:
            act()
        told = f"{caught.value!s} {caught.value!r} {caught.value.to_dict()}"
        for hidden in (secret, s3.secret_key, s3.access_key, "http://"):
            assert hidden not in told
        assert caught.value.hint
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
    assert time.monotonic() - began < 10


def test_an_endpoint_that_is_not_there_is_unavailable_within_seconds(s3_place: Any) -> None:
    import socket

    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it
        store = s3_place(f"http://127.0.0.1:{reserved.getsockname()[1]}").open()
        began = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            store.get("a")
        assert time.monotonic() - began < 20
    assert caught.value.retryable
    assert "127.0.0.1" not in str(caught.value)


def test_a_bucket_that_is_not_there_is_not_found(s3: Any) -> None:
    store = open_store(s3.settings("no-such-bucket-here", "in"))
    for act in (lambda: store.get("a"), lambda: list(store.list())):
        with pytest.raises(NotFound):
            act()


def test_plain_http_needs_to_be_allowed(s3: Any, s3_place: Any) -> None:
    settings = s3_place().settings
    options = {name: value for name, value in settings.options.items() if name != "allow_http"}
    with pytest.raises(InputError, match="plain http"):
        open_store(StoreSettings("t", settings.url, options, settings.secrets))


def test_a_file_where_a_folder_is_needed_is_a_conflict(local_place: Any) -> None:
    store = local_place.open()
    store.put("a", b"a file")
    batch = pa.record_batch({"a": [1]})
    for act in (
        lambda: store.put("a/b", b"1"), lambda: store.create("a/b", b"1"), lambda: write(store, batch, "a/b.parquet"),
    ):  # fmt: skip
        with pytest.raises(Conflict, match="file stands"):
            act()
    store.put("folder/x", b"1")
    for act in (
        lambda: store.put("folder", b"1"),
        lambda: store.create("folder", b"1"),
        lambda: write(store, batch, "folder"),
    ):
        with pytest.raises(Conflict):
            act()
    assert [found.path for found in store.list()] == ["a", "folder/x"]
    assert local_place.uploads() == []


def test_a_target_that_cannot_be_written_is_a_typed_error(noise: pa.RecordBatch) -> None:
    store = open_store("/proc/dvengine-test")
    for act in (
        lambda: store.put("a", b"1"),
        lambda: store.create("a", b"1"),
        lambda: write(store, noise),
        store.check,
    ):
        with pytest.raises((NotFound, AccessDenied)):
            act()


def test_a_name_too_long_for_the_file_system_is_the_callers_error(local_place: Any) -> None:
    store = local_place.open()
    for act in (lambda: store.put("x" * 300, b"1"), lambda: store.create("x" * 300, b"1")):
        with pytest.raises(InputError, match="not valid there"):
            act()


_FULL = """
import resource, signal, sys
import numpy as np, pyarrow as pa
from dvengine.stores import open_store
from dvengine import Unavailable
store = open_store("target")
store.put("old.parquet", b"the old version")
batch = pa.record_batch({"a": np.random.default_rng(1).normal(size=2_000_000)})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
def part():
    with store.part("old.parquet", batch.schema) as writer:
        writer.write(batch)
        writer.finish()
for act in (part, lambda: store.put("old.parquet", bytes(2 << 20)), lambda: store.create("new", bytes(2 << 20))):
    try:
        act()
    except Unavailable as error:
        assert not error.retryable and error.hint
        print(error.message)
"""


@pytest.mark.slow
def test_a_full_disk_says_so_and_keeps_the_old_bytes(local_place: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FULL], stdout=subprocess.PIPE, text=True, check=True, timeout=60,
        env={**os.environ, **local_place.environ},
    )  # fmt: skip
    assert done.stdout.count("no room left in the target") == 3, done.stdout
    store = local_place.open()
    assert [found.path for found in store.list()] == ["old.parquet"]
    assert store.get("old.parquet") == b"the old version"
    assert local_place.uploads() == []


def test_no_error_of_the_store_library_gets_out(local_place: Any, tmp_path: Path) -> None:
    from dvengine.stores._faults import boundary

    for raised in (OSError(5, "x"), ValueError("x"), PermissionError(13, "x"), TimeoutError("x")):
        with pytest.raises(DvengineError) as caught, boundary("s", "read", "a"):
            raise raised
        assert "x" not in caught.value.message.replace("exist", "")


def test_opening_makes_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "new" / "folder")
    assert list(store.list()) == []
    assert list(tmp_path.iterdir()) == []


def test_memory_is_shared_by_name_within_the_process() -> None:
    open_store("memory://shared-a/p").put("x", b"1")
    assert open_store("memory://shared-a").get("p/x") == b"1"
    assert list(open_store("memory://shared-b").list()) == []


def test_an_alias_of_the_settings_opens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DVENGINE_STORES__OPEN_DATA__URL", f"file://{tmp_path}/out")
    store = open_store("open-data")
    store.put("a", b"1")
    assert (tmp_path / "out" / "a").read_bytes() == b"1"
    assert store.name == "open-data"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host/x", "no store has the scheme"),
        ("s3:///prefix", "names no bucket"),
        ("file://host/x", "has no host"),
        ("s3://bucket/a//b", "cannot be a prefix"),
        ("s3://bucket/../b", "cannot be a prefix"),
    ],
)
def test_a_store_url_that_cannot_be_is_refused_with_a_hint(url: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        open_store(Settings({}).store(url))
    assert caught.value.hint


def test_a_secret_that_is_missing_is_told_by_name_at_once() -> None:
    raw = {
        "stores": {
            "t": {"url": "s3://bucket", "access_key_id": "${NOT_SET}", "secret_access_key": "${NOT_SET}"}
        }
    }
    with pytest.raises(InputError, match=r"stores\.t\.access_key_id") as caught:
        open_store(Settings(raw, environ={}).store("t"))
    assert "NOT_SET" in (caught.value.hint or "")


def test_google_and_azure_are_built_from_settings_without_a_request() -> None:
    azure = Settings(
        {"stores": {"a": {"url": "az://box/p", "account_name": "acc", "account_key": "a2V5"}}}, environ={}
    )
    assert repr(open_store(azure.store("a"))) == "<store a at az://box/p>"
    google = Settings({"stores": {"g": {"url": "gs://box/p", "skip_signature": "true"}}}, environ={})
    assert repr(open_store(google.store("g"))) == "<store g at gs://box/p>"


def test_rotated_credentials_are_asked_for_anew(s3: Any, s3_place: Any) -> None:
    from dvengine.stores._open import _S3Credentials

    held = ["first"]
    secret = Secret(lambda: held[0], origin="a test")
    provider = _S3Credentials({"access_key_id": secret, "secret_access_key": secret, "session_token": secret})
    first = provider()
    held[0] = "second"
    second = provider()
    assert (first["token"], second["token"]) == ("first", "second")
    assert 0 < second["expires_at"].timestamp() - time.time() < 300
