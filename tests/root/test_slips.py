"""Slips of the pen are answered with what was meant."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import dvengine as dv
from dvengine.config import Settings

TABLE = pa.table({"n": [1]})


def test_a_bare_word_as_query_is_told_how_to_ask_for_a_table() -> None:
    known = Settings({"sources": {"registry": {"url": "postgresql://127.0.0.1:1/x"}}}, environ={})
    for word in ("person", "ytelse.vedtak"):
        with pytest.raises(dv.InputError) as caught:
            dv.read_sql("registry", word, settings=known)
        assert caught.value.hint == f'for a whole table: table="{word}"'
    dv.read_sql("registry", "table person", settings=known)


def test_a_misspelled_file_is_answered_with_the_nearest(tmp_path: Path) -> None:
    dv.dataset(TABLE).write_parquet(tmp_path / "person")  # a folder with a manifest beside it
    (tmp_path / "folkemengde.csv").write_text("a\n1\n")
    with pytest.raises(dv.NotFound) as caught:
        dv.read_files(tmp_path / "folkemende.csv")
    assert caught.value.hint == "did you mean 'folkemengde.csv'?"
    with pytest.raises(dv.NotFound) as caught:
        dv.read_files(tmp_path / "person" / "zzz.parquet")
    assert "unfinished" not in (caught.value.hint or "")


def test_a_file_that_the_manifest_does_not_list_is_said_to_be_unfinished(tmp_path: Path) -> None:
    dv.dataset(TABLE).write_parquet(tmp_path / "person")
    (tmp_path / "person" / "half.parquet").write_bytes(b"PAR1")
    with pytest.raises(dv.NotFound) as caught:
        dv.read_files(tmp_path / "person" / "half.parquet")
    assert "unfinished write" in (caught.value.hint or "")


def test_a_misspelled_alias_or_resource_is_answered_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known = Settings({"stores": {"open-data": {"url": (tmp_path / "store").as_uri()}}}, environ={})
    package = dv.DataPackage(name="big", title="Big")
    package.add("sykefravaer", TABLE)
    dv.publish(package, "open-data", settings=known)
    with pytest.raises(dv.ConfigError, match="no store named 'open-dta'") as caught:
        dv.open_package("open-dta/big", settings=known)
    assert caught.value.hint == "did you mean 'open-data'?"
    opened = dv.open_package("open-data/big", settings=known)
    with pytest.raises(dv.NotFound) as missing:
        opened["sykefravar"]
    assert missing.value.hint == "did you mean 'sykefravaer'?"
    with pytest.raises(dv.NotFound) as missing:
        opened["zzz"]
    assert missing.value.hint == "resources: sykefravaer"


def test_dir_shows_the_public_names_only() -> None:
    assert [name for name in dir(dv) if not name.startswith("__")] == sorted(dv.__all__)
