"""The Data Package v2 descriptor: built from a package and what was stored, and held against the published profile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from jsonschema import Draft7Validator

from dvengine._certificate import Certificate
from dvengine._errors import DescriptorError
from dvengine.arrow._tableschema import ARROW, to_table_schema, type_to_json
from dvengine.datasets._origins import TableOrigin
from dvengine.package._locate import relative
from dvengine.package._model import DataPackage, Resource, View
from dvengine.package._names import check_path
from dvengine.package._texts import Text, plain
from dvengine.stores import PartReceipt

if TYPE_CHECKING:
    from dvengine.privacy._suppress import SafeTable

__all__ = ["PROFILE", "Stored", "build", "check", "problems", "strict_json"]

PROFILE = "https://datapackage.org/profiles/2.0/datapackage.json"
PARQUET = "application/vnd.apache.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What is known about a resource once its parts are stored.

    Attributes:
        schema: Of the rows as written.
        nulls: Column → how many rows have no value there (top-level columns).
        certificate: The one that is published with it: None where there is none, or where it did not fit and was overridden.
        identity: Columns in which identity numbers were found, or may be.
    """

    schema: pa.Schema
    parts: tuple[PartReceipt, ...]
    nulls: Mapping[str, int]
    lineage: tuple[Mapping[str, Any], ...] = ()
    certificate: Certificate | None = None
    identity: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows in all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def nbytes(self) -> int:
        """Stored bytes of all parts."""
        return sum(part.nbytes for part in self.parts)


@dataclass(frozen=True, slots=True)
class StoredView:
    """A view and its files, as paths in the package."""

    view: View
    paths: Mapping[str, str] = field(default_factory=dict)


def build(
    package: DataPackage,
    stored: Mapping[str, Stored],
    views: tuple[StoredView, ...],
    *,
    version: int,
    created: str,
) -> dict[str, Any]:
    """Return the descriptor of one version.

    Guarantees: valid against the profile of Data Package 2.0; strict JSON; no value of the data. What the standard has no word
    for stands under ``dvengine:`` names.

    Raises:
        DescriptorError: It would not be valid.
    """
    language = package.language
    contributors = [person for person in (package.publisher, package.contact) if person]
    descriptor: dict[str, Any] = {
        "$schema": PROFILE,
        "name": package.name,
        **_texts("title", package.title, language),
        **_texts("description", package.description, language),
        "version": str(version),
        "created": created,
        **({"licenses": [dict(one) for one in package.licenses]} if package.licenses else {}),
        **({"contributors": contributors} if contributors else {}),
        **({"keywords": list(package.keywords)} if package.keywords else {}),
        **({"sources": [dict(one) for one in package.sources]} if package.sources else {}),
        "dvengine:access": package.access,
        "dvengine:language": language,
        **({"dvengine:themes": list(package.themes)} if package.themes else {}),
        "resources": [
            _resource(resource, stored[name], package) for name, resource in package.resources.items()
        ],
        **({"views": [_view(one, language) for one in views]} if views else {}),
    }
    check(descriptor)
    return descriptor


def _texts(name: str, text: Text | None, language: str) -> dict[str, Any]:
    if text is None:
        return {}
    tagged = {f"dvengine:{name}": dict(text)} if isinstance(text, Mapping) else {}
    return {name: plain(text, language), **tagged}


def _resource(resource: Resource, stored: Stored, package: DataPackage) -> dict[str, Any]:
    paths = [relative(part.path, package.name) for part in stored.parts]
    single = stored.parts[0] if len(stored.parts) == 1 else None
    described: dict[str, Any] = {
        "name": resource.name,
        **_texts("title", resource.title, package.language),
        **_texts("description", resource.description, package.language),
        "type": "table",
        "path": paths,
        "format": "parquet",
        "mediatype": PARQUET,
        "bytes": stored.nbytes,
        # The standard has one hash a resource; that of several files laid end to end would be nobody's file.
        **({"hash": f"sha256:{single.sha256}"} if single else {}),
        "schema": _schema(resource, stored, package.language),
        "dvengine:rows": stored.rows,
        "dvengine:parts": [
            {"path": path, "rows": part.rows, "bytes": part.nbytes, "hash": f"sha256:{part.sha256}"}
            for path, part in zip(paths, stored.parts, strict=True)
        ],
    }
    if stored.lineage:
        described["dvengine:lineage"] = [dict(step) for step in stored.lineage]
    if resource.safe is not None:
        described["dvengine:structure"] = resource.safe.structure.to_dict()
        described["dvengine:suppression"] = _legend(resource.safe)
    if stored.certificate is not None:
        described["dvengine:certificate"] = stored.certificate.public()
    return described


def _legend(safe: SafeTable) -> dict[str, Any]:
    symbols = [mark for mark in safe.frame["status"].unique().to_list() if mark]
    return {
        "symbol": symbols[0] if symbols else ":",
        "status": "status",
        "legend": {
            "nb": "Tallet er skjult for å verne personer. Det mangler ikke, og kan være null bare der en sum som det inngår i, "
            "også er skjult.",
            "en": "Hidden to protect persons. The number is not missing; it can be zero only where a sum that it is part of is "
            "hidden too.",
        },
    }


