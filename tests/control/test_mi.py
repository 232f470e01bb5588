"""JSON-RPC as OpenSIPS answers it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.control import mi
from tagmesh.control.command import Command
from tagmesh.control.commands import COMMANDS
from tests.control.fake_node import FakeNode


def _echo(_port: object, **arguments: Any) -> Any:
    return arguments


def _command(name: str, *recipes: tuple[str, ...], **types: Any) -> Command:
    return Command(name=name, module="test", recipes=recipes, types=types, help="a test", run=_echo)


TABLE = {
    "none": _command("none", ()),
    "two": _command("two", ("a", "b"), ("a", "c"), a=int, b=int, c=str),
    "set": _command("set", ("cluster_id", "status"), ("cluster_id", "node_id", "status"),
                    cluster_id=int, node_id=int, status=int),
    "say": _command("say", (), ("text",), text=str),
    "list": _command("list", ("texts",), texts=list),
    "null": Command(
        name="null", module="test", recipes=((),), help="fails", run=lambda port: 1 / 0
    ),
}  # fmt: skip


def ask(request: Any, table: Any = TABLE) -> Any:
    raw = request if isinstance(request, bytes) else json.dumps(request).encode()
    reply = mi.handle(raw, table, FakeNode())
    return None if reply is None else json.loads(reply)


def call(method: str, params: Any = None, request_id: Any = "17") -> Any:
    request = {"jsonrpc": "2.0", "id": request_id, "method": method}
    return ask(request if params is None else {**request, "params": params})


def error(code: int, message: str, data: str | None = None, request_id: Any = "17") -> Any:
    body = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return {"jsonrpc": "2.0", "error": body, "id": request_id}


def test_a_reply_has_the_members_in_the_order_of_opensips() -> None:
    reply = mi.handle(b'{"jsonrpc":"2.0","id":"17","method":"version"}', COMMANDS, FakeNode())
    assert reply is not None
    assert reply.startswith(b'{"jsonrpc":"2.0","result":{"Server":"tagmesh (')
    assert reply.endswith(b',"id":"17"}')


@pytest.mark.parametrize("params", [["1", "3", "0"], [1, 3, 0], ["+1", 3, "-0"]])
def test_strings_of_digits_are_integers(params: list[Any]) -> None:
    assert call("set", params)["result"] == {"cluster_id": 1, "node_id": 3, "status": 0}


def test_named_parameters_choose_the_recipe() -> None:
    assert call("set", {"status": "1", "cluster_id": 2})["result"] == {
        "cluster_id": 2,
        "status": 1,
    }
    assert call("two", {"a": 1, "c": "x"})["result"] == {"a": 1, "c": "x"}


@pytest.mark.parametrize("params", [None, [], {}])
def test_empty_parameters_are_none(params: Any) -> None:
    assert call("none", params)["result"] == {}
    assert call("say", params)["result"] == {}


def test_a_number_may_be_given_for_a_text() -> None:
    assert call("say", [42])["result"] == {"text": "42"}


@pytest.mark.parametrize("params", [[["a", "b"]], {"texts": ["a", "b"]}])
def test_an_array_is_one_parameter(params: Any) -> None:
    assert call("list", params)["result"] == {"texts": ["a", "b"]}
    assert call("list", [["a", 1]])["result"] == {"texts": ["a", "1"]}, "as everywhere"


@pytest.mark.parametrize(
    ("method", "params", "data"),
    [
        ("two", [1, 2], "Ambiguous call, use named parameters instead"),
        ("two", [1], "Too few or too many parameters"),
        ("two", None, "Too few or too many parameters"),
        ("none", [1], "Too few or too many parameters"),
        ("none", {"a": 1}, "Too few or too many parameters"),
        ("two", {"a": 1, "x": 2}, "Named parameters do not match"),
        ("two", {"a": 1, "b": 2, "c": 3}, "Too few or too many parameters"),
        ("set", [1, "on"], "Bad type for parameter 'status'"),
        ("set", [1, ""], "Bad type for parameter 'status'"),
        ("set", [1, " 1"], "Bad type for parameter 'status'"),
        ("set", [1, "1_0"], "Bad type for parameter 'status'"),
        ("set", [1, "١"], "Bad type for parameter 'status'"),
        ("set", [1, 1.5], "Bad type for parameter 'status'"),
        ("set", [1, True], "Bad type for parameter 'status'"),
        ("set", [1, None], "Bad type for parameter 'status'"),
        ("set", [1, [1]], "Bad type for parameter 'status'"),
        ("set", [1, 2**31], "Bad type for parameter 'status'"),
        ("set", [1, "2147483648"], "Bad type for parameter 'status'"),
        ("set", [2**80, 1], "Bad type for parameter 'cluster_id'"),
        ("say", [{"a": 1}], "Bad type for parameter 'text'"),
        ("say", [None], "Bad type for parameter 'text'"),
        ("list", ["a"], "Bad type for parameter 'texts'"),
        ("list", [["a", None]], "Bad type for parameter 'texts'"),
    ],
)
def test_parameters_that_do_not_fit(method: str, params: Any, data: str) -> None:
    assert call(method, params) == error(-32602, "Invalid params", data)


def test_the_largest_and_smallest_integers_fit() -> None:
    assert call("set", [2**31 - 1, str(-(2**31))])["result"] == {
        "cluster_id": 2**31 - 1,
        "status": -(2**31),
    }


def test_an_unknown_method_and_a_near_miss() -> None:
    assert call("fly") == error(-32601, "Method not found")
    assert call("sett") == error(-32601, "Method not found", "did you mean 'set'?")
    assert call("") == error(-32601, "Method not found")


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"{",
        b"hello",
        b'{"jsonrpc":"2.0"} x',
        b"\xff\xfe\x00",
        b'{"a":"\xff"}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
    ],
)
def test_what_is_not_json(garbage: bytes) -> None:
    assert ask(garbage) == error(-32700, "Parse error", request_id=None)


@pytest.mark.parametrize(
    "request_",
    [
        [],
        [{"jsonrpc": "2.0", "id": 1, "method": "none"}],
        "none",
        7,
        None,
        {},
        {"jsonrpc": "2.0"},
        {"method": "none"},
        {"jsonrpc": 2.0, "method": "none"},
        {"jsonrpc": "1.0", "method": "none"},
        {"jsonrpc": "2.0", "method": 5},
        {"jsonrpc": "2.0", "method": "none", "params": "x"},
        {"jsonrpc": "2.0", "method": "none", "params": None},
        {"jsonrpc": "2.0", "method": "none", "id": True},
        {"jsonrpc": "2.0", "method": "none", "id": [1]},
        {"jsonrpc": "2.0", "method": "none", "id": 2**63},
    ],
)
def test_what_is_no_request_is_told_even_without_an_id(request_: Any) -> None:
    reply = ask(request_)
    assert (reply["error"]["code"], reply["error"]["message"]) == (-32600, "Invalid Request")
    assert reply["id"] is None


def test_an_invalid_request_with_an_id_gets_it_back() -> None:
    assert ask({"id": 5, "method": "none"})["id"] == 5


@pytest.mark.parametrize("request_id", ["17", "", 17, -1, 2**63 - 1, 1.5, None])
def test_the_id_comes_back_as_it_was(request_id: Any) -> None:
    reply = call("none", request_id=request_id)
    assert reply == {"jsonrpc": "2.0", "result": {}, "id": request_id}


@pytest.mark.parametrize(
    "notification",
    [
        {"method": "none"},
        {"method": "fly"},
        {"method": "none", "params": [1]},
        {"method": "set", "params": [1, "on"]},
        {"method": "null"},
    ],
)
def test_a_notification_has_no_reply_even_when_it_fails(notification: dict[str, Any]) -> None:
    assert ask({"jsonrpc": "2.0", **notification}) is None


def test_a_notification_is_carried_out() -> None:
    node = FakeNode()
    request = {"jsonrpc": "2.0", "method": "tagmesh_cut", "params": ["3"]}
    assert mi.handle(json.dumps(request).encode(), COMMANDS, node) is None
    assert node.switched == [("cut", 3)]


def test_the_error_of_a_command_comes_as_code_message_and_data() -> None:
    reply = ask({"jsonrpc": "2.0", "id": 1, "method": "which", "params": ["x"]}, COMMANDS)
    assert reply == error(404, "unknown MI command", request_id=1)
    reply = ask({"jsonrpc": "2.0", "id": 1, "method": "tagmesh_trace", "params": [5, 2]}, COMMANDS)
    assert reply == error(404, "Cluster id not found", "clusters of this node: 1", request_id=1)


def test_a_command_that_crashes_is_a_server_error_and_a_log_entry(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR, "tagmesh.mi"):
        reply = call("null")
    assert reply == error(-32000, "Server error", "Command handler returned null")
    assert "ZeroDivisionError" in caplog.text


def test_a_result_that_is_no_json_is_a_server_error() -> None:
    table = {"odd": Command(
        name="odd", module="test", recipes=((),), help="odd", run=lambda port: object()
    )}  # fmt: skip
    reply = ask({"jsonrpc": "2.0", "id": 1, "method": "odd"}, table)
    assert reply["error"]["code"] == -32000


def test_the_limits_on_size_and_depth() -> None:
    def padded(size: int) -> bytes:
        head = b'{"jsonrpc":"2.0","id":"17","method":"none","x":"'
        return head + b"x" * (size - len(head) - 2) + b'"}'

    assert "result" in ask(padded(mi.MAX_REQUEST_BYTES))
    reply = ask(padded(mi.MAX_REQUEST_BYTES + 1))
    assert reply["error"]["code"] == -32600
    assert "65536 bytes" in reply["error"]["data"]

    def nested(depth: int) -> Any:
        return {"jsonrpc": "2.0", "id": "17", "method": "none",
                "x": json.loads("[" * (depth - 1) + "]" * (depth - 1))}  # fmt: skip

    assert "result" in ask(nested(mi.MAX_DEPTH))
    reply = ask(nested(mi.MAX_DEPTH + 1))
    assert reply["error"]["code"] == -32600
    assert "16 levels" in reply["error"]["data"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | JSON,
        "id": JSON,
        "method": st.sampled_from([*TABLE, "fly"]) | JSON,
        "params": JSON,
    },
)


@given(st.binary(max_size=200) | (REQUESTS | JSON).map(lambda value: json.dumps(value).encode()))
def test_any_bytes_get_a_well_formed_reply_or_none(request_: bytes) -> None:
    reply = mi.handle(request_, TABLE, FakeNode())
    if reply is not None:
        decoded = json.loads(reply)
        assert decoded["jsonrpc"] == "2.0"
        assert ("result" in decoded) != ("error" in decoded)
        assert "id" in decoded
