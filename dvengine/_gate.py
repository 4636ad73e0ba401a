"""The gate: what an open catalogue demands of data, figures and words, and how a refusal is overridden on the record.

| rule | says no to | where |
|---|---|---|
| ``stale-certificate`` | a suppressed table that was changed after it was certified | everywhere |
| ``invalid-certificate`` | a certificate with cells that could not be proven | everywhere |
| ``uncertified-table`` | a table without a certificate | open |
| ``identity-number`` | identity numbers, or what may be such, in data, figures, titles or descriptions | open; noted elsewhere |
| ``figure-data`` | a number in a figure that is not in the published table the figure shows | open |
| ``figure-unchecked`` | a picture whose numbers cannot be looked at | open |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dvengine._certificate import Certificate
from dvengine._errors import Refused
from dvengine.package._model import DataPackage, Resource, View
from dvengine.package._views import embedded_rows, numbers_and_texts
from dvengine.privacy._detect import Finding, IdentityScanner

__all__ = ["PublishGate", "Verdict"]

#: Text and comments of an SVG picture; matplotlib writes drawn text as a comment beside its outline.
_SVG_TEXT = re.compile(r"<!--(.*?)-->|<text[^>]*>(.*?)</text>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be published with a resource, and which of its columns are marked as sensitive."""

    certificate: Certificate | None
    identity: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Refusal:
    rule: str
    where: str
    says: str
    hint: str


