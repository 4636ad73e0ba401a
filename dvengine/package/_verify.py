"""Verify a published package from its own bytes, as a stranger could: nothing else is needed, no source and no key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from dvengine._arguments import typed
from dvengine._errors import (
    AccessDenied,
    DescriptorError,
    DvengineError,
    InputError,
    MissingExtra,
    NotFound,
    Refused,
    Unavailable,
    Uncertified,
    VerificationFailed,
)
from dvengine._events import stage as work
from dvengine.arrow._tableschema import from_table_schema
from dvengine.config import Settings
from dvengine.datasets._build import from_parquet
from dvengine.package._descriptor import problems as descriptor_problems
from dvengine.package._locate import Place, key, locate, relative
from dvengine.package._open import OpenedPackage, read_version
from dvengine.package._parts import PartFacts, check_file, check_parts
from dvengine.privacy._content import table_sha256
from dvengine.privacy._rules import Threshold
from dvengine.privacy._structure import Structure
from dvengine.stores import PartReceipt, Store

__all__ = ["Verification", "verify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was checked, and what was found.

    Attributes:
        url: Of the package, safe to show.
        version: That was verified; 0 where no version could be read.
        problems: Short texts naming parts, resources and rules, never values; empty when all is well.
        checks: What was held against what and found to be right, in words.
    """

    url: str
    version: int
    problems: tuple[str, ...]
    checks: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.problems

    def __repr__(self) -> str:
        verdict = "ok" if self.ok else f"{len(self.problems)} problem(s)"
        return f"Verification({self.url}, version {self.version}: {verdict}, {len(self.checks)} checks)"

    def require(self) -> None:
        """Raise unless all is well.

        Raises:
            VerificationFailed: The hint lists the first problems.
        """
        if self.problems:
            raise VerificationFailed(
                f"{self.url}, version {self.version}: {len(self.problems)} problem(s)",
                hint="; ".join(self.problems[:5]),
            )


@typed()
def verify(
    url: str | Path | Store,
    *,
    version: int | None = None,
    settings: Settings | None = None,
    time_limit: float = 60,
) -> Verification:
    """Check every stored byte of a package, its counts, its descriptor, and the disclosure audit again.

    Guarantees: reads every part in full; works from the published bytes alone; what is found is reported, not raised; no
    value of the data is in the report. Memory: bounded for plain tables; a suppressed table is read whole, as it was made.

    Args:
        url: As for `open_package`; an opened store is taken as the package's folder itself.
        version: Default: the current one.
        settings: Default: the settings file.
        time_limit: In seconds, for the audit of each suppressed table; a table not decided by then is not verified, and the
            problem says so.

    Raises:
        NotFound: No package there, or no such version.
        Unavailable, AccessDenied, ConfigError: The store could not be asked, which says nothing about the package.

    Example:
        >>> import polars as pl
        >>> from dvengine import DataPackage, publish
        >>> package = DataPackage(name="fisk", title="Fisk")
        >>> package.add("fangst", pl.DataFrame({"art": ["torsk"], "tonn": [12]}))
        >>> verify(publish(package, "memory://verify-example").url).ok
        True
    """
    if version is not None and (isinstance(version, bool) or not isinstance(version, int) or version < 1):
        raise InputError("a version is a whole number from 1 up")
    place = locate(url, settings=settings)
    try:
        opened = read_version(place, version)
    except VerificationFailed as error:
        return Verification(url=place.url, version=0, problems=(f"manifest: {error.message}",), checks=())
    report = _Report()
    with work(
        "verify", str(opened.descriptor.get("name", "package")), total_rows=sum(opened.manifest.rows.values())
    ) as progress:

        def done(facts: PartFacts) -> None:
            progress.advance(rows=facts.rows, nbytes=facts.nbytes, parts=1)

        try:
            _manifest(opened, report)
            _copy(place, opened, report)
            for name in opened:
                sound = _resource(place, opened, name, report, done)
                if sound and name in opened.certificates:
                    _certificate(place, opened, name, report, time_limit)
            _files(place, opened, report)
        except (Unavailable, AccessDenied, MissingExtra):
            raise
        except (DvengineError, KeyError, TypeError, ValueError, AttributeError) as error:
            # A manifest is foreign input: whatever shape it has, the answer is a report.
            report.problem(f"manifest: its parts do not fit together ({type(error).__name__})")
    return Verification(
        url=place.url, version=opened.version, problems=tuple(report.problems), checks=tuple(report.checks)
    )


