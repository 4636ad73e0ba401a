"""PostgreSQL to Parquet on S3."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks._case import OURS, Case, Contender, Job
from benchmarks._duckdb import connect
from benchmarks.cases import to_arrow


def bucket_of(job: Job) -> Any:
    from obstore.store import S3Store

    return S3Store(
        job.store["bucket"], endpoint=job.store["endpoint"], region="us-east-1",
        access_key_id=job.store["access_key"], secret_access_key=job.store["secret_key"],
        virtual_hosted_style_request=False, client_options={"allow_http": True},
    )  # fmt: skip


def _key(job: Job, name: str) -> str:
    return f"{job.store['prefix']}/{name}"


def _dvengine(job: Job, **options: Any) -> Callable[[], Any]:
    import dvengine as dv
    from dvengine.config import Secret, StoreSettings, Url
    from dvengine.stores import open_store

    store = open_store(
        StoreSettings(
            "bench",
            Url.parse(f"s3://{job.store['bucket']}/{job.store['prefix'].replace(',', '')}"),
            {"endpoint": job.store["endpoint"], "region": "us-east-1", "allow_http": "true"},
            {
                "access_key_id": Secret.literal(job.store["access_key"]),
                "secret_access_key": Secret.literal(job.store["secret_key"]),
            },
        )
    )
    to_arrow.load_drivers()
    dataset = dv.read_sql(job.url, table=f"public.{job.table}", **options)
    return lambda: dataset.write_parquet(store)


def dvengine(job: Job) -> Callable[[], Any]:
    return _dvengine(job)


def adbc(job: Job) -> Callable[[], Any]:
    import adbc_driver_postgresql.dbapi as driver
    import obstore
    import pyarrow.parquet as pq

    bucket = bucket_of(job)

    def work() -> None:
        with driver.connect(job.url) as connection, connection.cursor() as cursor:
            cursor.execute(f"select * from public.{job.table}")
            reader = cursor.fetch_record_batch()
            with (
                obstore.open_writer(bucket, _key(job, "part.parquet"), buffer_size=8 << 20) as sink,
                pq.ParquetWriter(_Writable(sink), reader.schema, compression="zstd") as writer,
            ):
                for batch in reader:
                    writer.write_batch(batch)

    return work


def connectorx(job: Job) -> Callable[[], Any]:
    import obstore
    import pyarrow.parquet as pq

    read, bucket = to_arrow.connectorx(job), bucket_of(job)

    def work() -> None:
        table = read()
        with obstore.open_writer(bucket, _key(job, "part.parquet"), buffer_size=8 << 20) as sink:
            pq.write_table(table, _Writable(sink), compression="zstd")

    return work


def duckdb(job: Job) -> Callable[[], Any]:
    connection = connect("postgres", "httpfs")
    connection.execute(
        "create secret (type s3, key_id '{}', secret '{}', endpoint '{}', region 'us-east-1', url_style 'path', use_ssl false)".format(
            job.store["access_key"], job.store["secret_key"], urlsplit(job.store["endpoint"]).netloc
        )
    )
    target = f"s3://{job.store['bucket']}/{_key(job, 'part.parquet')}"

    def work() -> None:
        connection.execute(f"attach '{job.url}' as source (type postgres, read_only)")
        connection.execute(
            f"copy (from source.public.{job.table}) to '{target}' (format parquet, compression zstd)"
        )

    return work


def pandas_csv(job: Job) -> Callable[[], Any]:
    import obstore

    read, bucket = to_arrow.pandas(job), bucket_of(job)

    def work() -> None:
        frame = read()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.csv.gz"
            frame.to_csv(path, index=False, compression="gzip")
            obstore.put(bucket, _key(job, "table.csv.gz"), path)

    return work


class _Writable:
    """pyarrow wants a file with ``closed`` as a fact, obstore's has it as a method."""

    closed = False

    def __init__(self, sink: Any) -> None:
        self._sink = sink

    def write(self, data: Any) -> int:
        self._sink.write(data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def stored(job: Job, result: Any) -> Any:
    """Read back what the contender left below its prefix."""
    import io

    import obstore
    import pyarrow as pa
    import pyarrow.parquet as pq

    bucket, tables = bucket_of(job), []
    prefix = job.store["prefix"].replace(",", "") if result is not None else job.store["prefix"]
    for found in sorted(m["path"] for chunk in obstore.list(bucket, prefix) for m in chunk):
        if found.endswith(".parquet"):
            tables.append(pq.read_table(io.BytesIO(bytes(obstore.get(bucket, found).bytes()))))
        elif found.endswith(".csv.gz"):
            import pyarrow.csv as pc

            with gzip.open(io.BytesIO(bytes(obstore.get(bucket, found).bytes()))) as text:
                names = text.readline().decode().strip().split(",")
                text.seek(0)
                everything_text = pc.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
                )
                tables.append(pc.read_csv(text, convert_options=everything_text))
    return pa.concat_tables(tables)


CASE = Case(
    name="to_parquet",
    title="PostgreSQL to Parquet on S3",
    tables=("plain", "rich"),
    contenders=(
        Contender(OURS, dvengine, stored),
        Contender(
            "psql COPY BINARY > /dev/null",
            to_arrow.copy_binary,
            None,
            "the limit of one connection; writes nothing",
        ),
        Contender("ADBC + pyarrow", adbc, stored),
        Contender("connectorx + pyarrow", connectorx, stored),
        Contender("DuckDB postgres + httpfs", duckdb, stored),
        Contender("pandas.read_sql + gzip CSV", pandas_csv, stored, "the old way"),
    ),
)
