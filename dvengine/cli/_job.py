"""A package described in TOML: where each resource comes from, how it is made safe, and its metadata."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvengine._errors import InputError, NotFound

if TYPE_CHECKING:
    import pyarrow as pa

    from dvengine.datasets._dataset import Dataset
    from dvengine.package._model import DataPackage

__all__ = ["load_package"]

_CSV_KEYS = ("schema", "delimiter", "encoding", "decimal")
_RESOURCE_KEYS = {
    "name", "title", "description", "fields", "files", *_CSV_KEYS, "source", "table", "query", "tabulate", "suppress",
}  # fmt: skip
#: What a file can say of a step; the rest of the function's arguments are made here.
_STEP_KEYS = {
    "tabulate": {"by", "unit", "hierarchies", "values", "total"},
    "suppress": {"threshold", "attacker", "width", "time_limit", "seed", "symbol"},
}
_DECIMAL = re.compile(r"decimal\((\d{1,2}), ?(\d{1,2})\)")
_PLAIN_TYPES = ("boolean", "date", "datetime", "integer", "number", "string")


def load_package(path: Path) -> DataPackage:
    """Build a `DataPackage` from a ``package.toml``.

    Top-level keys are `DataPackage`'s arguments. Each ``[[resources]]`` names ``files`` (a pattern, with
    ``[resources.schema]`` for the types of CSV columns), or ``source`` with ``table`` or ``query``; with
    ``[resources.tabulate]`` (``by``, ``unit``, ``hierarchies`` as CSV files of child,parent) and ``[resources.suppress]``
    (``threshold``, ``attacker``) it becomes a suppressed table of counts. Paths are relative to the file.

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
    where = f"resource {resource.get('name', '(unnamed)')!r}"
    _only(resource, _RESOURCE_KEYS, where)
    if "name" not in resource:
        raise InputError("a resource has no name", hint='name = "…" below its [[resources]]')
    _check_origin(resource, where)
    for key, known in _STEP_KEYS.items():
        if not isinstance(resource.get(key, {}), Mapping):
            raise InputError(
                f"{where}: {key} is a table of its own", hint=f"write [resources.{key}] below it"
            )
        _only(resource.get(key, {}), known, f"{key} of {where}")
    if "suppress" in resource and "tabulate" not in resource:
        raise InputError(
            f"{where} has suppress without tabulate", hint="add [resources.tabulate] with by = [...]"
        )
    if "tabulate" not in resource:
        return
    if not resource["tabulate"].get("by"):
        raise InputError(f"{where}: tabulate needs by", hint='by = ["region", …]')
    if "suppress" not in resource:
        raise InputError(
            f"{where} is tabulated but not suppressed", hint="add [resources.suppress] with threshold = 5"
        )


def _check_origin(resource: Mapping[str, Any], where: str) -> None:
    if ("files" in resource) == ("source" in resource):
        raise InputError(
            f"{where} needs either files or source", hint='files = "data/*.parquet", or source = "alias"'
        )
    if "files" in resource:
        if wrong := [key for key in ("table", "query") if key in resource]:
            raise InputError(
                f"{where} has files, which have no {wrong[0]}", hint="source goes with table or query"
            )
        _schema(resource, where)
        return
    source = resource["source"]
    if not isinstance(source, str):
        raise InputError(f"{where}: source is text", hint='source = "alias"')
    if wrong := [key for key in _CSV_KEYS if key in resource]:
        raise InputError(f"{where}: {wrong[0]} belongs to files", hint="a source knows its own types")
    if ("table" in resource) == ("query" in resource):
        # An address is not repeated: it may hold a password.
        is_file = "://" not in source and ("/" in source or source.lower().endswith((".csv", ".parquet")))
        raise InputError(
            f"{where} has a source and needs either table or query with it",
            hint=f'for files: files = "{source}"' if is_file else 'table = "person", or query = "person.sql"',
        )


def _only(given: Mapping[str, Any], known: Collection[str], where: str) -> None:
    if unknown := sorted(set(given) - set(known)):
        raise InputError(
            f"{where} has unknown keys: {', '.join(unknown)}", hint="known: " + ", ".join(sorted(known))
        )


def _schema(resource: Mapping[str, Any], where: str) -> dict[str, pa.DataType]:
    """Return the Arrow types that ``[resources.schema]`` names."""
    named = resource.get("schema", {})
    if not isinstance(named, Mapping):
        raise InputError(f"{where}: schema is a table of its own", hint="write [resources.schema] below it")
    from dvengine.arrow._tableschema import from_table_schema

    fields = [_field(column, name, where) for column, name in named.items()]
    schema = from_table_schema({"fields": fields})
    return dict(zip(schema.names, schema.types, strict=True))


def _field(column: str, name: Any, where: str) -> dict[str, Any]:
    """Return the Table Schema field of a column."""
    from dvengine.arrow._tableschema import ARROW

    if name in _PLAIN_TYPES:
        return {"name": column, "type": name}
    decimal = _DECIMAL.fullmatch(name) if isinstance(name, str) else None
    if decimal and 1 <= int(decimal[1]) <= 38 and int(decimal[2]) <= int(decimal[1]):
        return {"name": column, "type": "number", ARROW: {"decimal128": [int(decimal[1]), int(decimal[2])]}}
    raise InputError(
        f"{where}: column {column!r} is given a type that there is not",
        hint="known: decimal(12,2), " + ", ".join(_PLAIN_TYPES),
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
    table = dv.tabulate(data, wanted.pop("by"), hierarchies=hierarchies or None, **wanted)
    options = dict(resource["suppress"])
    return dv.suppress(table, rule=dv.Threshold(options.pop("threshold", 5)), **options)


def _read(resource: Mapping[str, Any], base: Path) -> Dataset:
    import dvengine as dv

    if "files" in resource:
        given = resource["files"]
        patterns = given if isinstance(given, list) else [given]
        files = [pattern if "://" in pattern else str(base / pattern) for pattern in map(str, patterns)]
        options = {key: resource[key] for key in _CSV_KEYS if key in resource and key != "schema"}
        schema = _schema(resource, f"resource {resource['name']!r}")
        return dv.read_files(files if isinstance(given, list) else files[0], schema=schema or None, **options)
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