class _Report:
    def __init__(self) -> None:
        self.problems: list[str] = []
        self.checks: list[str] = []

    def problem(self, text: str) -> None:
        self.problems.append(text)

    def check(self, text: str, fine: bool, problem: str) -> bool:
        """Note a check that is fine, or else its problem: one line for each."""
        if fine:
            self.checks.append(text)
        else:
            self.problems.append(problem)
        return fine


def _described(opened: OpenedPackage, name: str) -> Mapping[str, Any]:
    for one in opened.descriptor.get("resources", []):
        if one.get("name") == name:
            return dict(one)
    return {}


def _manifest(opened: OpenedPackage, report: _Report) -> None:
    manifest = opened.manifest
    found = descriptor_problems(opened.descriptor)
    if not found:
        report.checks.append("descriptor: Data Package 2.0 profile, names, paths")
    report.problems += found
    report.check(
        "manifest: version",
        opened.descriptor.get("version") == str(manifest.version),
        "manifest: the descriptor is that of another version",
    )
    listed = [one.get("name") for one in opened.descriptor.get("resources", [])]
    report.check(
        "manifest: resources",
        listed == list(manifest.parts) or sorted(listed) == sorted(manifest.parts),
        "manifest: its resources are not those of the descriptor",
    )
    certified = {
        one["name"]: one["dvengine:certificate"]
        for one in opened.descriptor.get("resources", [])
        if "dvengine:certificate" in one
    }
    report.check(
        "manifest: certificates",
        certified == manifest.certificates,
        "manifest: its certificates are not those of the descriptor",
    )


def _copy(place: Place, opened: OpenedPackage, report: _Report) -> None:
    """Say whether the copy for others is current; it may lag behind for a moment, and is no part of the version."""
    if opened.version != opened.versions[-1]:
        return
    try:
        same = json.loads(place.store.get(key(place.folder, "datapackage.json"))) == opened.descriptor
    except (NotFound, UnicodeDecodeError, json.JSONDecodeError):
        same = False
    report.checks.append(
        "datapackage.json: the same as the manifest's"
        if same
        else "datapackage.json: NOT the current version's (a copy for others; publish again to renew it)"
    )


def _resource(place: Place, opened: OpenedPackage, name: str, report: _Report, done: Any) -> bool:
    """Check a resource's parts and counts; return whether its rows can be believed."""
    manifest, described = opened.manifest, _described(opened, name)
    receipts = manifest.parts[name]
    before = len(report.problems)
    found = check_parts(place.store, receipts, opened.keys_of(name), done=done)
    report.problems += [problem for facts in found for problem in facts.problems]
    if len(report.problems) != before:
        return False
    report.checks.append(
        f"resource {name!r}: {len(receipts)} part(s): length, sha256, Parquet footer, schema"
    )
    rows = sum(facts.rows for facts in found)
    report.check(
        f"resource {name!r}: rows",
        rows == manifest.rows.get(name) == described.get("dvengine:rows"),
        f"resource {name!r}: the rows stored, promised and described are not the same number",
    )
    own = str(opened.descriptor.get("name", ""))
    report.check(
        f"resource {name!r}: parts as described",
        _as_described(receipts, own) == [dict(part) for part in described.get("dvengine:parts", [])]
        and described.get("path") == [relative(part.path, own) for part in receipts]
        and described.get("bytes") == sum(part.nbytes for part in receipts)
        and (len(receipts) != 1 or described.get("hash") == f"sha256:{receipts[0].sha256}"),
        f"resource {name!r}: the parts are not those that the descriptor lists",
    )
    schema = found[0].schema
    if schema is not None:
        _schema(name, schema, described, report)
    nulls = {column: 0 for facts in found for column in facts.nulls}
    for facts in found:
        for column in list(nulls):
            if column in facts.nulls:
                nulls[column] += facts.nulls[column]
            elif facts.rows:
                del nulls[column]
    promised = {
        one.get("name"): one.get("dvengine:nulls") for one in described.get("schema", {}).get("fields", [])
    }
    wrong = [column for column, count in nulls.items() if promised.get(column, count) != count]
    report.check(
        f"resource {name!r}: null counts",
        not wrong,
        f"resource {name!r}: the number of missing values differs in {', '.join(map(repr, wrong))}",
    )
    return len(report.problems) == before


