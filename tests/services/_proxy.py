"""Faults on the wire, in front of a real server: what networks and load balancers do, on order and counted.

with TcpProxy.before(postgres.url()) as proxy:           # bytes
    proxy.cut_after(100_000)                             # the next connection ends abruptly after so many bytes
    read(proxy.rewrite(postgres.url()))

with HttpProxy(s3.endpoint) as proxy:                    # requests
    proxy.answer(503, times=2, method="PUT")             # the server never sees these
    proxy.drop_reply(method="PUT", path="_dvengine/")    # the server did it, and nobody is told
    write(s3.settings(bucket, endpoint=proxy.url))
    assert proxy.faults == ["answer 503", "answer 503", "drop_reply"]
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit


def _reset_on_close(connection: socket.socket) -> None:
    """Make the coming close a reset, as a crashed peer's would be, rather than a polite end of stream."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@dataclass
class _Plan:
    kind: Literal["cut", "stall"]
    after: int
    times: int


class TcpProxy:
    """Forwards bytes between clients and one server until told otherwise.

    Faults are counted in bytes from the server to the client, per connection, and are used up by the connections
    that reach them in the order they were opened; connections without a fault pass unchanged.
    """

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self.host = "127.0.0.1"
        self._lock = threading.Lock()
        self._plans: list[_Plan] = []
        self._links: set[_Link] = set()
        self._released = threading.Event()
        self.connections = 0
        self.bytes_to_client = 0
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    @classmethod
    def before(cls, url: str) -> Self:
        """Put a proxy before the server of a URL."""
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        return cls(parts.hostname, parts.port)

    def rewrite(self, url: str) -> str:
        """Return the URL with this proxy's host and port in it."""
        parts = urlsplit(url)
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}{self.host}:{self.port}"))

    def cut_after(self, nbytes: int, *, times: int = 1) -> None:
        """Reset the next ``times`` connections once so many bytes have come back; 0 resets at the first byte."""
        with self._lock:
            self._plans.append(_Plan("cut", nbytes, times))

    def stall_after(self, nbytes: int, *, times: int = 1) -> None:
        """Let the next ``times`` connections fall silent, open, once so many bytes have come back; see `release`."""
        self._released.clear()
        with self._lock:
            self._plans.append(_Plan("stall", nbytes, times))

    def release(self) -> None:
        """Let stalled connections go on."""
        self._released.set()

    def refuse(self) -> None:
        """Refuse new connections, as a server that is down does; open ones go on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def accept(self) -> None:
        """Take connections again, on the same port."""
        self._listener = self._listen(self.port)

    def cut_now(self) -> None:
        """Reset every open connection."""
        with self._lock:
            victims = list(self._links)
        for link in victims:
            link.cut()

    def heal(self) -> None:
        """Forget every fault not yet used, and let stalled connections go on."""
        with self._lock:
            self._plans.clear()
        self.release()

    def close(self) -> None:
        self.heal()
        self.refuse()
        self.cut_now()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, port))
        listener.listen(64)
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()
        return listener

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._upstream, timeout=10)
                server.settimeout(None)
            except OSError:
                _reset_on_close(client)
                client.close()
                continue
            with self._lock:
                self.connections += 1
                link = _Link(self, client, server, self._take())
                self._links.add(link)
            threading.Thread(target=link.run, daemon=True).start()

    def _take(self) -> _Plan | None:
        if not self._plans:
            return None
        plan = self._plans[0]
        plan.times -= 1
        if plan.times == 0:
            self._plans.pop(0)
        return plan

    def _ended(self, link: _Link) -> None:
        with self._lock:
            self._links.discard(link)

    def _count(self, nbytes: int) -> None:
        with self._lock:
            self.bytes_to_client += nbytes


class _Link:
    """One client's connection and its counterpart at the server."""

    def __init__(
        self, owner: TcpProxy, client: socket.socket, server: socket.socket, plan: _Plan | None
    ) -> None:
        self._owner, self._client, self._server, self._plan = owner, client, server, plan
        self._aborted = False

    def run(self) -> None:
        upward = threading.Thread(target=self._pump, args=(self._client, self._server, None), daemon=True)
        upward.start()
        self._pump(self._server, self._client, self._plan)
        upward.join()
        # Only here, where nobody waits on them any more, does a close take effect at once.
        self._client.close()
        self._server.close()
        self._owner._ended(self)

    def cut(self) -> None:
        self._aborted = True
        for end in (self._client, self._server):
            _reset_on_close(end)
            # Wakes our own reader and says nothing to the peer.
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RD)

    def _pump(self, source: socket.socket, sink: socket.socket, fault: _Plan | None) -> None:
        passed, answering = 0, source is self._server
        try:
            while chunk := source.recv(65536):
                if fault and passed + len(chunk) > fault.after:
                    keep = fault.after - passed
                    sink.sendall(chunk[:keep])
                    self._owner._count(keep)
                    if fault.kind == "cut":
                        self.cut()
                        return
                    self._owner._released.wait()
                    chunk, fault, passed = chunk[keep:], None, passed + keep
                if self._aborted:
                    return
                sink.sendall(chunk)
                passed += len(chunk)
                if answering:
                    self._owner._count(len(chunk))
            if not self._aborted:
                # This side has finished speaking; the other may still have an answer to give.
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            self.cut()


