from __future__ import annotations

import base64
import hashlib
import hmac
import json
import pickle
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from dvengine import ConfigError, Dataset, InputError
from dvengine.config import Secret, Settings
from dvengine.datasets import from_object
from dvengine.privacy._detect import IdentityScanner
from dvengine.privacy._pseudonymise import METADATA, _Key, pseudonymise

KEY = b"canary-key-0123456789-0123456789-abc"
OTHER = b"another-key-0123456789-0123456789-ab"


def tokens(values: Any, *, kind: Any = "fnr", key: Any = KEY, **more: Any) -> list[str | None]:
    array = values if isinstance(values, pa.Array) else pa.array(values)
    made: list[str | None] = (
        pseudonymise(pa.table({"id": array}), "id", key=key, kind=kind, **more).to_arrow()["id"].to_pylist()
    )
    return made


def test_every_spelling_of_one_number_gives_one_token_and_null_stays_null() -> None:
    spelled = [
        "01824560079",
        " 018245 60079",
        "018245\u00a060079",
        "０１８２４５６００７９",
        "018245-60079",
        "1824560079",
    ]
    made = tokens([*spelled, "01824564015", None])
    assert len(set(made[:6])) == 1
    assert made[6] not in (None, made[0])
    assert made[7] is None
    assert all(len(t) == 26 and set(t) <= set("abcdefghijklmnopqrstuvwxyz234567") for t in made if t)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([5815160160, None]),
        pa.array([5815160160, None], pa.uint64()),
        pa.array([5815160160.0, None]),
        pa.array([Decimal(5815160160), None], pa.decimal128(11, 0)),
        pa.array(["05815160160", None]).dictionary_encode(),
        pa.array(["05815160160", None], pa.large_string()),
    ],
    ids=lambda a: str(a.type),
)  # fmt: skip
def test_numbers_and_text_agree_after_padding(array: pa.Array) -> None:
    assert tokens(array) == [*tokens(["05815160160"]), None]


def test_token_is_the_keyed_hash_of_the_standard_library() -> None:
    derived = hmac.digest(KEY, b"dvengine pseudonym v1\0" + b"\0\0\0\x03fnr" + b"\0\0\0\x01-", "sha256")
    digest = hmac.new(derived, b"01824560079", hashlib.sha256).digest()
    assert tokens(["01824560079"]) == [base64.b32encode(digest).decode().lower()[:26]]


def test_text_ignores_case_blanks_and_composition_and_nothing_else() -> None:
    made = tokens(["Kari@NAV.example", " kari@nav.example ", "\u00c5", "A\u030a", "a", "Ola  Nordmann", "ola\u00a0nordmann", "ukjent", None], kind="text")  # fmt: skip
    assert made[0] == made[1]
    assert made[2] == made[3] != made[4]
    assert made[5] == made[6]
    assert made[8] is None
    assert len(set(made)) == 6


def test_keys_domains_and_kinds_have_nothing_in_common() -> None:
    value = ["01824560079"]
    made = [
        tokens(value), tokens(value, key=OTHER), tokens(value, domain="a"), tokens(value, domain="b"), tokens(value, domain=""),
        tokens(value, domain="-"), tokens(value, kind="text"),
    ]  # fmt: skip
    assert len({t[0] for t in made}) == len(made)


@pytest.mark.parametrize(
    ("values", "count"),
    [
        (["", "ukjent", "01824560079", None, ""], 3),
        (["018245600790", "123"], 2),
        ([123, 5815160160], 1),
        ([0.5, 5815160160.0], 1),
    ],
)
def test_values_that_name_nobody_are_counted_and_not_shown(values: list[Any], count: int) -> None:
    with pytest.raises(InputError) as caught:
        tokens(values)
    text = (
        str(caught.value) + repr(caught.value) + str(caught.value.__cause__) + str(caught.value.__context__)
    )
    assert f"{count} of {len(values)}" in text
    assert "'id'" in text
    for value in values:
        assert not value or str(value) not in text
    kept = tokens(values, invalid="null")
    assert sum(t is None for t in kept) == count + sum(v is None for v in values)


def test_empty_text_is_no_identity() -> None:
    with pytest.raises(InputError, match="2 of 3 values"):
        tokens(["", "  ", "x"], kind="text")


