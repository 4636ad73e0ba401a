"""The faults are the faults they are named for."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from services import HttpProxy, TcpProxy


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    writes: list[bytes]

    def do_GET(self) -> None:
        self._send(b"x" * 1000)

    def do_PUT(self) -> None:
        self.writes.append(self.rfile.read(int(self.headers["Content-Length"])))
        self._send(self.headers["Host"].encode())

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Cut connections are what these tests are about."""


@pytest.fixture
def upstream() -> Iterator[tuple[str, list[bytes]]]:
    writes: list[bytes] = []
    server = Server(("127.0.0.1", 0), type("Handler", (Upstream,), {"writes": writes}))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", writes
    server.shutdown()
    server.server_close()


def ask(port: int, method: str = "GET", path: str = "/a", body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def read_to_end(client: socket.socket) -> None:
    while client.recv(10_000):
        pass


def test_http_passes_unchanged_without_a_rule_and_keeps_the_host_header(
    upstream: tuple[str, list[bytes]],
) -> None:
    with HttpProxy(upstream[0]) as proxy:
        assert ask(proxy.port) == (200, b"x" * 1000)
        assert ask(proxy.port, "PUT", "/b", b"data") == (200, f"127.0.0.1:{proxy.port}".encode())
        assert proxy.faults == []
        assert [(seen.method, seen.path, seen.status) for seen in proxy.requests] == [
            ("GET", "/a", 200),
            ("PUT", "/b", 200),
        ]


def test_http_answers_k_times_and_only_where_the_rule_fits(upstream: tuple[str, list[bytes]]) -> None:
    with HttpProxy(upstream[0]) as proxy:
        proxy.answer(503, times=2, method="PUT", path="/b")
        assert ask(proxy.port)[0] == 200
        assert [ask(proxy.port, "PUT", "/b", b"d")[0] for _ in range(3)] == [503, 503, 200]
        assert upstream[1] == [b"d"]


def test_http_dropped_reply_means_done_but_untold(upstream: tuple[str, list[bytes]]) -> None:
    with HttpProxy(upstream[0]) as proxy:
        proxy.drop_reply(method="PUT")
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            ask(proxy.port, "PUT", "/b", b"done")
        assert upstream[1] == [b"done"]
        proxy.drop_request(method="PUT")
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            ask(proxy.port, "PUT", "/b", b"not done")
        assert upstream[1] == [b"done"]
        assert proxy.faults == ["drop_reply", "drop_request"]


def test_http_cut_body_is_seen_as_short(upstream: tuple[str, list[bytes]]) -> None:
    with HttpProxy(upstream[0]) as proxy:
        proxy.cut_body(100)
        with pytest.raises((ConnectionError, http.client.IncompleteRead)):
            ask(proxy.port)


def test_tcp_cut_lets_exactly_so_many_bytes_through_once(upstream: tuple[str, list[bytes]]) -> None:
    with TcpProxy.before(upstream[0]) as proxy:
        proxy.cut_after(50)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            ask(proxy.port)
        assert ask(proxy.port) == (200, b"x" * 1000)
        assert proxy.connections == 2
        assert (
            proxy.rewrite("postgresql://a:b%40@db:1/x?y=1")
            == f"postgresql://a:b%40@127.0.0.1:{proxy.port}/x?y=1"
        )


def test_tcp_stall_is_silence_until_released(upstream: tuple[str, list[bytes]]) -> None:
    with TcpProxy.before(upstream[0]) as proxy:
        proxy.stall_after(20)
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=0.3) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert len(client.recv(1000)) == 20
            with pytest.raises(TimeoutError):
                client.recv(1000)
            proxy.release()
            assert client.recv(10_000)


def test_tcp_cut_now_resets_open_connections(upstream: tuple[str, list[bytes]]) -> None:
    with TcpProxy.before(upstream[0]) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(1)
        proxy.cut_now()
        with pytest.raises(ConnectionResetError):
            read_to_end(client)


def test_tcp_refuses_and_accepts_again_on_the_same_port(upstream: tuple[str, list[bytes]]) -> None:
    with TcpProxy.before(upstream[0]) as proxy:
        proxy.refuse()
        with pytest.raises(ConnectionError):
            ask(proxy.port)
        proxy.accept()
        assert ask(proxy.port)[0] == 200
