"""What a node does for other nodes: by their roles, once per key, and noted."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tagmesh.control import remote
from tagmesh.control.commands import COMMANDS
from tagmesh.control.remote import KEPT_KEYS, KEPT_S, MAX_KEY_CHARS, Done, RemoteCommands
from tagmesh.protocol.config import AdminSettings
from tagmesh.protocol.errors import Misuse, RemoteError
from tagmesh.protocol.roles import ROLES, NodeRole, Role
from tests.capabilities.fake_cluster import FakeCluster
from tests.control.fake_node import FakeNode

TAG_PAUSE = ("tagmesh_tag_pause", ["vip1/1", 1])
CUT = ("tagmesh_cut", [3])


class Lab:
    """Node 1 asks node 2, which gives it ``role``."""

    def __init__(self, role: str = "observer", **settings: Any) -> None:
        self.nodes = {number: FakeNode() for number in (1, 2)}
        number = itertools.count(1)
        given = AdminSettings(remote=role, **settings)
        self.cluster = FakeCluster(
            lambda: RemoteCommands(
                self.nodes[next(number)], COMMANDS, given, run=lambda job: job()
            ),
            nodes=2,
        )

    def ask(self, name: str, params: list[Any], key: str = "k") -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "method": name, "params": params, "id": 1}
        reply = self.cluster[1].ask(2, key, json.dumps(request).encode(), 5.0)
        self.cluster.settle()
        answer: dict[str, Any] = json.loads(reply.result())
        return answer


def test_by_default_another_node_may_look_and_change_nothing() -> None:
    lab = Lab(AdminSettings().remote)
    assert "Clusters" in lab.ask("clusterer_list", [])["result"]
    error = lab.ask(*TAG_PAUSE)["error"]
    assert (error["code"], error["message"]) == (403, "Not allowed")
    assert error["data"] == (
        "node 1 is observer here, tagmesh_tag_pause needs operator; see [admin] remote and"
        " remote_nodes of the node addressed"
    )
    who, command, _, outcome = lab.nodes[2].noted[0]
    assert (who, command) == ("node 1", "tagmesh_tag_pause")
    assert outcome.startswith("refused: node 1 is observer")
    assert lab.nodes[2].asked == []


@pytest.mark.parametrize("role", list(ROLES))
@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_needs_its_role_and_none_asks_further(role: str, name: str) -> None:
    """Whether it was let in is told by the error: parameters are wrong on purpose where there are
    any, so nothing is done."""
    command = COMMANDS[name]
    lab = Lab(role)
    recipe = command.recipes[0]
    params: Any = ["nonsense/9" if command.types[key] is str else [] if command.types[key] is list
                   else 9 for key in recipe]  # fmt: skip
    if command.named_only:
        params = dict(zip(recipe, params, strict=True))
    refused = lab.ask(name, params).get("error", {}).get("code") == 403
    if command.asks_nodes or role == "none" or command.role > ROLES[role]:
        assert refused
    else:
        assert not refused or command.admin, "fault_switch is off there"


def test_the_role_of_one_node_and_of_the_others() -> None:
    lab = Lab("none", remote_nodes=(NodeRole(1, Role.OPERATOR),))
    assert lab.ask(*TAG_PAUSE)["result"] == "OK"
    assert lab.nodes[2].noted == [("node 1", "tagmesh_tag_pause", "tag=vip1/1, paused=1", "OK")]
    assert lab.ask(*CUT)["error"]["code"] == 403
    other = Lab("admin", remote_nodes=(NodeRole(1, Role.NONE),))
    assert other.ask("version", [])["error"]["code"] == 403


def test_where_people_may_only_look_nodes_may_not_more() -> None:
    lab = Lab("admin", read_only=True)
    assert "read_only" in lab.ask(*TAG_PAUSE)["error"]["data"]
    assert "result" in lab.ask("version", [])


def test_what_comes_again_is_not_done_again() -> None:
    lab = Lab("operator")
    first = lab.ask(*TAG_PAUSE, key="one")
    assert lab.ask(*TAG_PAUSE, key="one") == first
    assert len(lab.nodes[2].asked) == 1
    lab.ask(*TAG_PAUSE, key="two")
    assert len(lab.nodes[2].asked) == 2


@pytest.mark.parametrize(
    "payload", [None, [], ["k"], [1, b"x"], ["k", "x"], ["k" * (MAX_KEY_CHARS + 1), b"{}"]]
)
def test_what_is_no_request_is_refused(payload: Any) -> None:
    lab = Lab("admin")
    reply = lab.cluster[1].request(2, payload)
    lab.cluster.settle()
    with pytest.raises(RemoteError, match="not a key and a JSON-RPC request"):
        reply.result()


def test_bad_json_is_answered_as_everywhere() -> None:
    lab = Lab("admin")
    reply = lab.cluster[1].ask(2, "k", b"{", 5.0)
    lab.cluster.settle()
    assert json.loads(reply.result())["error"]["code"] == -32700


def test_replies_are_kept_for_a_while_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEPT_KEYS >= 100
    monkeypatch.setattr(remote, "KEPT_KEYS", 3)
    now = [0.0]
    done, number = Done(lambda: now[0]), itertools.count()

    def do() -> bytes:
        return str(next(number)).encode()

    assert [done.once((1, key), do) for key in ("a", "a", "b")] == [b"0", b"0", b"1"]
    assert done.once((2, "a"), do) == b"2", "another node's key"
    assert done.once((1, "c"), do) == b"3"
    assert done.once((1, "a"), do) == b"4", "it was the oldest"
    now[0] += KEPT_S + 1
    assert done.once((1, "a"), do) == b"5"


def test_what_is_being_done_is_not_begun_a_second_time() -> None:
    done = Done()
    with pytest.raises(Misuse, match="being done already"):
        done.once((1, "a"), lambda: done.once((1, "a"), bytes))
    assert done.once((1, "a"), lambda: b"later") == b"later", "what failed is forgotten"
