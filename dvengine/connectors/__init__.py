"""Systems that hold data: one package a system, its source and its sink together."""

from dvengine.connectors._protocols import Cancel, Capabilities, Filter, Partition, Request, Scan, Source
from dvengine.connectors._registry import SOURCES, Row, open_source

__all__ = [
    "SOURCES",
    "Cancel",
    "Capabilities",
    "Filter",
    "Partition",
    "Request",
    "Row",
    "Scan",
    "Source",
    "open_source",
]
