"""Nothing goes to an open catalogue with identity numbers in it, or without a certificate that fits."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import altair as alt
import polars as pl
import pyarrow as pa
import pytest
from published import Target, make_package

from dvengine import DataPackage, DescriptorError, InputError, Refused, dataset, open_package, publish, verify
from dvengine.privacy._rules import Threshold
from dvengine.privacy._suppress import SafeTable, suppress
from dvengine.privacy._tabulate import Tabulation, tabulate

#: Valid, and given to nobody: the series year 40-53 with individual number 500-899 was never used.
SYNTHETIC = [
    "01024560003",
    "01024561077",
    "41024560188",
    "01424560096",
    "01824560079",
    "01824564015",
    "41824560062",
    "29824460092",
]
REGIONS = {"0301": "03", "1101": "11", "1103": "11", "1108": "11"}


@pytest.fixture(scope="module")
def safe() -> SafeTable:
    draw = random.Random(7)
    rows = [
        (draw.choice(list(REGIONS)), draw.choice("KM"), draw.choice(["ung", "midt", "eldre"]))
        for _ in range(400)
    ]
    persons = pl.DataFrame(rows, schema=["region", "kjonn", "alder"], orient="row")
    table = tabulate(persons, by=["region", "kjonn", "alder"], hierarchies={"region": REGIONS})
    made = suppress(table, rule=Threshold(14), attacker="rule")
    assert made.certificate.hidden > 0
    return made


@pytest.fixture
def nothing(memory: Target) -> Iterator[Target]:
    """A target where nothing may be left when the test is over."""
    yield memory
    assert memory.listing() == []


def open_package_of(name: str = "fisk", **more: Any) -> DataPackage:
    given = {
        "title": "Fangst",
        "license": "CC-BY-4.0",
        "contact": "post@example.org",
        "publisher": "Etaten",
        "access": "open",
    }
    return DataPackage(name=name, **(given | more))


def refusal(package: DataPackage, target: Target, **options: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        publish(package, "target", settings=target.settings, **options)
    assert caught.value.hint
    shown = str(caught.value)
    assert not [number for number in SYNTHETIC if number in shown or number.lstrip("0") in shown]
    return caught.value


def test_a_suppressed_table_goes_out_with_what_a_stranger_needs_to_audit_it(
    target: Target, safe: SafeTable
) -> None:
    package = open_package_of()
    package.add("tabell", safe, fields={"n": {"description": "Personer", "unit": "personer"}})
    release = publish(package, "target", settings=target.settings)
    assert release.manifest.overrides == ()
    opened = open_package("target/fisk", settings=target.settings)
    described = opened.descriptor["resources"][0]
    assert described["dvengine:structure"] == json.loads(json.dumps(safe.structure.to_dict()))
    assert described["dvengine:suppression"]["symbol"] == ":"
    assert (
        opened.certificates["tabell"]
        == described["dvengine:certificate"]
        == json.loads(json.dumps(safe.certificate.public()))
    )
    assert not {"primary", "secondary", "min_width", "seed"} & set(described["dvengine:certificate"])
    field = next(f for f in described["schema"]["fields"] if f["name"] == "n")
    assert (field["description"], field["dvengine:unit"], field["dvengine:nulls"]) == (
        "Personer",
        "personer",
        safe.certificate.hidden,
    )
    report = verify("target/fisk", settings=target.settings)
    assert report.problems == ()
    assert any(check.startswith("audit of 'tabell'") for check in report.checks)


@pytest.mark.parametrize("lacking", ["license", "contact", "publisher"])
def test_what_an_open_package_lacks_is_said_before_any_work(
    nothing: Target, safe: SafeTable, lacking: str
) -> None:
    package = open_package_of(**{lacking: None})
    package.add("tabell", safe)
    with pytest.raises(DescriptorError, match=lacking):
        publish(package, "target", settings=nothing.settings)


def test_everything_that_is_lacking_is_named_at_once(nothing: Target) -> None:
    package = DataPackage(name="fisk", title="Fangst", access="open")
    with pytest.raises(DescriptorError, match="license, contact, publisher, a resource"):
        publish(package, "target", settings=nothing.settings)


def test_an_open_catalogue_binds_a_package_that_calls_itself_internal(nothing: Target) -> None:
    nothing.raw["catalogs"] = {"aapen": {"url": f"memory://{id(nothing)}", "access": "open"}}
    package = DataPackage(name="fisk", title="Fangst")
    package.add("tall", pl.DataFrame({"n": [1]}))
    with pytest.raises(DescriptorError, match="license"):
        publish(package, "target", catalog="aapen", settings=nothing.settings)
    assert refusal(make_package(), nothing, catalog="aapen").rules == ("uncertified-table",)


def test_a_table_without_certificate_is_refused(nothing: Target, safe: SafeTable) -> None:
    package = open_package_of()
    package.add("tabell", safe.frame)
    error = refusal(package, nothing)
    assert error.rules == ("uncertified-table",)
    assert "'tabell'" in str(error)


@pytest.mark.parametrize("access", ["open", "internal"])
def test_a_table_that_was_changed_after_its_certificate_is_refused(
    nothing: Target, safe: SafeTable, access: str
) -> None:
    changed = safe.frame.with_columns(n=pl.col("n") + (pl.int_range(pl.len()) == 0))
    package = open_package_of(access=access)
    package.add("tabell", replace(safe, frame=changed))
    assert refusal(package, nothing).rules == ("stale-certificate",)


def test_a_hidden_cell_that_was_filled_in_again_is_refused(nothing: Target, safe: SafeTable) -> None:
    package = open_package_of()
    package.add("tabell", replace(safe, frame=safe.frame.with_columns(pl.col("n").fill_null(3))))
    assert refusal(package, nothing).rules == ("stale-certificate",)


def test_rows_in_another_order_are_the_same_table(memory: Target, safe: SafeTable) -> None:
    package = open_package_of()
    package.add("tabell", replace(safe, frame=safe.frame.reverse()))
    assert publish(package, "target", settings=memory.settings).manifest.overrides == ()


def test_a_certificate_that_proves_nothing_is_refused(nothing: Target, safe: SafeTable) -> None:
    package = open_package_of()
    package.add("tabell", replace(safe, certificate=replace(safe.certificate, uncertified=1)))
    assert refusal(package, nothing).rules == ("invalid-certificate",)


def test_a_reason_overrides_and_is_recorded_with_each_rule(memory: Target, safe: SafeTable) -> None:
    package = open_package_of()
    package.add("tabell", replace(safe, frame=safe.frame.head(5)))
    package.add("register", pl.DataFrame({"fnr": SYNTHETIC}))
    release = publish(package, "target", reason="Syntetiske tall", settings=memory.settings)
    recorded = open_package("target/fisk", settings=memory.settings).manifest.overrides
    assert recorded == release.manifest.overrides
    assert {(one["rule"], one["where"]) for one in recorded} == {
        ("stale-certificate", "resource 'tabell'"),
        ("uncertified-table", "resource 'register'"),
        ("identity-number", "column 'fnr' of 'register'"),
    }
    assert {one["reason"] for one in recorded} == {"Syntetiske tall"}
    # A certificate that does not fit is not published as if it did.
    assert release.manifest.certificates == {}
    assert verify("target/fisk", settings=memory.settings).ok


@pytest.mark.parametrize("reason", ["", "  ", 7, True])
def test_an_empty_reason_is_no_reason(nothing: Target, reason: Any) -> None:
    with pytest.raises(InputError):
        publish(make_package(access="open"), "target", reason=reason, settings=nothing.settings)


def test_a_reason_with_identity_numbers_is_refused(nothing: Target) -> None:
    assert refusal(make_package(), nothing, reason=f"{SYNTHETIC[4]} sa ja").rules == ("identity-number",)


NUMBERS = [int(number) for number in SYNTHETIC]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(SYNTHETIC),
        pa.array([f"gjelder {n[:6]} {n[6:]}." for n in SYNTHETIC]),
        pa.array(NUMBERS, pa.int64()),
        pa.array([float(n) for n in NUMBERS]),
        pa.array(SYNTHETIC).dictionary_encode(),
        pa.array([[n] for n in SYNTHETIC]),
        pa.array([{"a": n} for n in SYNTHETIC]),
        pa.array([*[None] * 5000, SYNTHETIC[0]]),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_identity_numbers_do_not_go_out(nothing: Target, column: pa.Array, streamed: bool) -> None:
    data: Any = pa.table({"kol": column})
    if streamed:
        data = pa.RecordBatchReader.from_batches(data.schema, data.to_batches(max_chunksize=3))
    package = open_package_of()
    package.add("register", data)
    error = refusal(package, nothing)
    assert "identity-number" in error.rules or streamed
    # What is streamed is refused for its missing certificate before a byte is read; with that overridden nothing else is asked.
    assert error.rules == (("uncertified-table",) if streamed else ("uncertified-table", "identity-number"))


def test_identity_numbers_inside_are_let_through_and_noted(memory: Target) -> None:
    package = make_package()
    package.add("register", pl.DataFrame({"fnr": SYNTHETIC, "belop": [1.5] * 8}))
    publish(package, "target", settings=memory.settings)
    fields = open_package("target/fisk", settings=memory.settings).descriptor["resources"][1]["schema"][
        "fields"
    ]
    assert {f["name"]: f.get("dvengine:sensitive") for f in fields} == {
        "fnr": "identity-number",
        "belop": None,
    }


@pytest.mark.parametrize(
    "words",
    [
        {"description": f"Spør {SYNTHETIC[4]}"},
        {"title": {"nb": "Fangst", "en": f"Catch {SYNTHETIC[0]}"}},
        {"keywords": [SYNTHETIC[5]]},
        {"sources": [{"title": f"{SYNTHETIC[4][:6]} {SYNTHETIC[4][6:]}"}]},
    ],
)
def test_identity_numbers_in_words_do_not_go_out(
    nothing: Target, safe: SafeTable, words: dict[str, Any]
) -> None:
    package = open_package_of(**words)
    package.add("tabell", safe)
    assert refusal(package, nothing).rules == ("identity-number",)


def chart(frame: pl.DataFrame) -> alt.Chart:
    return alt.Chart(frame).mark_bar().encode(x="region:N", y="n:Q")


def test_figures_of_published_rows_go_out(memory: Target, safe: SafeTable) -> None:
    names = pl.DataFrame({"region": list(REGIONS), "navn": ["Oslo", "Eigersund", "Stavanger", "Haugesund"]})
    package = open_package_of()
    package.add("tabell", safe)
    package.add_view("alt", chart(safe.frame), resource="tabell")
    package.add_view(
        "noe", chart(safe.frame.filter(alder="total").join(names, on="region")), resource="tabell"
    )
    package.add_view("annet_navn", chart(safe.frame.rename({"n": "Antall"})))
    package.add_view(
        "uten_data", alt.Chart(alt.Data(values=[{"tekst": "Hei"}])).mark_text().encode(text="tekst:N")
    )
    package.add_view("om", "# Om tallene")
    assert publish(package, "target", settings=memory.settings).manifest.overrides == ()
    assert verify("target/fisk", settings=memory.settings).ok


def true_counts(safe: SafeTable) -> pl.DataFrame:
    return safe.frame.with_columns(pl.col("n").fill_null(7))


@pytest.mark.parametrize(
    "draw",
    [
        lambda safe: chart(true_counts(safe)),
        lambda safe: chart(true_counts(safe).drop("kjonn", "status")),
        lambda safe: chart(true_counts(safe).rename({"n": "Antall"})),
        lambda safe: chart(safe.frame.with_columns(andel=pl.col("n") / 400)),
        lambda safe: chart(safe.frame.drop("region", "kjonn", "alder")),
        lambda safe: chart(safe.frame.with_columns(pl.col("n").fill_null(7).cast(pl.String))),
        lambda safe: {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "mark": "point", "data": {"values": [{"deep": {"x": 3}}]}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("linked", [True, False])
def test_a_figure_with_a_number_that_is_not_published_is_refused(
    nothing: Target, safe: SafeTable, draw: Any, linked: bool
) -> None:
    package = open_package_of()
    package.add("tabell", safe)
    package.add_view("figur", draw(safe), resource="tabell" if linked else None)
    error = refusal(package, nothing)
    assert error.rules == ("figure-data",)
    assert "'figur'" in str(error)


def test_a_picture_that_cannot_be_looked_at_is_refused(nothing: Target, safe: SafeTable) -> None:
    class Drawing:
        def savefig(self, target: Any, **options: object) -> None:
            target.write(b"<svg></svg>")

    package = open_package_of()
    package.add("tabell", safe)
    package.add_view("bilde", Drawing(), resource="tabell")
    assert refusal(package, nothing).rules == ("figure-unchecked",)


@pytest.mark.parametrize(
    "figure",
    [
        f"Ring {SYNTHETIC[4]}.",
        {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "mark": "point", "title": SYNTHETIC[4], "data": {"values": [{"a": "x"}]}},
        {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "mark": "point", "data": {"values": [{"a": SYNTHETIC[5]}]}},
    ],
)  # fmt: skip
def test_identity_numbers_in_figures_do_not_go_out(nothing: Target, safe: SafeTable, figure: Any) -> None:
    package = open_package_of()
    package.add("tabell", safe)
    package.add_view("figur", figure)
    assert refusal(package, nothing).rules == ("identity-number",)


def test_a_refused_publish_leaves_the_old_version_and_nothing_else(memory: Target, safe: SafeTable) -> None:
    package = open_package_of()
    package.add("tabell", safe)
    publish(package, "target", settings=memory.settings)
    before = memory.listing()
    package.add("register", pl.DataFrame({"fnr": SYNTHETIC}))
    refusal(package, memory)
    assert memory.listing() == before


def test_rows_refused_on_their_way_out_are_taken_back(
    memory: Target, safe: SafeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream can be judged only when it has passed; nothing of it may stay."""
    from dvengine._gate import PublishGate

    monkeypatch.setattr(PublishGate, "_certificates", lambda self: iter(()))
    table = pa.table({"fnr": SYNTHETIC})
    package = open_package_of()
    package.add("register", pa.RecordBatchReader.from_batches(table.schema, table.to_batches()))
    assert refusal(package, memory).rules == ("identity-number",)
    assert memory.listing() == []