@pytest.mark.parametrize("key", [b"", b"k" * 31, Secret.literal("short", origin="a test")])
def test_short_key_is_refused_without_being_shown(key: Any) -> None:
    with pytest.raises(ConfigError, match="at least 32") as caught:
        tokens(["01824560079"], key=key)
    assert "short" not in str(caught.value)
    assert "kkk" not in str(caught.value)


def test_key_comes_from_settings_by_alias_or_as_a_secret() -> None:
    settings = Settings({"keys": {"registry-key": {"secret": "${PSEUDO}"}}}, environ={"PSEUDO": KEY.decode()})
    by_alias = tokens(["01824560079"], key="registry-key", settings=settings)
    assert by_alias == tokens(["01824560079"], key=Secret.literal(KEY.decode())) == tokens(["01824560079"])
    with pytest.raises(ConfigError, match="no key"):
        tokens(["01824560079"], key="registri-key", settings=settings)
    with pytest.raises(InputError):
        tokens(["01824560079"], key=7)


def test_key_that_changes_before_the_reading_stops_it() -> None:
    held = [KEY.decode(), OTHER.decode()]
    secret = Secret(lambda: held.pop(0), origin="a rotating store")
    data = pseudonymise(pa.table({"id": ["01824560079"]}), "id", key=secret, kind="fnr")
    with pytest.raises(ConfigError, match="changed"):
        data.to_arrow()


def test_key_and_values_are_shown_nowhere() -> None:
    data = pseudonymise(
        pl.DataFrame({"id": ["01824560079", "feil"]}), ["id"], key=KEY, kind="fnr", domain="d"
    )
    shown = [
        repr(data),
        str(data.explain()),
        data._repr_html_(),
        repr(data.schema),
        repr(data._origin),
        repr(vars(data._origin)),
    ]
    with pytest.raises(InputError) as caught:
        data.to_arrow()
    shown += [str(caught.value), repr(caught.value), repr(pickle.loads(pickle.dumps(caught.value)))]
    with pytest.raises(Exception) as other:  # whatever Polars makes of it
        data.pipe(lambda lf: lf.select("id")).to_polars()
    shown += [str(other.value), str(other.value.__cause__), str(other.value.__context__)]
    text = "\n".join(shown)
    assert "canary" not in text
    assert "60079" not in text
    assert "feil" not in text
    with pytest.raises(TypeError):
        pickle.dumps(_Key.of(KEY, None))


def test_key_id_stands_in_the_field_and_tells_nothing_of_the_key() -> None:
    data = pseudonymise(
        pa.table({"id": ["01824560079"], "n": [1]}), ["id"], key=KEY, kind="fnr", domain="prosjekt"
    )
    for schema in (data.schema, data.to_arrow().schema):
        about = json.loads(schema.field("id").metadata[METADATA])
        assert (about["kind"], about["domain"], len(about["key_id"])) == ("fnr", "prosjekt", 16)
        assert schema.field("n").metadata is None
    assert data.to_arrow()["id"].type == pa.string()
    again = pseudonymise(pa.table({"x": ["1"]}), ["x"], key=OTHER)
    assert json.loads(again.schema.field("x").metadata[METADATA])["key_id"] != about["key_id"]
    assert about["key_id"] in str(data.explain())


def test_key_id_survives_parquet(tmp_path: Any) -> None:
    import pyarrow.parquet as pq

    data = pseudonymise(pa.table({"id": ["01824560079"]}), "id", key=KEY, kind="fnr")
    data.write_parquet(tmp_path / "p.parquet")
    assert METADATA in pq.read_schema(tmp_path / "p.parquet").field("id").metadata
    assert METADATA in from_object(pq.read_table(tmp_path / "p.parquet")).schema.field("id").metadata


def test_joins_between_frames_of_any_library_keep_their_rows() -> None:
    left = pseudonymise(
        pd.DataFrame({"fnr": ["05815160160", "01824560079"], "a": [1, 2]}), "fnr", key=KEY, kind="fnr"
    )
    right = pseudonymise(
        pl.DataFrame({"ident": [5815160160, 1824560079, 1824564015], "b": [3, 4, 5]}),
        "ident",
        key=KEY,
        kind="fnr",
    )
    joined = left.to_polars().join(right.to_polars(), left_on="fnr", right_on="ident")
    assert sorted(joined.select("a", "b").rows()) == [(1, 3), (2, 4)]


