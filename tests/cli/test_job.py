"""package.toml: from a description to a published, verified package; every mistake is told before anything is written."""

from __future__ import annotations

import inspect
import json
import tomllib
from pathlib import Path

import pytest

import dvengine as dv
from dvengine.cli._job import _RESOURCE_KEYS, _STEP_KEYS, _check, load_package
from dvengine.cli._main import main

HEAD = """
name = "sykefravaer"
title = "Sykefravær"
license = "CC-BY-4.0"
publisher = "The agency"
contact = "statistikk@example.org"
access = "open"
"""

RESOURCE = """
[[resources]]
name = "sykefravaer"
files = "people.csv"
description = "Persons by municipality and sex."
[resources.tabulate]
by = ["region", "kjonn"]
unit = "person_id"
hierarchies = { region = "fylker.csv" }
[resources.suppress]
threshold = 5
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    counts = {
        ("0301", "K"): 40,
        ("0301", "M"): 30,
        ("1103", "K"): 3,
        ("1103", "M"): 22,
        ("1108", "K"): 17,
        ("1108", "M"): 25,
    }
    lines = ["person_id;region;kjonn"]
    for (region, sex), n in counts.items():
        lines += [f"p{len(lines) + i};{region};{sex}" for i in range(n)]
    (tmp_path / "people.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (tmp_path / "fylker.csv").write_text("child,parent\n0301,03\n1103,11\n1108,11\n", "utf-8")
    path = tmp_path / "package.toml"
    path.write_text(HEAD + RESOURCE, "utf-8")
    return path


def test_a_described_package_is_published_verified_found_and_shown(job, tmp_path, capsys):
    settings = tmp_path / "dvengine.toml"
    settings.write_text(
        f'[stores.open-data]\nurl = "{(tmp_path / "store").as_uri()}"\n'
        f'[catalogs.open]\naccess = "open"\nurl = "{(tmp_path / "index").as_uri()}"\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVENGINE_SETTINGS", str(settings))
        assert (
            main(
                [
                    "publish",
                    str(job),
                    "--to",
                    "open-data",
                    "--catalog",
                    "open",
                    "--json",
                    "--progress",
                    "none",
                ]
            )
            == 0
        )
        published = json.loads(capsys.readouterr().out)
        assert (published["version"], published["indexed"]) == (1, True)
        assert main(["verify", "open-data/sykefravaer", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["verified"] is True
        assert main(["search", "sykefravær", "--catalog", "open", "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)["hits"]) == 1
        assert (
            main(["catalog", "build", "--store", "open-data", "--out", str(tmp_path / "site"), "--json"]) == 0
        )
        assert json.loads(capsys.readouterr().out)["packages"] == 1
        frame = dv.open_package("open-data/sykefravaer")["sykefravaer"].to_polars()
    assert frame.filter(region="1103", kjonn="K")["n"].to_list() == [None]
    assert "0301" in frame["region"].to_list()


def test_verify_of_a_damaged_package_exits_4(job, tmp_path, capsys):
    assert main(["publish", str(job), "--to", str(tmp_path / "store"), "--progress", "none"]) == 0
    (part,) = (tmp_path / "store" / "sykefravaer" / "data").iterdir()
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "store" / "sykefravaer"), "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["problems"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (
            ("threshold = 5", "threshold = 5\nfrog = 1"),
            "suppress of resource 'sykefravaer' has unknown keys: frog",
        ),
        (("threshold = 5", 'rule = "threshold(5)"'), "unknown keys: rule"),
        (("threshold = 5", 'table = "x"'), "unknown keys: table"),
        (('unit = "person_id"', 'data = "x"'), "unknown keys: data"),
        (('by = ["region", "kjonn"]', 'bye = ["region", "kjonn"]'), "unknown keys: bye"),
        (('files = "people.csv"', 'source = "people.csv"'), 'files = "people.csv"'),
        (('files = "people.csv"', 'source = "registry"'), "needs either table or query"),
        (
            ('files = "people.csv"', 'source = "registry"\ntable = "person"\ndelimiter = ";"'),
            "belongs to files",
        ),
        (('files = "people.csv"', 'files = "people.csv"\ntable = "person"'), "no table"),
        (('files = "people.csv"', 'files = "people.csv"\nschema = { kjonn = "text" }'), "decimal(12,2)"),
        (('files = "people.csv"', 'files = "people.csv"\nencoding = 8'), "encoding"),
        (('files = "people.csv"', 'files = "nobody-*.csv"'), "nobody"),
        (('files = "people.csv"', 'files = "people.csv"\nsource = "x"'), "either"),
        (('by = ["region", "kjonn"]', 'by = ["region", "sex"]'), "sex"),
        (('region = "fylker.csv"', 'region = "none.csv"'), "none.csv"),
        (('license = "CC-BY-4.0"\n', ""), "license"),
        (('access = "open"', 'acces = "open"'), "DataPackage"),
        (("[[resources]]", "[[resource]]"), "resources"),
        (("[resources.suppress]\nthreshold = 5", ""), "suppress"),
        (('name = "sykefravaer"\ntitle', 'name = "Sykefravær 2"\ntitle'), "name"),
        (("[[resources]]\n", "[[resources]\n"), "TOML"),
    ],
)
def test_every_mistake_names_itself_exits_1_and_writes_nothing(job, tmp_path, capsys, change, word):
    text = job.read_text("utf-8")
    assert change[0] in text
    job.write_text(text.replace(*change), "utf-8")
    store = tmp_path / "store"
    assert main(["publish", str(job), "--to", str(store), "--json", "--progress", "none"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert word in error["message"] + (error["hint"] or "")
    assert not store.exists() or not [path for path in store.rglob("*") if path.is_file()]


def test_csv_columns_get_the_types_that_the_description_gives_them(tmp_path):
    (tmp_path / "tall.csv").write_text(
        "kode|antall|belop|dag|tid|andel|ja\n0301|12|1 000,50|2025-01-02|2025-01-02 03:04:05|0,5|true\n".replace(
            " 000", "000"
        ),
        "latin-1",
    )
    path = tmp_path / "package.toml"
    path.write_text(
        """
