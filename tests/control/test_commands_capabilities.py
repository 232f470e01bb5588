"""The commands about capabilities: OpenSIPS's shapes, and ours."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from tagmesh.control.command import CommandError
from tagmesh.control.commands import COMMANDS
from tagmesh.protocol.capability_words import Answer
from tagmesh.protocol.errors import Misuse
from tests.control.fake_cluster_port import FakeCluster
from tests.control.fake_node import FakeNode, capability, make_status

DIALOGS: dict[str, Any] = {"cluster_id": 1, "capability": "dialog-dlg-repl"}


def run(name: str, node: FakeNode | None = None, **arguments: Any) -> Any:
    result = COMMANDS[name].run(node or FakeNode(), **arguments)
    return msgspec.json.decode(msgspec.json.encode(result))


def failure(name: str, node: FakeNode | None = None, **arguments: Any) -> tuple[int, str, str]:
    with pytest.raises(CommandError) as caught:
        run(name, node, **arguments)
    return caught.value.code, caught.value.message, caught.value.data


def having(*capabilities: Any) -> FakeNode:
    status = make_status()
    cluster = msgspec.structs.replace(status.clusters[0], capabilities=list(capabilities))
    return FakeNode(msgspec.structs.replace(status, clusters=[cluster]))


def test_list_cap_has_the_keys_and_values_of_opensips() -> None:
    assert run("clusterer_list_cap") == {
        "Clusters": [
            {
                "cluster_id": 1,
                "Capabilities": [
                    {"name": "dialog-dlg-repl", "state": "Ok", "enabled": "yes"},
                    {"name": "usrloc-contact-repl", "state": "not synced", "enabled": "yes"},
                ],
            }
        ]
    }


@pytest.mark.parametrize("state", ["disabled", "unsynced", "pending", "syncing", "degraded"])
def test_whatever_is_not_ok_is_not_synced(state: str) -> None:
    node = having(capability("x", state=state, enabled=state != "disabled"))
    (listed,) = run("clusterer_list_cap", node)["Clusters"][0]["Capabilities"]
    assert listed["state"] == "not synced"
    assert listed["enabled"] == ("no" if state == "disabled" else "yes")


@pytest.mark.parametrize(("status", "did"), [(1, "enable"), (0, "disable")])
def test_a_capability_is_switched(status: int, did: str) -> None:
    node = FakeNode()
    assert run("clusterer_set_cap_status", node, **DIALOGS, status=status) == "OK"
    assert node.asked == [(did, "dialog-dlg-repl")]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"status": 2}, (400, "Bad value for 'status'", "0 switches off, 1 switches on")),
        ({"cluster_id": 7}, (404, "Cluster id not found", "clusters of this node: 1")),
        (
            {"capability": "x"},
            (
                404,
                "Capability not found",
                "registered on this node: dialog-dlg-repl, usrloc-contact-repl",
            ),
        ),
    ],
)
def test_what_cannot_be_switched_has_the_errors_of_opensips(
    changes: dict[str, Any], error: tuple[int, str, str]
) -> None:
    node = FakeNode()
    assert failure("clusterer_set_cap_status", node, **{**DIALOGS, "status": 0, **changes}) == error
    assert node.asked == []


def test_a_node_without_capabilities_says_so() -> None:
    assert failure("tagmesh_quarantine", having(), **DIALOGS)[2] == "registered on this node: none"


def test_sync_status_lists_sessions_of_both_roles() -> None:
    (cluster,) = run("tagmesh_sync_status")["clusters"]
    joiner, donor = cluster["sessions"]
    assert (joiner["capability"], joiner["items"], joiner["expected"]) == (
        "usrloc-contact-repl",
        15310,
        25000,
    )
    assert (joiner["role"], joiner["node_id"], joiner["state"]) == ("joiner", 2, "receiving")
    assert (donor["role"], donor["node_id"], donor["items"]) == ("donor", 3, 5)
    (last,) = cluster["last"]
    assert (last["capability"], last["report"]["items"]) == ("dialog-dlg-repl", 1000)
    assert last["plans"][0]["plan_id"] == 1
    assert cluster["waiting"] == []


def test_sync_status_says_what_waits_and_why() -> None:
    node = having(capability("x", state="pending", reason="no donor", last_report=None, plans=[]))
    (cluster,) = run("tagmesh_sync_status", node)["clusters"]
    assert cluster["waiting"] == [{"capability": "x", "state": "pending", "reason": "no donor"}]
    assert cluster["sessions"] == cluster["last"] == []


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ({}, ((), False, False)),
        ({"tag": ""}, ((), False, False)),
        ({"tag": "vip1"}, (("vip1",), False, False)),
        ({"tag": "vip1", "mode": "mirror"}, (("vip1",), True, False)),
        ({"tag": "", "mode": "dry_run"}, ((), True, True)),
        ({"tag": "vip1", "mode": "force"}, (("vip1",), False, False, "vip1")),
        ({"tag": "", "mode": "backup"}, ((), False, False, "backup")),
    ],
)
def test_a_sync_is_asked_for(arguments: dict[str, Any], asked: tuple[Any, ...]) -> None:
    node = FakeNode()
    assert run("tagmesh_sync_start", node, **DIALOGS, **arguments) == {"answer": "taken"}
    assert node.asked == [("sync", "dialog-dlg-repl", *asked)]


def test_a_sync_that_cannot_be_says_what_to_do() -> None:
    node = FakeNode()
    assert failure("tagmesh_sync_start", node, **DIALOGS, tag="", mode="all")[:2] == (
        400,
        "Bad value for 'mode'",
    )
    node.answer = Answer.DISABLED
    code, message, hint = failure("tagmesh_sync_start", node, **DIALOGS)
    assert (code, message) == (400, "Capability disabled")
    assert "clusterer_set_cap_status 1 dialog-dlg-repl 1" in hint
    node.answer = Answer.IN_PROGRESS
    assert run("tagmesh_sync_start", node, **DIALOGS) == {"answer": "in_progress"}


@pytest.mark.parametrize(("decision", "records"), [("confirm", 30), ("discard", 0), ("undo", 30)])
def test_a_plan_is_decided_about(decision: str, records: int) -> None:
    node = FakeNode()
    decided = run("tagmesh_sync_plan", node, **DIALOGS, plan_id=1, decision=decision)
    assert decided == {"records": records}
    assert node.asked == [(decision, "dialog-dlg-repl")]


def test_plans_and_decisions_that_there_are_not() -> None:
    wrong = failure("tagmesh_sync_plan", **DIALOGS, plan_id=1, decision="maybe")
    assert wrong == (400, "Bad value for 'decision'", "one of confirm, discard, undo")
    unknown = failure("tagmesh_sync_plan", **DIALOGS, plan_id=7, decision="undo")
    assert unknown == (404, "Not found", "there is no waiting mirror plan 7")


def test_an_actor_that_restarts_is_no_crash_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def restarting(self: object, name: str) -> None:
        raise Misuse("it is restarting; ask again in a second")

    monkeypatch.setattr(FakeCluster, "quarantine", restarting)
    assert failure("tagmesh_quarantine", **DIALOGS) == (
        400,
        "Not possible now",
        "it is restarting; ask again in a second",
    )


def test_what_was_set_aside_is_readable_and_whole() -> None:
    message, record = run("tagmesh_quarantine", **DIALOGS)["quarantine"]
    assert (message["node_id"], message["kind"]) == (2, "message")
    assert message["error"] == "ValueError: no such user"
    assert message["content"] == "{'user': '\\x1b[2Jbob'}"
    assert msgspec.msgpack.decode(base64.b64decode(message["payload"]))["user"] == "\x1b[2Jbob"
    assert record["content"] == "b'\\xc1'", "what is no message is shown as bytes"


def test_donors_in_order_and_why_not_the_others() -> None:
    best, other = run("tagmesh_explain_donor", **DIALOGS)["donors"]
    assert (best["node_id"], best["place"], best["rejection"]) == (2, 1, None)
    assert (other["node_id"], other["place"], other["rejection"]) == (3, None, "unreachable")


def test_the_donor_of_a_tag_is_explained_too() -> None:
    (other,) = run("tagmesh_explain_donor", **DIALOGS, tag="vip1")["donors"]
    assert (other["rejection"], other["detail"]) == ("not_tag_owner", "node 2 has vip1")


def test_what_other_nodes_do_not_have_alike_is_told_by_key() -> None:
    node = FakeNode()
    found = run("tagmesh_diff", node, **DIALOGS)
    assert (found["node_id"], found["tag"], found["alike"]) == (1, "", False)
    two, three = found["nodes"]
    assert (two["missing"], two["extra"], two["different"], two["unlisted"]) == (1, 3, 0, 2)
    assert two["keys"] == [
        {"key": "\x1b[2Jbob", "unlike": "missing"},
        {"key": "('a', 7)", "unlike": "extra"},
    ]
    assert (three["compared"], three["reason"]) == (False, "unreachable: no path")
    assert run("tagmesh_diff", node, **DIALOGS, tag="vip1", nodes="2,3", limit=0)["alike"]
    assert node.asked == [
        ("diff", "dialog-dlg-repl", "", (), 100),
        ("diff", "dialog-dlg-repl", "vip1", (2, 3), 0),
    ]


def test_what_cannot_be_compared_says_why() -> None:
    assert failure("tagmesh_diff", **DIALOGS, tag="busy")[:2] == (400, "Not possible now")
    told = failure("tagmesh_diff", **DIALOGS, tag="", nodes="two")
    assert told[:2] == (400, "Bad value for 'nodes'")
