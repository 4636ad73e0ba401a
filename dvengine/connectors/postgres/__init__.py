"""PostgreSQL: exact, parallel extraction of one moment."""

from dvengine.connectors.postgres._source import Postgres

__all__ = ["Postgres"]
