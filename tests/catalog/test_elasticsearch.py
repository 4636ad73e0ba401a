"""What only a server can get wrong: mappings, aliases, faults on the wire, log-in."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from elasticsearch import Elasticsearch as Client
from elasticsearch import helpers
from services import HttpProxy

from dvengine._errors import AccessDenied, ConfigError, Conflict, InputError, NotSupported, Unavailable
from dvengine.catalog import _elasticsearch, _mapping, document, open_index
from dvengine.catalog._elasticsearch import ElasticsearchIndex
from dvengine.config import CatalogSettings, Secret, Settings, Url
from dvengine.stores import Manifest

CANARY = "hunter2-canary"


def _doc(name: str = "sykefravaer", version: int = 1, **descriptor: Any) -> dict[str, Any]:
    manifest = Manifest(
        version=version, parent=version - 1, run_id="r", created="2026-11-01T00:00:00Z",
        descriptor={"name": name, "title": name, **descriptor},
    )  # fmt: skip
    return document(manifest, f"s3://open/{name}")


def _open(url: str, alias: str, **secrets: str) -> ElasticsearchIndex:
    hidden = {name: Secret.literal(value) for name, value in secrets.items()}
    index = open_index(CatalogSettings("open", Url.parse(f"{url}/{alias}"), "open", {}, hidden))
    assert isinstance(index, ElasticsearchIndex)
    return index


@pytest.fixture
def client(elasticsearch: Any) -> Iterator[Client]:
    with Client(elasticsearch.url) as opened:
        yield opened


def test_documents_live_in_a_numbered_index_behind_an_alias(elasticsearch: Any, client: Client) -> None:
    alias = elasticsearch.fresh_index()
    index = _open(elasticsearch.url, alias)
    index.put(_doc())
    index.ensure()
    assert list(client.indices.get_alias(name=alias)) == [f"{alias}-m1"]
    assert index.check()["index"] == f"{alias}-m1"


def test_three_hundred_packages_with_columns_of_their_own_add_no_field(
    elasticsearch: Any, client: Client
) -> None:
    alias = elasticsearch.fresh_index()
    index = _open(elasticsearch.url, alias)
    index.ensure()
    before = client.indices.get_mapping(index=alias).body
    documents = [
        _doc(
            f"p{number}",
            resources=[
                {
                    "name": f"r.{number}",
                    "schema": {
                        "fields": [{"name": f"column.{number}.{i}", "type": "string"} for i in range(5)]
                    },
                }
            ],
        )
        for number in range(300)
    ]
    helpers.bulk(
        client, ({"_index": alias, "_id": doc["id"], "_source": doc} for doc in documents), refresh=True
    )
    assert client.indices.get_mapping(index=alias).body == before
    assert index.count() == 300


def test_index_of_an_older_mapping_is_copied_and_the_alias_moved(
    elasticsearch: Any, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias = elasticsearch.fresh_index()
    old = _open(elasticsearch.url, alias)
    old.put(_doc("a", version=7))
    old.put(_doc("b", version=2))
    old.delete(_doc("b")["id"])
    for module in (_mapping, _elasticsearch):
        monkeypatch.setattr(module, "MAPPING_VERSION", 2)
    new = _open(elasticsearch.url, alias)
    new.ensure()
    assert list(client.indices.get_alias(name=alias)) == [f"{alias}-m2"]
    assert [hit.name for hit in new.search("")] == ["a"]
    assert new.put(_doc("a", version=6)) is False
    assert new.put(_doc("b", version=1)) is False
    assert not client.indices.exists(index=f"{alias}-m1")


def test_older_dvengine_leaves_a_newer_index_alone(
    elasticsearch: Any, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias = elasticsearch.fresh_index()
    with monkeypatch.context() as newer:
        for module in (_mapping, _elasticsearch):
            newer.setattr(module, "MAPPING_VERSION", 2)
        _open(elasticsearch.url, alias).put(_doc("a"))
    older = _open(elasticsearch.url, alias)
    older.put(_doc("b"))
    assert list(client.indices.get_alias(name=alias)) == [f"{alias}-m2"]
    assert older.count() == 2


def test_index_that_was_removed_is_made_anew_and_never_guessed_by_the_server(
    elasticsearch: Any, client: Client
) -> None:
    alias = elasticsearch.fresh_index()
    index = _open(elasticsearch.url, alias)
    index.put(_doc())
    client.indices.delete(index=f"{alias}-m1")
    assert index.put(_doc())
    mapping = client.indices.get_mapping(index=alias).body
    assert list(mapping) == [f"{alias}-m1"], "the server guessed an index"
    assert mapping[f"{alias}-m1"]["mappings"]["dynamic"] == "false"


def test_foreign_index_under_our_name_is_left_alone(elasticsearch: Any, client: Client) -> None:
    alias = elasticsearch.fresh_index()
    client.indices.create(index=alias)
    with pytest.raises(Conflict, match="already has the alias's name"):
        _open(elasticsearch.url, alias).put(_doc())


def test_mapping_trouble_names_the_field_and_never_the_value(elasticsearch: Any) -> None:
    index = _open(elasticsearch.url, elasticsearch.fresh_index())
    with pytest.raises(InputError, match="the field 'issued'") as caught:
        index.put(_doc() | {"issued": CANARY})
    assert CANARY not in f"{caught.value!r} {caught.value} {caught.value.__cause__} {caught.value.to_dict()}"


def test_server_that_is_down_is_unavailable_and_retryable() -> None:
    index = _open("http://127.0.0.1:9", "nowhere", password=CANARY)
    for act in (lambda: index.put(_doc()), lambda: index.search("x"), index.count, index.check):
        with pytest.raises(Unavailable) as caught:
            act()
        assert caught.value.retryable
        assert CANARY not in str(caught.value)


def test_busy_server_is_asked_again_and_a_lost_reply_is_harmless(elasticsearch: Any) -> None:
    with HttpProxy(elasticsearch.url) as proxy:
        index = _open(proxy.url, elasticsearch.fresh_index())
        index.ensure()
        proxy.answer(503, times=2, method="PUT", path="_doc")
        assert index.put(_doc("a"))
        proxy.drop_reply(method="PUT", path="_doc")
        assert index.put(_doc("b"))
        assert index.count() == 2
        assert proxy.faults == ["answer 503", "answer 503", "drop_reply"]
        proxy.answer(503, times=50, method="PUT", path="_doc")
        with pytest.raises(Unavailable):
            index.put(_doc("c"))
        index.close()


@pytest.mark.parametrize("status", [401, 403])
def test_wrong_password_is_access_denied_and_never_shown(
    elasticsearch: Any, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with HttpProxy(elasticsearch.url) as proxy:
        proxy.answer(status, times=50, headers={"X-Elastic-Product": "Elasticsearch", "Content-Type": "application/json"},
                     body=b'{"error":{"type":"security_exception","reason":"unable to authenticate hunter2-canary"},"status":%d}' % status)  # fmt: skip
        index = _open(proxy.url, "any", password=CANARY)
        for act in (lambda: index.put(_doc()), lambda: index.search("x"), index.check):
            with pytest.raises(AccessDenied, match=str(status)) as caught:
                act()
            assert CANARY not in f"{caught.value!r}{caught.value}{caught.value.__dict__}"
        index.close()
    # The client's own debug log may hold bodies and answers; ours, and everything from INFO up, must not.
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert CANARY not in " ".join(told)


def test_login_is_sent_as_configured(elasticsearch: Any) -> None:
    with HttpProxy(elasticsearch.url) as proxy:
        host = proxy.url.removeprefix("http://")
        settings = Settings({"catalogs": {"open": {"url": f"http://ola@{host}/{elasticsearch.fresh_index()}", "password": "${PW}"}}},
                            environ={"PW": CANARY})  # fmt: skip
        index = open_index(settings.catalog("open"))
        index.count()
        assert CANARY not in f"{index!r} {index.name} {settings.catalog('open')}"
        index.close()


def test_server_that_is_not_elasticsearch_is_refused_with_a_hint(elasticsearch: Any) -> None:
    with HttpProxy(elasticsearch.url) as proxy:
        proxy.answer(
            200,
            times=50,
            headers={"Content-Type": "application/json"},
            body=b'{"version":{"number":"2.19.6"}}',
        )
        index = _open(proxy.url, "any")
        with pytest.raises(NotSupported, match="does not say that it is Elasticsearch") as caught:
            index.check()
        assert "Elasticsearch 9" in (caught.value.hint or "")
        index.close()


@pytest.mark.parametrize("path", ["/UPPER", "/a b", "/_all", "/,a", "/*"])
def test_address_that_names_no_index_is_a_config_error(path: str) -> None:
    with pytest.raises(ConfigError):
        open_index(CatalogSettings("open", Url.parse(f"http://127.0.0.1:9200{path}")))


def test_password_over_plain_http_is_refused_unless_allowed() -> None:
    secret = {"password": Secret.literal(CANARY)}
    url = Url.parse("http://search.example:9200/open")
    with pytest.raises(ConfigError, match="plain http") as caught:
        open_index(CatalogSettings("open", url, "open", {}, secret))
    assert CANARY not in str(caught.value)
    open_index(CatalogSettings("open", url, "open", {"allow_http": "true"}, secret)).close()


def test_timeout_that_is_no_number_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="timeout"):
        open_index(
            CatalogSettings("open", Url.parse("http://127.0.0.1:9200/open"), "open", {"timeout": "soon"})
        )


def test_two_publishers_may_prepare_the_index_at_once(elasticsearch: Any) -> None:
    alias = elasticsearch.fresh_index()
    indices = [_open(elasticsearch.url, alias) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda pair: pair[1].put(_doc(f"p{pair[0]}")), enumerate(indices)))
    assert done == [True] * 4
    assert indices[0].count() == 4
