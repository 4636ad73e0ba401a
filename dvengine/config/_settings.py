"""Aliases in one TOML file: sources, stores, catalogues and keys by name.

Precedence, highest first, for every setting: an argument of the call; the environment
(``DVENGINE_SOURCES__REGISTRY__PASSWORD``); the file. The file is ``DVENGINE_SETTINGS``, else ``dvengine.toml`` in the
working directory, else ``~/.config/dvengine/settings.toml``. Only absence means "not set"; an empty string is a value.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from dvengine._arguments import typed
from dvengine._errors import ConfigError
from dvengine.config._secrets import Secret, expand, references
from dvengine.config._urls import Url, is_secret, local_path

__all__ = ["CatalogSettings", "Settings", "SourceSettings", "StoreSettings", "load_settings"]

Access = Literal["open", "internal", "restricted"]


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where a source is, and the secret to be let in. ``name`` is the alias, or the safe URL where there is none."""

    name: str
    url: Url
    password: Secret | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where a store is. ``options`` are plain (``endpoint``, ``region``), ``secrets`` are not (``access_key_id``, …)."""

    name: str
    url: Url
    options: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CatalogSettings:
    """A catalogue: who may read it, and the index behind it (``http(s)://`` is Elasticsearch, anything else a store of files)."""

    name: str
    url: Url
    access: Access = "internal"
    options: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)


_PLAIN_STORE_OPTIONS = {
    "endpoint",
    "region",
    "virtual_hosted_style_request",
    "allow_http",
    "skip_signature",
    "account_name",
    "use_emulator",
}

_STORE_SECRETS = {
    "access_key_id", "secret_access_key", "session_token", "service_account_key", "account_key", "sas_key", "client_id",
    "client_secret", "tenant_id",
}  # fmt: skip
#: A source's driver has options of its own, so that its keys are not listed.
_ROW_KEYS = {
    "stores": {"url", *_PLAIN_STORE_OPTIONS, *_STORE_SECRETS},
    "catalogs": {
        "url", "access", "index", "timeout", "user", "password", "api_key", "ca_certs", *_PLAIN_STORE_OPTIONS, *_STORE_SECRETS,
    },
    "keys": {"secret"},
}  # fmt: skip
_TOP_KEYS = ("sources", "stores", "catalogs", "keys", "secrets_directory")

_ALIAS = re.compile(r"[\w.-]+")