def _schema(resource: Resource, stored: Stored, language: str) -> dict[str, Any]:
    schema = to_table_schema(stored.schema, categories=_ordered(resource))
    for described in schema["fields"]:
        name = described["name"]
        if described["type"] == "list":
            # The standard's text has lists, its published profile does not; the exact type is kept beside.
            described.pop("itemType", None)
            described |= {"type": "array", ARROW: type_to_json(stored.schema.field(name).type, column=name)}
        said = resource.fields.get(name)
        if said is not None:
            described |= _texts("title", said.title, language) | _texts(
                "description", said.description, language
            )
            if said.unit is not None:
                described["dvengine:unit"] = said.unit
            if said.rdf_type is not None:
                described["rdfType"] = said.rdf_type
        described["dvengine:nulls"] = stored.nulls.get(name, 0)
        if name in stored.identity:
            described["dvengine:sensitive"] = "identity-number"
    return schema


def _ordered(resource: Resource) -> dict[str, list[Any]]:
    """Return the categories of columns that have an order: a reader needs those that no row has, too, to keep it."""
    origin = resource.data._origin
    if not isinstance(origin, TableOrigin):
        return {}
    table: Any = origin.table.unify_dictionaries()
    return {
        field.name: table.column(field.name).chunk(0).dictionary.to_pylist()
        for field in table.schema
        if pa.types.is_dictionary(field.type) and field.type.ordered and table.column(field.name).num_chunks
    }


def _view(stored: StoredView, language: str) -> dict[str, Any]:
    view = stored.view
    first = next(iter(stored.paths.values()))
    picture = stored.paths.get(".svg")
    return {
        "name": view.name,
        **_texts("title", view.title, language),
        "specType": view.rendered.kind,
        "path": first,
        **({"dvengine:picture": picture} if picture else {}),
        "resources": [view.resource] if view.resource else [],
    }


def strict_json(value: object) -> bytes:
    """Serialise, refusing what JSON cannot hold (NaN, infinities, other objects) instead of inventing a spelling.

    Raises:
        DescriptorError: There is such a thing in it.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1).encode()
    except (ValueError, TypeError, UnicodeEncodeError):
        raise DescriptorError(
            "the descriptor holds something that JSON cannot",
            hint="numbers must be finite, texts valid Unicode",
        ) from None


@cache
def _profile() -> Draft7Validator:
    text = files("dvengine.package").joinpath("profiles/datapackage.json").read_text("utf-8")
    return Draft7Validator(json.loads(text))


def problems(descriptor: object) -> list[str]:
    """Return what is wrong with a descriptor, in short texts that name places and rules, never values.

    Held against the published profile, then against what a schema cannot say: names that occur twice, paths that leave the
    package, hashes of an algorithm that nobody here can check.

    Example:
        >>> problems({"resources": [{"name": "a"}]})
        ['descriptor $.resources[0]: breaks the rule oneOf of the profile']
    """
    found = sorted({(error.json_path, str(error.validator)) for error in _profile().iter_errors(descriptor)})
    wrong = [f"descriptor {path}: breaks the rule {rule} of the profile" for path, rule in found]
    resources = descriptor.get("resources") if isinstance(descriptor, Mapping) else None
    listed = [one for one in resources if isinstance(one, Mapping)] if isinstance(resources, list) else []
    names = [one.get("name") for one in listed]
    if len({str(name) for name in names}) != len(names):
        wrong.append("descriptor: two resources have the same name")
    for index, one in enumerate(listed):
        place = f"descriptor $.resources[{index}]"
        paths = one.get("path", [])
        paths = paths if isinstance(paths, list) else [paths]
        if len({str(path) for path in paths}) != len(paths):
            wrong.append(f"{place}.path: the same file twice")
        for path in paths:
            if isinstance(path, str) and path.startswith(("http://", "https://")):
                continue
            try:
                check_path(path)
            except DescriptorError:
                wrong.append(f"{place}.path: leaves the package, or is not a plain relative path")
        if not str(one.get("hash", "sha256:")).startswith("sha256:"):
            wrong.append(f"{place}.hash: not verified, for the algorithm is not sha256")
        schema = one.get("schema")
        fields = schema.get("fields", []) if isinstance(schema, Mapping) else []
        columns = [f.get("name") for f in fields if isinstance(f, Mapping)]
        if not all(isinstance(c, str) and c for c in columns) or len(set(map(str, columns))) != len(columns):
            wrong.append(f"{place}.schema: a column without a name, or two of the same name")
    return wrong


def check(descriptor: object) -> None:
    """Refuse a descriptor that is not valid or not strict JSON.

    Raises:
        DescriptorError: Its first problems are in the hint.
    """
    strict_json(descriptor)
    wrong = problems(descriptor)
    if wrong:
        raise DescriptorError("the descriptor is not valid", hint="; ".join(wrong[:5]))