class PublishGate:
    """Sees figures and words before anything is stored, and every row on its way out.

    Guarantees: a refusal names the column and the rule, never a value; without ``reason`` there is no way round; with it, each
    rule that was overridden is in `overrides`, together with the reason.

    Args:
        package: What is to be published.
        is_open: Whether the package, or the catalogue it goes to, is open.
        reason: Why the rules may be overridden, in words that will be published; None to override nothing.
    """

    def __init__(self, package: DataPackage, *, is_open: bool, reason: str | None) -> None:
        self._package, self._open, self._reason = package, is_open, reason
        self._overrides: dict[tuple[str, str], dict[str, str]] = {}
        self._certified: dict[str, Certificate | None] = {}
        self._scanners: dict[str, IdentityScanner] = {}

    @property
    def overrides(self) -> tuple[dict[str, str], ...]:
        """The rules that were overridden, where, and why."""
        return tuple(self._overrides.values())

    def before(self) -> None:
        """Look at all that can be looked at before the first byte is stored: certificates, figures, words, data in memory.

        Raises:
            Refused: All findings at once.
        """
        if self._reason is not None and _has_identity([self._reason]):
            raise Refused(
                "the reason holds what is or may be identity numbers, and it would be published",
                hint="say it without them",
                rules=("identity-number",),
            )
        findings = [*self._certificates(), *self._figures(), *self._words()]
        if self._open:
            for resource in self._package.resources.values():
                if resource.in_memory:
                    scanner = self._scanner(resource.name, resource.data.schema)
                    with resource.data.batches() as stream:
                        for batch in stream:
                            scanner.feed(batch)
                    findings += self._identities(resource)
        self._judge(findings)

    def watch(self, resource: Resource, schema: pa.Schema) -> Callable[[pa.RecordBatch], None]:
        """Return what each batch of a resource is shown to."""
        if resource.name in self._scanners:  # all of it was seen before
            return _seen_already
        return self._scanner(resource.name, schema).feed

    def settle(self, resource: Resource) -> Verdict:
        """Judge a resource, all of whose rows were seen.

        Raises:
            Refused: Identity numbers on their way to an open catalogue.
        """
        found = self._identities(resource)
        if self._open:
            self._judge(found)
        # A finding names a struct's field as a.b and a list's element as a[]; the descriptor knows whole columns.
        paths = [finding.column for finding in self._found(resource)]
        columns = [
            name
            for name in resource.data.schema.names
            if any(path == name or path.startswith((f"{name}.", f"{name}[")) for path in paths)
        ]
        return Verdict(self._certified.get(resource.name), tuple(columns))

    def _scanner(self, name: str, schema: pa.Schema) -> IdentityScanner:
        scanner = self._scanners[name] = IdentityScanner(schema)
        return scanner

    def _judge(self, findings: list[_Refusal]) -> None:
        if not findings:
            return
        if self._reason is not None:
            for finding in findings:
                entry = {"rule": finding.rule, "where": finding.where, "reason": self._reason}
                self._overrides.setdefault((finding.rule, finding.where), entry)
            return
        said = "; ".join(f"{f.where} {f.says} (rule {f.rule!r})" for f in findings[:10])
        more = f"; and {len(findings) - 10} more" if len(findings) > 10 else ""
        hints = "; ".join(dict.fromkeys(f.hint for f in findings))
        raise Refused(
            f"{self._package.name!r} is not published: {said}{more}",
            hint=f"{hints}; or override with reason='…', which is recorded and shown",
            rules=tuple(dict.fromkeys(f.rule for f in findings)),
        )

    def _certificates(self) -> Iterator[_Refusal]:
        for name, resource in self._package.resources.items():
            certificate, where = resource.certificate, f"resource {name!r}"
            self._certified[name] = None
            if certificate is None:
                if self._open:
                    yield _Refusal(
                        "uncertified-table", where, "has no certificate",
                        "make it a table with dv.tabulate and dv.suppress",
                    )  # fmt: skip
            elif not resource.fresh():
                yield _Refusal(
                    "stale-certificate", where, "was changed after it was certified",
                    "suppress again, and publish what that gives, unchanged",
                )  # fmt: skip
            elif not certificate.valid:
                yield _Refusal(
                    "invalid-certificate",
                    where,
                    "has cells that could not be proven",
                    "suppress again with other settings",
                )
            else:
                self._certified[name] = certificate

    def _identities(self, resource: Resource) -> list[_Refusal]:
        return [
            _Refusal(
                "identity-number",
                f"column {finding.column!r} of {resource.name!r}",
                "holds what is or may be identity numbers "
                f"({finding.rule}, {finding.verdict}, {finding.share:.1%} of what could be)",
                "drop the column, or dv.pseudonymise it first",
            )
            for finding in self._found(resource)
        ]

    def _found(self, resource: Resource) -> list[Finding]:
        """Return the scanner's findings, less what chance puts among the sums of a certified table."""
        findings = self._scanners[resource.name].findings()
        structure = resource.structure if self._certified.get(resource.name) is not None else None
        sums = {structure.measure, *structure.values} if structure is not None else set()
        return [found for found in findings if found.column not in sums or found.verdict == "certain"]

    def _words(self) -> Iterator[_Refusal]:
        if not self._open:
            return
        for where, texts in _texts(self._package):
            if _has_identity(texts):
                yield _Refusal(
                    "identity-number",
                    where,
                    "holds what is or may be identity numbers",
                    "take the numbers out",
                )

    def _figures(self) -> Iterator[_Refusal]:
        if not self._open:
            return
        for name, view in self._package.views.items():
            where = f"view {name!r}"
            if view.rendered.kind == "svg":
                yield _Refusal(
                    "figure-unchecked", where, "is a picture whose numbers cannot be checked",
                    "draw it with altair or Vega-Lite, from the published table",
                )  # fmt: skip
            elif view.rendered.spec is not None:
                says = _figure(view, view.rendered.spec, self._package.resources)
                if says is not None:
                    yield _Refusal(
                        "figure-data",
                        where,
                        says,
                        "draw it from safe.frame, with its own column names, resource='…'",
                    )


def _seen_already(_: pa.RecordBatch) -> None:
    """Look away: the whole was scanned before anything was stored."""


def _has_identity(texts: list[str]) -> bool:
    batch = pa.record_batch({"text": pa.array(texts, pa.string())})
    scanner = IdentityScanner(batch.schema)
    scanner.feed(batch)
    return bool(scanner.findings())


def _texts(package: DataPackage) -> Iterator[tuple[str, list[str]]]:
    """Yield every text that goes out with a package, by where it stands."""
    head = [
        package.name,
        package.title,
        package.description,
        *package.keywords,
        *package.themes,
        list(package.sources),
    ]
    people = [package.contact, package.publisher, list(package.licenses)]
    yield "the package's text", list(_strings([*head, *people]))
    for name, resource in package.resources.items():
        fields = [[f.title, f.description, f.unit, f.rdf_type] for f in resource.fields.values()]
        words = [name, resource.title, resource.description, fields, resource.data.schema.names]
        yield f"the text of {name!r}", list(_strings(words))
    for name, view in package.views.items():
        drawn = [a or b for a, b in _SVG_TEXT.findall(view.rendered.text)]
        body = [view.rendered.text] if view.rendered.kind == "markdown" else drawn
        spec = list(numbers_and_texts(view.rendered.spec or {}))
        yield f"view {name!r}", [*_strings([name, view.title]), *body, *spec]


