"""Real servers for the tests: started on demand, one of each per test run, gone with it.

The fixtures in ``tests/conftest.py`` hand these out. A test that must kill or restart a server takes one of its own:
``with Postgres.running(tmp_path) as server: ...``. Faults come from `TcpProxy` and `HttpProxy`.
"""

from services._elasticsearch import Elasticsearch
from services._given import GivenPostgres, GivenS3
from services._postgres import Postgres
from services._process import ServiceMissing
from services._proxy import HttpProxy, TcpProxy
from services._s3 import S3

__all__ = [
    "S3",
    "Elasticsearch",
    "GivenPostgres",
    "GivenS3",
    "HttpProxy",
    "Postgres",
    "ServiceMissing",
    "TcpProxy",
]
