"""verify finds what was changed behind our back, from the published bytes alone."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from faults import FaultyStore
from published import Target, make_package

from dvengine import NotFound, Unavailable, VerificationFailed, publish, verify
from dvengine.datasets._build import from_object
from dvengine.privacy._content import table_sha256
from dvengine.privacy._probe import Probe
from dvengine.privacy._rules import Threshold
from dvengine.privacy._suppress import SafeTable, suppress
from dvengine.privacy._tabulate import Tabulation, tabulate
from dvengine.stores import CommitLog


@pytest.fixture(scope="module")
def table() -> Tabulation:
    draw = random.Random(3)
    rows = [(draw.choice(["0301", "1103", "5001"]), draw.choice("KM")) for _ in range(60)] + [
        ("1103", "K")
    ] * 20
    persons = pl.DataFrame(rows, schema=["region", "kjonn"], orient="row")
    return tabulate(persons, by=["region", "kjonn"])


@pytest.fixture(scope="module")
def safe(table: Tabulation) -> SafeTable:
    return suppress(table, rule=Threshold(12), attacker="rule")


@pytest.fixture
def published(target: Target, safe: SafeTable) -> Target:
    package = make_package()
    package.add("tabell", safe)
    package.add_view("om", "# Om tallene")
    publish(package, "target", settings=target.settings)
    assert verify("target/fisk", settings=target.settings).problems == ()
    return target


def part(target: Target, resource: str = "tall") -> str:
    return CommitLog(target.store(), "fisk").read(1).parts[resource][0].path


def found(target: Target) -> str:
    report = verify("target/fisk", settings=target.settings)
    assert not report.ok
    with pytest.raises(VerificationFailed):
        report.require()
    text = " | ".join(report.problems)
    assert "0301" not in text
    return text


@pytest.mark.parametrize("where", ["start", "middle", "end"])
def test_one_flipped_bit_is_found(published: Target, where: str) -> None:
    store, path = published.store(), part(published)
    data = bytearray(store.get(path))
    data[{"start": 0, "middle": len(data) // 2, "end": len(data) - 1}[where]] ^= 1
    store.put(path, bytes(data))
    assert "sha256" in found(published)


def test_a_truncated_part_is_found(published: Target) -> None:
    store, path = published.store(), part(published)
    store.put(path, store.get(path)[:-1])
    assert "bytes are stored" in found(published)


def test_a_missing_part_is_found(published: Target) -> None:
    published.store().delete(part(published))
    assert "is not there" in found(published)


def test_a_changed_figure_is_found(published: Target) -> None:
    store = published.store()
    path = CommitLog(store, "fisk").read(1).files[0]["path"]
    store.put(path, store.get(path).replace(b"Om", b"Pm"))
    assert "sha256" in found(published)


def test_a_manifest_of_another_version_is_found(published: Target) -> None:
    publish(make_package(), "target", settings=published.settings)
    store = published.store()
    log = CommitLog(store, "fisk")
    store.put(log.path(2), store.get(log.path(1)))
    assert "manifest" in found(published)


def test_a_manifest_of_another_package_is_found(published: Target) -> None:
    publish(make_package("annen"), "target", settings=published.settings)
    store = published.store()
    store.put("fisk/_dvengine/manifest-000001.json", store.get("annen/_dvengine/manifest-000001.json"))
    assert "is not there" in found(published)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"format": 2}', b"\xff\xfe"])
def test_a_damaged_manifest_is_found(published: Target, data: bytes) -> None:
    published.store().put("fisk/_dvengine/manifest-000001.json", data)
    assert "manifest" in found(published)


def forge(target: Target, change: Callable[[dict[str, Any]], None]) -> None:
    store = target.store()
    path = CommitLog(store, "fisk").path(1)
    raw = json.loads(store.get(path))
    change(raw)
    store.put(path, json.dumps(raw).encode())


def _rows(raw: dict[str, Any]) -> None:
    raw["rows"]["tall"] += 1


def _part_rows(raw: dict[str, Any]) -> None:
    raw["parts"]["tall"][0]["rows"] += 1


def _nulls(raw: dict[str, Any]) -> None:
    raw["descriptor"]["resources"][0]["schema"]["fields"][0]["dvengine:nulls"] += 1


def _type(raw: dict[str, Any]) -> None:
    raw["descriptor"]["resources"][0]["schema"]["fields"][1]["type"] = "number"


def _no_column(raw: dict[str, Any]) -> None:
    del raw["descriptor"]["resources"][0]["schema"]["fields"][1]


def _version(raw: dict[str, Any]) -> None:
    raw["descriptor"]["version"] = "9"


def _certificate(raw: dict[str, Any]) -> None:
    raw["certificates"]["tabell"]["rule"] = "threshold(2)"


def _no_resource(raw: dict[str, Any]) -> None:
    del raw["descriptor"]["resources"][0]


def _licence(raw: dict[str, Any]) -> None:
    raw["descriptor"]["licenses"] = [{}]


def _path(raw: dict[str, Any]) -> None:
    raw["descriptor"]["resources"][0]["path"] = ["../../etc/passwd"]


def _hash(raw: dict[str, Any]) -> None:
    raw["descriptor"]["resources"][0]["hash"] = "sha1:00"


def _shape(raw: dict[str, Any]) -> None:
    raw["descriptor"]["resources"] = [None, 7]


def _no_descriptor(raw: dict[str, Any]) -> None:
    raw["descriptor"] = None


def _escape(raw: dict[str, Any]) -> None:
    raw["parts"]["tall"][0]["path"] = "fisk/../../secret"


def _structure(raw: dict[str, Any]) -> None:
    raw["descriptor"]["resources"][1]["dvengine:structure"] = {"by": 3}


def _invalid(raw: dict[str, Any]) -> None:
    for certificate in (
        raw["certificates"]["tabell"],
        raw["descriptor"]["resources"][1]["dvengine:certificate"],
    ):
        certificate["valid"] = False


@pytest.mark.parametrize(
    "change",
    [
        _rows, _part_rows, _nulls, _type, _no_column, _version, _certificate, _no_resource, _licence, _path, _hash, _shape, _no_descriptor,
        _escape, _structure, _invalid,
    ],
)  # fmt: skip
def test_a_manifest_that_does_not_fit_is_found(
    published: Target, change: Callable[[dict[str, Any]], None]
) -> None:
    forge(published, change)
    assert found(published)


def replace_table(target: Target, frame: pl.DataFrame, *, certificate_too: bool) -> None:
    """Forge consistently: the part, its hash and counts, and if need be the certificate's fingerprint."""
    store = target.store()
    path = part(target, "tabell")
    table = from_object(frame).to_arrow()
    with store.part(path, table.schema) as writer:
        for batch in table.to_batches():
            writer.write(batch)
        receipt = writer.finish()

    def change(raw: dict[str, Any]) -> None:
        promised = raw["parts"]["tabell"][0]
        promised |= {
            "sha256": receipt.sha256,
            "nbytes": receipt.nbytes,
            "schema_sha256": receipt.schema_sha256,
        }
        described = raw["descriptor"]["resources"][1]
        described |= {"hash": f"sha256:{receipt.sha256}", "bytes": receipt.nbytes}
        described["dvengine:parts"][0] |= {"hash": f"sha256:{receipt.sha256}", "bytes": receipt.nbytes}
        for field in described["schema"]["fields"]:
            field["dvengine:nulls"] = frame[field["name"]].null_count()
        if certificate_too:
            for certificate in (raw["certificates"]["tabell"], described["dvengine:certificate"]):
                certificate["table_sha256"] = table_sha256(frame)

    forge(target, change)