def _strings(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        yield from _strings(list(node.values()))
    elif isinstance(node, (list, tuple)):
        for inner in node:
            yield from _strings(inner)


def _number(value: object) -> float | None:
    """Return a number, or what a text such as ``"1 234"`` or ``"12,5 %"`` says; a text with a leading zero is a code."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        value = re.sub(r"[\s%]", "", value).replace(",", ".")
        if re.match(r"0\d", value):
            return None
    try:
        return float(value)  # type: ignore[arg-type]  # whatever is no number says so
    except (TypeError, ValueError):
        return None


def _figure(view: View, spec: Mapping[str, Any], resources: Mapping[str, Resource]) -> str | None:
    """Say why a figure's numbers may not go out, or None.

    Each embedded row that holds a number must have classification columns in common with the published table, and a
    published row with the same codes must hold each of its numbers; derived numbers are not published ones.
    """
    names = [view.resource] if view.resource is not None else list(resources)
    tables = [name for name in names if resources[name].safe is not None]
    indexes = [_Index(resources[name]) for name in tables]
    for row in embedded_rows(spec):
        if not any(index.carries(row) for index in indexes or [_Index(None)]):
            continue
        if not tables:
            return "shows numbers of a table that has no certificate"
        if not any(index.publishes(row) for index in indexes):
            return f"holds numbers that are not in the published table {' or '.join(map(repr, tables))}"
    return None


_Codes = tuple[str | None, ...]
_Measures = tuple[float | None, ...]


class _Index:
    """The rows of a published table, to be found by any set of its classification columns."""

    def __init__(self, resource: Resource | None) -> None:
        structure = resource.structure if resource is not None else None
        self._by = structure.by if structure is not None else ()
        self._measures = (structure.measure, *structure.values) if structure is not None else ()
        # The rows that go out: the table they came from may have been changed since.
        self._rows = list(resource.data.to_polars().iter_rows(named=True)) if resource is not None else []
        self._known = {row[name] for row in self._rows for name in self._by}
        self._cells: dict[tuple[str, ...], dict[_Codes, dict[_Measures, None]]] = {}
        self._seen: dict[tuple[tuple[str, ...], _Codes], tuple[set[float | None], ...]] = {}

    def carries(self, row: Mapping[str, Any]) -> bool:
        """Whether a row holds a number that is not one of the table's codes."""
        return bool(self._numbers(row))

    def _numbers(self, row: Mapping[str, Any]) -> dict[str, float]:
        return {
            name: number
            for name, value in row.items()
            if name not in self._by
            and (name in self._measures or not isinstance(value, str) or value not in self._known)
            and (number := _number(value)) is not None
        }

    def publishes(self, row: Mapping[str, Any]) -> bool:
        """Whether one published row with the same codes holds every number of the row."""
        numbers = self._numbers(row)
        shared = tuple(name for name in self._by if name in row)
        if not shared:
            return not numbers
        codes = _codes(row, shared)
        cells = self._found(shared).get(codes, {})
        if (
            len(numbers) == 1
        ):  # a chart may share few columns with the table, and then many cells with each code
            ((name, number),) = numbers.items()
            if (shared, codes) not in self._seen:
                self._seen[shared, codes] = tuple(map(set, zip(*cells, strict=True)))
            seen = self._seen[shared, codes]
            return any(number in seen[at] for at in self._columns(name)) if seen else False
        return any(
            all(any(cell[at] == number for at in self._columns(name)) for name, number in numbers.items())
            for cell in cells
        )

    def _columns(self, name: str) -> Iterable[int]:
        """Return where a number may stand: under its own name, or anywhere if its column was renamed."""
        return [self._measures.index(name)] if name in self._measures else range(len(self._measures))

    def _found(self, shared: tuple[str, ...]) -> dict[_Codes, dict[_Measures, None]]:
        if shared not in self._cells:
            found: dict[_Codes, dict[_Measures, None]] = {}
            for row in self._rows:
                measures = tuple(_number(row[name]) for name in self._measures)
                found.setdefault(_codes(row, shared), {})[measures] = None
            self._cells[shared] = found
        return self._cells[shared]


def _codes(row: Mapping[str, Any], names: tuple[str, ...]) -> _Codes:
    return tuple(None if row[name] is None else str(row[name]) for name in names)
