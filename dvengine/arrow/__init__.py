"""Arrow at every edge: streams, exact casts, the pandas contract and Table Schema."""

from dvengine.arrow._streams import BatchStream
from dvengine.arrow._types import (
    apply_types,
    cast_array,
    cast_batch,
    check_case,
    check_names,
    contains,
    fixed_zone,
    plain_schema,
    plain_type,
    rows_only,
    unified,
    with_schema,
)

__all__ = [
    "BatchStream",
    "apply_types",
    "cast_array",
    "cast_batch",
    "check_case",
    "check_names",
    "contains",
    "fixed_zone",
    "plain_schema",
    "plain_type",
    "rows_only",
    "unified",
    "with_schema",
]
