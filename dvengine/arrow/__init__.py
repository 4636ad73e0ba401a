"""Arrow at every edge: streams, exact casts, the pandas contract and Table Schema."""

from dvengine.arrow._streams import BatchStream

__all__ = ["BatchStream"]
