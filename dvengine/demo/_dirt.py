"""Awkward values on purpose: what real registers hold and a good extract must survive."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dvengine.demo._streams import stream

__all__ = ["soil"]

# A few codes of the 2019 vintage.
_OLD_CODES = ("1201", "0602", "1601", "0219", "1001")


def soil(table: pa.Table, name: str, share: float, seed: int, chunk: int) -> pa.Table:
    """Return the table with about ``share`` of its rows made awkward; with 0 the table itself.

    `person`: a municipality code with a trailing blank, or of the 2019 vintage; a birth date 1800-01-01; an identity number
    with a wrong control digit. `sykefravaer`: tom 9999-12-31, or long after the next spell began; tom before fom; a pay of
    0.00 with a grade of 0.00.
    At least one of each kind where ``share`` > 0.
    """
    if not share or not table.num_rows:
        return table
    draw = stream(seed, f"dirt {name}", chunk)
    kinds = 4
    hit = draw.random(table.num_rows) < share
    kind = np.where(hit, draw.integers(0, kinds, table.num_rows), -1)
    kind[:kinds] = np.arange(kinds)[: table.num_rows]

    def change(column: str, at: int, value: Any) -> None:
        nonlocal table
        index = table.schema.get_field_index(column)
        mixed = pc.if_else(pa.array(kind == at), value, table.column(index))
        table = table.set_column(index, table.schema.field(index), mixed)

    if name == "person":
        blank = pa.array([f"{code} " for code in table["kommunenummer"].to_pylist()], pa.string())
        change("kommunenummer", 0, blank)
        change(
            "kommunenummer",
            1,
            pa.array(np.array(_OLD_CODES)[draw.integers(0, 5, table.num_rows)], pa.string()),
        )
        change("foedt", 2, pa.scalar(date(1800, 1, 1), pa.date32()))
        numbers: Any = table["fnr"].to_pylist()
        wrong = [f"{fnr[:10]}{(int(fnr[10]) + 1) % 10}" for fnr in numbers]
        change("fnr", 3, pa.array(wrong, pa.string()))
    else:
        change("tom", 0, pa.scalar(date(9999, 12, 31), pa.date32()))
        before = pc.subtract(table["fom"].cast(pa.int32()), pa.scalar(3, pa.int32())).cast(pa.date32())
        change("tom", 1, before)
        long = pc.add(table["fom"].cast(pa.int32()), pa.scalar(2000, pa.int32())).cast(pa.date32())
        change("tom", 3, long)
        for money in ("grad", "dagsats", "utbetalt"):
            change(money, 2, pa.scalar(0, table.schema.field(money).type))
    return table
