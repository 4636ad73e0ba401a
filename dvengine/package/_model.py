"""DataPackage: what is to be published, put together and checked, with nothing read and nothing written."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from dvengine._arguments import typed
from dvengine._certificate import Certificate
from dvengine._errors import DescriptorError
from dvengine.datasets._build import from_object
from dvengine.datasets._dataset import Dataset
from dvengine.datasets._origins import TableOrigin
from dvengine.package._names import check_label, check_package_name, check_path, file_stems
from dvengine.package._texts import Text, check_text, licence, party
from dvengine.package._views import Rendered, render
from dvengine.privacy._content import table_sha256
from dvengine.privacy._structure import Structure

if TYPE_CHECKING:
    from dvengine.privacy._suppress import SafeTable

__all__ = ["DataPackage", "FieldText", "Resource", "View"]

Access = Literal["open", "internal", "restricted"]
_ACCESS = ("open", "internal", "restricted")
_FIELD_KEYS = ("title", "description", "unit", "rdfType")


@dataclass(frozen=True, slots=True)
class FieldText:
    """What is said about one column beyond its type."""

    title: Text | None = None
    description: Text | None = None
    unit: str | None = None
    rdf_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One table of a package.

    Attributes:
        data: Where the rows come from.
        in_memory: Whether the rows are at hand, so that the gate can look at all of them before the first byte is stored.
        safe: The suppressed table, or None for data that carry no certificate.
    """

    name: str
    data: Dataset
    in_memory: bool
    safe: SafeTable | None = None
    title: Text | None = None
    description: Text | None = None
    fields: Mapping[str, FieldText] = field(default_factory=dict)

    @property
    def certificate(self) -> Certificate | None:
        """The certificate, whether it still fits the data or not (see `fresh`)."""
        return self.safe.certificate if self.safe is not None else None

    @property
    def structure(self) -> Structure | None:
        """What adds up to what in a suppressed table."""
        return self.safe.structure if self.safe is not None else None

    @property
    def lineage(self) -> tuple[Mapping[str, Any], ...]:
        """What the rows were read or, for a suppressed table, counted from; known once they have been read."""
        return (self.safe.lineage if self.safe is not None else ()) or self.data.lineage

    def fresh(self) -> bool:
        """Whether the certificate was given for exactly the rows that go out; worked out anew from them at each call."""
        return (
            self.safe is not None
            and table_sha256(self.data.to_polars()) == self.safe.certificate.table_sha256
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One figure of a package, rendered when it was added."""

    name: str
    rendered: Rendered
    title: Text | None = None
    resource: str | None = None


class DataPackage:
    """What is to be published: tables, figures, and the words around them.

    Guarantees: everything that can be checked without reading a row is checked when it is given; `publish` writes nothing
    before the whole is complete. What is missing for ``open`` is said by `missing`.

    Args:
        name: Also the folder and a part of the URL: lower-case letters a–z and digits joined by ``-``, ``.`` or ``_``.
        title: Text, or texts by language ``{"nb": …, "en": …}``.
        description: Text (markdown), or texts by language.
        license: An identifier such as ``CC-BY-4.0``, or ``{name, path, title}``, or a list of these.
        contact: A name, an e-mail address, or ``{title, email, path, organization, id}``.
        publisher: The same.
        access: Who may read it: ``open``, ``internal`` or ``restricted``.
        keywords: Words to find it by.
        themes: Themes of a vocabulary, as codes or IRIs.
        language: Of plain texts: a language tag.
        sources: Where the data come from, for people: texts, or ``{title, path, email}``.

    Raises:
        DescriptorError: Any of these is not what it must be.

    Example:
        >>> import polars as pl
        >>> package = DataPackage(name="sykefravaer", title={"nb": "Sykefravær", "en": "Sick leave"})
        >>> package.add("tall", pl.DataFrame({"kommune": ["0301"], "n": [12]}))
        >>> package
        DataPackage('sykefravaer', internal: 1 resource (tall), 0 views)
    """

    @typed(DescriptorError, texts=("title", "description", "license", "sources"))
    def __init__(
        self,
        *,
        name: str,
        title: Text,
        description: Text | None = None,
        license: object = None,  # noqa: A002 - the word that everybody writes
        contact: object = None,
        publisher: object = None,
        access: Access = "internal",
        keywords: Iterable[str] = (),
        themes: Iterable[str] = (),
        language: str = "nb",
        sources: Iterable[object] = (),
    ) -> None:
        self.name = check_package_name(name)
        self.title = check_text(title, what="title")
        self.description = None if description is None else check_text(description, what="description")
        given = license if isinstance(license, (list, tuple)) else [] if license is None else [license]
        self.licenses = tuple(licence(one) for one in given)
        self.contact = None if contact is None else party(contact, role="contact")
        self.publisher = None if publisher is None else party(publisher, role="publisher")
        if access not in _ACCESS:
            raise DescriptorError("access must be open, internal or restricted")
        self.access: Access = access
        self.keywords = _words(keywords, "keywords")
        self.themes = _words(themes, "themes")
        check_text({language: "-"}, what="language")
        self.language = language
        self.sources = tuple(_source(one) for one in sources)
        self._resources: dict[str, Resource] = {}
        self._views: dict[str, View] = {}

    def __repr__(self) -> str:
        names = f" ({', '.join(self._resources)})" if self._resources else ""
        resources = f"{len(self._resources)} resource{'' if len(self._resources) == 1 else 's'}{names}"
        views = f"{len(self._views)} view{'' if len(self._views) == 1 else 's'}"
        return f"DataPackage({self.name!r}, {self.access}: {resources}, {views})"

    @property
    def resources(self) -> Mapping[str, Resource]:
        """The tables, by name, in the order in which they were added."""
        return MappingProxyType(self._resources)

    @property
    def views(self) -> Mapping[str, View]:
        """The figures, by name, in the order in which they were added."""
        return MappingProxyType(self._views)

    @typed(DescriptorError, texts=("title", "description", "fields"))
    def add(
        self,
        name: str,
        data: object,
        *,
        title: Text | None = None,
        description: Text | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> None:
        """Add a table. No row is read.

        Args:
            name: Unique in the package; its file name is made of it (æøå become ae, o, a).
            data: A `Dataset`, a `SafeTable`, or anything that `dvengine.dataset` takes (pandas, Polars, Arrow, DuckDB …).
            title: Text, or texts by language.
            description: The same.
            fields: Column → description, or ``{title, description, unit, rdfType}``.

        Raises:
            DescriptorError: The name is taken, not valid, or gives the file name of another; no columns; a field that is not a column.
            TypeMapError, InputError: ``data`` cannot be taken, as `dvengine.dataset` says.
        """
        name = check_label(name, what="resource")
        if name in self._resources:
            raise DescriptorError(f"there is a resource {name!r} already", hint="give each its own name")
        file_stems([*self._resources, name], what="resource")
        safe = _safe(data)
        source = safe.frame if safe is not None else data
        dataset = source if isinstance(source, Dataset) else from_object(source, name=name)
        columns = dataset.schema.names
        if not columns:
            raise DescriptorError(f"resource {name!r} has no columns")
        self._resources[name] = Resource(
            name=name,
            data=dataset,
            in_memory=isinstance(dataset._origin, TableOrigin),
            safe=safe,
            title=None if title is None else check_text(title, what=f"title of {name!r}"),
            description=None
            if description is None
            else check_text(description, what=f"description of {name!r}"),
            fields=_fields(name, fields or {}, columns),
        )

    @typed(DescriptorError, texts=("figure", "title"))
    def add_view(
        self, name: str, figure: object, *, title: Text | None = None, resource: str | None = None
    ) -> None:
        """Add a figure, and draw it now; nothing is fetched.

        Args:
            name: Unique among the views.
            figure: An altair chart, a Vega-Lite dict or JSON text, a matplotlib figure, or markdown text.
            title: Text, or texts by language.
            resource: The table whose numbers it shows; for ``open``, each row in the figure must be a published one.

        Raises:
            DescriptorError: Not a figure, a name taken, or a resource that is not in the package.
            MissingExtra: A Vega-Lite figure without the extra ``views``.
        """
        name = check_label(name, what="view")
        if name in self._views:
            raise DescriptorError(f"there is a view {name!r} already", hint="give each its own name")
        file_stems([*self._views, name], what="view")
        if resource is not None and resource not in self._resources:
            known = ", ".join(self._resources) or "none yet"
            raise DescriptorError(
                f"view {name!r} shows a resource that is not in the package", hint=f"resources: {known}"
            )
        self._views[name] = View(
            name=name,
            rendered=render(figure, name=name),
            title=None if title is None else check_text(title, what=f"title of {name!r}"),
            resource=resource,
        )

    def missing(self, *, access: Access | None = None) -> tuple[str, ...]:
        """Return what the package still lacks for an access level (its own by default), all at once.

        Example:
            >>> DataPackage(name="a", title="A").missing(access="open")
            ('license', 'contact', 'publisher', 'a resource')
        """
        lacks: list[str] = []
        if (access or self.access) == "open":
            needed = {"license": self.licenses, "contact": self.contact, "publisher": self.publisher}
            lacks = [name for name, value in needed.items() if not value]
        return (*lacks, *(() if self._resources else ("a resource",)))


def _safe(data: object) -> SafeTable | None:
    """Return the data if they are a suppressed table. Who has not loaded what makes one (and its solvers) cannot have one."""
    made = sys.modules.get("dvengine.privacy._suppress")
    return data if made is not None and isinstance(data, made.SafeTable) else None


def _fields(resource: str, given: Mapping[str, object], columns: Iterable[str]) -> dict[str, FieldText]:
    columns = list(columns)
    strange = [str(name) for name in given if name not in columns]
    if strange:
        raise DescriptorError(
            f"resource {resource!r} has no column {', '.join(map(repr, strange))}",
            hint=f"its columns are {', '.join(columns[:30])}",
        )
    described: dict[str, FieldText] = {}
    for column, value in given.items():
        where = f"column {column!r} of {resource!r}"
        if isinstance(value, str):
            described[column] = FieldText(description=check_text(value, what=where))
            continue
        if not isinstance(value, Mapping) or set(value) - set(_FIELD_KEYS):
            raise DescriptorError(
                f"{where} must have a text or an object", hint=f"its keys are {', '.join(_FIELD_KEYS)}"
            )
        texts = {key: check_text(v, what=where) for key, v in value.items() if v is not None}
        unit, rdf_type = texts.get("unit"), texts.get("rdfType")
        if isinstance(unit, Mapping) or isinstance(rdf_type, Mapping):
            raise DescriptorError(f"the unit and rdfType of {where} are plain texts")
        described[column] = FieldText(texts.get("title"), texts.get("description"), unit, rdf_type)
    return described


def _words(given: Iterable[str], what: str) -> tuple[str, ...]:
    if isinstance(given, str):
        raise DescriptorError(f"{what} must be a list of texts", hint=f"{what}=['helse', …]")
    for word in given:
        if isinstance(check_text(word, what=what), Mapping):
            raise DescriptorError(f"{what} must be plain texts")
    return tuple(dict.fromkeys(given))


def _source(given: object) -> dict[str, str]:
    if isinstance(given, str):
        check_text(given, what="source")
        return {"title": given}
    if (
        isinstance(given, Mapping)
        and given
        and not set(given) - {"title", "path", "email", "version"}
        and all(isinstance(value, str) and value for value in given.values())
    ):
        path = given.get("path", "")
        if path and not path.startswith(("http://", "https://")):
            check_path(path)
        return dict(given)
    raise DescriptorError("a source is a text, or an object with title, path, email and version, each a text")
