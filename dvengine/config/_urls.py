"""An address that can be shown: the password lives beside the URL, never in its text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlencode, urlsplit

from dvengine._errors import ConfigError
from dvengine.config._secrets import Secret

__all__ = ["Url", "is_secret", "local_path"]

_SECRET_OPTIONS = (
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "key",
    "sslpassword",
    "passphrase",
    "credential",
    "authorization",
)


def is_secret(option: str) -> bool:
    """Whether an option of that name holds a secret, and so must never be shown."""
    name = option.lower()
    return name == "sig" or any(word in name for word in _SECRET_OPTIONS)


@dataclass(frozen=True, slots=True)
class Url:
    """A parsed address. ``str()`` and ``repr()`` are safe to log: no password, no secret option.

    Attributes:
        scheme: Lower case; ``postgres`` is spelled ``postgresql``.
        user, host, port, path: As given, percent-decoded; None where absent. Path keeps its leading slash.
        options: The query string's pairs that are not secret.
        password: A `Secret`, or None.
        secrets: Secret options by name.

    Example:
        >>> url = Url.parse("postgres://ola:p%40ss@db:5432/registry?sslmode=require")
        >>> str(url), url.password.reveal()
        ('postgresql://ola@db:5432/registry?sslmode=require', 'p@ss')
    """

    scheme: str
    user: str | None
    host: str | None
    port: int | None
    path: str
    options: dict[str, str]
    password: Secret | None = None
    secrets: dict[str, Secret] | None = None

    @classmethod
    def parse(cls, text: str) -> Url:
        """Parse ``scheme://user:password@host:port/path?option=value``.

        Raises:
            ConfigError: No scheme, a port that is not a number, or a ``#``, ``/`` or ``?`` that must have been meant as part of a
                password. The text is not repeated, for it may hold one.
        """
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise ConfigError(
                "this URL cannot be parsed",
                hint="percent-encode special characters in user and password; the port is a number",
            ) from None
        if not parts.scheme or "://" not in text:
            raise ConfigError(
                "an address needs a scheme",
                hint="for example postgresql://host/database or s3://bucket/prefix",
            )
        after_host = parts.path + parts.query
        if parts.fragment or (":" in parts.netloc and "@" not in parts.netloc and "@" in after_host):
            # user:12/34@host would otherwise be host "user", port 12, and the password's tail a path to show.
            raise ConfigError(
                "this URL is ambiguous", hint="percent-encode: # is %23, / is %2F, ? is %3F, @ is %40"
            )
        # Unlike in an HTML form, + is itself: keys and passwords hold it.
        halves = [pair.partition("=") for pair in parts.query.split("&") if pair]
        pairs = [(unquote(name), unquote(value)) for name, _, value in halves]
        password = unquote(parts.password) if parts.password is not None else None
        options = {k: v for k, v in pairs if not is_secret(k)}
        hidden = {k: Secret.literal(v, origin="the URL") for k, v in pairs if is_secret(k)}
        if password is None and "password" in hidden:
            password = hidden.pop("password").reveal()
        return cls(
            scheme={"postgres": "postgresql"}.get(parts.scheme.lower(), parts.scheme.lower()),
            user=unquote(parts.username) if parts.username else None,
            host=unquote(parts.hostname) if parts.hostname else None,
            port=port,
            path=unquote(parts.path),
            options=options,
            password=Secret.literal(password, origin="the URL") if password is not None else None,
            secrets=hidden or None,
        )

    def __str__(self) -> str:
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        host = f"[{self.host}]" if self.host and ":" in self.host else quote(self.host or "", safe="")
        port = f":{self.port}" if self.port is not None else ""
        query = f"?{urlencode(self.options, safe='/', quote_via=quote)}" if self.options else ""
        return f"{self.scheme}://{user}{host}{port}{quote(self.path)}{query}"

    def __repr__(self) -> str:
        return f"Url({str(self)!r})"


def local_path(given: str | Path) -> Path:
    """Return an absolute local path, ``~`` expanded.

    Raises:
        ConfigError: It cannot be one: a NUL, a user that is not there, links in a circle, more characters than any system takes.

    Example:
        >>> local_path("/data/fisk")
        PosixPath('/data/fisk')
    """
    try:
        if "\0" in str(given):
            raise ValueError
        path = Path(given).expanduser().absolute()
        path.exists()
        path.resolve()
    except PermissionError:
        return path  # it is there; whether we may use it is told where it is used
    except (OSError, ValueError, RuntimeError):
        raise ConfigError(
            "this is not a path that can be", hint="check the user after ~, its links, and its length"
        ) from None
    return path
