"""Files in stores as a source: Parquet by row groups, CSV by files; exact types, nothing guessed."""

from dvengine.connectors.files._csv import CsvOptions
from dvengine.connectors.files._listing import find, hive
from dvengine.connectors.files._source import Files

__all__ = ["CsvOptions", "Files", "find", "hive"]
