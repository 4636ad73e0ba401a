"""Import an optional library, or say which extra brings it."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from dvengine._errors import MissingExtra

__all__ = ["require"]


def require(module: str, *, extra: str) -> ModuleType:
    """Import ``module``, raising `MissingExtra` only where it is truly not installed.

    The distribution is looked for first, so that a bug inside an installed library is not mistaken for its absence.

    Example:
        >>> require("json", extra="none").__name__
        'json'
    """
    root = module.partition(".")[0]
    if find_spec(root) is None:
        raise MissingExtra.of(extra, root)
    return import_module(module)
