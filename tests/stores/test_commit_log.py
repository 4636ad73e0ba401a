"""The commit log: one winner, no gaps, tombstones, and foreign files passed over."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from services import HttpProxy

from dvengine import AlreadyExists, Conflict, InputError, NotFound, VerificationFailed
from dvengine.stores import CommitLog, Manifest, PartReceipt, open_store


def manifest(version: int, run: str = "r1", **more: Any) -> Manifest:
    return Manifest(
        version=version,
        parent=more.pop("parent", version - 1),
        run_id=run,
        created="2026-01-01T00:00:00Z",
        **more,
    )


def test_versions_follow_one_another_and_the_highest_is_current(place: Any) -> None:
    log = CommitLog(place.open(), "sykefravær/by kommune")
    assert log.latest() is None
    assert log.versions() == []
    part = PartReceipt(path="a/b.parquet", rows=3, nbytes=9, sha256="0" * 64, schema_sha256="1" * 64)
    first = manifest(1, parts={"t": (part,)}, rows={"t": 3}, descriptor={"title": "Blåbær"})
    log.commit(first)
    assert log.latest() == log.read(1) == first
    log.commit(manifest(2, "r2"))
    assert CommitLog(place.open(), "sykefravær/by kommune/").latest().run_id == "r2"
    assert log.versions() == [1, 2]
    with pytest.raises(NotFound, match="version 3"):
        log.read(3)


def test_another_run_loses_and_touches_nothing(place: Any) -> None:
    log = CommitLog(place.open(), "p")
    log.commit(manifest(1, "ours"))
    with pytest.raises(Conflict, match="another run") as caught:
        log.commit(manifest(1, "theirs"))
    assert caught.value.retryable
    assert caught.value.hint
    assert not isinstance(caught.value, AlreadyExists)
    assert log.latest().run_id == "ours"


def test_our_own_commit_made_anew_is_recognised_by_its_run(place: Any) -> None:
    log = CommitLog(place.open(), "p")
    log.commit(manifest(1, "ours"))
    log.commit(manifest(1, "ours", descriptor={"made": "anew"}))
    assert log.latest().descriptor == {}


@pytest.mark.parametrize(("version", "parent"), [(3, 1), (1, 1), (0, -1), (1, 2)])
def test_a_version_that_does_not_follow_its_parent_is_refused(place: Any, version: int, parent: int) -> None:
    log = CommitLog(place.open(), "p")
    log.commit(manifest(1))
    with pytest.raises(InputError, match="cannot follow"):
        log.commit(manifest(version, parent=parent))


def test_a_parent_that_is_not_there_is_a_conflict(place: Any) -> None:
    log = CommitLog(place.open(), "p")
    with pytest.raises(Conflict, match="version 4"):
        log.commit(manifest(5))
    assert log.versions() == []


def test_after_a_tombstone_nothing_is_current_until_the_next_version(place: Any) -> None:
    log = CommitLog(place.open(), "p")
    log.commit(manifest(1))
    log.commit(manifest(2, state="withdrawn"))
    assert log.latest() is None
    assert log.versions() == [1, 2]
    log.commit(manifest(3, "r3"))
    assert log.latest().run_id == "r3"


def test_foreign_files_are_passed_over(place: Any) -> None:
    store = place.open()
    log = CommitLog(store, "p")
    log.commit(manifest(1))
    for name in (
        "manifest-2.json", "manifest-000009.json.bak", "manifest-0000003.json", "Manifest-000004.json", ".DS_Store",
        "manifest-000005.txt", "old/manifest-000006.json", "manifest-٠٠٠٠٠٧.json", "journal/x",
    ):  # fmt: skip
        store.put(f"p/_dvengine/{name}", b"not ours")
    store.put("p2/_dvengine/manifest-000008.json", b"another package's")
    assert log.versions() == [1]
    assert log.latest().version == 1


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"format": 2}', b'{"format": 1, "version": 2}']
)
def test_a_damaged_manifest_is_told_and_never_skipped(place: Any, damage: bytes) -> None:
    store = place.open()
    log = CommitLog(store, "p")
    log.commit(manifest(1))
    store.put("p/_dvengine/manifest-000002.json", damage)
    with pytest.raises(VerificationFailed):
        log.latest()


def test_a_manifest_under_another_number_is_told(place: Any) -> None:
    store = place.open()
    store.put("p/_dvengine/manifest-000002.json", manifest(1).to_json())
    with pytest.raises(VerificationFailed, match="another version"):
        CommitLog(store, "p").latest()


def test_latest_is_right_among_more_versions_than_one_listing_page_holds(place: Any) -> None:
    store = place.open()
    log = CommitLog(store, "p")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.put(log.path(n), manifest(n, f"run {n}").to_json()), range(1, 1_106)))
    assert log.latest().run_id == "run 1105"
    assert len(log.versions()) == 1_105
    store.put(log.path(1_000_000), manifest(1_000_000, "the millionth").to_json())
    assert log.latest().run_id == "the millionth"


def test_of_eight_runs_that_commit_one_version_one_wins(place: Any) -> None:
    start, won, lost = threading.Barrier(8), [], []

    def run(number: int) -> None:
        log = CommitLog(place.open(), "p")
        start.wait()
        try:
            log.commit(manifest(1, f"run {number}"))
            won.append(f"run {number}")
        except Conflict:
            lost.append(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    assert len(won) == 1
    assert len(lost) == 7
    assert CommitLog(place.open(), "p").latest().run_id == won[0]


def test_a_commit_whose_reply_was_lost_is_recognised_as_ours(s3: Any, s3_place: Any) -> None:
    with HttpProxy(s3.endpoint) as proxy:
        log = CommitLog(open_store(s3_place(proxy.url).settings), "p")
        proxy.drop_reply(method="PUT", path="_dvengine/")
        log.commit(manifest(1, "ours"))
        assert proxy.faults == ["drop_reply"]
        assert log.latest().run_id == "ours"
