"""What is published reads back equal, by us and by others, on every store."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal
from published import COUNTS, Target, make_package

from dvengine import Conflict, DataPackage, InputError, NotFound, open_package, publish, verify
from dvengine.datasets._build import from_parquet
from dvengine.package._descriptor import problems
from dvengine.stores import CommitLog

EVERYTHING = pa.table(
    {
        "tekst": pa.array(["", "NA", None, "æøå\n😀"]),
        "heltall": pa.array([2**53 + 1, -1, None, 0], pa.int64()),
        "stort": pa.array([2**64 - 1, 0, None, 1], pa.uint64()),
        "belop": pa.array([decimal.Decimal("0.10"), decimal.Decimal("-99999999999999.9999"), None, decimal.Decimal(0)], pa.decimal128(18, 4)),
        "flyt": pa.array([0.1, float("nan"), None, float("inf")]),
        "dag": pa.array([dt.date(2025, 2, 6), None, dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
        "tid": pa.array([0, 1738851502000000, None, -1], pa.timestamp("us", "Europe/Oslo")),
        "lokal": pa.array([0, 1, None, 2], pa.timestamp("us")),
        "varighet": pa.array([1, None, -5, 0], pa.duration("us")),
        "ja": pa.array([True, False, None, True]),
        "liste": pa.array([[1, None], [], None, [3]], pa.list_(pa.int32())),
        "post": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": ""}, {"a": 2, "b": None}]),
        "kategori": pa.array(["lav", "høy", None, "middels"]).dictionary_encode(),
        "byte": pa.array([b"", b"\x00\xff", None, b"a"]),
        "tom": pa.nulls(4),
    }
)  # fmt: skip


def test_a_package_reads_back_as_it_was(target: Target) -> None:
    release = publish(make_package(), "target", settings=target.settings)
    assert (release.version, release.rows, release.parts, release.indexed) == (1, 4, 1, False)
    opened = open_package("target/fisk", settings=target.settings)
    assert_frame_equal(opened["tall"].to_polars(), COUNTS)
    assert (list(opened), opened.version, opened.versions, len(opened)) == (["tall"], 1, (1,), 1)
    report = verify("target/fisk", settings=target.settings)
    assert report.problems == ()
    assert len(report.checks) >= 8
    assert sum(info.nbytes for info in target.store().list("fisk/data")) == release.nbytes


def test_every_type_reads_back_equal_and_is_described_strictly(target: Target) -> None:
    package = make_package()
    package.add("alt", EVERYTHING)
    release = publish(package, "target", settings=target.settings)
    opened = open_package(release.url, settings=target.settings)
    back = opened["alt"].to_arrow()
    assert back.schema == package.resources["alt"].data.schema
    # equals() says that NaN differs from itself; text does not.
    assert str(back.to_pylist()) == str(EVERYTHING.to_pylist())
    copy = target.store().get("fisk/datapackage.json")

    def refuse(token: str) -> object:
        raise AssertionError(token)

    descriptor = json.loads(copy, parse_constant=refuse)
    assert descriptor == opened.descriptor
    assert problems(descriptor) == []
    schema = descriptor["resources"][1]["schema"]
    assert schema["missingValues"] == []
    nulls = {f["name"]: f["dvengine:nulls"] for f in schema["fields"]}
    assert nulls == {name: 4 if name == "tom" else 1 for name in EVERYTHING.column_names}
    assert verify(release.url, settings=target.settings).problems == ()


def test_an_order_of_categories_survives_with_those_that_no_row_has(memory: Target) -> None:
    levels = pd.Categorical(["høy", "lav", None], categories=["lav", "middels", "høy"], ordered=True)
    package = make_package()
    package.add("nivå", pd.DataFrame({"nivå": levels}))
    publish(package, "target", settings=memory.settings)
    opened = open_package("target/fisk", settings=memory.settings)
    field = opened.descriptor["resources"][1]["schema"]["fields"][0]
    assert (field["type"], field["categories"], field["categoriesOrdered"]) == (
        "string",
        ["lav", "middels", "høy"],
        True,
    )
    back = opened["nivå"].to_pandas()["nivå"]
    assert back.cat.ordered
    assert list(back.cat.categories) == ["lav", "middels", "høy"]
    assert verify("target/fisk", settings=memory.settings).problems == ()


def test_others_read_the_parts_that_the_descriptor_lists(tmp_path: Path) -> None:
    parts = pl.DataFrame({"id": range(1000), "navn": [f"n{i}" for i in range(1000)]})
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(3):
        parts[index * 400 : (index + 1) * 400].write_parquet(folder / f"{index}.parquet")
    from dvengine.stores import open_store

    package = make_package()
    package.add(
        "delt", from_parquet(open_store(folder), ["0.parquet", "1.parquet", "2.parquet"], name="delt")
    )
    publish(package, tmp_path / "out")
    home = tmp_path / "out/fisk"
    listed = json.loads((home / "datapackage.json").read_bytes())["resources"][1]
    paths = [str(home / path) for path in listed["path"]]
    assert len(paths) == 3 == len(listed["dvengine:parts"])
    assert "hash" not in listed
    want = parts.sort("id")
    assert_frame_equal(pl.concat([pl.read_parquet(path) for path in paths]).sort("id"), want)
    assert_frame_equal(
        pl.from_arrow(pa.concat_tables([pq.read_table(path) for path in paths])).sort("id"), want
    )  # type: ignore[arg-type]
    assert_frame_equal(pl.from_pandas(pd.concat([pd.read_parquet(path) for path in paths])).sort("id"), want)
    assert_frame_equal(duckdb.sql(f"select * from read_parquet({paths!r}) order by id").pl(), want)


def test_the_second_publish_is_version_two_and_both_read(target: Target) -> None:
    publish(make_package(), "target", settings=target.settings)
    changed = DataPackage(name="fisk", title="Fangst")
    changed.add("tall", COUNTS.head(1))
    release = publish(changed, "target", settings=target.settings)
    assert (release.version, release.manifest.parent) == (2, 1)
    now = open_package("target/fisk", settings=target.settings)
    assert (now.version, now.versions, now["tall"].to_polars().height) == (2, (1, 2), 1)
    before = open_package("target/fisk", version=1, settings=target.settings)
    assert_frame_equal(before["tall"].to_polars(), COUNTS)
    assert verify("target/fisk", version=1, settings=target.settings).ok


def test_an_open_reader_keeps_its_version_while_another_is_published(memory: Target) -> None:
    publish(make_package(), "target", settings=memory.settings)
    opened = open_package("target/fisk", settings=memory.settings)
    changed = DataPackage(name="fisk", title="Fangst")
    changed.add("tall", COUNTS.head(1))
    publish(changed, "target", settings=memory.settings)
    assert_frame_equal(opened["tall"].to_polars(), COUNTS)


def test_tables_stand_in_the_order_in_which_they_were_added(memory: Target) -> None:
    package = make_package()
    package.add("a", COUNTS)
    publish(package, "target", settings=memory.settings)
    assert list(open_package("target/fisk", settings=memory.settings)) == ["tall", "a"]


def test_an_empty_table_keeps_its_columns(target: Target) -> None:
    package = make_package()
    package.add("ingen", COUNTS.clear())
    release = publish(package, "target", settings=target.settings)
    assert release.manifest.rows == {"tall": 4, "ingen": 0}
    assert_frame_equal(
        open_package(release.url, settings=target.settings)["ingen"].to_polars(), COUNTS.clear()
    )
    assert verify(release.url, settings=target.settings).ok


@pytest.mark.parametrize(
    "form", ["{url}", "{url}/", "{url}/datapackage.json", "target/fisk", "target/fisk/datapackage.json"]
)
def test_a_package_is_found_by_each_of_its_addresses(target: Target, form: str) -> None:
    release = publish(make_package(), "target", settings=target.settings)
    opened = open_package(form.format(url=release.url), settings=target.settings)
    assert (opened.url, opened.version) == (release.url, 1)
    assert opened["tall"].to_polars().height == 4


def test_a_local_package_is_found_by_path_and_still_reads_when_it_was_moved(tmp_path: Path) -> None:
    publish(make_package(), tmp_path / "store")
    assert open_package(tmp_path / "store/fisk")["tall"].to_polars().height == 4
    assert open_package(str(tmp_path / "store/fisk/datapackage.json")).version == 1
    (tmp_path / "store/fisk").rename(tmp_path / "elsewhere")
    moved = open_package(tmp_path / "elsewhere")
    assert_frame_equal(moved["tall"].to_polars(), COUNTS)
    assert verify(tmp_path / "elsewhere").ok


def test_readers_do_not_trust_the_copy(memory: Target) -> None:
    publish(make_package(), "target", settings=memory.settings)
    memory.store().put("fisk/datapackage.json", b'{"resources": []}')
    assert list(open_package("target/fisk", settings=memory.settings)) == ["tall"]
    report = verify("target/fisk", settings=memory.settings)
    assert report.ok
    assert any("NOT the current" in check for check in report.checks)


def test_what_is_not_there_is_not_found(target: Target) -> None:
    with pytest.raises(NotFound):
        open_package("target/fisk", settings=target.settings)
    publish(make_package(), "target", settings=target.settings)
    with pytest.raises(NotFound, match="version 2"):
        open_package("target/fisk", version=2, settings=target.settings)
    with pytest.raises(InputError):
        open_package("target/fisk", version=0, settings=target.settings)
    opened = open_package("target/fisk", settings=target.settings)
    with pytest.raises(KeyError):
        opened["annet"]
    with pytest.raises(NotFound):
        opened["annet"]
    assert "annet" not in opened
    assert [*opened] == ["tall"]
    assert opened.get("annet") is None


def test_a_withdrawn_package_is_not_found_and_the_next_publish_goes_on(memory: Target) -> None:
    from dataclasses import replace

    release = publish(make_package(), "target", settings=memory.settings)
    tombstone = replace(
        release.manifest, version=2, parent=1, run_id="t", state="withdrawn", parts={}, rows={}, files=()
    )
    CommitLog(memory.store(), "fisk").commit(tombstone)
    for version in (None, 1, 2):
        with pytest.raises(NotFound, match="withdrawn"):
            open_package("target/fisk", version=version, settings=memory.settings)
    assert publish(make_package(), "target", settings=memory.settings).version == 3
    assert open_package("target/fisk", settings=memory.settings).version == 3


def test_foreign_things_at_the_target_are_a_conflict_before_any_work(target: Target) -> None:
    target.store().put("fisk/datapackage.json", b"{}")
    with pytest.raises(Conflict):
        publish(make_package(), "target", settings=target.settings)
    assert target.listing() == ["fisk/datapackage.json"]
    target.store().delete("fisk/datapackage.json")
    target.store().put("fisk/data/theirs.parquet", b"x")
    with pytest.raises(Conflict):
        publish(make_package(), "target", settings=target.settings)
    assert target.listing() == ["fisk/data/theirs.parquet"]


def test_what_a_dead_run_left_behind_is_no_conflict(target: Target) -> None:
    target.store().put("fisk/data/tall-01234567-00000.parquet", b"half")
    assert publish(make_package(), "target", settings=target.settings).version == 1
    assert verify("target/fisk", settings=target.settings).ok


def test_a_stream_is_published_once(memory: Target) -> None:
    reader = pa.RecordBatchReader.from_batches(COUNTS.to_arrow().schema, COUNTS.to_arrow().to_batches())
    package = DataPackage(name="fisk", title="Fangst")
    package.add("tall", reader)
    publish(package, "target", settings=memory.settings)
    assert_frame_equal(open_package("target/fisk", settings=memory.settings)["tall"].to_polars(), COUNTS)


def test_plain_tables_need_no_solver(tmp_path: Path) -> None:
    """The extra ``privacy`` is for suppressed tables; without it the rest works, and what does not says what to install."""
    code = """
import sys
for name in ("scipy", "highspy", "vl_convert", "elasticsearch", "jinja2"):
    sys.modules[name] = None
import polars as pl
import dvengine as dv
package = dv.DataPackage(name="fisk", title="Fangst")
package.add("tall", pl.DataFrame({"n": [1]}))
package.add_view("om", "# Om")
release = dv.publish(package, sys.argv[1])
assert dv.verify(release.url).ok
assert dv.open_package(release.url)["tall"].to_polars().height == 1
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "store")],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_repr_shows_names_and_numbers_only(memory: Target) -> None:
    package = make_package()
    package.add("mer", pl.DataFrame({"hemmelig": [918273645]}))
    release = publish(package, "target", settings=memory.settings)
    opened = open_package("target/fisk", settings=memory.settings)
    assert "4 rows" in repr(opened)
    for shown in (package, release, opened, verify("target/fisk", settings=memory.settings)):
        assert "918273645" not in repr(shown)
        assert "0301" not in repr(shown)
