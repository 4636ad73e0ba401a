"""Just enough of PostgreSQL's lexer to know where a statement ends, and what in it is a literal.

The user's text is never rewritten: one trailing semicolon and what follows it may be cut off, and that is all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import psycopg

from dvengine._errors import InputError, QueryError

__all__ = [
    "Token",
    "bind",
    "depends_on_time_or_chance",
    "literal",
    "masked",
    "one_statement",
    "quoted",
    "table_name",
    "tokens",
]

Kind = Literal["space", "comment", "string", "name", "word", "number", "semicolon", "other"]


class Token(NamedTuple):
    """A stretch of the text, by kind; ``name`` is a quoted identifier, ``word`` an unquoted one or a keyword."""

    kind: Kind
    start: int
    end: int


_SPACE = re.compile(r"[ \t\r\n\f\v]+")
_LINE_COMMENT = re.compile(r"--[^\r\n]*")
_WORD = re.compile(r"[A-Za-z_\u0080-\U0010ffff][A-Za-z_0-9$\u0080-\U0010ffff]*")
_NUMBER = re.compile(
    r"(?:0[xX][0-9A-Fa-f_]+|0[oO][0-7_]+|0[bB][01_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)"
)
_DOLLAR = re.compile(r"\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z_0-9\u0080-\U0010ffff]*)?\$")
_ESCAPED = re.compile(r"[eE]'(?:[^'\\]|\\.|'')*'", re.DOTALL)
_PLAIN = re.compile(r"(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*'")
_QUOTED = re.compile(r'(?:[uU]&)?"(?:[^"]|"")*"')


def tokens(text: str) -> Iterator[Token]:
    """Split a text into tokens that cover it without gaps.

    Raises:
        QueryError: A string, quoted name or comment never ends.
    """
    at = 0
    while at < len(text):
        kind, end = _next(text, at)
        yield Token(kind, at, end)
        at = end


def _next(text: str, at: int) -> tuple[Kind, int]:
    char = text[at]
    if match := _SPACE.match(text, at):
        return "space", match.end()
    if match := _LINE_COMMENT.match(text, at):
        return "comment", match.end()
    if text.startswith("/*", at):
        return "comment", _block_comment(text, at)
    if char == ";":
        return "semicolon", at + 1
    if match := _ESCAPED.match(text, at) or _PLAIN.match(text, at):
        return "string", match.end()
    if match := _QUOTED.match(text, at):
        return "name", match.end()
    if char in "'\"":
        raise _unfinished(text, at, "a string" if char == "'" else "a quoted name")
    if match := _WORD.match(text, at):
        return "word", match.end()
    if match := _DOLLAR.match(text, at):
        end = text.find(match[0], match.end())
        if end < 0:
            raise _unfinished(text, at, "a dollar-quoted string")
        return "string", end + len(match[0])
    if (char.isdigit() or char == ".") and (match := _NUMBER.match(text, at)):
        return "number", match.end()
    return "other", at + 1


def _block_comment(text: str, at: int) -> int:
    depth, place = 0, at
    for match in re.compile(r"/\*|\*/").finditer(text, at):
        if match.start() < place:  # "/*/" opens once and does not close
            continue
        place = match.end()
        depth += 1 if match[0] == "/*" else -1
        if depth == 0:
            return match.end()
    raise _unfinished(text, at, "a comment")


def _unfinished(text: str, at: int, what: str) -> QueryError:
    return QueryError(f"{what} begun on line {text.count(chr(10), 0, at) + 1} of the query never ends")


def one_statement(text: str) -> str:
    r"""Return the text without its final semicolon, having made sure that it is exactly one statement.

    Raises:
        QueryError: None, or more than one; nothing has been sent.

    Example:
        >>> one_statement("select ';' as s ; -- the end\n")
        "select ';' as s "
    """
    if "\x00" in text:
        raise QueryError("the query holds a NUL character")
    end: int | None = None
    seen = False
    for token in tokens(text):
        if token.kind in ("space", "comment"):
            continue
        if token.kind == "semicolon":
            end = token.start if end is None and seen else end
            continue
        if end is not None:
            raise QueryError(
                "two statements in one query",
                hint="read one at a time; dv.snapshot() gives several reads one moment",
            )
        seen = True
    if not seen:
        raise QueryError("no statement in the query", hint="it holds only comments or space")
    return text if end is None else text[:end]


def masked(text: str) -> str:
    """Return the statement with every literal replaced by ``?`` and every comment dropped.

    Example:
        >>> masked("select * from t where fnr = '01010012345' and n > 5 -- ola")
        'select * from t where fnr = ? and n > ? '
    """
    shown = {"string": "?", "number": "?", "comment": ""}
    return "".join(shown.get(token.kind, text[token.start : token.end]) for token in tokens(text))


_PLACEHOLDER = re.compile(r"(?<!%)(?:%%)*%\((\w+)\)")
_UNSTEADY = frozenset(
    [
        "now",
        "current_date",
        "current_time",
        "current_timestamp",
        "localtime",
        "localtimestamp",
        "clock_timestamp",
        "statement_timestamp",
        "transaction_timestamp",
        "timeofday",
        "random",
        "random_normal",
        "setseed",
        "gen_random_uuid",
        "uuidv4",
        "uuidv7",
        "uuid_generate_v4",
        "nextval",
        "tablesample",
    ]
)


def depends_on_time_or_chance(text: str) -> bool:
    """Whether the statement names a function that may answer differently in each worker.

    Example:
        >>> depends_on_time_or_chance("select 'now'"), depends_on_time_or_chance("select * from t where d < now()")
        (False, True)
    """
    return any(
        token.kind == "word" and text[token.start : token.end].lower() in _UNSTEADY for token in tokens(text)
    )


def literal(text: str) -> str:
    """Quote a text of ours as a string, where ``standard_conforming_strings`` is on or the text has no backslash."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def table_name(text: str) -> str:
    """Quote ``table`` or ``schema.table``; parts may be given in double quotes.

    Raises:
        InputError: Not one or two names.
    """
    parts: list[str] = []
    at = 0
    while at <= len(text):
        if text.startswith('"', at):
            end = text.find('"', at + 1)
            while end >= 0 and text.startswith('""', end):
                end = text.find('"', end + 2)
            if end < 0:
                break
            parts.append(text[at + 1 : end].replace('""', '"'))
            at = end + 1
        else:
            end = text.find(".", at)
            end = len(text) if end < 0 else end
            parts.append(text[at:end])
            at = end
        if at == len(text):
            at += 1
            continue
        if text[at] != ".":
            break
        at += 1
    if at != len(text) + 1 or not 1 <= len(parts) <= 2 or not all(parts) or "\x00" in text:
        raise InputError(
            "a table is named as table or schema.table", hint="put a name with a dot in double quotes"
        )
    return ".".join(quoted(part) for part in parts)


def bind(connection: psycopg.Connection[Any], text: str, params: Mapping[str, Any]) -> str:
    """Put quoted values in place of ``%(name)s``, and ``%`` in place of ``%%``; the result is secret.

    On the client, because bind parameters on the server would leave the COPY path and give the result in one piece.

    Raises:
        QueryError: A placeholder without a value, or of another form; or a value that has no SQL literal.
    """
    if not isinstance(params, Mapping):
        raise QueryError("params is a mapping of names to values", hint="write %(name)s in the query")
    missing = sorted({name for name in _PLACEHOLDER.findall(text) if name not in params})
    if missing:
        raise QueryError(f"params has no value for {missing[0]!r}")
    try:
        return psycopg.ClientCursor(connection).mogrify(text, dict(params))
    except (psycopg.Error, TypeError, ValueError):
        problem = "the query and its params do not fit together"
    raise QueryError(problem, hint="with params, write %(name)s for a value and %% for a percent sign")
