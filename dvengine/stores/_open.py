"""From an alias, a URL or a path to a store. What differs between back ends is a row here."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, S3Store

from dvengine._errors import ConfigError
from dvengine.config import Secret, StoreSettings, load_settings, local_path
from dvengine.stores._faults import boundary
from dvengine.stores._paths import checked
from dvengine.stores._store import ObjectStore

__all__ = ["STORES", "Row", "open_store"]

# A part is retried for half a minute: longer than a server's restart, shorter than a person's patience. The back-off
# is capped so that an endpoint that is not there is told within seconds.
_RETRY = {
    "max_retries": 8,
    "retry_timeout": dt.timedelta(seconds=30),
    "backoff": {
        "init_backoff": dt.timedelta(milliseconds=100),
        "max_backoff": dt.timedelta(seconds=4),
        "base": 2,
    },
}
_CLIENT = {"connect_timeout": dt.timedelta(seconds=5), "timeout": dt.timedelta(seconds=120)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One back end.

    Attributes:
        kind: In words.
        make: Builds the obstore store and says which prefix of it is meant.
        create_only: How ``create`` is made exclusive there.
        tested: ``real`` servers run the contract suite against it, ``emulated`` is said where only an imitation does, and
            ``not here`` where nothing did.
        media_types: Whether a content type is kept.
    """

    kind: str
    make: Callable[[StoreSettings], tuple[Any, str, Path | None]]
    create_only: str
    tested: Literal["real", "emulated", "not here"]
    media_types: bool = True


def _folder(settings: StoreSettings) -> tuple[Any, str, Path | None]:
    if settings.url.host not in (None, "", "localhost"):
        raise ConfigError(
            "a file URL has no host",
            hint="write file:///an/absolute/path, with three slashes, or just the path",
        )
    root = local_path(settings.url.path or "/").resolve()
    if root.exists() and not root.is_dir():
        raise ConfigError(
            f"{root.name!r} is a file, and a store is a folder", hint="name the folder around it"
        )
    return LocalStore(), "/".join(root.parts[1:]), root


_memories: dict[str, MemoryStore] = {}
_memories_lock = threading.Lock()


def _memory(settings: StoreSettings) -> tuple[Any, str, Path | None]:
    name = settings.url.host or ""
    with _memories_lock:
        inner = _memories.setdefault(name, MemoryStore())
    return inner, _prefix(settings), None


def _s3(settings: StoreSettings) -> tuple[Any, str, Path | None]:
    options, plain = _options(
        settings, "endpoint", "region", "virtual_hosted_style_request", "skip_signature"
    )
    plain.setdefault("region", "us-east-1")
    provider = None
    if "access_key_id" in settings.secrets and "secret_access_key" in settings.secrets:
        provider = _S3Credentials(settings.secrets)
        provider()  # a missing variable is told here, by its name, rather than in the middle of an upload
    with boundary(settings.name, "open", ""):
        inner = S3Store(
            _bucket(settings),
            config=plain,  # type: ignore[arg-type]
            client_options=options,
            retry_config=_RETRY,  # type: ignore[arg-type]
            credential_provider=provider,
        )
    return inner, _prefix(settings), None


class _S3Credentials:
    """Asked anew when the last answer has expired, so that rotated keys are picked up in a running job."""

    def __init__(self, secrets: dict[str, Secret]) -> None:
        self._secrets = secrets

    def __call__(self) -> Any:
        token = self._secrets.get("session_token")
        return {
            "access_key_id": self._secrets["access_key_id"].reveal(),
            "secret_access_key": self._secrets["secret_access_key"].reveal(),
            "token": token.reveal() if token else None,
            "expires_at": dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1),
        }


def _google(settings: StoreSettings) -> tuple[Any, str, Path | None]:
    options, plain = _options(settings, "skip_signature")
    if key := settings.secrets.get("service_account_key"):
        plain["service_account_key"] = key.reveal()
    with boundary(settings.name, "open", ""):
        inner = GCSStore(_bucket(settings), config=plain, client_options=options, retry_config=_RETRY)  # type: ignore[arg-type]
    return inner, _prefix(settings), None


def _azure(settings: StoreSettings) -> tuple[Any, str, Path | None]:
    options, plain = _options(settings, "account_name", "endpoint", "use_emulator", "skip_signature")
    for name in ("account_key", "sas_key", "client_id", "client_secret", "tenant_id"):
        if secret := settings.secrets.get(name):
            plain[name] = secret.reveal()
    with boundary(settings.name, "open", ""):
        inner = AzureStore(_bucket(settings), config=plain, client_options=options, retry_config=_RETRY)  # type: ignore[arg-type]
    return inner, _prefix(settings), None


def _bucket(settings: StoreSettings) -> str:
    if not settings.url.host:
        raise ConfigError(f"store {settings.name!r} names no bucket", hint="for example s3://bucket/prefix")
    return settings.url.host


def _prefix(settings: StoreSettings) -> str:
    prefix = settings.url.path.strip("/")
    return checked(prefix, what="prefix") if prefix else ""


def _options(settings: StoreSettings, *names: str) -> tuple[Any, dict[str, Any]]:
    plain = {name: settings.options[name] for name in names if name in settings.options}
    allow_http = settings.options.get("allow_http", "").lower() in ("1", "true", "yes", "on")
    if plain.get("endpoint", "").startswith("http://") and not allow_http:
        raise ConfigError(
            f"the endpoint of store {settings.name!r} is plain http",
            hint="use https, or set allow_http = true",
        )
    return {**_CLIENT, "allow_http": allow_http}, plain


_S3 = Row(kind="S3 and compatible", make=_s3, create_only="If-None-Match: *", tested="real")
_AZ = Row(kind="Azure Blob", make=_azure, create_only="If-None-Match: *", tested="not here")
_GS = Row(kind="Google Cloud Storage", make=_google, create_only="ifGenerationMatch=0", tested="not here")

#: Scheme -> back end.
STORES: dict[str, Row] = {
    "file": Row(kind="local folder", make=_folder, create_only="hard link", tested="real", media_types=False),
    "memory": Row(kind="memory of this process", make=_memory, create_only="a lock", tested="real"),
    "s3": _S3,
    "s3a": _S3,
    "gs": _GS,
    "az": _AZ,
    "abfs": _AZ,
    "abfss": _AZ,
}


def open_store(settings: StoreSettings | str | Path) -> ObjectStore:
    """Open a store by alias, URL, local path or resolved settings. Makes no request and creates nothing.

    Two opens of ``memory://name`` in one process see the same objects.

    Raises:
        ConfigError: No such alias or scheme, or a setting is missing or wrong.

    Example:
        >>> store = open_store("memory://example")
        >>> store.put("a/b.txt", b"hello")
        >>> [(found.path, found.nbytes) for found in open_store("memory://example").list()]
        [('a/b.txt', 5)]
    """
    if not isinstance(settings, StoreSettings):
        settings = load_settings().store(settings)
    row = STORES.get(settings.url.scheme)
    if row is None:
        raise ConfigError(
            f"no store has the scheme {settings.url.scheme!r}",
            hint="known schemes: " + ", ".join(sorted(STORES)),
        )
    inner, base, root = row.make(settings)
    return ObjectStore(
        inner, base, name=settings.name, url=str(settings.url), root=root, media_types=row.media_types
    )