@dataclass(frozen=True)
class Seen:
    """One request as it arrived, and what became of it (``fault`` is empty where it passed unchanged)."""

    method: str
    path: str
    status: int | None
    fault: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass
class _Rule:
    kind: str
    times: int
    method: str | None
    path: str | None
    status: int = 0
    after: int = 0
    seconds: float = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def fits(self, method: str, path: str) -> bool:
        return (self.method is None or self.method == method) and (self.path is None or self.path in path)


class HttpProxy:
    """Passes requests on unchanged (Host header and all, so that signatures hold) until a rule says otherwise.

    Each rule is used up ``times`` times, by requests of that ``method`` whose path and query hold ``path``; the first
    rule that fits is taken.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self.requests: list[Seen] = []
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(
        self,
        status: int,
        *,
        times: int = 1,
        method: str | None = None,
        path: str | None = None,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> None:
        """Answer with ``status`` in the server's place; the server does not see the request."""
        self._add(
            _Rule(
                f"answer {status}", times, method, path, status=status, headers=dict(headers or {}), body=body
            )
        )

    def drop_request(self, *, times: int = 1, method: str | None = None, path: str | None = None) -> None:
        """Reset the connection before the server has seen the request."""
        self._add(_Rule("drop_request", times, method, path))

    def drop_reply(self, *, times: int = 1, method: str | None = None, path: str | None = None) -> None:
        """Let the server do it, then reset the connection instead of passing its answer on."""
        self._add(_Rule("drop_reply", times, method, path))

    def cut_body(
        self, after: int, *, times: int = 1, method: str | None = None, path: str | None = None
    ) -> None:
        """Pass the answer's head and ``after`` bytes of its body on, then reset the connection."""
        self._add(_Rule("cut_body", times, method, path, after=after))

    def delay(
        self, seconds: float, *, times: int = 1, method: str | None = None, path: str | None = None
    ) -> None:
        """Hold the request back for so long, then pass it on."""
        self._add(_Rule("delay", times, method, path, seconds=seconds))

    def heal(self) -> None:
        """Forget every rule not yet used up."""
        with self._lock:
            self._rules.clear()

    @property
    def faults(self) -> list[str]:
        """The faults that were really played, in order: assert on it, lest a test pass without its fault."""
        with self._lock:
            return [seen.fault for seen in self.requests if seen.fault]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, rule: _Rule) -> None:
        with self._lock:
            self._rules.append(rule)

    def _take(self, method: str, path: str) -> _Rule | None:
        with self._lock:
            for rule in self._rules:
                if rule.fits(method, path):
                    rule.times -= 1
                    if rule.times == 0:
                        self._rules.remove(rule)
                    return rule
        return None

    def _forward(
        self, method: str, path: str, headers: list[tuple[str, str]], body: bytes
    ) -> tuple[int, str, list[tuple[str, str]], bytes]:
        assert self._upstream.hostname
        connection = http.client.HTTPConnection(self._upstream.hostname, self._upstream.port, timeout=120)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                if name.lower() not in ("connection", "transfer-encoding", "content-length", "expect"):
                    connection.putheader(name, value)
            if body or method in ("PUT", "POST"):
                connection.putheader("Content-Length", str(len(body)))
            connection.putheader("Connection", "close")
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return answer.status, answer.reason, answer.getheaders(), answer.read()
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: HttpProxy

    def log_message(self, *args: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._handle
        raise AttributeError(name)

    def _handle(self) -> None:
        method, path, owner = self.command, self.path, self.owner
        body = self._read_body()
        rule = owner._take(method, path)
        kind, status = (rule.kind if rule else ""), None
        # Recorded before the client can know the outcome, so that a test that looks at once sees it.
        try:
            if rule and rule.seconds:
                time.sleep(rule.seconds)
            if kind == "drop_request":
                self._note(method, path, None, kind, body)
                return self._reset()
            if rule and rule.status:
                status = rule.status
                self._note(method, path, status, kind, body)
                return self._send(status, "", list(rule.headers.items()), rule.body)
            status, reason, headers, content = owner._forward(method, path, self.headers.items(), body)
            self._note(method, path, status, kind, body)
            if kind == "drop_reply":
                return self._reset()
            return self._send(
                status, reason, headers, content, cut=rule.after if kind == "cut_body" else None
            )
        except OSError:
            return self._reset()

    def _note(self, method: str, path: str, status: int | None, fault: str, body: bytes) -> None:
        with self.owner._lock:
            self.owner.requests.append(Seen(method, path, status, fault, dict(self.headers.items()), body))

    def _read_body(self) -> bytes:
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():  # trailers
                pass
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(
        self, status: int, reason: str, headers: list[tuple[str, str]], body: bytes, *, cut: int | None = None
    ) -> None:
        self.send_response_only(status, reason or None)
        length = str(len(body))
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in ("connection", "transfer-encoding", "content-length", "keep-alive"):
                self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if cut is None else body[:cut])
            self.wfile.flush()
        if cut is not None:
            self._reset()

    def _reset(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The server object shuts the socket down politely; closing the descriptor first makes it a reset.
        with contextlib.suppress(OSError):
            self.wfile.close()
            self.rfile.close()
            self.connection.close()
