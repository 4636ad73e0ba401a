"""Which files a pattern means: exact keys, unfinished writes left out, ``name=value`` folders as columns."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice

from dvengine._errors import DvengineError, InputError, NotFound
from dvengine.stores import CommitLog, Store

__all__ = ["find", "hive", "is_pattern", "matcher"]

_NULL = "__HIVE_DEFAULT_PARTITION__"


def is_pattern(path: str) -> bool:
    """Whether a path has wildcards."""
    return any(sign in path for sign in "*?[")


def matcher(pattern: str) -> re.Pattern[str]:
    """Return a regular expression for a glob: ``*`` and ``?`` stay within a folder, ``**/`` spans any number of them.

    Example:
        >>> bool(matcher("a/**/*.parquet").fullmatch("a/b/c.parquet")), bool(matcher("a/*").fullmatch("a/b/c"))
        (True, False)
    """
    out, i = "", 0
    while i < len(pattern):
        if pattern.startswith("**/", i):
            out, i = out + "(?:[^/]+/)*", i + 3
        elif pattern.startswith("**", i):
            out, i = out + ".*", i + 2
        elif pattern[i] == "*":
            out, i = out + "[^/]*", i + 1
        elif pattern[i] == "?":
            out, i = out + "[^/]", i + 1
        elif pattern[i] == "[" and (end := pattern.find("]", i + 2)) > 0:
            inside = pattern[i + 1 : end].replace("\\", r"\\")
            inside = "^" + inside[1:] if inside[0] == "!" else inside
            out, i = f"{out}(?!/)[{inside}]", end + 1
        else:
            out, i = out + re.escape(pattern[i]), i + 1
    return re.compile(out, re.DOTALL)


_MAGIC = re.compile(r"[*?[]")
_ESCAPED = re.compile(r"\[([*?[])\]")


def find(store: Store, folder: str, pattern: str) -> list[str]:
    """Return the keys below ``folder`` that match, in order; what an unfinished write left is not there.

    A folder that `Dataset.write_parquet` or `publish` filled has the parts that its manifest lists, and no others.

    Raises:
        NotFound: Nothing matches.
    """
    wanted = matcher(pattern)
    listed: list[str] = []
    exact = _ESCAPED.sub(r"\1", pattern)
    if _MAGIC.search(_ESCAPED.sub("", pattern)):
        listed = [info.path for info in store.list(folder)]
    else:  # one file: what else lies in its folder, and below, is not looked at
        with suppress(NotFound):
            listed = [store.head(exact).path]
        listed += [info.path for info in store.list(f"{folder}/_dvengine" if folder else "_dvengine")]
    beside = [info.path for info in store.list("_dvengine")] if folder else []
    managed = {path.rpartition("_dvengine/")[0].rstrip("/") for path in [*listed, *beside] if _is_log(path)}
    visible = {prefix: _parts(store, prefix) for prefix in managed}
    found = [
        path for path in listed if wanted.fullmatch(path) and not _hidden(path) and _whole(path, visible)
    ]
    if not found:
        raise NotFound(
            f"no file matches {pattern!r} in {store.name}",
            hint=_hint(store, folder, exact, unfinished=any(map(wanted.fullmatch, listed))),
        )
    return sorted(found)


def _hint(store: Store, folder: str, wanted: str, *, unfinished: bool) -> str:
    near: list[str] = []
    if not unfinished and not _MAGIC.search(wanted):
        with suppress(DvengineError):  # a folder that may not be listed has nothing to suggest
            above = f"{folder}/" if folder else ""
            names = [info.path.removeprefix(above) for info in islice(store.list(folder), 1000)]
            names = [name for name in names if not _hidden(name)]
            near = difflib.get_close_matches(wanted.removeprefix(above), names, 1, 0.8)
    if near:
        return f"did you mean {near[0]!r}?"
    return (
        "an unfinished write is not read; write it again"
        if unfinished
        else "check the pattern; **/ spans folders"
    )


def _is_log(path: str) -> bool:
    return path.startswith("_dvengine/") or "/_dvengine/" in path


def _hidden(path: str) -> bool:
    return any(part.startswith(("_", ".")) and "=" not in part for part in path.split("/"))


def _parts(store: Store, prefix: str) -> set[str]:
    manifest = CommitLog(store, prefix).latest()
    return {part.path for parts in manifest.parts.values() for part in parts} if manifest else set()


def _whole(path: str, visible: dict[str, set[str]]) -> bool:
    """Whether the nearest folder with a manifest lists the file.

    A manifest names keys of the store that it was written through, which may be rooted higher than ours.
    """
    inside = [prefix for prefix in visible if not prefix or path.startswith(prefix + "/")]
    if not inside:
        return True
    nearest = max(inside, key=len)
    below = path[len(nearest) + 1 :] if nearest else path
    return any(key == below or key.endswith("/" + below) for key in visible[nearest])


def hive(paths: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """Return the ``name=value`` folders of each path as text, exactly as spelled; empty where there are none.

    Raises:
        InputError: The paths do not have the same names.

    Example:
        >>> hive(["aar=2024/kommune=0301/a.parquet"])
        {'aar=2024/kommune=0301/a.parquet': {'aar': '2024', 'kommune': '0301'}}
    """
    found: dict[str, dict[str, str | None]] = {}
    for path in paths:
        pairs = [part.split("=", 1) for part in path.split("/")[:-1] if "=" in part[1:]]
        found[path] = {name: None if value == _NULL else value for name, value in pairs}
    names = {tuple(folders) for folders in found.values()}
    if len(names) > 1:
        odd = next(path for path, folders in found.items() if tuple(folders) != min(names))
        raise InputError(
            f"the folders of {odd!r} have other names than those of the other files",
            hint="name=value folders become columns, so all files need the same; hive=False ignores them",
        )
    return found if any(names) else {}
