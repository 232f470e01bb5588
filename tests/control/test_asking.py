"""Calls that wait do not stop those that do not."""

from __future__ import annotations

import json
import threading

import gevent

from tagmesh.control.asking import WAITING_WORKERS, Asking
from tests.control.fake_node import FakeNode

TRACE = b'{"jsonrpc":"2.0","id":1,"method":"tagmesh_trace","params":[1,2]}'


def test_quick_calls_are_answered_while_all_waiting_ones_wait() -> None:
    node = FakeNode()
    node.hold = threading.Event()
    asking = Asking(node, "http")
    traces = [gevent.spawn(asking.manage, TRACE) for _ in range(WAITING_WORKERS + 2)]
    gevent.sleep(0)
    quick = json.loads(asking.manage(b'{"jsonrpc":"2.0","id":2,"method":"version"}') or b"")
    assert quick["result"]["Server"].startswith("tagmesh")
    assert not any(trace.ready() for trace in traces)
    node.hold.set()
    gevent.joinall(traces, timeout=10)
    assert [json.loads(trace.value)["result"]["route"] for trace in traces] == [[2]] * len(traces)
    asking.close()


def test_who_may_only_look_changes_nothing() -> None:
    node = FakeNode()
    asking = Asking(node, "http", read_only=True)
    cut = b'{"jsonrpc":"2.0","id":1,"method":"tagmesh_cut","params":[3]}'
    error = json.loads(asking.manage(cut) or b"")["error"]
    assert (error["code"], error["message"]) == (403, "Not allowed")
    assert node.switched == []
    assert node.noted == [("http", "tagmesh_cut", "node_id=3", "refused: read only")]
    version = b'{"jsonrpc":"2.0","id":2,"method":"version"}'
    assert "result" in json.loads(asking.manage(version) or b"")
    asking.close()


def test_what_cannot_be_understood_is_answered_and_a_notification_is_not() -> None:
    asking = Asking(FakeNode(), "http")
    assert json.loads(asking.manage(b"{") or b"")["error"]["code"] == -32700
    assert asking.manage(b'{"jsonrpc":"2.0","method":"version"}') is None
    asking.close()
