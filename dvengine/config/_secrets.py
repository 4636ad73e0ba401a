"""A secret is a callable: fetched when it is needed, so rotation works, and held by nobody."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from dvengine._errors import ConfigError

__all__ = ["Secret", "expand", "references"]

_REFERENCE = re.compile(r"\$\{([^}]+)\}")


class Secret:
    """A value that is read late and shown never.

    Guarantees: ``repr``, ``str``, formatting and pickling do not reveal it; equality is not defined on the value.

    Args:
        read: Called each time the value is needed.
        origin: Where it comes from, in words that may be shown, e.g. ``environment REGISTRY_PASSWORD``.

    Example:
        >>> secret = Secret(lambda: "hunter2", origin="a test")
        >>> secret
        Secret(from a test)
        >>> secret.reveal()
        'hunter2'
    """

    __slots__ = ("_read", "origin")

    def __init__(self, read: Callable[[], str], *, origin: str) -> None:
        self._read = read
        self.origin = origin

    def reveal(self) -> str:
        """Fetch and return the value."""
        return self._read()

    def __repr__(self) -> str:
        return f"Secret(from {self.origin})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError(
            "a Secret does not pickle; ship the alias and let the other side read its own settings"
        )

    @classmethod
    def literal(cls, value: str, *, origin: str = "an argument") -> Secret:
        """Wrap a value that is already at hand."""
        return cls(lambda: value, origin=origin)


def expand(
    text: str,
    *,
    where: str,
    environ: Mapping[str, str] | None = None,
    secrets: Path | None = None,
    in_url: bool = False,
) -> str:
    """Replace each ``${NAME}`` by the environment variable, or by the mounted secret file, of that name.

    Args:
        text: The setting as written.
        where: The setting's name, for the error.
        environ: Defaults to the process's.
        secrets: A directory with one file per secret (Kubernetes style), or None.
        in_url: Percent-encode each value, so that a password may hold ``@`` or ``/``; not one that the text begins with,
            which is an address of its own.

    Raises:
        ConfigError: No such variable and no such file, or the file cannot be read; the hint lists where it was looked for.

    Example:
        >>> expand("pw-${X}", where="sources.a.password", environ={"X": "1"})
        'pw-1'
    """
    environ = os.environ if environ is None else environ

    def value(match: re.Match[str]) -> str:
        found = look_up(match[1])
        return quote(found, safe="") if in_url and match.start() > 0 else found

    def look_up(name: str) -> str:
        if name in environ:
            return environ[name]
        if secrets is not None and "/" not in name and (file := secrets / name).is_file():
            try:
                return file.read_text("utf-8").removesuffix("\n")
            except (OSError, UnicodeDecodeError):
                # A decoding error carries the bytes.
                raise ConfigError(
                    f"the secret file {name} for {where} cannot be read",
                    hint="it must be UTF-8 text, readable by this user",
                ) from None
        looked = [f"environment variable {name}"] + ([f"secrets directory file {name}"] if secrets else [])
        raise ConfigError(f"no value for {where}", hint="looked in: " + ", ".join(looked))

    return _REFERENCE.sub(value, text)


def references(text: str, *, environ: Mapping[str, str], secrets: Path | None = None) -> list[str]:
    """Say where each ``${NAME}`` of a setting would be read; names, never values.

    Example:
        >>> references("${X}-${Y}", environ={"X": "1"})
        ['environment X', 'Y is nowhere']
    """

    def found(name: str) -> str:
        if name in environ:
            return f"environment {name}"
        there = secrets is not None and "/" not in name and (secrets / name).is_file()
        return f"secrets directory file {name}" if there else f"{name} is nowhere"

    return [found(name) for name in _REFERENCE.findall(text)]