def test_a_frame_that_was_changed_when_added_and_mended_since_is_refused(nothing: Target) -> None:
    """What goes out is what was added; the frame behind it may look as certified again by the time of the gate."""
    counts = pl.DataFrame({"k": ["a", "b", "c"], "n": [3, 9, 20]})
    safe = suppress(Tabulation.from_frame(counts, ["k"]), rule=Threshold(5))
    as_certified = safe.frame["n"].clone()
    safe.frame.replace_column(1, as_certified.fill_null(3))
    package = open_package_of()
    package.add("tabell", safe)
    safe.frame.replace_column(1, as_certified)
    assert safe.table_sha256 == safe.certificate.table_sha256
    assert refusal(package, nothing).rules == ("stale-certificate",)


def test_sums_that_look_like_identity_numbers_by_chance_go_out(memory: Target) -> None:
    """One in 140 whole numbers of eleven digits does; were it a column of identity numbers, far more would."""
    draw = random.Random(3)
    amounts = [draw.randrange(10**10, 10**11) for _ in range(2000)]
    rows = pl.DataFrame({"k": [f"k{i:04}" for i in range(2000)], "n": [9] * 2000, "belop": amounts})
    package = open_package_of()
    package.add("tabell", suppress(Tabulation.from_frame(rows, ["k"], values=["belop"]), rule=Threshold(5)))
    assert publish(package, "target", settings=memory.settings).manifest.overrides == ()
    fields = open_package("target/fisk", settings=memory.settings).descriptor["resources"][0]["schema"]
    assert not [f for f in fields["fields"] if "dvengine:sensitive" in f]