def test_projection_limit_and_filters_stay_right_over_the_new_values() -> None:
    base = pa.table({"id": ["01824560079", "01824564015", None], "n": [1, 2, 3], "z": ["a", "b", "c"]})
    data = pseudonymise(base, "id", key=KEY, kind="fnr")
    whole = data.to_polars()
    assert whole.columns == ["id", "n", "z"]
    assert data.lazy().select("n").collect()["n"].to_list() == [1, 2, 3]
    assert data.lazy().filter(pl.col("id") == whole["id"][1]).collect()["n"].to_list() == [2]
    assert data.lazy().filter(pl.col("id") == "01824564015").collect().is_empty()
    assert (
        data.lazy().filter(pl.col("n") > 1).select("id").collect()["id"].to_list()
        == whole["id"].to_list()[1:]
    )
    assert data.head(1).height == 1
    assert data.sql("select count(distinct id) as k from self").to_arrow()["k"].to_pylist() == [2]
    assert data.pipe(lambda lf: lf.filter(pl.col("z") == "b")).to_polars()["id"].to_list() == [whole["id"][1]]


def test_whatever_the_cut_tokens_are_the_same_and_empty_data_keep_their_schema() -> None:
    values = [f"{i:011d}" if i % 7 else None for i in range(1000)]
    whole = pa.table({"id": values})
    cut = pa.Table.from_batches(whole.to_batches(max_chunksize=13))
    assert (
        pseudonymise(whole, "id", key=KEY, kind="fnr")
        .to_arrow()
        .equals(pseudonymise(cut, "id", key=KEY, kind="fnr").to_arrow())
    )
    empty = pseudonymise(whole.slice(0, 0), "id", key=KEY, kind="fnr").to_arrow()
    assert (empty.num_rows, empty.schema.field("id").type) == (0, pa.string())
    assert tokens(pa.array([None, None], pa.null())) == [None, None]


def test_pseudonyms_do_not_look_like_identity_numbers() -> None:
    table = pseudonymise(
        pa.table({"id": [f"{i:011d}" for i in range(20_000)]}), "id", key=KEY, kind="fnr"
    ).to_arrow()
    assert len(set(table["id"].to_pylist())) == 20_000
    scanner = IdentityScanner(table.schema)
    for batch in table.to_batches():
        scanner.feed(batch)
    assert scanner.findings() == []


@pytest.mark.parametrize(
    ("table", "columns", "says"),
    [
        (pa.table({"a": ["x"]}), ["b"], "no column 'b'"),
        (pa.table({"a": ["x"]}), [], "no column"),
        (pa.table({"a": [1.5]}), ["a"], "holds no text"),
        (pa.table({"a": [["x"]]}), ["a"], "holds no text"),
        (pa.table({"a": [True]}), "a", "holds no text"),
    ],
)
def test_wrong_columns_are_refused_before_anything_is_read(table: pa.Table, columns: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        pseudonymise(table, columns, key=KEY)
    with pytest.raises(InputError):
        pseudonymise(pa.table({"a": ["x"]}), "a", key=KEY, kind="name")  # type: ignore[arg-type]


def test_memory_does_not_grow_with_rows() -> None:
    def peak(batches: int) -> int:
        schema = pa.schema([("id", pa.int64())])

        def endless() -> Iterator[pa.RecordBatch]:
            for i in range(batches):
                yield pa.record_batch(
                    [pa.array(range(10**10 + i * 2000, 10**10 + i * 2000 + 2000), pa.int64())], schema=schema
                )

        reader = pa.RecordBatchReader.from_batches(schema, endless())
        data: Dataset = pseudonymise(reader, "id", key=KEY, kind="fnr")
        tracemalloc.start()
        for batch in data.batches():
            assert batch.num_rows == 2000
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(2)
    assert peak(40) < peak(4) * 1.5


def test_holder_of_both_keys_can_map_old_tokens_to_new() -> None:
    original = pl.DataFrame({"fnr": ["01824560079", "01824564015"]})
    both = original.select(old="fnr", new="fnr")
    mapped = pseudonymise(
        pseudonymise(both, "old", key=KEY, kind="fnr"), "new", key=OTHER, kind="fnr"
    ).to_polars()
    assert mapped["old"].to_list() == tokens(original["fnr"].to_list())
    assert mapped["new"].to_list() == tokens(original["fnr"].to_list(), key=OTHER)
