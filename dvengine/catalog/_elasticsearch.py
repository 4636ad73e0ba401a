"""The index in Elasticsearch: a numbered index behind an alias, documents under external versions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dvengine._errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    DvengineError,
    InputError,
    NotFound,
    NotSupported,
    Unavailable,
)
from dvengine._extras import require
from dvengine.catalog._index import Hit, Hits, checked_filters
from dvengine.catalog._mapping import MAPPING_VERSION, index_body, query
from dvengine.config import CatalogSettings

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

__all__ = ["ElasticsearchIndex"]

_ALIAS = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}")
_RETRIED = (429, 502, 503, 504)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_YES = ("1", "true", "yes", "on")
_COPIED_AT_ONCE = 200


class ElasticsearchIndex:
    """See `Index`. The address is ``http(s)://user@host:port/alias``; the alias is ``dvengine`` where none is given.

    Guarantees: an index is made only by `ensure` (also called by the first `put`), never by a stray write; a request is tried
    four times with growing pauses, which is harmless because every write carries its version.
    """

    def __init__(self, settings: CatalogSettings) -> None:
        require("elasticsearch", extra="search")
        url = settings.url
        prefix, _, alias = url.path.rstrip("/").rpartition("/")
        self.name = settings.name
        self._alias = settings.options.get("index") or alias or "dvengine"
        if not _ALIAS.fullmatch(self._alias):
            raise ConfigError(
                f"catalogue {settings.name!r} names no valid index",
                hint="https://host:9200/name, where name is lower-case letters, digits, hyphens",
            )
        plain = url.scheme == "http" and url.host not in _LOOPBACK
        if plain and settings.secrets and settings.options.get("allow_http", "").lower() not in _YES:
            raise ConfigError(
                f"catalogue {settings.name!r} would send its password over plain http",
                hint="use https, or set allow_http = true",
            )
        try:
            self._timeout = float(settings.options.get("timeout", 10))
        except ValueError:
            raise ConfigError(f"catalogs.{settings.name}.timeout must be a number of seconds") from None
        self._index = f"{self._alias}-m{MAPPING_VERSION}"
        port = url.port or (443 if url.scheme == "https" else 9200)
        host = f"[{url.host}]" if url.host and ":" in url.host else url.host
        self._host = f"{url.scheme}://{host}:{port}{prefix}"
        self._settings = settings
        self._client: Elasticsearch | None = None
        self._ready = False

    def ensure(self) -> None:
        """See `Index.ensure`. An index of an older mapping is copied into a new one, and the alias moved in one step."""
        with self._mapped() as client:
            current = self._behind_alias(client)
            if any(_mapping_version(name, self._alias) >= MAPPING_VERSION for name in current):
                self._ready = True
                return
            if client.indices.exists(index=self._alias) and not current:
                raise Conflict(
                    f"catalogue {self.name!r}: an index already has the alias's name",
                    hint="it was made by something else; choose another name in the catalogue's URL",
                )
            if not client.indices.exists(index=self._index):
                self._create(client)
            self._copy(client, current)
            moves = [{"remove": {"index": old, "alias": self._alias}} for old in current]
            add = {"add": {"index": self._index, "alias": self._alias, "is_write_index": True}}
            client.indices.update_aliases(actions=[*moves, add])
            # Once more, for what was written to the old index while the first copy ran; versions make it harmless.
            self._copy(client, current)
            for old in current:
                client.options(ignore_status=404).indices.delete(index=old)
        self._ready = True

    def put(self, document: Mapping[str, Any]) -> bool:
        """See `Index.put`."""
        if not self._ready:
            self.ensure()
        try:
            return self._put(document)
        except (
            NotFound
        ):  # somebody removed the index since: make it anew, rather than let the server guess one
            self.ensure()
            return self._put(document)

    def _put(self, document: Mapping[str, Any]) -> bool:
        try:
            with self._mapped() as client:
                # external_gte: the same version again replaces itself, so that indexing anew after an upgrade takes effect.
                client.index(
                    index=self._alias,
                    id=str(document["id"]),
                    document=document,
                    version=int(document["version"]),
                    version_type="external_gte",
                    require_alias=True,
                    refresh=True,
                )
        except Conflict:
            return False
        return True

    def delete(self, identifier: str) -> None:
        """See `Index.delete`. A tombstone keeps the version: Elasticsearch itself forgets a deleted one after a minute."""
        try:
            with self._mapped() as client:
                version = int(client.get(index=self._alias, id=identifier, source=False)["_version"])
        except NotFound:
            return
        self.put({"id": identifier, "version": version, "withdrawn": True})

    def search(
        self, text: str, *, filters: Mapping[str, str | Sequence[str]] | None = None, size: int = 20
    ) -> Hits:
        """See `Index.search`. A catalogue that nothing has been published to is empty, not an error."""
        body = query(text, checked_filters(filters))
        # By value: sorting on _score first keeps relevance, and the rest makes an answer the same every time.
        order: list[dict[str, Any]] = [
            {"_score": "desc"},
            {"modified": {"order": "desc", "unmapped_type": "date"}},
            {"id": {"order": "asc", "unmapped_type": "keyword"}},
        ]
        with self._mapped() as client:
            answer = client.search(
                index=self._alias, query=body, size=size, sort=order, track_total_hits=True, track_scores=True,
                ignore_unavailable=True, allow_no_indices=True,
            )  # fmt: skip
        found = answer["hits"]
        hits = tuple(Hit.of(hit["_source"], float(hit["_score"] or 0.0)) for hit in found["hits"])
        return Hits(int(found["total"]["value"]), hits)

    def count(self) -> int:
        """See `Index.count`."""
        with self._mapped() as client:
            answer = client.count(
                index=self._alias, query=query("", {}), ignore_unavailable=True, allow_no_indices=True
            )
        return int(answer["count"])

    def check(self) -> dict[str, str]:
        """See `Index.check`."""
        with self._mapped() as client:
            version = str(client.info()["version"]["number"])
            behind = self._behind_alias(client)
        facts = {
            "kind": "elasticsearch",
            "server": version,
            "alias": self._alias,
            "index": ", ".join(behind) or "none yet",
        }
        return facts | {"packages": str(self.count())}

    def close(self) -> None:
        """See `Index.close`."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connect(self) -> Elasticsearch:
        from elasticsearch import Elasticsearch

        if self._client is None:
            secrets, options, url = self._settings.secrets, self._settings.options, self._settings.url
            login: dict[str, Any] = {}
            if "api_key" in secrets:
                login["api_key"] = secrets["api_key"].reveal()
            elif "password" in secrets:
                login["basic_auth"] = (
                    options.get("user") or url.user or "elastic",
                    secrets["password"].reveal(),
                )
            if "ca_certs" in options:
                login["ca_certs"] = options["ca_certs"]
            self._client = Elasticsearch(
                self._host,
                max_retries=3,
                retry_on_status=_RETRIED,
                retry_on_timeout=True,
                retry_backoff_base=0.2,
                retry_backoff_cap=2.0,
                request_timeout=self._timeout,
                **login,
            )
        return self._client

    def _create(self, client: Elasticsearch) -> None:
        from elasticsearch import BadRequestError

        try:
            client.indices.create(index=self._index, **index_body())
        except BadRequestError as error:
            if str(error.error) != "resource_already_exists_exception":  # another publisher was first
                raise

    def _behind_alias(self, client: Elasticsearch) -> list[str]:
        from elasticsearch import NotFoundError

        try:
            return sorted(client.indices.get_alias(name=self._alias).body)
        except NotFoundError:
            return []

    def _copy(self, client: Elasticsearch, indices: Sequence[str]) -> None:
        from elasticsearch import helpers

        for old in indices:
            client.indices.refresh(index=old)
            found = helpers.scan(client, index=old, size=_COPIED_AT_ONCE, version=True)
            actions = (
                {"_index": self._index, "_id": hit["_id"], "_source": hit["_source"], "version": hit["_version"],
                 "version_type": "external_gte"}
                for hit in found
            )  # fmt: skip
            failed = [
                item["index"].get("_id", "?")
                for ok, item in helpers.streaming_bulk(client, actions, raise_on_error=False)
                if not ok and item["index"].get("status") != 409
            ]
            if failed:
                raise Conflict(
                    f"catalogue {self.name!r}: {len(failed)} documents do not fit the new index; the old one stays in use",
                    hint="index these packages again: " + ", ".join(failed[:5]),
                )
        client.indices.refresh(index=self._index)

    @contextmanager
    def _mapped(self) -> Iterator[Elasticsearch]:
        """Give the client, and turn what it raises into the house's errors: its own text may hold values and addresses."""
        import elasticsearch as es

        where = f"catalogue {self.name!r}"
        failure: DvengineError
        try:
            yield self._connect()
        except es.UnsupportedProductError:
            failure = NotSupported(
                f"{where}: the server does not say that it is Elasticsearch",
                hint="Elasticsearch 9 is needed; OpenSearch and older servers are not spoken to",
            )
        except es.ApiError as error:
            failure = _mapped_status(where, error.meta.status, str(error.error), error.body)
        except es.TransportError as error:
            kind = type(error).__name__
            if isinstance(error, es.SerializationError):
                failure = InputError(f"{where}: a document or an answer is not valid JSON")
            elif kind == "TlsError":
                failure = Unavailable(
                    f"{where}: no secure connection",
                    hint="check ca_certs and the host's name",
                    retryable=False,
                )
            else:
                failure = Unavailable(
                    f"{where}: the index does not answer ({kind})",
                    hint="what is published stays; index it later",
                )
        else:
            return
        raise failure from None