def _as_described(receipts: tuple[PartReceipt, ...], own: str) -> list[dict[str, Any]]:
    return [
        {"path": relative(p.path, own), "rows": p.rows, "bytes": p.nbytes, "hash": f"sha256:{p.sha256}"}
        for p in receipts
    ]


def _schema(name: str, schema: pa.Schema, described: Mapping[str, Any], report: _Report) -> None:
    try:
        same = schema.equals(from_table_schema(described.get("schema", {})), check_metadata=False)
    except DescriptorError:
        same = False
    report.check(
        f"resource {name!r}: schema",
        same,
        f"resource {name!r}: its columns are not those that the descriptor lists",
    )


def _certificate(place: Place, opened: OpenedPackage, name: str, report: _Report, time_limit: float) -> None:
    """Hold a certificate against the published table, and run the audit again without it."""
    certificate, described = opened.certificates[name], _described(opened, name)
    frame: pl.DataFrame = from_parquet(place.store, opened.keys_of(name), name=name).to_polars()
    fits = report.check(
        f"certificate of {name!r}: content",
        table_sha256(frame) == certificate.get("table_sha256"),
        f"certificate of {name!r}: was given for another content than the published one",
    )
    report.check(
        f"certificate of {name!r}: validity",
        certificate.get("valid") is True,
        f"certificate of {name!r}: says itself that it is not valid",
    )
    if not fits:
        return
    audit = _auditor()
    attacker = str(certificate["attacker"])
    try:
        structure = Structure.from_dict(described["dvengine:structure"])
        result = audit(
            frame,
            structure,
            attacker=attacker,
            rule=Threshold.parse(str(certificate["rule"])),
            status=described.get("dvengine:suppression", {}).get("status", "status"),
            width=certificate["required_width"],
            time_limit=time_limit,
        )
        exposed, undecided = result.exposed, result.undecided
    except Uncertified:  # not even a start was found, so no cell is decided
        exposed, undecided = 0, frame[structure.measure].null_count()
    except (InputError, Refused) as error:
        report.problem(f"audit of {name!r}: cannot be made ({error.message})")
        return
    if exposed:
        report.problem(f"audit of {name!r}: {exposed} cell(s) can be derived by attacker {attacker!r}")
    if undecided:
        report.problem(
            f"audit of {name!r}: {undecided} cell(s) not decided in {time_limit:g} s; give more time"
        )
    if not exposed and not undecided:
        report.checks.append(f"audit of {name!r}: attacker {attacker!r}, {certificate.get('rule')}")


def _auditor() -> Any:
    """Import the audit when there is something to audit: plain tables are verified without its solvers."""
    try:
        from dvengine.privacy._audit import audit
    except ModuleNotFoundError as error:
        if (error.name or "dvengine").startswith("dvengine"):
            raise
        raise MissingExtra.of("privacy", str(error.name)) from None
    return audit


def _files(place: Place, opened: OpenedPackage, report: _Report) -> None:
    own = str(opened.descriptor.get("name", ""))
    before = len(report.problems)
    for file in opened.manifest.files:
        path = key(place.folder, relative(file["path"], own))
        label = f"file {path.rpartition('/')[2]}"
        wrong, _ = check_file(place.store, path, nbytes=file["nbytes"], sha256=file["sha256"], label=label)
        report.problems += wrong
    if opened.manifest.files and len(report.problems) == before:
        report.checks.append(f"figures: {len(opened.manifest.files)} file(s): length, sha256")
