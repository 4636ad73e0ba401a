"""Object stores: local folder, memory, S3, Google, Azure; Parquet parts, and the create-only commit log."""

from dvengine.stores._log import CommitLog
from dvengine.stores._open import STORES, open_store
from dvengine.stores._protocols import Manifest, ObjectInfo, PartReceipt, PartWriter, Span, Store

__all__ = [
    "STORES",
    "CommitLog",
    "Manifest",
    "ObjectInfo",
    "PartReceipt",
    "PartWriter",
    "Span",
    "Store",
    "open_store",
]