class Settings:
    """The aliases, resolved late: a secret is read when its holder needs it, not when the file is.

    Example:
        >>> settings = Settings({"sources": {"registry": {"url": "postgresql://db/reg", "password": "${PW}"}}}, environ={"PW": "x"})
        >>> settings.source("registry").password
        Secret(from sources.registry.password)
    """

    @typed(ConfigError)
    def __init__(
        self, raw: Mapping[str, Any], *, origin: str = "given", environ: Mapping[str, str] | None = None
    ) -> None:
        for key in raw:
            if key not in _TOP_KEYS:
                raise ConfigError(
                    f"the settings ({origin}) have an unknown key {key!r}", hint=_near(key, _TOP_KEYS)
                )
        self._raw = raw
        self.origin = origin
        self._environ = os.environ if environ is None else environ
        directory = raw.get("secrets_directory") or self._environ.get("DVENGINE_SECRETS")
        self._secrets = Path(directory) if directory else None

    def __repr__(self) -> str:
        names = {kind: self.names(kind) for kind in ("sources", "stores", "catalogs", "keys")}
        return f"Settings(from {self.origin}: {names})"

    def names(self, kind: str) -> list[str]:
        """Return the aliases of one kind (``sources``, ``stores``, ``catalogs``, ``keys``), sorted."""
        prefix = f"DVENGINE_{kind.upper()}__"
        from_environ = {
            k[len(prefix) :].partition("__")[0].lower().replace("_", "-")
            for k in self._environ
            if k.startswith(prefix)
        }
        listed = self._table(kind)
        known = {name.lower().replace("_", "-") for name in listed}
        return sorted({*listed, *(from_environ - known)})

    def _table(self, kind: str) -> Mapping[str, Any]:
        listed = self._raw.get(kind, {})
        if not isinstance(listed, Mapping):
            raise ConfigError(f"{kind} must be tables", hint=f'write [{kind}.alias], then url = "…" below it')
        return listed

    def origins(self, kind: str, name: str) -> dict[str, str]:
        """Say where each setting of an alias comes from: the file, an environment variable or a secret file, by name.

        Example:
            >>> raw = {"keys": {"k": {"secret": "${PW}"}}}
            >>> Settings(raw, origin="dvengine.toml", environ={"PW": "x"}).origins("keys", "k")
            {'secret': 'dvengine.toml, environment PW'}
        """
        prefix = self._prefix(kind, name)
        found = {}
        for key, value in self._row(kind, name).items():
            variable = next(
                (v for v in self._environ if v.startswith(prefix) and v[len(prefix) :].lower() == key), None
            )
            places = [f"environment {variable}" if variable else self.origin]
            places += references(str(value), environ=self._environ, secrets=self._secrets)
            found[key] = ", ".join(places)
        return found

    def source(self, name: str) -> SourceSettings:
        """Resolve a source by alias or URL."""
        url, row = self._locate("sources", name)
        password = self._secret("sources", name, row, "password") or url.password
        rest = {k: v for k, v in row.items() if k not in ("url", "password")}
        hidden = {k: s for k in rest if is_secret(k) and (s := self._secret("sources", name, row, k))}
        if hidden:
            url = replace(url, secrets={**(url.secrets or {}), **hidden})
        options = {k: self._plain("sources", name, k, v) for k, v in rest.items() if k not in hidden}
        return SourceSettings(name if row else str(url), url, password, options)

    def store(self, name: str | Path) -> StoreSettings:
        """Resolve a store by alias, URL or local path."""
        if isinstance(name, Path) or (
            isinstance(name, str) and "://" not in name and ("/" in name or name in (".", ".."))
        ):
            return StoreSettings(str(name), Url("file", None, None, None, str(local_path(name)), {}))
        url, row = self._locate("stores", name)
        options = {
            **{k: v for k, v in url.options.items() if k in _PLAIN_STORE_OPTIONS},
            **{
                k: str(self._plain("stores", name, k, v)) for k, v in row.items() if k in _PLAIN_STORE_OPTIONS
            },
        }
        secrets = dict(url.secrets or {})
        for key in row:
            if (
                key != "url"
                and key not in _PLAIN_STORE_OPTIONS
                and (secret := self._secret("stores", name, row, key))
            ):
                secrets[key] = secret
        return StoreSettings(name if row else str(url), url, options, secrets)

    def catalog(self, name: str) -> CatalogSettings:
        """Resolve a catalogue by alias, URL or local path. One given by address only is ``internal``."""
        if "://" not in name and "/" in name:
            return CatalogSettings(name, Url("file", None, None, None, str(local_path(name)), {}))
        url, row = self._locate("catalogs", name)
        access = row.get("access", "internal")
        if access not in ("open", "internal", "restricted"):
            raise ConfigError(f"catalogs.{name}.access must be open, internal or restricted")
        secrets = {k: s for k in row if is_secret(k) and (s := self._secret("catalogs", name, row, k))}
        if url.password and "password" not in secrets:
            secrets["password"] = url.password
        rest = {k: v for k, v in row.items() if k not in ("url", "access") and not is_secret(k)}
        options = {k: str(self._plain("catalogs", name, k, v)) for k, v in rest.items()}
        return CatalogSettings(name if row else str(url), url, access, options, secrets)

    def key(self, name: str) -> Secret:
        """Resolve a pseudonymisation key by alias.

        Raises:
            ConfigError: No such key.
        """
        row = self._row("keys", name)
        secret = self._secret("keys", name, row, "secret")
        if secret is None:
            # The name is not repeated: somebody may have passed the key itself.
            raise ConfigError("no key of that name", hint=self._suggest("keys", name))
        return secret

    def _row(self, kind: str, name: str) -> dict[str, Any]:
        row = self._table(kind).get(name, {})
        if not isinstance(row, Mapping):
            raise ConfigError(f"{kind} must be tables", hint=f'write [{kind}.alias], then url = "…" below it')
        row = dict(row)
        prefix = self._prefix(kind, name)
        for variable, value in self._environ.items():
            if variable.startswith(prefix):
                row[variable[len(prefix) :].lower()] = value
        known = _ROW_KEYS.get(kind, row)
        for key in row:
            # What looks like a secret is kept as one, whoever may ask for it; only a slip of the pen is refused.
            if key not in known and (not is_secret(key) or difflib.get_close_matches(key, known, 1, 0.85)):
                raise ConfigError(f"{kind}.{name} has an unknown key {key!r}", hint=_near(key, sorted(known)))
        return row

    @staticmethod
    def _prefix(kind: str, name: str) -> str:
        return f"DVENGINE_{kind}__{name}__".upper().replace("-", "_")

    def _locate(self, kind: str, name: str) -> tuple[Url, dict[str, Any]]:
        if "://" in name:
            return Url.parse(name), {}
        if not _ALIAS.fullmatch(name):
            # Not repeated: a URL without its scheme may hold a password.
            raise ConfigError(
                f"this is neither an alias of {kind} nor a URL",
                hint="an alias is letters, digits, '_', '-' and '.'; a URL has ://",
            )
        row = self._row(kind, name)
        if row and "url" not in row:
            close = difflib.get_close_matches("url", row, 1, cutoff=0.5)
            raise ConfigError(
                f"{kind}.{name} has no url",
                hint=f"did you mean url by {close[0]!r}?"
                if close
                else f'write url = "…" below [{kind}.{name}]',
            )
        if "url" not in row:
            raise ConfigError(f"no {kind[:-1]} named {name!r}", hint=self._suggest(kind, name))
        where = f"{kind}.{name}.url"
        text = expand(str(row["url"]), where=where, environ=self._environ, secrets=self._secrets, in_url=True)
        return Url.parse(text), row

    def _plain(self, kind: str, name: str, key: str, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return expand(value, where=f"{kind}.{name}.{key}", environ=self._environ, secrets=self._secrets)

    def _secret(self, kind: str, name: str, row: Mapping[str, Any], key: str) -> Secret | None:
        if key not in row:
            return None
        where, text = f"{kind}.{name}.{key}", str(row[key])
        return Secret(
            lambda: expand(text, where=where, environ=self._environ, secrets=self._secrets), origin=where
        )

    def _suggest(self, kind: str, name: str) -> str:
        known = self.names(kind)
        close = difflib.get_close_matches(name, known, 1)
        if close:
            return f"did you mean {close[0]!r}?"
        listed = ", ".join(known) or "none"
        return f"known {kind}: {listed} (settings from {self.origin}); or give a URL"


def _near(key: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(key, known, 1)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(known)


@typed(ConfigError)
def load_settings(path: str | Path | None = None) -> Settings:
    """Read the settings file, if there is one.

    Raises:
        ConfigError: A file was named but is not there, or is not TOML. Its content is not repeated.
    """
    named = path or os.environ.get("DVENGINE_SETTINGS")
    candidates = (
        [local_path(named)]
        if named
        else [Path("dvengine.toml"), Path("~/.config/dvengine/settings.toml").expanduser()]
    )
    for candidate in candidates:
        if candidate.is_file():
            try:
                raw = tomllib.loads(candidate.read_text("utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError):
                raise ConfigError(
                    f"{candidate.name} is not valid TOML", hint="check quotes and brackets"
                ) from None
            return Settings(raw, origin=candidate.name)
    if named:
        raise ConfigError(
            "the settings file is not there", hint="see DVENGINE_SETTINGS, or the argument given"
        )
    return Settings({}, origin="no settings file")
