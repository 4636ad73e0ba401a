"""Dataset: one table of data wherever it lies, lazy in Polars and DuckDB, exact at every exit."""

from dvengine.datasets._build import from_object, from_parquet, from_source
from dvengine.datasets._dataset import Dataset
from dvengine.datasets._files import from_files
from dvengine.datasets._write import WriteReceipt

__all__ = ["Dataset", "WriteReceipt", "from_files", "from_object", "from_parquet", "from_source"]
