"""From rows to a table with all its margins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import numpy as np
import polars as pl

from dvengine._arguments import typed
from dvengine._errors import TableError
from dvengine._events import Span, stage
from dvengine.datasets import Dataset, from_object
from dvengine.datasets._polars import boundary
from dvengine.privacy._structure import Axis, Structure, code_column, hierarchy_of

__all__ = ["Lineage", "Tabulation", "tabulate"]

#: A table is held whole, with its zeros; beyond this many cells nobody reads it and no proof is in reach.
_MOST_CELLS = 20_000_000
#: Rows that wait to be added up while units are counted.
_AT_ONCE = 1 << 22
_UNIT, _CELL = "\1unit", "\1cell"  # names that nobody gives, and that Arrow takes (not so "\0")

#: In what whole numbers are added up: 64 bits wrap around without a word, and Arrow has no wider integer.
_WIDE = pl.Decimal(38, 0)

Lineage = tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tabulation:
    """A table of counts with every margin, not yet protected. It holds what must not be published.

    Attributes:
        frame: The classification columns as text, then the counts (``n``) and the sums; one row for every combination of
            codes, zeros and totals included, in reading order.
        structure: What adds up to what.
        lineage: What it was counted from: one dictionary a scan, as `Dataset.lineage` has it; empty for frames.

    Example:
        >>> tabulate(pl.DataFrame({"sex": ["K", "M", "K"]}), ["sex"])
        Tabulation(by=['sex'], cells=3)
    """

    frame: pl.DataFrame
    structure: Structure
    lineage: Lineage = ()

    @property
    def by(self) -> tuple[str, ...]:
        """The classification columns."""
        return self.structure.by

    def __repr__(self) -> str:
        return f"Tabulation(by={list(self.by)}, cells={self.frame.height})"

    @classmethod
    @typed(TableError)
    @boundary()
    def from_frame(
        cls,
        frame: Any,
        by: Sequence[str],
        *,
        measure: str = "n",
        values: Sequence[str] = (),
        hierarchies: Mapping[str, Any] | None = None,
        total: str = "total",
    ) -> Tabulation:
        """Take counts that are already aggregated; margins that are given are checked, those that are not are computed.

        A combination of codes that has no row is a zero.

        Args:
            frame: One row a cell: the classification columns, the count and the sums.
            by: The classification columns; ``total`` (and the upper codes of a hierarchy) mark the margins.
            measure: The column of counts, whole and not negative.
            values: Additive columns that go along.
            hierarchies: As in `tabulate`.
            total: The label of the totals.

        Raises:
            TableError: A negative count, a fraction, NaN or null (a table that is already suppressed cannot be suppressed
                again; `dvengine.audit` reads one); two rows for one cell; a margin that is not the sum of its parts, naming the line.

        Example:
            >>> given = pl.DataFrame({"sex": ["K", "M"], "n": [3, 4]})
            >>> Tabulation.from_frame(given, ["sex"]).frame["n"].to_list()
            [7, 3, 4]
        """
        data, lineage = _whole(frame)
        structure = _structure_of(data.columns, by, measure, tuple(values), hierarchies, total)
        if measure not in data.columns:
            raise TableError(f"there is no column {measure!r}", hint=f"the columns are {data.columns}")
        data = data.select([*structure.by, measure, *structure.values])
        counts = data[measure]
        if counts.null_count():
            raise TableError(
                f"{counts.null_count()} count(s) in {measure!r} are null",
                hint="a table that is already suppressed can be audited, not suppressed again; a true zero is written 0",
            )
        if not counts.dtype.is_numeric():
            raise TableError(
                f"the counts in {measure!r} are {counts.dtype}", hint="cast them to whole numbers first"
            )
        whole = counts.cast(pl.Int64, strict=False)
        if whole.null_count() or (whole != counts).any():
            raise TableError(
                f"the counts in {measure!r} are not all whole numbers", hint="NaN and fractions are no counts"
            )
        if (whole < 0).any():
            raise TableError(
                f"{int((whole < 0).sum())} count(s) in {measure!r} are negative",
                hint="counts of rows or persons cannot be below zero",
            )
        _no_nan(data, structure.values)
        texts = [code_column(data[name], total=total, holds_total=True) for name in structure.by]
        data = data.with_columns(*texts, whole.alias(measure))
        if data.select(structure.by).is_duplicated().any():
            raise TableError(
                f"two rows stand for one cell of {list(structure.by)}",
                hint="aggregate them first, or use tabulate",
            )
        axes = _axes(structure, data)
        places = [pl.DataFrame({name: list(axes[name].codes), "leaf": axes[name].leaf}, schema_overrides={name: pl.String}) for name in structure.by]  # fmt: skip
        inner = data
        for name, place in zip(structure.by, places, strict=True):
            inner = inner.join(place.filter("leaf").select(name), on=name, how="semi", nulls_equal=True)
        full = _margins(inner, structure, axes)
        _check_given(data, full, structure)
        return cls(frame=full, structure=structure, lineage=lineage)


@typed(TableError)
@boundary()
def tabulate(
    data: Any,
    by: Sequence[str],
    *,
    unit: str | None = None,
    values: Mapping[str, Literal["sum"]] | None = None,
    hierarchies: Mapping[str, Any] | None = None,
    total: str = "total",
) -> Tabulation:
    """Count rows, or distinct units, in every combination of codes, with all totals and hierarchy levels.

    Margins are computed from the full data. A null in a classification column is a category of its own, so that totals
    always add up. Codes of a hierarchy that the data does not hold become zeros. The data are read once; memory grows with the
    cells and, where they are counted, with the units, not with the rows.

    Args:
        data: A Dataset, a Polars frame (eager or lazy), or anything that gives an Arrow stream.
        by: The classification columns: text, whole numbers, booleans, dates, categories or enums; they come out as text.
        unit: Count distinct values of this column (say, persons) rather than rows. Each unit must fall in one inner cell:
            distinct counts do not add up otherwise, and no proof could rest on them.
        values: Columns to sum along, for instance ``{"belop": "sum"}``. Decimals stay exact. Nulls are left out.
        hierarchies: For a column, child -> parent as a mapping or a frame of two columns, any number of levels.
        total: The label of the totals.

    Raises:
        TableError: A column that is not there; a code that is not in its hierarchy; a unit in several cells; nulls among the
            units; NaN among the values; a code equal to the total label.

    Example:
        >>> people = pl.DataFrame({"kommune": ["0301", "0301", "1101"], "sex": ["K", "M", "K"]})
        >>> table = tabulate(people, ["kommune"], hierarchies={"kommune": {"0301": "03", "1101": "11"}})
        >>> dict(table.frame.iter_rows())
        {'total': 3, '03': 2, '0301': 2, '11': 1, '1101': 1}
    """
    source = from_object(data.lazy() if isinstance(data, pl.DataFrame) else data)
    schema = source.lazy().collect_schema()
    for name, how in (values or {}).items():
        if how != "sum":
            raise TableError(f"{name!r} cannot be aggregated that way", hint="only 'sum' adds up to a total")
        if name in schema and not schema[name].is_numeric():
            raise TableError(
                f"{name!r} is {schema[name]}, which has no sum", hint="cast it to a number first"
            )
    structure = _structure_of(schema.names(), by, "n", tuple(values or ()), hierarchies, total, unit=unit)
    with stage("tabulate", "×".join(structure.by)) as span:
        cells, lineage = _inner(source, schema, structure, unit, span)
        _no_nan(cells, structure.values)
        texts = [code_column(cells[name], total=total, holds_total=False) for name in structure.by]
        cells = cells.with_columns(texts)
        axes = _axes(structure, cells)
        _leaves_only(cells, axes)
        return Tabulation(frame=_margins(cells, structure, axes), structure=structure, lineage=lineage)


def _whole(data: Any) -> tuple[pl.DataFrame, Lineage]:
    if isinstance(data, (pl.DataFrame, pl.LazyFrame)):
        return data.lazy().collect(), ()
    source = from_object(data)
    return source.to_polars(), source.lineage


def _inner(
    source: Dataset, schema: pl.Schema, structure: Structure, unit: str | None, span: Span
) -> tuple[pl.DataFrame, Lineage]:
    """Add up the cells that the data hold, in one reading."""
    keys, values = list(structure.by), list(structure.values)
    # Categories come as text, the same in every batch.
    needed = [
        *(pl.col(name).cast(pl.String) if isinstance(schema[name], (pl.Categorical, pl.Enum)) else name for name in keys),
        *(pl.col(name).cast(_WIDE) if schema[name].is_integer() else name for name in values),
    ]  # fmt: skip
    whole = [name for name in values if schema[name].is_integer()]
    sums = [pl.col(name).sum() for name in values]
    if unit is not None:
        read = source.pipe(lambda rows: rows.select(*needed, pl.col(unit).alias(_UNIT)))
        cells = _units(read, structure, unit, sums, span)
    else:
        count = pl.len().cast(pl.Int64).alias("n")
        read = source.pipe(lambda rows: rows.select(*needed).group_by(keys).agg(count, *sums))
        cells = read.to_polars()
        span.advance(rows=int(cells["n"].sum()))
    return _narrow(cells, whole), read.lineage


def _units(read: Dataset, structure: Structure, unit: str, sums: list[pl.Expr], span: Span) -> pl.DataFrame:
    """Count distinct units in every inner cell, and see to it that each unit falls in one.

    Memory: a few times that of the units, however many rows there are; Polars' own streaming distinct count keeps every row.
    """
    keys = list(structure.by)
    empty = pl.DataFrame(read.schema.empty_table())
    cells = empty.select(keys).with_row_index(_CELL)
    pairs = empty.drop(keys).with_columns(pl.lit(0, pl.UInt32).alias(_CELL))
    waiting, rows, nulls = [pairs], 0, 0
    with read.batches() as stream:
        for batch in stream:
            frame = pl.DataFrame(batch)
            placed = frame.join(cells, on=keys, how="left", nulls_equal=True)
            if placed[_CELL].null_count():
                fresh = frame.select(keys).unique().join(cells, on=keys, how="anti", nulls_equal=True)
                cells = cells.vstack(fresh.with_row_index(_CELL, offset=cells.height))
                placed = frame.join(cells, on=keys, how="left", nulls_equal=True)
            waiting.append(placed.select(pairs.columns))
            rows += batch.num_rows
            nulls += batch.column(_UNIT).null_count
            span.advance(rows=batch.num_rows)
            if rows >= max(_AT_ONCE, waiting[0].height):
                waiting, rows = [_added_up(waiting, sums)], 0
    pairs = _added_up(waiting, sums)
    if nulls:
        raise TableError(
            f"{nulls} row(s) have no {unit!r}",
            hint="a row without a unit cannot be counted as one; leave those rows out, or give them units",
        )
    if pairs[_UNIT].n_unique() != pairs.height:
        several = pairs.group_by(_UNIT).len().filter(pl.col("len") > 1).height
        raise TableError(
            f"{several} unit(s) of {unit!r} fall in more than one cell of {keys}, so the counts do not add up",
            hint="make the classification fixed per unit (say, age at one date), or count rows by leaving unit= out",
        )
    counted = pairs.group_by(_CELL).agg(pl.len().cast(pl.Int64).alias("n"), *sums)
    return cells.join(counted, on=_CELL).drop(_CELL)


def _added_up(pairs: list[pl.DataFrame], sums: list[pl.Expr]) -> pl.DataFrame:
    whole = pl.concat([some.lazy() for some in pairs], how="vertical_relaxed")
    return whole.group_by(_CELL, _UNIT).agg(sums).select(pairs[0].columns).collect(engine="streaming")


def _structure_of(
    columns: Sequence[str],
    by: Sequence[str],
    measure: str,
    values: tuple[str, ...],
    hierarchies: Mapping[str, Any] | None,
    total: str,
    *,
    unit: str | None = None,
) -> Structure:
    if isinstance(by, str):
        raise TableError("by is a list of columns, not one text", hint=f"by=[{by!r}]")
    trees = {name: hierarchy_of(name, given, total=total) for name, given in (hierarchies or {}).items()}
    structure = Structure(by=tuple(by), total=total, hierarchies=trees, measure=measure, values=values)
    needed = [
        *structure.by,
        *values,
        *([unit] if unit is not None else []),
    ]
    for name in needed:
        if name not in columns:
            raise TableError(f"there is no column {name!r}", hint=f"the columns are {list(columns)}")
    return structure


def _no_nan(data: pl.DataFrame, values: Sequence[str]) -> None:
    for name in values:
        column = data[name]
        if column.dtype.is_float() and not column.drop_nulls().is_finite().all():
            raise TableError(
                f"{name!r} holds NaN or infinity",
                hint="they have no sum; make them null or leave the rows out",
            )


def _axes(structure: Structure, cells: pl.DataFrame) -> dict[str, Axis]:
    axes = {}
    for name in structure.by:
        column = cells[name]
        codes = column.unique().sort(nulls_last=True).to_list()
        axes[name] = structure.axis(name, codes)
    size = reduce(lambda product, axis: product * len(axis.codes), axes.values(), 1)
    if size > _MOST_CELLS:
        raise TableError(
            f"the table would have {size:,} cells", hint="use fewer or coarser classification columns"
        )
    return axes


def _leaves_only(cells: pl.DataFrame, axes: Mapping[str, Axis]) -> None:
    for name, axis in axes.items():
        above = [code for code, leaf in zip(axis.codes, axis.leaf, strict=True) if not leaf]
        held = int(cells[name].is_in(above).sum())
        if held:
            raise TableError(
                f"{held} cell(s) of the data carry a code of {name!r} that the hierarchy has above others",
                hint="rows carry the lowest codes; a code text that stands at two levels needs two codes",
            )


def _margins(inner: pl.DataFrame, structure: Structure, axes: Mapping[str, Axis]) -> pl.DataFrame:
    """Add up the inner cells along every axis, and lay the result out on the full grid."""
    numbers = [structure.measure, *structure.values]
    whole = [name for name in numbers if inner[name].dtype.is_integer()]
    table = inner.with_columns(pl.col(name).cast(_WIDE) for name in whole)
    for name in structure.by:
        codes = pl.Series(name, list(axes[name].codes), dtype=pl.String)
        below, above = axes[name].lineage()
        spread = pl.DataFrame({name: codes.gather(below), "\0up": codes.gather(above)})
        keys = list(structure.by)
        table = (
            table.join(spread, on=name, how="left", nulls_equal=True, maintain_order="left")
            .with_columns(pl.col("\0up").alias(name))
            .group_by(keys, maintain_order=True)
            .agg(pl.col(column).sum() for column in numbers)
        )
    table = _narrow(table, whole)
    if not inner.height:
        return table.clear()
    grid = pl.DataFrame({name: list(axes[name].codes) for name in structure.by[:1]}, schema_overrides={structure.by[0]: pl.String})  # fmt: skip
    for name in structure.by[1:]:
        grid = grid.join(
            pl.DataFrame({name: pl.Series(name, list(axes[name].codes), dtype=pl.String)}), how="cross"
        )
    return grid.join(
        table, on=list(structure.by), how="left", nulls_equal=True, maintain_order="left"
    ).with_columns(pl.col(column).fill_null(0) for column in numbers)


def _narrow(table: pl.DataFrame, whole: Sequence[str]) -> pl.DataFrame:
    narrow = table.with_columns(pl.col(name).cast(pl.Int64, strict=False) for name in whole)
    for name in whole:
        if narrow[name].null_count() != table[name].null_count():
            raise TableError(
                f"a sum of {name!r} has more than 64 bits",
                hint="cast the column to pl.Decimal(38, 0), which is as exact and wider",
            )
    return narrow


def _check_given(given: pl.DataFrame, full: pl.DataFrame, structure: Structure) -> None:
    """Hold margins that were given against the sums of their parts; floats to a part in 10^9, all else exactly."""
    keys = list(structure.by)
    both = given.with_row_index("\0row").join(
        full, on=keys, how="left", nulls_equal=True, suffix="\0sum", maintain_order="left"
    )
    for column in (structure.measure, *structure.values):
        mine, theirs = both[column + "\0sum"], both[column].fill_null(0)
        if mine.dtype.is_float() or theirs.dtype.is_float():
            a, b = mine.cast(pl.Float64).to_numpy(), theirs.cast(pl.Float64).to_numpy()
            wrong = ~np.isclose(a, b, rtol=1e-9, atol=1e-9)
        else:
            wrong = (mine != theirs).fill_null(True).to_numpy()
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            line = [name for name in keys if given[name][row] == structure.total] or keys
            raise TableError(
                f"{int(wrong.sum())} given margin(s) of {column!r} are not the sum of their parts, first in row {row} "
                f"(a line over {line})",
                hint="mend the margin or its parts, or leave the margins out: they are computed",
            )
