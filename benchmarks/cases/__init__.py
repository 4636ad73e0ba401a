"""The jobs that are measured."""

from benchmarks._case import Case
from benchmarks.cases import imports, memory, to_arrow, to_parquet

CASES: dict[str, Case] = {
    case.name: case for case in (to_arrow.CASE, to_parquet.CASE, memory.CASE, imports.CASE)
}
