"""Datasets with some columns changed one array at a time: lazy, in bounded memory, row for row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from dvengine.arrow import BatchStream
from dvengine.datasets._origins import Origin, Run, Want, project

__all__ = ["ColumnMap", "MappedOrigin"]


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """What becomes of one column: ``start`` is called once a reading and gives the function from array to array.

    The function returns as many values as it is given, of the field's type.
    """

    field: pa.Field[Any]
    start: Callable[[], Callable[[pa.Array[Any]], pa.Array[Any]]]


class MappedOrigin:
    """Another origin with some columns mapped; projection and limit go on to it, and filters on the columns left alone.

    Args:
        base: Where the rows come from.
        columns: By name.
        note: What is done, for `Dataset.explain`; no values, no secrets.
    """

    def __init__(self, base: Origin, columns: Mapping[str, ColumnMap], *, note: str) -> None:
        self.base, self.columns, self.note = base, dict(columns), note
        self.label = base.label

    def schema(self) -> pa.Schema:
        """Return the base's schema with the mapped fields in place."""
        return pa.schema([m.field if (m := self.columns.get(f.name)) else f for f in self.base.schema()])

    def stream(self, want: Want, run: Run) -> BatchStream:
        """Start one reading of the base."""
        out = project(self.schema(), want.columns)
        # A filter on a mapped column speaks of the new values, which the base does not have.
        asked = replace(want, where=tuple(f for f in want.where if f.column not in self.columns))

        def deliver() -> Iterator[pa.RecordBatch]:
            maps = {name: m.start() for name, m in self.columns.items() if name in out.names}
            with closing(self.base.stream(asked, run)) as upstream:
                for batch in upstream:
                    arrays = [
                        maps[name](array) if name in maps else array
                        for name, array in zip(batch.schema.names, batch.columns, strict=True)
                    ]
                    yield pa.RecordBatch.from_arrays(arrays, schema=out) if arrays else batch

        return BatchStream(out, deliver())
