"""Keys are exact names, not URLs: what no store can hold is refused up front, everything else passes unchanged."""

from __future__ import annotations

import re

from dvengine._errors import InputError

__all__ = ["checked", "joined"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Local writes use such names for what is not finished yet, and hide them from listings.
_TEMPORARY = re.compile(r"#\d+\Z")
_LONGEST = 1024


def checked(path: str, *, what: str = "key") -> str:
    """Return the key unchanged, or refuse it.

    Raises:
        InputError: Empty, absolute, with an empty, ``.`` or ``..`` segment, with control characters or a backslash, ending in ``#`` and
            digits, or longer than 1024 bytes.

    Example:
        >>> checked("a/50%25 +#x?.parquet")
        'a/50%25 +#x?.parquet'
        >>> checked("a//b")
        Traceback (most recent call last):
        dvengine._errors.InputError: 'a//b' cannot be a key: it has an empty segment
          hint: keys are relative, with single slashes, such as data/table.parquet
    """
    segments = path.split("/")
    if not path:
        why = "it is empty"
    elif "\\" in path:
        why = "it has a backslash, which some stores read as a slash"
    elif _CONTROL.search(path):
        why = "it has control characters"
    elif path.startswith("/"):
        why = "it begins with a slash"
    elif "" in segments:
        why = "it has an empty segment"
    elif "." in segments or ".." in segments:
        why = "'.' and '..' are not names"
    elif _TEMPORARY.search(path):
        why = "names that end in # and digits are kept for unfinished files"
    elif len(path.encode()) > _LONGEST:
        why = f"it is longer than {_LONGEST} bytes"
    else:
        return path
    shown = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", path[:80])
    raise InputError(
        f"{shown!r} cannot be a {what}: {why}",
        hint="keys are relative, with single slashes, such as data/table.parquet",
    )


def joined(base: str, path: str) -> str:
    """Put a key below a base of whole segments; either may be empty."""
    return f"{base}/{path}" if base and path else base or path