def test_an_altered_count_no_longer_fits_its_certificate(published: Target, safe: SafeTable) -> None:
    altered = safe.frame.with_columns(
        n=pl.when(pl.int_range(pl.len()) == 0).then(pl.col("n") + 1).otherwise("n")
    )
    replace_table(published, altered, certificate_too=False)
    assert "certificate of 'tabell'" in found(published)


def test_a_cell_that_can_be_derived_is_found_though_every_hash_was_forged(
    published: Target, safe: SafeTable, table: Tabulation
) -> None:
    """One hidden cell shown again, with its true number: what it protected can now be worked out."""
    truth = safe.frame.join(table.frame, on=["region", "kjonn"], how="left", maintain_order="left")
    hidden = truth.with_row_index().filter(pl.col("n").is_null())["index"][0]
    one = pl.int_range(pl.len()) == hidden
    opened = truth.select(
        "region",
        "kjonn",
        n=pl.when(one).then("n_right").otherwise("n"),
        status=pl.when(one).then(pl.lit("")).otherwise("status"),
    )
    replace_table(published, opened, certificate_too=True)
    problems = found(published)
    assert "audit of 'tabell'" in problems
    assert "can be derived" in problems
    assert "not decided" not in problems
    checks = verify("target/fisk", settings=published.settings).checks
    assert not any(check.startswith("audit of") for check in checks)


def test_an_audit_without_time_is_no_verdict_on_the_table(published: Target, safe: SafeTable) -> None:
    late = verify("target/fisk", settings=published.settings, time_limit=0)
    hidden = safe.frame["n"].null_count()
    assert late.problems == (f"audit of 'tabell': {hidden} cell(s) not decided in 0 s; give more time",)
    assert not any(check.startswith("audit of") for check in late.checks)


def test_cells_left_undecided_are_told_apart_from_those_that_can_be_derived(
    published: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start is found, and then the time is up."""
    start = Probe.somewhere

    def slow(*arguments: Any, deadline: float, **named: Any) -> Any:
        probe = start(*arguments, deadline=deadline, **named)
        time.sleep(max(0.0, deadline - time.monotonic()) + 0.01)
        return probe

    monkeypatch.setattr(Probe, "somewhere", slow)
    late = verify("target/fisk", settings=published.settings, time_limit=0.5)
    assert not late.ok
    (problem,) = late.problems
    assert problem.startswith("audit of 'tabell': ")
    assert problem.endswith(" cell(s) not decided in 0.5 s; give more time")


def test_an_unanswering_store_is_no_verdict(memory: Target) -> None:
    publish(make_package(), "target", settings=memory.settings)
    from dvengine.config import Settings
    from dvengine.stores import open_store

    whole = open_store(Settings({}).store(memory.raw["stores"]["target"]["url"] + "/fisk"))
    store = FaultyStore(whole)
    assert verify(store).ok
    for at in range(1, len(store.calls) + 1):
        with pytest.raises(Unavailable):
            verify(FaultyStore(whole, at=at))


def test_nothing_to_verify_is_not_found(target: Target) -> None:
    with pytest.raises(NotFound):
        verify("target/fisk", settings=target.settings)
