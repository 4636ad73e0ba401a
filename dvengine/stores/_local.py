"""What a local folder needs beyond the object store library: bytes on the disk before the name, and lexical order."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

__all__ = ["create_durably", "missing", "remove_empty", "sync", "walk"]

_TEMPORARY = re.compile(r"#\d+\Z")


def create_durably(path: Path, data: bytes) -> None:
    """Create a file whole, or not at all, and only if the name is free.

    The bytes reach the disk before the name does, and the name before we return. A hard link is the one create-only
    step that every POSIX file system makes atomic; a crash leaves at most a ``#digits`` file, which is never listed.

    Raises:
        FileExistsError: The name is taken.
        OSError: Whatever else the file system says.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, "a file stands where a folder is needed") from None
    temporary = path.with_name(f"{path.name}#{secrets.randbelow(10**18)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    _sync_folder(path.parent)


def missing(folder: Path) -> list[Path]:
    """Return the folder and those around it that do not exist, innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def remove_empty(folders: list[Path]) -> None:
    """Remove folders, innermost first, as far as they are empty."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def sync(path: Path) -> None:
    """Bring a finished file and its name to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there, and NTFS journals names by itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def walk(root: Path, prefix: str) -> Iterator[tuple[str, int]]:
    """Yield ``(key, bytes)`` for every finished file below ``root/prefix``, in the lexical order of the whole key.

    Holds one folder's names at a time. Names that are not UTF-8 cannot be keys and are left out.
    """
    folder = root / prefix if prefix else root
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    named = []
    for entry in entries:
        if _TEMPORARY.search(entry.name) or not _encodable(entry.name):
            continue
        # A folder sorts as its keys do: with the slash.
        named.append((entry.name + "/" if entry.is_dir() else entry.name, entry))
    for name, entry in sorted(named, key=lambda pair: pair[0]):
        key = f"{prefix}/{name}" if prefix else name
        if name.endswith("/"):
            yield from walk(root, key[:-1])
        else:
            with contextlib.suppress(FileNotFoundError):  # removed while we walk
                yield key, entry.stat().st_size


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
