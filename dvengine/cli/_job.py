"""A package described in TOML: where each resource comes from, how it is made safe, and its metadata."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvengine._errors import InputError, NotFound

if TYPE_CHECKING:
    from dvengine.datasets._dataset import Dataset
    from dvengine.package._model import DataPackage

__all__ = ["load_package"]

_RESOURCE_KEYS = {
    "name",
    "title",
    "description",
    "fields",
    "files",
    "source",
    "table",
    "query",
    "tabulate",
    "suppress",
}


def load_package(path: Path) -> DataPackage:
    """Build a `DataPackage` from a ``package.toml``.

    Top-level keys are `DataPackage`'s arguments. Each ``[[resources]]`` names ``files`` (a pattern), or ``source`` with
    ``table`` or ``query``; with ``[resources.tabulate]`` (``by``, ``unit``, ``hierarchies`` as CSV files of child,parent) it
    becomes a table of counts, and with ``[resources.suppress]`` (``threshold``, ``attacker``) a suppressed one. Paths are
    relative to the file.

    Raises:
        NotFound: No such file.
        InputError: Not TOML, a key that is not known, or a resource without exactly one origin. Nothing is read before that.
    """
    import dvengine as dv

    if not path.is_file():
        raise NotFound(f"no such file: {path.name}", hint="dvengine publish wants a package.toml")
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError:
        raise InputError(f"{path.name} cannot be read", hint="check its rights") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise InputError(f"{path.name} is not valid TOML", hint="check quotes and brackets") from None
    resources = raw.pop("resources", None)
    if not isinstance(resources, list) or not resources:
        raise InputError(f"{path.name} has no [[resources]]", hint="a package needs at least one")
    for resource in resources:
        _check(resource)
    _known(dv.DataPackage, raw, path.name)
    package = dv.DataPackage(**raw)
    for resource in resources:
        described = {key: resource[key] for key in ("title", "description", "fields") if key in resource}
        package.add(resource["name"], _made(resource, path.parent), **described)
    return package


def _known(function: Callable[..., Any], given: Mapping[str, Any], where: str) -> None:
    """Refuse keys that the function does not know, and a call without those that it needs."""
    parameters = inspect.signature(function).parameters
    if unknown := sorted(set(given) - set(parameters)):
        raise InputError(
            f"{where} has unknown keys: {', '.join(unknown)}",
            hint=f"{function.__name__} knows: " + ", ".join(sorted(parameters)),
        )
    needed = {name for name, p in parameters.items() if p.default is p.empty and p.kind is p.KEYWORD_ONLY}
    if missing := sorted(needed - set(given)):
        raise InputError(
            f"{where} lacks {', '.join(missing)}", hint=f"see help(dvengine.{function.__name__})"
        )


def _check(resource: Any) -> None:
    if not isinstance(resource, Mapping):
        raise InputError("resources are tables", hint="begin each with [[resources]]")
    name = resource.get("name", "(unnamed)")
    unknown = sorted(set(resource) - _RESOURCE_KEYS)
    if unknown:
        raise InputError(
            f"resource {name!r} has unknown keys: {', '.join(unknown)}",
            hint="known: " + ", ".join(sorted(_RESOURCE_KEYS)),
        )
    if "name" not in resource:
        raise InputError("a resource has no name", hint='name = "…" below its [[resources]]')
    if ("files" in resource) == ("source" in resource):
        raise InputError(
            f"resource {name!r} needs either files or source",
            hint='files = "data/*.parquet", or source = "alias"',
        )
    for key in ("tabulate", "suppress"):
        if not isinstance(resource.get(key, {}), Mapping):
            raise InputError(
                f"resource {name!r}: {key} is a table of its own", hint=f"write [resources.{key}] below it"
            )
    if "suppress" in resource and "tabulate" not in resource:
        raise InputError(
            f"resource {name!r} has suppress without tabulate",
            hint="add [resources.tabulate] with by = [...]",
        )


def _made(resource: Mapping[str, Any], base: Path) -> Any:
    import dvengine as dv

    data = _read(resource, base)
    if "tabulate" not in resource:
        return data
    wanted = dict(resource["tabulate"])
    files = wanted.pop("hierarchies", {})
    if not isinstance(files, Mapping) or not all(isinstance(file, str) for file in files.values()):
        raise InputError(
            f"resource {resource['name']!r}: hierarchies names a file for each column",
            hint='for example hierarchies = {region = "regions.csv"}',
        )
    hierarchies = {column: _hierarchy(base / file) for column, file in files.items()}
    by = wanted.pop("by", None)
    if not by:
        raise InputError(f"resource {resource['name']!r}: tabulate needs by", hint='by = ["region", …]')
    _known(dv.tabulate, wanted, f"tabulate of resource {resource['name']!r}")
    table = dv.tabulate(data, by, hierarchies=hierarchies or None, **wanted)
    if "suppress" not in resource:
        raise InputError(
            f"resource {resource['name']!r} is tabulated but not suppressed",
            hint="add [resources.suppress] with threshold = 5",
        )
    options = dict(resource["suppress"])
    rule = dv.Threshold(options.pop("threshold", 5))
    _known(dv.suppress, {"rule": rule, **options}, f"suppress of resource {resource['name']!r}")
    return dv.suppress(table, rule=rule, **options)


def _read(resource: Mapping[str, Any], base: Path) -> Dataset:
    import dvengine as dv

    if "files" in resource:
        pattern = str(resource["files"])
        return dv.read_files(pattern if "://" in pattern else str(base / pattern))
    query = resource.get("query")
    if query is not None and str(query).endswith(".sql"):
        query = base / str(query)
    return dv.read_sql(resource["source"], query, table=resource.get("table"))


def _hierarchy(path: Path) -> dict[str, str]:
    import csv

    if not path.is_file():
        raise NotFound(f"no such hierarchy file: {path.name}", hint="a CSV with the columns child and parent")
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            sample = lines.readline()
            lines.seek(0)
            rows = list(csv.DictReader(lines, delimiter=";" if ";" in sample else ","))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise InputError(f"{path.name} cannot be read as CSV", hint="save it as CSV in UTF-8") from None
    if not rows or not {"child", "parent"} <= set(rows[0]):
        raise InputError(
            f"{path.name} needs the columns child and parent", hint="name them in its first line"
        )
    twice = len(rows) - len({row["child"] for row in rows})
    if twice:
        raise InputError(f"{twice} code(s) in {path.name} stand there twice", hint="a code has one parent")
    return {row["child"]: row["parent"] or "" for row in rows}