name = "tall"
title = "Tall"
[[resources]]
name = "tall"
files = ["tall.csv"]
delimiter = "|"
encoding = "latin-1"
decimal = ","
[resources.schema]
kode = "string"
antall = "integer"
belop = "decimal(12,2)"
dag = "date"
tid = "datetime"
andel = "number"
ja = "boolean"
""",
        "utf-8",
    )
    table = load_package(path).resources["tall"].data.to_arrow()
    assert [str(kind) for kind in table.schema.types] == [
        "string", "int64", "decimal128(12, 2)", "date32[day]", "timestamp[us]", "double", "bool",
    ]  # fmt: skip
    assert table.to_pylist()[0]["kode"] == "0301"
    assert str(table.to_pylist()[0]["belop"]) == "1000.50"


def test_a_table_that_is_not_suppressed_is_told_before_anything_is_read(job):
    text = job.read_text("utf-8").replace("[resources.suppress]\nthreshold = 5", "")
    job.write_text(text.replace("people.csv", "not-there.csv"), "utf-8")
    with pytest.raises(dv.InputError, match="tabulated but not suppressed"):
        load_package(job)


def test_the_reference_page_names_every_key_and_its_example_is_accepted():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "package-toml.md").read_text("utf-8")
    raw = tomllib.loads(page.partition("```toml\n")[2].partition("```")[0])
    for resource in raw.pop("resources"):
        _check(resource)
    dv.DataPackage(**raw)
    keys = {*_RESOURCE_KEYS, *inspect.signature(dv.DataPackage).parameters}.union(*_STEP_KEYS.values())
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []
