"""What every back end promises. A new one joins by one more place in conftest."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dvengine import AlreadyExists, InputError, NotFound
from dvengine.stores import ObjectInfo, Span

KEYS = [
    "50%.parquet", "50%25.parquet", "a+b.parquet", "a b.parquet", "a%20b.parquet", "æøå/blåbær.parquet",
    "hash#1?.parquet", "tid 01:02.parquet", "k=a%2Fb/p.parquet", "k=a/b/p.parquet", "\u00e9.parquet",
    "e\u0301.parquet", "[ab]*?.parquet", "a&b=c;d,e.parquet", "~tilde'\"quote\".parquet", "dots...", ".hidden",
]  # fmt: skip


def test_keys_are_exact_names_and_never_urls(place: Any) -> None:
    store = place.open()
    for number, key in enumerate(KEYS):
        (store.put if number % 2 else store.create)(f"in/{key}", f"{number}:{key}".encode())
    for number, key in enumerate(KEYS):
        assert store.get(f"in/{key}") == f"{number}:{key}".encode(), key
        assert store.head(f"in/{key}") == ObjectInfo(f"in/{key}", len(f"{number}:{key}".encode()))
    assert sorted(found.path for found in store.list("in")) == sorted(f"in/{key}" for key in KEYS)
    for key in KEYS[::2]:
        store.delete(f"in/{key}")
    assert {found.path for found in store.list()} == {f"in/{key}" for key in KEYS[1::2]}


@pytest.mark.parametrize(
    "key",
    [
        "", "/", "/a", "a/", "a//b", "./a", "a/./b", "a/.", "../a", "a/../b", "..", "a\x00b", "a\nb", "a\x7fb",
        "part.parquet#12", "a\\b", "\ud800", "a\u2028b", "x" * 1025,
    ],
)  # fmt: skip
def test_names_no_store_can_hold_are_refused_before_anything_happens(place: Any, key: str) -> None:
    store = place.open()
    for act in (
        lambda: store.put(key, b""), lambda: store.create(key, b""), lambda: store.get(key), lambda: store.head(key),
        lambda: store.delete(key), lambda: store.part(key, None), lambda: store.open_parquet(key),
    ):  # fmt: skip
        with pytest.raises(InputError, match="cannot be a key"):
            act()
    assert list(store.list()) == []


def test_bytes_come_back_whole_or_by_span(place: Any) -> None:
    store = place.open()
    data = os.urandom(100_000)
    store.put("a/b", data)
    assert store.get("a/b") == data
    assert store.get("a/b", span=Span(10, 20)) == data[10:30]
    assert store.get("a/b", span=Span(99_990, 1000)) == data[-10:]
    assert store.get("a/b", span=Span(5, 0)) == b""
    with pytest.raises(InputError):
        store.get("a/b", span=Span(100_001, 5))
    store.put("empty", b"")
    assert store.get("empty") == b""


def test_what_is_not_there_is_not_found_and_deleting_it_is_fine(place: Any) -> None:
    store = place.open()
    assert list(store.list()) == list(store.list("nowhere/at/all")) == []
    store.put("a/b", b"1")
    for path in ("missing", "a/missing", "a", "a/b/c"):
        for act in (store.get, store.head, store.open_parquet):
            with pytest.raises(NotFound, match="not there"):
                act(path)
        store.delete(path)
    assert store.get("a/b") == b"1"


def test_listing_is_lexical_by_whole_segments_and_streams(place: Any) -> None:
    store = place.open()
    keys = ["a/b/1", "a/b/2", "a/b.txt", "a/b!", "a/b0/x", "a/bc", "a/A", "a/æ", "a/z", "a2/x", "b"]
    for key in keys:
        store.put(key, key.encode())
    # SeaweedFS sorts folder by folder ("a/b/1" before "a/b!"), where S3 itself sorts whole keys.
    by_folder = sorted(keys, key=lambda key: key.split("/")) if place.kind == "s3" else None
    assert [found.path for found in store.list()] in (sorted(keys), by_folder)
    assert [found.path for found in store.list("a/b")] == ["a/b/1", "a/b/2"]
    assert [found.path for found in store.list("a/b/")] == ["a/b/1", "a/b/2"]
    assert next(iter(store.list("a"))) == ObjectInfo("a/A", 3)
    with pytest.raises(InputError):
        list(store.list("a/../b"))


def test_put_replaces_and_create_never_does(place: Any) -> None:
    store = place.open()
    store.put("a/b", b"one", media_type="text/plain")
    store.put("a/b", b"two")
    with pytest.raises(AlreadyExists) as caught:
        store.create("a/b", b"three")
    assert not caught.value.retryable
    assert store.get("a/b") == b"two"


def test_create_of_our_own_bytes_again_is_success_because_a_reply_may_have_been_lost(place: Any) -> None:
    store = place.open()
    store.create("a/b", b"same")
    store.create("a/b", b"same")
    with pytest.raises(AlreadyExists):
        store.create("a/b", b"samt")


def test_of_eight_threads_that_create_one_wins(place: Any) -> None:
    stores = [place.open() for _ in range(8)]
    for round_ in range(3):
        start, won = threading.Barrier(8), []

        def race(
            number: int, start: threading.Barrier = start, won: list[int] = won, round_: int = round_
        ) -> None:
            start.wait()
            try:
                stores[number].create(f"r/{round_}", f"{number}".encode())
            except AlreadyExists:
                return
            won.append(number)

        threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert stores[0].get(f"r/{round_}") == f"{won[0]}".encode()


_RACER = """
import os, sys, time
from dvengine.stores import open_store
from dvengine import AlreadyExists
store = open_store("target")
print("ready", flush=True)
sys.stdin.readline()
try:
    store.create("prize", sys.argv[1].encode())
    print("won")
except AlreadyExists:
    print("lost")
"""


@pytest.mark.slow
def test_of_eight_processes_that_create_one_wins(shared_place: Any) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACER, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **shared_place.environ},
        )
        for number in range(8)
    ]  # fmt: skip
    try:
        for racer in racers:
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        said = [racer.communicate(timeout=60)[0].strip() for racer in racers]
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
    assert sorted(said) == ["lost"] * 7 + ["won"]
    assert shared_place.open().get("prize") == str(said.index("won")).encode()
    assert shared_place.uploads() == []


def test_check_proves_create_only_and_leaves_nothing(place: Any) -> None:
    store = place.open()
    facts = store.check()
    assert facts["create_only"] == "yes"
    assert list(store.list()) == []


def test_a_local_listing_hides_what_a_killed_write_left(local_place: Any) -> None:
    store = local_place.open()
    store.put("a/part.parquet", b"1")
    (Path(store.root) / "a" / "part.parquet#3").write_bytes(b"half")
    (Path(store.root) / "a" / "b#77").write_bytes(b"half")
    assert [found.path for found in store.list()] == ["a/part.parquet"]


def test_a_long_listing_is_complete_and_quick(place: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    store = place.open()
    keys = [f"many/{number:05d}" for number in range(1_100)]  # more than one page of S3's
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b"x"), keys))
    began = time.monotonic()
    assert [found.path for found in store.list("many")] == keys
    assert time.monotonic() - began < 5


def test_check_of_a_local_store_leaves_no_folder_that_it_made(local_place: Any) -> None:
    root = Path(local_place.open().root)
    assert not root.exists()
    local_place.open().check()
    assert not root.exists()
    (root / "mine").mkdir(parents=True)
    local_place.open().check()
    assert [path.name for path in root.iterdir()] == ["mine"]
