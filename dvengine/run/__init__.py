"""Run a scan: threads, back-pressure, cancellation, and the promise of all or an error."""

from dvengine.run._local import ScanFacts, each_partition, stream

__all__ = ["ScanFacts", "each_partition", "stream"]