def _mapping_version(index: str, alias: str) -> int:
    suffix = index.removeprefix(f"{alias}-m")
    return int(suffix) if suffix.isdecimal() else 0


def _mapped_status(where: str, status: int, kind: str, body: object) -> DvengineError:
    if status in (401, 403):
        return AccessDenied(
            f"{where}: the index refuses us (HTTP {status})", hint="check user, password or api_key"
        )
    if status == 404:
        return NotFound(f"{where}: no such index or document", hint="publish to the catalogue first")
    if status == 409:
        return Conflict(f"{where}: a newer version is already indexed")
    if status == 406 or "media_type_header" in kind:
        return NotSupported(
            f"{where}: the server does not speak to this client", hint="Elasticsearch 9 is needed"
        )
    if status == 429 or status >= 500:
        return Unavailable(f"{where}: the index is busy or broken (HTTP {status})", hint="try again later")
    return InputError(f"{where}: the index does not accept {_field(body)} (HTTP {status}, {_word(kind)})")


def _field(body: object) -> str:
    """Name the field that was refused: only one of ours, because the server's text may quote the value."""
    named = re.findall(r"field \[([a-zA-Z.]{1,60})\]", str(body))
    known = _fields(index_body()["mappings"]["properties"])
    return next((f"the field {name!r}" for name in named if name in known), "the request")


def _fields(properties: Mapping[str, Any], prefix: str = "") -> set[str]:
    names: set[str] = set()
    for name, rule in properties.items():
        names |= {prefix + name} | _fields(rule.get("properties", {}), f"{prefix}{name}.")
    return names


def _word(kind: str) -> str:
    return kind if re.fullmatch(r"[a-z_]{1,60}", kind) else "error"
