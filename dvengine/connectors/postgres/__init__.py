"""PostgreSQL: exact, parallel extraction of one moment.

**Types.** Integers, floats, booleans, bytea, text: as they are. ``char(n)`` keeps its trailing blanks, as ``select`` shows
them. ``numeric(p, s)`` up to 38 digits is decimal128; wider, unconstrained or of negative scale it is text, until ``types``
asks for a decimal. Dates and timestamps are exact in microseconds, BC too; ``timestamptz`` is in UTC until ``types`` asks for
another zone; infinity is an error, or NULL with ``options={"infinity": "null"}``. A time of 24:00 is an error. ``oid`` is int64,
``money`` a plain number as text, ``interval`` ISO 8601 text. One-dimensional arrays are lists; deeper ones an error.
Everything else (uuid, json, enums, ranges, composites, types of extensions) is the server's own text. ``types={"c":
pa.string()}`` gives that for any column but bytea. Domains are what they stand on.

**Cutting.** Ordinary tables and materialized views by place (PostgreSQL 14 and later), partitioned and inherited tables by
their leaves, all else whole, or by ``partition_on``; a limit is counted over the whole. ``scan.reason`` says why.
``options={"only": True}`` leaves inherited rows out.

**The session.** Read only, in one transaction, without timeouts but for locks; time zone UTC (the option ``timezone`` of the
source), so that what a query does with ``now()::date`` does not depend on the server's zone.
"""

from dvengine.connectors.postgres._source import Postgres

__all__ = ["Postgres"]
