"""Which connector reads which scheme: facts as data, one row a system."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from dvengine._errors import ConfigError
from dvengine.config import SourceSettings
from dvengine.connectors._protocols import Source

__all__ = ["SOURCES", "Row", "open_source"]


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of source.

    Attributes:
        factory: ``module:callable``; called with `SourceSettings`, gives a `Source`.
        extra: Which extra installs its driver; None where the core is enough.
        live: Whether this project's own tests run it against a real server.
    """

    factory: str
    extra: str | None
    live: bool


SOURCES: dict[str, Row] = {
    "postgresql": Row("dvengine.connectors.postgres:Postgres", extra="postgres", live=True),
}


def open_source(settings: SourceSettings) -> Source:
    """Build the source for an address. No I/O.

    Raises:
        ConfigError: Unknown scheme; the hint lists the known ones.
        MissingExtra: The driver is not installed.
    """
    row = SOURCES.get(settings.url.scheme)
    if row is None:
        raise ConfigError(
            f"no source reads {settings.url.scheme}:// addresses",
            hint="known schemes: " + ", ".join(sorted(SOURCES)),
        )
    module, _, attribute = row.factory.partition(":")
    source: Source = getattr(import_module(module), attribute)(settings)
    return source
