"""The HTTP face over real sockets; the server has a thread and hub of its own."""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import gevent
import pytest

from tagmesh.control import asking
from tagmesh.control import http as face
from tagmesh.protocol.errors import Misuse
from tests.control.fake_node import FakeNode, served
from tests.control.http_calls import HEAD, address_of, exchange, rpc

TOKEN = "0123456789abcdef" * 2


def test_a_call_that_waits_holds_up_nobody_else(url: str, node: FakeNode) -> None:
    node.hold = threading.Event()
    with ThreadPoolExecutor(2 * asking.WAITING_WORKERS) as pool:
        try:
            traces = [
                pool.submit(rpc, url, "tagmesh_trace", [1, 3])
                for _ in range(2 * asking.WAITING_WORKERS)
            ]
            for _ in range(asking.WAITING_WORKERS):
                assert node.held.acquire(timeout=10)
            assert rpc(url, "clusterer_list")[0] == 200
            assert not any(trace.done() for trace in traces)
        finally:
            node.hold.set()
        assert [trace.result()[1]["result"]["route"] for trace in traces] == [[2, 3]] * len(traces)


def test_a_hundred_clients_at_once(url: str) -> None:
    with ThreadPoolExecutor(100) as pool:
        replies = list(pool.map(lambda _: rpc(url, "uptime"), range(100)))
    assert {status for status, _ in replies} == {200}


def test_clients_that_vanish_leave_no_trace(
    url: str, node: FakeNode, capfd: pytest.CaptureFixture[str]
) -> None:
    request = b'{"jsonrpc":"2.0","id":1,"method":"tagmesh_trace","params":[1,3]}'
    head = HEAD + f"Content-Length: {len(request)}\r\n\r\n".encode()
    node.hold = threading.Event()
    for sent in (b"", HEAD[:10], HEAD[:60], head, head + request):
        client = socket.create_connection(address_of(url), timeout=10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(sent)
        if sent.endswith(request):
            assert node.held.acquire(timeout=10)
        client.close()
    node.hold.set()
    assert rpc(url, "version")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_nonsense_is_answered_and_not_printed(
    url: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "tagmesh.http"):
        for nonsense in (
            b"\x16\x03\x01\x02\x00\x01\n\n",
            b"SSH-2.0-x\r\n\r\n",
            b"GET / HTTP/1.1\r\n\x1b[31m\r\n\r\n",
        ):
            with socket.create_connection(address_of(url), timeout=10) as client:
                client.sendall(nonsense)
                assert client.recv(100).startswith(b"HTTP/1.1 40")
    assert capfd.readouterr() == ("", "")
    assert caplog.records
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_a_client_that_stalls_is_dropped(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(face, "IDLE_TIMEOUT_S", 0.2)
    with served(node) as url:
        for sent in (b"", HEAD[:10], HEAD, HEAD + b"Content-Length: 10\r\n\r\n{"):
            with socket.create_connection(address_of(url), timeout=5) as client:
                client.sendall(sent)
                while client.recv(4096):
                    pass
        assert rpc(url, "version")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_log_line_about_a_client_has_a_longest_length(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "tagmesh.http"):
        with socket.create_connection(address_of(url), timeout=10) as client:
            client.sendall(b"x" * 4000 + b"\r\n\r\n")
            assert client.recv(100)
        (line,) = [record.getMessage() for record in caplog.records]
    assert "xxxx" in line
    assert len(line) < face.MAX_LOGGED_CHARS + 60


def test_connections_over_the_limit_wait_for_their_turn(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face, "MAX_CONNECTIONS", 2)
    with served(node) as url, ThreadPoolExecutor(1) as pool:
        first = socket.create_connection(address_of(url), timeout=5)
        second = socket.create_connection(address_of(url), timeout=5)
        with first, second:
            request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            for client in (first, second):  # answered, and kept alive
                client.sendall(request)
                assert client.recv(100).startswith(b"HTTP/1.1 200")
            third = pool.submit(rpc, url, "version")
            with pytest.raises(TimeoutError):
                third.result(timeout=0.2)
            first.close()
            assert third.result(timeout=5)[0] == 200


@pytest.mark.parametrize("address", ["0.0.0.0:0", "192.0.2.1:8888", "[::]:0"])
def test_off_loopback_is_refused_without_a_token(node: FakeNode, address: str) -> None:
    with pytest.raises(Misuse, match=r"set token_file, or use 127\.0\.0\.1"):
        face.serve(node, address)


def test_a_name_is_no_address(node: FakeNode) -> None:
    with pytest.raises(Misuse, match="is no IP address"):
        face.serve(node, "example.org:80", token=TOKEN)


def test_off_loopback_a_token_opens_under_every_name_of_the_machine(node: FakeNode) -> None:
    with served(node, "0.0.0.0:0", token=TOKEN) as url:
        here = url.replace("0.0.0.0", "127.0.0.1")
        named = {"Host": f"node-a.example.org:{address_of(url)[1]}"}
        assert exchange(here, "GET", "/healthz", headers=named)[0] == 200
        assert exchange(here, "GET", "/api/v1/state", headers=named)[0] == 401
        known = named | {"Authorization": f"Bearer {TOKEN}"}
        assert exchange(here, "GET", "/api/v1/state", headers=known)[0] == 200
        page = known | {"Origin": "http://elsewhere.example"}
        assert exchange(here, "GET", "/api/v1/state", headers=page)[0] == 403


@pytest.mark.parametrize(
    "address", ["", "8888", "127.0.0.1", "127.0.0.1:", ":1", "127.0.0.1:70000", "127.0.0.1:x"]
)
def test_a_malformed_address_is_refused(node: FakeNode, address: str) -> None:
    with pytest.raises(Misuse, match="must have the form"):
        face.serve(node, address)


def test_a_port_in_use_is_a_clear_error(node: FakeNode, url: str) -> None:
    taken = url.removeprefix("http://")
    with pytest.raises(Misuse, match=r"Address already in use; choose another port"):
        face.serve(node, taken)


@pytest.mark.parametrize(("address", "shown"), [("localhost:0", "127.0.0.1"), ("[::1]:0", "[::1]")])
def test_other_spellings_of_loopback(node: FakeNode, address: str, shown: str) -> None:
    with served(node, address) as url:
        assert url.startswith(f"http://{shown}:")
        assert rpc(url, "version")[0] == 200


def test_serving_and_asking_in_one_hub(node: FakeNode) -> None:
    """The server shares the hub with the application: `start(inline=True)` and the demo."""
    server = face.serve(node, "127.0.0.1:0")
    try:
        status, reply = gevent.get_hub().threadpool.apply(rpc, (server.url, "version"))
    finally:
        server.stop()
    assert (status, "result" in reply) == (200, True)


def test_stop_frees_the_port_at_once_even_with_idle_connections(node: FakeNode) -> None:
    with served(node) as url:
        idle = socket.create_connection(address_of(url), timeout=5)
        assert rpc(url, "version")[0] == 200
        begun = time.monotonic()
    assert time.monotonic() - begun < face.STOP_TIMEOUT_S + 2
    with idle:
        assert idle.recv(1) == b""
    with socket.create_server(address_of(url)):
        pass
