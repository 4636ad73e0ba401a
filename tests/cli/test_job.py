"""package.toml: from a description to a published, verified package; every mistake is told before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import dvengine as dv
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
        (("threshold = 5", "threshold = 5\nfrog = 1"), "frog"),
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
