"""What the HTTP face answers, and whom it refuses."""

from __future__ import annotations

import http.client
import json

import pytest

from tagmesh.control import mi
from tests.control.fake_node import FakeNode
from tests.control.http_calls import JSON, address_of, exchange, rpc


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
