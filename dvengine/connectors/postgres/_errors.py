"""The one boundary where a driver's error becomes ours.

Drivers repeat the statement and its literals, and the server repeats values, so no text of theirs goes further: the
message is built anew from the SQLSTATE, and from the place in the query where the server stopped.
"""

from __future__ import annotations

import re

from dvengine._errors import (
    AccessDenied,
    Cancelled,
    ConfigError,
    DvengineError,
    NotFound,
    QueryError,
    Unavailable,
)

__all__ = ["from_connect", "from_statement", "sqlstate_of"]

#: What the server means by a code, in words of our own that hold neither names nor values.
_SAID = {
    "0A000": "this is not supported by the server",
    "21000": "a subquery used as an expression returned more than one row",
    "22001": "a string is too long for its type",
    "22003": "a number is out of range",
    "22004": "a NULL is not allowed here",
    "22007": "a text is not a valid date or time",
    "22008": "a date or time is out of range",
    "22012": "division by zero",
    "22021": "a text is not valid in its encoding",
    "22023": "a parameter has an invalid value",
    "22025": "a LIKE pattern ends in an escape character",
    "22026": "a string has the wrong length",
    "2201B": "a regular expression is not valid",
    "22P02": "a text is not a valid value of the type it is converted to",
    "22P03": "a binary value is not valid",
    "22P05": "a character has no counterpart in the encoding",
    "23505": "a key would be there twice",
    "25006": "the statement writes, and an extract only reads",
    "2BP01": "other objects depend on this one",
    "3F000": "the schema is not there",
    "42501": "permission denied",
    "42601": "syntax error",
    "42602": "a name is not valid",
    "42622": "a name is too long",
    "42702": "a column name is ambiguous",
    "42703": "a column is not there",
    "42704": "an object, such as a type, is not there",
    "42725": "a function or operator is ambiguous",
    "42803": "a column must appear in GROUP BY or be used in an aggregate",
    "42804": "types do not match",
    "42809": "an object is of the wrong kind",
    "42846": "one type cannot be cast to the other",
    "42883": "a function or operator with these argument types is not there",
    "42P01": "a table is not there",
    "42P02": "a parameter such as $1 is not there",
    "42P10": "a column reference is not valid here",
    "42P18": "a type cannot be determined",
    "42P20": "a window is not valid",
    "42P21": "collations do not match",
    "42P22": "the collation cannot be determined",
    "54001": "the statement is too complex for the server",
}
_CLASS_SAID = {
    "22": "a value does not fit",
    "42": "the statement is not valid",
    "2F": "a function failed",
    "P0": "a function raised an error",
}
_AWAY = {
    "25P03": "the server ended the session for being idle in a transaction",
    "25P04": "the server ended the session for a too long transaction",
    "40001": "the server, a standby, had to choose between this read and its own replay",
    "40P01": "the server broke a deadlock",
    "53100": "the server's disk is full",
    "53200": "the server is out of memory",
    "53300": "the server has no connection left",
    "55P03": "another session holds a lock on the table",
    "57014": "the server cancelled the statement",
    "57P01": "the server was told to end the connection",
    "57P02": "the server crashed or was killed",
    "57P03": "the server does not accept connections yet",
    "57P05": "the server ended the idle session",
    "72000": "the snapshot is too old for the server",
}
_LATER = "try again; the read starts from the beginning"
_CODE = re.compile(r"SQLSTATE: ([0-9A-Z]{5})")


def sqlstate_of(error: BaseException) -> str | None:
    """Find the SQLSTATE of a psycopg, ADBC or pyarrow error."""
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str) and len(state) == 5:
        return state
    match = _CODE.search(str(error))
    return match[1] if match else None


def from_statement(
    error: BaseException, label: str, *, place: str = "", cancelled: bool = False, hint: str | None = None
) -> DvengineError:
    """Turn a driver's error while a statement was planned or read into ours; raise it ``from None``.

    Args:
        error: The driver's.
        label: The table's name, or ``query``.
        place: Where in the user's text, e.g. ``at line 3, column 7``.
        cancelled: Whether we had asked the server to stop.
        hint: Overrides the general one.
    """
    state = sqlstate_of(error)
    if cancelled and state in (None, "57014"):
        return Cancelled("the read was cancelled")
    if state is None or state[:2] in ("08", "53", "57", "58", "72") or state in _AWAY:
        said = _AWAY.get(state or "", "the server went away, or the connection to it was cut")
        code = f" (SQLSTATE {state})" if state else ""
        return Unavailable(f"{label}: {said}{code}", hint=hint or _LATER)
    if state == "42501":
        return AccessDenied(
            f"{label}: permission denied (SQLSTATE {state})",
            hint=hint or "ask the owner for SELECT on what it reads",
        )
    said = _SAID.get(state) or _CLASS_SAID.get(state[:2]) or "the server refused the statement"
    where = f" {place}" if place else ""
    return QueryError(f"{label}: {said}{where} (SQLSTATE {state})", hint=hint, sqlstate=state)


def from_connect(error: BaseException, source: str) -> DvengineError:
    """Turn a failed connection attempt into ours. The driver gives no code here, only text, which is read and dropped."""
    text, state = str(error).lower(), sqlstate_of(error)

    def said(*words: str) -> bool:
        return any(word in text for word in words)

    if state in ("28P01", "28000") or said(
        "password authentication failed", "no password supplied", "authentication failed", "no pg_hba.conf entry",
        "is not permitted to log in", "role ", "certificate authentication",
    ):  # fmt: skip
        if said("no pg_hba.conf entry"):
            return AccessDenied(
                f"{source} does not let this user in from here",
                hint="the server's pg_hba.conf decides; it may require sslmode=require",
            )
        if said("no password supplied"):
            return AccessDenied(
                f"{source} wants a password and none was given",
                hint="set the source's password, or PGPASSWORD",
            )
        return AccessDenied(
            f"{source} does not accept the user or the password",
            hint="check user and password in the settings",
        )
    if state == "3D000" or (said("database ") and said("does not exist")):
        return NotFound(
            f"{source}: the database is not there", hint="check the name after the last slash of the URL"
        )
    if said(
        "server does not support ssl", "certificate verify failed", "root certificate", "ssl error", "sslmode"
    ):
        return ConfigError(
            f"{source}: no encrypted connection as the settings require", hint="check sslmode and sslrootcert"
        )
    if said("could not translate host name", "name or service not known"):
        return Unavailable(
            f"{source}: the host name is not known", hint="check the host in the URL, and the network"
        )
    if state == "53300" or said("too many clients", "remaining connection slots", "too many connections"):
        return Unavailable(
            f"{source}: the server has no connection left", hint="try again, or with fewer workers"
        )
    if said("starting up", "shutting down", "in recovery"):
        return Unavailable(
            f"{source}: the server is starting up or shutting down", hint="try again in a moment"
        )
    if said("timeout", "timed out"):
        return Unavailable(
            f"{source}: no answer in time",
            hint="check host, port and network; connect_timeout sets the patience",
        )
    if getattr(getattr(error, "pgconn", None), "used_password", False):
        # In the server's own language; but it answered, and asked for the password.
        return AccessDenied(
            f"{source} does not let us in", hint="check user, password and database in the settings"
        )
    return Unavailable(f"{source}: no connection", hint="is the server up, and are host and port right?")
