"""What `Dataset.explain` gives: how the rows would be read, without reading any."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from dvengine.connectors import Cancel
from dvengine.datasets._mapped import MappedOrigin
from dvengine.datasets._origins import Engine, Origin, SourceOrigin, Want

__all__ = ["Plan", "Read", "plan_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One thing that is read.

    Attributes:
        source, table: Names.
        partitions: How many pieces; None where it is not cut.
        snapshot: ``exported``, ``scn``, ``offsets`` or ``none``: how the source keeps one moment.
        moment: Which one this look into the source fixed, or None.
        consistent: Whether all pieces, and all reads of the same source, see one moment.
        reason: Why it is cut as it is, or not consistent.
        pushed, residual: Filters as ``column op``, without values: applied by the source, and left to Polars.
        statements: With every literal masked.
        rows_estimate: Or None.
    """

    source: str
    table: str
    partitions: int | None = None
    snapshot: str = "none"
    moment: str | None = None
    consistent: bool = True
    reason: str | None = None
    pushed: tuple[str, ...] = ()
    residual: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()
    rows_estimate: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a dataset would be read. Holds names and counts, no values.

    Attributes:
        name: The dataset's.
        reads: What is read.
        engine: ``none``, ``Polars`` or ``DuckDB``: what runs over the rows.
        steps: The engine's own plan with literals masked, or None.
    """

    name: str
    reads: tuple[Read, ...]
    engine: str = "none"
    steps: str | None = field(default=None)

    def _rows(self) -> list[tuple[str, str]]:
        rows = [("dataset", self.name), ("engine", self.engine)]
        for read in self.reads:
            rows.append(("read", f"{read.table} from {read.source}"))
            if read.partitions is not None:
                rows.append(("partitions", str(read.partitions)))
            moment = {True: "one moment", False: "NOT one moment"}[read.consistent]
            rows.append(("consistent", f"{moment} (snapshot: {read.snapshot})"))
            for label, text in (
                ("reason", read.reason), ("pushed", ", ".join(read.pushed)), ("residual", ", ".join(read.residual)),
                ("rows", f"about {read.rows_estimate}" if read.rows_estimate is not None else ""),
            ):  # fmt: skip
                if text:
                    rows.append((label, text))
            rows.extend(("statement", statement) for statement in read.statements[:8])
            if len(read.statements) > 8:
                rows.append(("", f"… and {len(read.statements) - 8} more"))
        if self.steps:
            rows.append(("steps", self.steps))
        return rows

    def __str__(self) -> str:
        return "\n".join(f"{label:<11} {text}" for label, text in self._rows())

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th scope='row'>{html.escape(label)}</th><td><code>{html.escape(text)}</code></td></tr>"
            for label, text in self._rows()
        )
        return f"<table><tbody>{rows}</tbody></table>"


def plan_of(origin: Origin, name: str) -> Plan:
    """Plan the read of one origin."""
    if isinstance(origin, SourceOrigin):
        return Plan(name=name, reads=(_planned(origin),))
    if isinstance(origin, Engine):
        return Plan(name=name, reads=_asked(origin.wants(), name), engine=origin.engine)
    if isinstance(origin, MappedOrigin):
        inner = plan_of(origin.base, name)
        steps = "\n".join(filter(None, (inner.steps, origin.note)))
        return replace(inner, steps=steps)
    return Plan(name=name, reads=(Read(source="memory", table=origin.label),))


def _asked(wants: Iterable[tuple[Origin, Want]], name: str) -> tuple[Read, ...]:
    reads: list[Read] = []
    for inner, want in wants:
        if isinstance(inner, SourceOrigin):
            reads.append(_planned(replace(inner, request=inner.wanted(want))))
        else:
            reads.extend(plan_of(inner, name).reads)
    moments = {(read.source, read.moment) for read in reads if read.moment is not None}
    times = Counter(source for source, _ in moments)
    return tuple(
        replace(
            read, consistent=False, reason=f"read at {times[read.source]} moments; dv.snapshot makes them one"
        )
        if times[read.source] > 1
        else read
        for read in reads
    )


def _planned(origin: SourceOrigin) -> Read:
    source, request = origin.source, origin.request
    with source.open(request, cancel=Cancel()) as scan:
        return Read(
            source=source.name, table=request.label, partitions=len(scan.partitions),
            snapshot=source.capabilities.snapshot, moment=scan.snapshot, consistent=scan.consistent, reason=scan.reason,
            pushed=tuple(f"{f.column} {f.op}" for f in request.where if f not in scan.residual),
            residual=tuple(f"{f.column} {f.op}" for f in scan.residual),
            statements=tuple(scan.statements()), rows_estimate=scan.rows_estimate,
        )  # fmt: skip