def test_identity_numbers_that_pose_as_sums_are_refused(nothing: Target) -> None:
    rows = pl.DataFrame({"k": list("abcdefgh"), "n": [9] * 8, "belop": NUMBERS})
    package = open_package_of()
    package.add("tabell", suppress(Tabulation.from_frame(rows, ["k"], values=["belop"]), rule=Threshold(5)))
    error = refusal(package, nothing)
    assert error.rules == ("identity-number",)
    assert re.search(r"certain, \d+\.\d% of", str(error))


@pytest.mark.parametrize("where", ["package", "column", "theme"])
def test_identity_numbers_in_names_do_not_go_out(nothing: Target, safe: SafeTable, where: str) -> None:
    number = SYNTHETIC[4]
    package = open_package_of(
        number if where == "package" else "fisk", themes=[number] if where == "theme" else []
    )
    if where == "column":
        rows = pl.DataFrame({number: ["a", "b"], "n": [9, 9]})
        package.add("tabell", suppress(Tabulation.from_frame(rows, [number]), rule=Threshold(5)))
    else:
        package.add("tabell", safe)
    with pytest.raises(Refused) as caught:
        publish(package, "target", settings=nothing.settings)
    assert caught.value.rules == ("identity-number",)


def test_a_number_written_as_text_under_another_name_is_a_number(nothing: Target, safe: SafeTable) -> None:
    filled = true_counts(safe).with_columns(Antall=pl.format("{} %", "n")).drop("n")
    package = open_package_of()
    package.add("tabell", safe)
    package.add_view("figur", alt.Chart(filled).mark_text().encode(text="Antall:N"), resource="tabell")
    assert refusal(package, nothing).rules == ("figure-data",)


def test_the_manifest_says_where_a_suppressed_table_was_counted_from(memory: Target) -> None:
    persons = dataset(pl.DataFrame({"k": ["a"] * 9 + ["b"] * 20}), name="personer")
    safe = suppress(tabulate(persons.pipe(lambda rows: rows), ["k"]), rule=Threshold(5))
    torn = replace(safe, lineage=({**safe.lineage[0], "consistent": False},))
    for given, consistent in ((safe, True), (torn, False)):
        package = open_package_of()
        package.add("tabell", given)
        manifest = publish(package, "target", settings=memory.settings).manifest
        (step,) = manifest.source["lineage"]["tabell"]
        assert (step["table"], step["consistent"], manifest.consistent) == (
            "personer",
            consistent,
            consistent,
        )
