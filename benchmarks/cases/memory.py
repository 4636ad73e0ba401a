"""Does memory grow with rows? The same job on a table and on one ten times its size."""

from __future__ import annotations

from benchmarks._case import OURS, Case, Contender
from benchmarks.cases import to_parquet

CASE = Case(
    name="memory",
    title="PostgreSQL to Parquet on S3, ten times the rows",
    tables=("plain", "plain_x10"),
    contenders=(Contender(OURS, to_parquet.dvengine, to_parquet.stored),),
)
