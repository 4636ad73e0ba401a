"""Names and paths: what may be a name, which file name it becomes, and which paths a package may point at."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote

from dvengine._errors import DescriptorError

__all__ = ["check_label", "check_package_name", "check_path", "file_stem", "file_stems"]

_PACKAGE_NAME = re.compile(r"[a-z0-9]+(?:[-._][a-z0-9]+)*")
_LONGEST = 100

#: Letters that Unicode does not decompose; the rest lose their marks by decomposition.
_LETTERS = str.maketrans(
    {"æ": "ae", "ø": "o", "å": "a", "ä": "a", "ö": "o", "ü": "u", "ß": "ss", "ð": "d", "þ": "th", "đ": "d", "ŋ": "n",
     "ŧ": "t", "ł": "l", "œ": "oe", "ı": "i"}
)  # fmt: skip


def file_stem(name: str) -> str:
    """Return the file name of a resource or view: lower-case ASCII letters, digits and single hyphens.

    Guarantees: the same name in any Unicode normal form or letter case gives the same stem, so that nothing collides
    on a disk that folds either; a stem is never empty, hidden, or a path.

    Raises:
        DescriptorError: Nothing of the name is left.

    Example:
        >>> file_stem("Sykefravær år 2025")
        'sykefravaer-ar-2025'
    """
    text = unicodedata.normalize("NFC", name).lower().translate(_LETTERS)
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    stem = re.sub(r"[^a-z0-9]+", "-", text).strip("-")[:_LONGEST].rstrip("-")
    if not stem:
        raise DescriptorError(
            "a name must hold a letter or a digit that can stand in a file name",
            hint="use Latin letters a-z or digits",
        )
    return stem


def file_stems(names: Iterable[str], *, what: str) -> dict[str, str]:
    """Return name → stem, refusing two names that would share one file.

    Raises:
        DescriptorError: Two names collide; both are named.

    Example:
        >>> file_stems(["Alder", "kjønn"], what="resource")
        {'Alder': 'alder', 'kjønn': 'kjonn'}
    """
    stems: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in names:
        stem = file_stem(name)
        if stem in taken:
            raise DescriptorError(
                f"{what} names {taken[stem]!r} and {name!r} become the same file name {stem!r}",
                hint="rename one of them",
            )
        taken[stem] = name
        stems[name] = stem
    return stems


def check_package_name(name: object) -> str:
    """Return the name of a package, which is also its folder and its place in the URL.

    Raises:
        DescriptorError: Not lower-case letters a–z and digits, joined by single ``-``, ``.`` or ``_``.

    Example:
        >>> check_package_name("sykefravaer-2025")
        'sykefravaer-2025'
    """
    if isinstance(name, str) and len(name) <= _LONGEST and _PACKAGE_NAME.fullmatch(name):
        return name
    hint = "lower-case letters a-z and digits, joined by single - . or _, at most 100 characters"
    if isinstance(name, str):
        with contextlib.suppress(DescriptorError):
            hint += f"; for example {file_stem(name)!r}"
    raise DescriptorError("this package name is not valid", hint=hint)


def check_label(name: object, *, what: str) -> str:
    """Return the name of a resource or view: any readable text without line breaks, in composed form.

    Raises:
        DescriptorError: Not text, empty, too long, or with control characters or surrounding space.
    """
    if not isinstance(name, str) or not name.strip():
        raise DescriptorError(f"a {what} needs a name", hint="a short text, such as 'sykefravaer'")
    composed = unicodedata.normalize("NFC", name)
    unreadable = any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for c in composed)
    if unreadable or composed != composed.strip() or len(composed) > _LONGEST:
        raise DescriptorError(
            f"this {what} name is not valid",
            hint=f"at most {_LONGEST} characters, no control characters, no space at the ends",
        )
    file_stem(composed)
    return composed


def check_path(path: object) -> str:
    """Return a path inside the package, or refuse it.

    Guarantees: what is returned is relative and POSIX, and stays below the package's folder however it is decoded.

    Raises:
        DescriptorError: Absolute, upward (``..`` in any spelling), with a backslash, a drive letter, a scheme, ``~``, a
            control character, or an empty or dot segment.

    Example:
        >>> check_path("data/a-00000.parquet")
        'data/a-00000.parquet'
    """
    if isinstance(path, str) and path:
        decoded = unquote(unquote(path))
        plain = not any(
            unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in "\\:" for c in path + decoded
        )
        segments = [*path.split("/"), *decoded.split("/")]
        if plain and not path.startswith("~") and not any(s in ("", ".", "..") for s in segments):
            return path
    raise DescriptorError(
        "a path in the package is not a plain relative path",
        hint="use folder/file, without .., backslashes, drive letters, ~ or a scheme",
    )
