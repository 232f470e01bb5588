"""The HTTP face over real sockets; the server has a thread and hub of its own."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import gevent
import pytest

from tagmesh.control import asking, mi
from tagmesh.control import http as face
from tagmesh.protocol.errors import Misuse
from tests.control.fake_node import FakeNode, served
from tests.control.http_calls import JSON, address_of, exchange, rpc

HEAD = b"POST /mi HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
def url(node: FakeNode) -> Iterator[str]:
    with served(node) as running:
        yield running


def test_mi_answers_json_with_status_200(url: str) -> None:
    request = b'{"jsonrpc":"2.0","id":"9","method":"which","params":["help"]}'
    status, headers, body = exchange(url, "POST", "/mi", request, JSON)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == {"jsonrpc": "2.0", "result": [[], ["mi_cmd"]], "id": "9"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"[]", -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"fly"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"which","params":[1,2]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"which","params":["fly"]}', 404),
    ],
)
def test_errors_of_json_rpc_have_status_200_too(url: str, body: bytes, code: int) -> None:
    status, _, reply = exchange(url, "POST", "/mi", body, JSON)
    assert (status, json.loads(reply)["error"]["code"]) == (200, code)


def test_a_notification_is_accepted_without_a_body(url: str, node: FakeNode) -> None:
    request = b'{"jsonrpc":"2.0","method":"tagmesh_cut","params":["3"]}'
    status, _, body = exchange(url, "POST", "/mi", request, JSON)
    assert (status, body) == (202, b"")
    assert node.switched == [("cut", 3)]


def test_a_charset_beside_the_content_type_is_fine(url: str) -> None:
    request = b'{"jsonrpc":"2.0","id":1,"method":"version"}'
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert exchange(url, "POST", "/mi", request, headers)[0] == 200


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_what_a_foreign_page_may_post_unasked_is_refused(
    url: str, node: FakeNode, content_type: str | None
) -> None:
    request = b'{"jsonrpc":"2.0","id":1,"method":"tagmesh_cut","params":["3"]}'
    headers = {} if content_type is None else {"Content-Type": content_type}
    status, _, body = exchange(url, "POST", "/mi", request, headers)
    assert status == 415
    assert "application/json" in json.loads(body)["error"]
    assert node.switched == []


@pytest.mark.parametrize("path", ["/mi", "/api/v1/state", "/healthz", "/metrics", "/events"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8888", "127.0.0.1.evil.example", ""]
)
def test_a_foreign_host_name_is_refused(url: str, path: str, host: str) -> None:
    method = "POST" if path == "/mi" else "GET"
    status, _, body = exchange(url, method, path, b"{}", JSON | {"Host": host})
    assert status == 403
    assert "Host" in json.loads(body)["error"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:80"])
def test_names_of_this_machine_are_welcome(url: str, host: str) -> None:
    assert rpc(url, "version", Host=host)[0] == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1", ""]
)
def test_a_foreign_origin_is_refused(url: str, node: FakeNode, origin: str) -> None:
    status, reply = rpc(url, "tagmesh_cut", ["3"], Origin=origin)
    assert status == 403
    assert "Origin" in reply["error"]
    assert node.switched == []


def test_our_own_origin_is_welcome(url: str) -> None:
    assert rpc(url, "version", Origin=url)[0] == 200


def test_a_browser_asking_for_permission_gets_none(url: str) -> None:
    headers = {"Origin": url, "Access-Control-Request-Method": "POST"}
    _, answered, _ = exchange(url, "OPTIONS", "/mi", None, headers)
    assert not [name for name in answered if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/mi", 405),
        ("POST", "/healthz", 405),
        ("GET", "/", 404),
        ("GET", "/mi/../etc/passwd", 404),
    ],
)
def test_other_methods_and_paths(url: str, method: str, path: str, status: int) -> None:
    answered, headers, body = exchange(url, method, path, b"", JSON)
    assert answered == status
    assert json.loads(body)["error"]
    if status == 405:
        assert headers["allow"]


def test_the_size_of_a_request_is_limited(url: str) -> None:
    head = b'{"jsonrpc":"2.0","id":"1","method":"version","x":"'
    fitting = head + b"x" * (mi.MAX_REQUEST_BYTES - len(head) - 2) + b'"}'
    assert exchange(url, "POST", "/mi", fitting, JSON)[0] == 200
    assert exchange(url, "POST", "/mi", fitting + b" ", JSON)[0] == 413


def test_a_request_of_unknown_size_is_refused(url: str) -> None:
    connection = http.client.HTTPConnection(*address_of(url), timeout=10)
    try:
        connection.request("POST", "/mi", iter([b'{"jsonrpc":"2.0"', b"}"]), JSON)
        assert connection.getresponse().status == 411
    finally:
        connection.close()


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


@pytest.mark.parametrize("address", ["0.0.0.0:0", "192.0.2.1:8888", "[::]:0", "example.org:80"])
def test_off_loopback_is_refused(node: FakeNode, address: str) -> None:
    with pytest.raises(Misuse, match=r"only a loopback address.*use 127\.0\.0\.1"):
        face.serve(node, address)


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
