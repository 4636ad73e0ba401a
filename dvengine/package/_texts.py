"""Titles, licences and people: the words around the data, checked once and kept as written."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from dvengine._errors import DescriptorError

__all__ = ["LICENCES", "Text", "check_text", "licence", "party", "plain"]

#: Text, or the same text in several languages: ``{"nb": …, "en": …}``.
Text = str | Mapping[str, str]

_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_EMAIL = re.compile(r"[^@\s<>]+@[^@\s<>]+\.[^@\s<>]+")

#: Identifier → (where the licence is, its title).
LICENCES: dict[str, tuple[str, str]] = {
    "CC-BY-4.0": ("https://creativecommons.org/licenses/by/4.0/", "Creative Commons Attribution 4.0"),
    "CC-BY-SA-4.0": ("https://creativecommons.org/licenses/by-sa/4.0/", "Creative Commons Attribution ShareAlike 4.0"),
    "CC0-1.0": ("https://creativecommons.org/publicdomain/zero/1.0/", "Creative Commons Zero 1.0"),
    "MIT": ("https://opensource.org/license/mit", "MIT License"),
    "NLOD-1.0": ("https://data.norge.no/nlod/no/1.0", "Norsk lisens for offentlige data 1.0"),
    "NLOD-2.0": ("https://data.norge.no/nlod/no/2.0", "Norsk lisens for offentlige data 2.0"),
    "ODC-BY-1.0": ("https://opendatacommons.org/licenses/by/1-0/", "Open Data Commons Attribution License 1.0"),
    "ODC-PDDL-1.0": ("https://opendatacommons.org/licenses/pddl/1-0/", "Open Data Commons Public Domain Dedication and License 1.0"),
    "ODbL-1.0": ("https://opendatacommons.org/licenses/odbl/1-0/", "Open Data Commons Open Database License 1.0"),
}  # fmt: skip


def check_text(text: object, *, what: str) -> Text:
    """Return text, or text by language, unchanged.

    Raises:
        DescriptorError: Empty, not text, a key that is no language tag, or text that cannot be written as UTF-8.
    """
    if isinstance(text, Mapping):
        if not text:
            raise DescriptorError(f"{what} is empty", hint='give a text, or texts by language {"nb": …}')
        for language, words in text.items():
            if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
                raise DescriptorError(
                    f"{what} has a key that is no language tag", hint="use nb, nn, en, se, …"
                )
            _check_words(words, what=what)
        return dict(text)
    return _check_words(text, what=what)


def _check_words(words: object, *, what: str) -> str:
    if not isinstance(words, str) or not words.strip():
        raise DescriptorError(f"{what} must be a text that is not empty")
    try:
        words.encode()
    except UnicodeEncodeError:
        raise DescriptorError(f"{what} holds characters that are not valid Unicode") from None
    return words


def plain(text: Text, language: str) -> str:
    """Return the text in one language: the one asked for, else Norwegian, else English, else the first.

    Example:
        >>> plain({"en": "Sick leave", "nb": "Sykefravær"}, "nb")
        'Sykefravær'
    """
    if isinstance(text, str):
        return text
    for wanted in (language, "nb", "nn", "en"):
        if wanted in text:
            return text[wanted]
    return next(iter(text.values()))


def licence(given: object) -> dict[str, str]:
    """Return a licence as Data Package writes it: ``name``, ``path`` and ``title``.

    Raises:
        DescriptorError: An identifier that is not known, or an object with neither ``name`` nor ``path``.

    Example:
        >>> licence("CC0-1.0")["path"]
        'https://creativecommons.org/publicdomain/zero/1.0/'
    """
    if isinstance(given, str):
        known = {name.lower(): name for name in LICENCES}
        name = known.get(given.strip().lower())
        if name is not None:
            path, title = LICENCES[name]
            return {"name": name, "path": path, "title": title}
        close = difflib.get_close_matches(given.lower(), list(known), 1)
        hint = f"did you mean {known[close[0]]!r}? " if close else ""
        raise DescriptorError(
            "this licence is not known",
            hint=f"{hint}known: {', '.join(LICENCES)}; or give {{name, path, title}}",
        )
    if isinstance(given, Mapping) and (given.get("name") or given.get("path")):
        unknown = sorted(str(key) for key in set(given) - {"name", "path", "title"})
        if not unknown and all(isinstance(value, str) and value for value in given.values()):
            return dict(given)
    raise DescriptorError(
        "a licence is an identifier, or an object with name and/or path",
        hint="for example license='CC-BY-4.0'",
    )


def party(given: object, *, role: str) -> dict[str, Any]:
    """Return a contributor of one role from a name, an e-mail address, or ``{title, email, path, organization, id}``.

    Raises:
        DescriptorError: None of these.

    Example:
        >>> party("Statistikk", role="publisher")
        {'title': 'Statistikk', 'roles': ['publisher']}
    """
    if isinstance(given, str) and given.strip():
        text = _check_words(given, what=role)
        if _EMAIL.fullmatch(text):
            return {"title": text, "email": text, "roles": [role]}
        return {"title": text, "roles": [role]}
    allowed = {"title", "name", "email", "path", "organization", "id"}
    if (
        isinstance(given, Mapping)
        and not set(given) - allowed
        and (given.get("title") or given.get("name") or given.get("email"))
        and all(isinstance(value, str) and value for value in given.values())
    ):
        if "email" in given and not _EMAIL.fullmatch(given["email"]):
            raise DescriptorError(f"the e-mail address of the {role} is not valid")
        title = given.get("title") or given.get("name") or given["email"]
        rest = {k: given[k] for k in ("email", "path", "organization") if k in given}
        extra = {"dvengine:id": given["id"]} if "id" in given else {}
        return {"title": title, **rest, "roles": [role], **extra}
    raise DescriptorError(
        f"the {role} must be a name, an e-mail address, or an object",
        hint="with title, email, path, organization or id (organisation number), each a text",
    )
