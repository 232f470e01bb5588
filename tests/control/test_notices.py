"""What real nodes do, heard as OpenSIPS tells it."""

from __future__ import annotations

import json
import socket
from typing import Any

import msgspec

from tagmesh.control.lab import LocalCluster
from tagmesh.control.notices import notice
from tagmesh.control.subscriptions import EVENTS
from tagmesh.protocol.events import Event
from tests.control.fake_node import event

REQUEST, REPLY, STATE, TAG = EVENTS


def test_the_four_events_of_a_running_node() -> None:
    with LocalCluster(2) as lab, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        one, two = lab
        bound.bind(("127.0.0.1", 0))
        bound.settimeout(30)
        for name in EVENTS:
            one.subscriptions.subscribe(name, f"udp:127.0.0.1:{bound.getsockname()[1]}")

        def heard() -> tuple[str, Any]:
            said = json.loads(bound.recv(65535))
            assert said.pop("jsonrpc") == "2.0"
            return said["method"], said["params"]

        one.cluster(1).tag("vip1").activate(reason="MI command")
        assert heard() == (
            TAG,
            {"name": "vip1", "cluster": 1, "state": "active", "reason": "MI command"},
        )
        sent = two.cluster(1).requests.cluster_send_req(1, "hello")
        params = {"cluster_id": 1, "src_id": 2, "msg": "hello", "tag": sent.tag}
        assert heard() == (REQUEST, params)
        assert two.cluster(1).requests.cluster_send_rpl(1, {"a": [1]}, sent.tag).code == 1
        assert heard() == (REPLY, params | {"msg": '{"a":[1]}'})
        two.stop()
        assert heard() == (STATE, {"cluster_id": 1, "node_id": 2, "new_state": 0})
        one.stop()
        assert one.subscriptions.listed() == []


def test_a_node_that_came_and_a_tag_that_went() -> None:
    came = event(1, kind=Event.NODE_UP)
    assert notice(came)[1] == {"cluster_id": 1, "node_id": 3, "new_state": 1}
    went = msgspec.structs.replace(
        came, kind=Event.TAG_CHANGED, before="active", after="backup", tag="vip1", cause="released"
    )
    assert notice(went) == (
        TAG,
        {"name": "vip1", "cluster": 1, "state": "backup", "reason": "released"},
    )
