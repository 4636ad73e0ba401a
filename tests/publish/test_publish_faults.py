"""A publish that fails at any call leaves the old version, or has made the new one: never both, never half."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from faults import FaultyStore
from published import COUNTS, Target, listed, make_package, s3_target
from services import S3

from dvengine import (
    AccessDenied,
    ConfigError,
    Conflict,
    DataPackage,
    DvengineError,
    Event,
    Unavailable,
    VerificationFailed,
    open_package,
    publish,
    subscribe,
    verify,
)
from dvengine.config import Settings
from dvengine.stores import CommitLog


def second() -> DataPackage:
    package = make_package()
    package.add("mer", pl.DataFrame({"n": range(5)}))
    package.add_view("om", "# Om")
    return package


def calls_of_a_publish(target: Target) -> int:
    store = FaultyStore(target.store())
    publish(second(), store)
    return len(store.calls)


def interrupt() -> KeyboardInterrupt:
    return KeyboardInterrupt()


def gone() -> Unavailable:
    return Unavailable("the store went away")


def denied() -> AccessDenied:
    return AccessDenied("no")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", [gone, denied, interrupt])
def test_a_fault_at_any_call_leaves_old_or_new_and_the_next_publish_succeeds(
    memory: Target, error: Callable[[], BaseException], when: str
) -> None:
    publish(make_package(), "target", settings=memory.settings)
    total = calls_of_a_publish(memory)
    assert total > 15
    for at in range(1, total + 1):
        real, there = memory.store(), set(memory.listing())
        before = CommitLog(real, "fisk").versions()[-1]
        store = FaultyStore(real, at=at, when=when, error=error)
        try:
            publish(second(), store)
            released = True
        except (DvengineError, KeyboardInterrupt):
            released = False
        opened = open_package("target/fisk", settings=memory.settings)
        assert opened.version in (before, before + 1)
        assert opened.version == before + 1 or not released
        assert verify("target/fisk", settings=memory.settings).problems == (), store.calls[at - 1]
        verb, path = store.calls[at - 1]
        left = set(memory.listing()) - there - listed(real)
        # While committing, nothing is taken away that a commit still under way might need.
        assert not left or "manifest-" in path, (verb, path)
    assert publish(second(), "target", settings=memory.settings).version > 3
    assert verify("target/fisk", settings=memory.settings).ok


def test_the_first_publish_that_fails_leaves_no_package(memory: Target) -> None:
    store = FaultyStore(memory.store())
    publish(second(), store)
    commit = [verb for verb, _ in store.calls].index("create") + 1
    for at in range(1, commit):
        fresh = Target(
            "memory", {"stores": {"target": {"url": f"{memory.raw['stores']['target']['url']}-{at}"}}}
        )
        with pytest.raises(Unavailable):
            publish(second(), FaultyStore(fresh.store(), at=at))
        assert fresh.listing() == []
        assert publish(second(), "target", settings=fresh.settings).version == 1


def test_a_lost_reply_to_the_commit_is_our_own_commit(target: Target) -> None:
    publish(make_package(), "target", settings=target.settings)
    store = FaultyStore(target.store())
    publish(second(), store)
    commit = [verb for verb, _ in store.calls].index("create") + 1
    store = FaultyStore(target.store(), at=commit, when="after")
    assert publish(second(), store).version == 3
    assert verify("target/fisk", settings=target.settings).ok


def test_parts_are_kept_while_a_commit_may_still_arrive(memory: Target) -> None:
    publish(make_package(), "target", settings=memory.settings)
    store = FaultyStore(memory.store())
    publish(second(), store)
    commit = [verb for verb, _ in store.calls].index("create") + 1
    sent: list[bytes] = []
    store = FaultyStore(memory.store(), at=commit)
    store.create = lambda path, data: (sent.append(data), store._do("create", path, lambda: None))[1]  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        publish(second(), store)
    memory.store().create("fisk/_dvengine/manifest-000003.json", sent[0])  # the write was on its way
    assert open_package("target/fisk", settings=memory.settings).version == 3
    assert verify("target/fisk", settings=memory.settings).problems == ()


def test_the_loser_of_a_race_gets_conflict_and_takes_only_its_own_parts_away(target: Target) -> None:
    publish(make_package(), "target", settings=target.settings)

    def overtake(verb: str, path: str) -> None:
        publish(make_package(), "target", settings=target.settings)

    store = FaultyStore(target.store())
    publish(second(), store)
    commit = [verb for verb, _ in store.calls].index("create") + 1
    store = FaultyStore(target.store(), at=commit, when="never", on=overtake)
    with pytest.raises(Conflict):
        publish(second(), store)
    assert open_package("target/fisk", settings=target.settings).version == 3
    assert verify("target/fisk", settings=target.settings).ok
    assert set(target.listing()) == listed(target.store())


def test_a_slow_publisher_does_not_put_an_old_copy_back(memory: Target) -> None:
    def overtake(verb: str, path: str) -> None:
        publish(second(), "target", settings=memory.settings)

    probe = FaultyStore(memory.store())
    publish(make_package(), probe)
    publish(make_package(), probe := FaultyStore(memory.store()))
    after = [verb for verb, _ in probe.calls].index("create") + 2  # the first call after the commit
    assert (
        publish(make_package(), FaultyStore(memory.store(), at=after, when="never", on=overtake)).version == 3
    )
    copy = json.loads(memory.store().get("fisk/datapackage.json"))
    assert (copy["version"], len(copy["resources"])) == ("4", 2)


def test_of_two_publishers_at_once_exactly_one_wins(target: Target) -> None:
    publish(make_package(), "target", settings=target.settings)
    for lap in range(20):
        gate = threading.Barrier(2)
        outcomes: list[object] = []

        def race(rows: int, gate: threading.Barrier = gate, outcomes: list[object] = outcomes) -> None:
            package = DataPackage(name="fisk", title="Fangst")
            package.add("tall", COUNTS.head(rows))
            store = FaultyStore(target.store())

            def create(path: str, data: bytes) -> None:
                gate.wait(30)  # both have staged and verified
                store.inner.create(path, data)

            store.create = create  # type: ignore[method-assign]
            try:
                outcomes.append(publish(package, store))
            except Conflict as conflict:
                outcomes.append(conflict)

        threads = [threading.Thread(target=race, args=(rows,)) for rows in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        won = [one for one in outcomes if not isinstance(one, Conflict)]
        assert len(won) == 1
        assert len(outcomes) == 2
        opened = open_package("target/fisk", settings=target.settings)
        assert opened.version == lap + 2
        assert opened.manifest.run_id == won[0].run_id  # type: ignore[attr-defined]
    assert set(target.listing()) == listed(target.store())
    assert verify("target/fisk", settings=target.settings).ok


def test_bytes_that_change_on_their_way_are_never_committed(target: Target) -> None:
    """A store that says yes and keeps something else is found by reading back."""
    publish(make_package(), "target", settings=target.settings)

    class Lying(FaultyStore):
        def part(self, path: str, schema: Any, *, partition_id: str | None = None) -> Any:
            writer = self.inner.part(path, schema, partition_id=partition_id)
            finish = writer.finish

            def corrupt() -> Any:
                receipt = finish()
                data = bytearray(self.inner.get(path))
                data[len(data) // 3] ^= 1
                self.inner.put(path, bytes(data))
                return receipt

            writer.finish = corrupt
            return writer

    with pytest.raises(VerificationFailed):
        publish(second(), Lying(target.store()))
    assert open_package("target/fisk", settings=target.settings).version == 1
    assert set(target.listing()) == listed(target.store())


class BrokenIndex:
    name = "nowhere"
    documents: list[Any]

    def __init__(self, error: BaseException | None) -> None:
        self.error, self.documents, self.closed = error, [], False

    def ensure(self) -> None:
        if self.error:
            raise self.error

    def put(self, document: Any) -> bool:
        self.documents.append(document)
        return True

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("error", [Unavailable("down"), RuntimeError("a bug")])
def test_the_publish_stands_when_the_index_is_down_and_the_debt_is_noted(
    memory: Target, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    index = BrokenIndex(error)
    monkeypatch.setattr("dvengine._publish.open_index", lambda settings: index)
    memory.raw["catalogs"] = {"intern": {"url": "https://search.example.org"}}
    release = publish(make_package(), "target", catalog="intern", settings=memory.settings)
    assert (release.indexed, release.version, index.closed) == (False, 1, True)
    pending = [key for key in memory.listing() if "pending-index" in key]
    assert pending == [f"fisk/_dvengine/pending-index-{release.run_id[:8]}.json"]
    note = json.loads(memory.store().get(pending[0]))
    assert (note["version"], note["catalog"], note["error"]) == (1, "intern", type(error).__name__)
    assert open_package("target/fisk", settings=memory.settings).version == 1

    index.error = None
    again = publish(make_package(), "target", catalog="intern", settings=memory.settings)
    assert (again.indexed, again.version) == (True, 2)
    assert [one["version"] for one in index.documents] == [2]
    assert not [key for key in memory.listing() if "pending-index" in key]


def test_a_file_index_lists_what_was_published(memory: Target) -> None:
    memory.raw["catalogs"] = {"intern": {"url": memory.raw["stores"]["target"]["url"] + "-index"}}
    release = publish(make_package(), "target", catalog="intern", settings=memory.settings)
    assert release.indexed
    from dvengine.catalog._open import open_index

    found = open_index(memory.settings.catalog("intern")).search("fangst")
    assert [(hit.name, hit.version) for hit in found] == [("fisk", 1)]


def test_the_publish_stands_when_elasticsearch_is_down(memory: Target) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    memory.raw["catalogs"] = {"intern": {"url": f"http://127.0.0.1:{port}/katalog"}}
    release = publish(make_package(), "target", catalog="intern", settings=memory.settings)
    assert (release.indexed, release.version) == (False, 1)
    assert [key for key in memory.listing() if "pending-index" in key]
    assert open_package("target/fisk", settings=memory.settings).version == 1


def test_wrong_credentials_are_said_before_any_work_and_not_echoed(s3: S3, bucket: str) -> None:
    wrong = s3_target(s3, bucket)
    right = wrong.raw["stores"]["target"] | {}
    wrong.raw["stores"]["target"]["secret_access_key"] = "hemmelig-og-feil"
    with pytest.raises(AccessDenied) as caught:
        publish(make_package(), "target", settings=wrong.settings)
    assert "hemmelig" not in str(caught.value)
    wrong.raw["stores"]["target"] = right
    assert wrong.listing() == []


@pytest.mark.parametrize("options", [{}, {"catalog": "ukjent"}])
def test_an_unknown_alias_is_said_before_any_work(memory: Target, options: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        publish(make_package(), "target" if options else "tarjet", settings=memory.settings, **options)
    assert caught.value.hint
    assert memory.listing() == []


def test_an_unknown_scheme_is_said_before_any_work() -> None:
    with pytest.raises(ConfigError, match="gopher"):
        publish(make_package(), "gopher://example.org/x", settings=Settings({}))


def test_events_name_things_and_count_them(memory: Target) -> None:
    seen: list[Event] = []
    stop = subscribe(seen.append)
    try:
        publish(second(), "target", settings=memory.settings)
    finally:
        stop()
    ended = [(one.stage, one.name, one.rows) for one in seen if one.state == "end"]
    assert {("stage", "tall", 4), ("stage", "mer", 5), ("verify", "fisk", 9), ("commit", "fisk", 0)} <= set(
        ended
    )
    order = [one.stage for one in seen if one.state == "start" and one.stage in ("stage", "verify", "commit")]
    assert order == ["stage", "stage", "verify", "commit"]
    assert {one.name for one in seen} == {"tall", "mer", "fisk"}


def test_nothing_is_written_where_the_store_is_read_only(tmp_path: Any) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("x")
    with pytest.raises(DvengineError) as caught:
        publish(make_package(), blocker)
    assert caught.value.hint
    assert blocker.read_text() == "x"
