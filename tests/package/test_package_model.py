"""A package is checked as it is put together: nothing is read, nothing is written, and every error says what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from dvengine import DataPackage, DescriptorError, InputError
from dvengine.package._descriptor import PROFILE, check, problems, strict_json
from dvengine.package._texts import LICENCES, licence, party, plain

FRAME = pl.DataFrame({"kommune": ["0301"], "n": [12]})


def package(**given: Any) -> DataPackage:
    return DataPackage(**({"name": "fisk", "title": "Fangst"} | given))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Fisk"}, {"name": "../x"}, {"title": ""}, {"title": {}}, {"title": {"norsk": "x"}}, {"title": {"nb": ""}}, {"title": None},
        {"title": "\ud800"}, {"description": 7}, {"license": "WTFPL"}, {"license": {}}, {"license": [{}]}, {"license": {"name": 7}},
        {"license": {"name": "x", "url": "y"}}, {"contact": ""}, {"contact": {}}, {"contact": {"email": "no"}}, {"contact": {"phone": "1"}},
        {"publisher": 7}, {"access": "public"}, {"access": None}, {"keywords": "helse"}, {"keywords": [7]}, {"keywords": [""]},
        {"themes": [{"nb": "x"}]}, {"language": "norsk bokmål"}, {"language": ""}, {"sources": [{}]}, {"sources": [{"path": "../x"}]},
        {"sources": [{"path": "file:///etc/hostname"}]}, {"sources": [7]}, {"sources": [{"titel": "x"}]},
    ],
)  # fmt: skip
def test_words_that_are_not_what_they_must_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DescriptorError):
        package(**wrong)


def test_words_are_kept_as_written() -> None:
    words = {"nb": "Sykefravær 😀\nandre linje", "nn": "Sjukefråvær", "en": "Sick leave"}
    made = package(title=words, description="**Fet** & < tekst", keywords=["æ", "æ", "ø"], themes=["HEAL"])
    assert (made.title, made.description, made.keywords) == (words, "**Fet** & < tekst", ("æ", "ø"))
    assert plain(words, "nn") == "Sjukefråvær"
    assert plain({"se": "x", "en": "y"}, "nb") == "y"


@pytest.mark.parametrize("name", LICENCES)
def test_every_known_licence_has_an_address_and_a_title(name: str) -> None:
    given = licence(name.lower())
    assert given["name"] == name
    assert given["path"].startswith("https://")
    assert given["title"]


def test_an_unknown_licence_is_answered_with_the_nearest() -> None:
    with pytest.raises(DescriptorError, match=r"did you mean 'CC-BY-4.0'"):
        licence("CC-BY-4")


def test_people_are_given_as_it_is_convenient() -> None:
    assert party("post@example.org", role="contact")["email"] == "post@example.org"
    assert party({"name": "Etaten", "id": "000000000"}, role="publisher") == {
        "title": "Etaten", "roles": ["publisher"], "dvengine:id": "000000000",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["tall", "TALL", "Tall ", ""])
def test_a_resource_name_that_is_taken_or_shares_a_file_is_refused(name: str) -> None:
    made = package()
    made.add("tall", FRAME)
    with pytest.raises(DescriptorError):
        made.add(name, FRAME)
    assert list(made.resources) == ["tall"]


@pytest.mark.parametrize(
    "data",
    [
        FRAME,
        FRAME.to_pandas(),
        FRAME.to_arrow(),
        FRAME.lazy(),
        FRAME.to_arrow().to_batches()[0],
        pd.DataFrame({"n": [1]}),
    ],
)
def test_any_table_can_be_added_without_reading_it(data: object) -> None:
    made = package()
    made.add("tall", data)
    assert "n" in made.resources["tall"].data.schema.names


def test_adding_reads_no_row() -> None:
    def rows() -> Any:
        raise AssertionError("read")
        yield

    schema = pa.schema([("n", pa.int64())])
    made = package()
    made.add("tall", pa.RecordBatchReader.from_batches(schema, rows()))
    assert made.resources["tall"].data.schema == schema


@pytest.mark.parametrize("data", [None, 7, "x", [1, 2], {"n": 1}, pl.DataFrame(), object()])
def test_what_is_no_table_is_refused(data: object) -> None:
    made = package()
    with pytest.raises(InputError):
        made.add("tall", data)
    assert not made.resources


@pytest.mark.parametrize(
    "fields",
    [
        {"antall": "x"},
        {"n": 7},
        {"n": {"beskrivelse": "x"}},
        {"n": {"unit": {"nb": "x"}}},
        {"n": ""},
        {"n": {"title": ""}},
    ],
)
def test_fields_that_are_not_columns_or_not_texts_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(DescriptorError):
        package().add("tall", FRAME, fields=fields)


def test_a_view_of_a_resource_that_is_not_there_is_refused() -> None:
    made = package()
    made.add("tall", FRAME)
    with pytest.raises(DescriptorError, match="resources: tall"):
        made.add_view("figur", "# Om", resource="tal")
    made.add_view("figur", "# Om", resource="tall")
    with pytest.raises(DescriptorError):
        made.add_view("Figur", "# Om")


def test_repr_holds_no_data() -> None:
    made = package()
    made.add("tall", pl.DataFrame({"fnr": ["01824560079"]}))
    assert "01824560079" not in repr(made) + repr(made.resources) + repr(made.resources["tall"])


def descriptor(**resource: Any) -> dict[str, Any]:
    return {
        "$schema": PROFILE,
        "name": "x",
        "resources": [{"name": "a", "path": ["data/a.parquet"], **resource}],
    }


def test_a_plain_descriptor_has_no_problems() -> None:
    assert (
        problems(descriptor(hash="sha256:" + "0" * 64, schema={"fields": [{"name": "n", "type": "integer"}]}))
        == []
    )


@pytest.mark.parametrize(
    "wrong",
    [
        None, [], 7, {}, {"resources": []}, {"resources": {}}, {"resources": [7]}, {"resources": [{"name": "a"}]},
        {"resources": [{"path": "a.csv"}]}, descriptor(path=["a.csv", "a.csv"]), descriptor(path="../a.csv"), descriptor(path="..\\a.csv"),
        descriptor(path="a.csv/"), descriptor(path="x/../../a.csv"), descriptor(path="/etc/hostname"), descriptor(path="file:///etc/hostname"),
        descriptor(path="%2e%2e/a.csv"), descriptor(path="~/a.csv"), descriptor(hash="sha1:00"), descriptor(hash="zz"),
        descriptor(licenses="MIT"), descriptor(licenses=[{}]), descriptor(bytes="12"), descriptor(mediatype="parquet"),
        descriptor(schema={"fields": [{"name": "a", "type": "integer"}, {"name": "a", "type": "string"}]}),
        descriptor(schema={"fields": [{"name": "", "type": "integer"}]}), descriptor(schema={"fields": [{"name": "a", "type": "heltall"}]}),
        {"resources": [{"name": "a", "path": "a.csv"}, {"name": "a", "path": "b.csv"}]},
    ],
)  # fmt: skip
def test_a_faulty_descriptor_is_found_without_its_values(wrong: Any) -> None:
    found = problems(wrong)
    assert found
    assert not [text for text in found if "hostname" in text or "heltall" in text]
    with pytest.raises(DescriptorError):
        check(wrong)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": {1}}, "\ud800"])
def test_json_is_strict(value: object) -> None:
    with pytest.raises(DescriptorError):
        strict_json({"x": value})
    assert json.loads(strict_json({"stort": 2**53 + 1})) == {"stort": 2**53 + 1}


def test_the_published_examples_are_judged_as_their_authors_meant() -> None:
    folder = Path(__file__).parents[1] / "data/datapackages"
    assert problems(json.loads((folder / "package.json").read_bytes())) == []
    assert problems(json.loads((folder / "package-invalid.json").read_bytes()))
