"""dvengine: from a registry to a published, provably safe datapackage, in one library, at the speed of the hardware.

Everything public is listed in ``__all__`` and loaded at first use, so that importing costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvengine._certificate import Certificate as Certificate
    from dvengine._errors import (
        AccessDenied as AccessDenied,
    )
    from dvengine._errors import (
        AlreadyExists as AlreadyExists,
    )
    from dvengine._errors import (
        Cancelled as Cancelled,
    )
    from dvengine._errors import (
        ConfigError as ConfigError,
    )
    from dvengine._errors import (
        Conflict as Conflict,
    )
    from dvengine._errors import (
        DescriptorError as DescriptorError,
    )
    from dvengine._errors import (
        DvengineError as DvengineError,
    )
    from dvengine._errors import (
        Incomplete as Incomplete,
    )
    from dvengine._errors import (
        InputError as InputError,
    )
    from dvengine._errors import (
        MissingExtra as MissingExtra,
    )
    from dvengine._errors import (
        NotFound as NotFound,
    )
    from dvengine._errors import (
        NotSupported as NotSupported,
    )
    from dvengine._errors import (
        QueryError as QueryError,
    )
    from dvengine._errors import (
        Refused as Refused,
    )
    from dvengine._errors import (
        StreamConsumed as StreamConsumed,
    )
    from dvengine._errors import (
        TableError as TableError,
    )
    from dvengine._errors import (
        TypeMapError as TypeMapError,
    )
    from dvengine._errors import (
        Unavailable as Unavailable,
    )
    from dvengine._errors import (
        Uncertified as Uncertified,
    )
    from dvengine._errors import (
        VerificationFailed as VerificationFailed,
    )
    from dvengine._events import Event as Event
    from dvengine._events import subscribe as subscribe
    from dvengine._progress import show_progress as show_progress
    from dvengine._publish import Release as Release
    from dvengine._publish import publish as publish
    from dvengine._read import dataset as dataset
    from dvengine._read import read_files as read_files
    from dvengine._read import read_sql as read_sql
    from dvengine._read import snapshot as snapshot
    from dvengine.catalog._build import build_catalog as build_catalog
    from dvengine.catalog._find import search as search
    from dvengine.datasets._dataset import Dataset as Dataset
    from dvengine.package._model import DataPackage as DataPackage
    from dvengine.package._open import OpenedPackage as OpenedPackage
    from dvengine.package._open import open_package as open_package
    from dvengine.package._verify import verify as verify
    from dvengine.privacy._audit import audit as audit
    from dvengine.privacy._pseudonymise import pseudonymise as pseudonymise
    from dvengine.privacy._rules import Threshold as Threshold
    from dvengine.privacy._suppress import SafeTable as SafeTable
    from dvengine.privacy._suppress import suppress as suppress
    from dvengine.privacy._tabulate import Tabulation as Tabulation
    from dvengine.privacy._tabulate import tabulate as tabulate

__version__ = "0.1.0"

_ERRORS = (
    "AccessDenied", "AlreadyExists", "Cancelled", "ConfigError", "Conflict", "DescriptorError", "DvengineError", "Incomplete",
    "InputError", "MissingExtra", "NotFound", "NotSupported", "QueryError", "Refused", "StreamConsumed", "TableError",
    "TypeMapError", "Unavailable", "Uncertified", "VerificationFailed",
)  # fmt: skip

#: Public name -> the private module that holds it.
_HOME: dict[str, str] = {
    **dict.fromkeys(_ERRORS, "_errors"),
    "Certificate": "_certificate",
    "DataPackage": "package._model",
    "Dataset": "datasets._dataset",
    "Event": "_events",
    "OpenedPackage": "package._open",
    "Release": "_publish",
    "SafeTable": "privacy._suppress",
    "Tabulation": "privacy._tabulate",
    "Threshold": "privacy._rules",
    "audit": "privacy._audit",
    "build_catalog": "catalog._build",
    "dataset": "_read",
    "open_package": "package._open",
    "pseudonymise": "privacy._pseudonymise",
    "publish": "_publish",
    "read_files": "_read",
    "read_sql": "_read",
    "search": "catalog._find",
    "show_progress": "_progress",
    "snapshot": "_read",
    "subscribe": "_events",
    "suppress": "privacy._suppress",
    "tabulate": "privacy._tabulate",
    "verify": "package._verify",
}

# A literal, because type checkers cannot read a computed one; a test holds it to sorted(_HOME).
__all__ = [
    "AccessDenied",
    "AlreadyExists",
    "Cancelled",
    "Certificate",
    "ConfigError",
    "Conflict",
    "DataPackage",
    "Dataset",
    "DescriptorError",
    "DvengineError",
    "Event",
    "Incomplete",
    "InputError",
    "MissingExtra",
    "NotFound",
    "NotSupported",
    "OpenedPackage",
    "QueryError",
    "Refused",
    "Release",
    "SafeTable",
    "StreamConsumed",
    "TableError",
    "Tabulation",
    "Threshold",
    "TypeMapError",
    "Unavailable",
    "Uncertified",
    "VerificationFailed",
    "audit",
    "build_catalog",
    "dataset",
    "open_package",
    "pseudonymise",
    "publish",
    "read_files",
    "read_sql",
    "search",
    "show_progress",
    "snapshot",
    "subscribe",
    "suppress",
    "tabulate",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
