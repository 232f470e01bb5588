"""The commands about dialogs: OpenSIPS's names, parameters, shapes and errors."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from tagmesh.control import mi
from tagmesh.control.command import CommandError
from tagmesh.control.commands import COMMANDS
from tagmesh.protocol.capability_words import Answer
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import CapState
from tests.capabilities.dialog_samples import NOW_S, dialog
from tests.control.fake_dialogs import CALL, booted
from tests.control.fake_node import FakeNode


def local(time_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_s))


LISTED = {
    "ID": "fa5.b2a1",
    "db_id": str((0x5AF << 32) + 0x1A2B),
    "state": 4,
    "user_flags": 4,
    "timestart": NOW_S - 60,
    "datestart": local(NOW_S - 60),
    "timeout": NOW_S + 60,
    "dateout": local(NOW_S + 60),
    "callid": CALL.callid,
    "from_uri": "sip:alice@example.net",
    "to_uri": "sip:bob@example.net",
    "caller_tag": "a1",
    "caller_contact": "sip:alice@10.0.0.9:5060",
    "callee_cseq": "102",
    "caller_route_set": "",
    "caller_bind_addr": "udp:10.0.0.1:5060",
    "CALLEES": [
        {
            "callee_tag": "b1",
            "callee_contact": "sip:bob@10.0.0.8",
            "caller_cseq": "7",
            "callee_route_set": "<sip:10.0.0.7;lr>",
            "callee_bind_addr": "tls:10.0.0.1:5061",
        }
    ],
}
"""As internal_mi_print_dlg of OpenSIPS 3.2 prints it, in its order."""


def run(name: str, node: FakeNode, **arguments: Any) -> Any:
    result = COMMANDS[name].run(node, **arguments)
    return msgspec.json.decode(msgspec.json.encode(result))


def failure(name: str, node: FakeNode, **arguments: Any) -> tuple[int, str]:
    with pytest.raises(CommandError) as caught:
        run(name, node, **arguments)
    return caught.value.code, caught.value.message


def ask(method: str, params: Any, node: FakeNode) -> dict[str, Any]:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    reply = mi.handle(json.dumps(request).encode(), COMMANDS, node)
    assert reply is not None
    answer: dict[str, Any] = json.loads(reply)
    return answer


# Dialogs ------------------------------------------------------------------------------------------


def test_a_dialog_is_listed_with_the_keys_and_the_order_of_opensips() -> None:
    node, _ = booted()
    (first, *others) = run("dlg_list", node)["Dialogs"]
    assert list(first.items()) == list(LISTED.items())
    assert [each["callid"] for each in others] == [dialog(2).callid, dialog(3).callid]
    assert others[0]["CALLEES"][0]["callee_bind_addr"] is None


def test_the_context_has_variables_escaped_as_there_and_profiles() -> None:
    node, _ = booted()
    first, second, _ = run("dlg_list_ctx", node)["Dialogs"]
    context = {
        "values": [{"account": "acme"}, {"note": "a\\tb\\x01\\xc3\\xa9"}],
        "profiles": [{"calls": ""}, {"trunk": "berlin"}],
    }
    assert first == {**LISTED, "context": context}
    assert second["context"] == {"profiles": [{"trunk": "paris"}]}


def test_one_dialog_is_found_by_call_id_and_from_tag() -> None:
    node, _ = booted()
    assert run("dlg_list", node, callid=CALL.callid) == {"Dialog": LISTED}
    assert run("dlg_list", node, callid=CALL.callid, from_tag="a1") == {"Dialog": LISTED}
    assert failure("dlg_list", node, callid=CALL.callid, from_tag="a2") == (404, "No such dialog")
    assert failure("dlg_list_ctx", node, callid="none") == (404, "No such dialog")


def test_pages_have_the_whole_count() -> None:
    node, _ = booted()
    page = run("dlg_list", node, index=1, counter=1)
    assert (page["count"], [d["callid"] for d in page["Dialogs"]]) == (3, [dialog(2).callid])
    assert run("dlg_list", node, index=3, counter=5) == {"count": 3, "Dialogs": []}
    everything = run("dlg_list", node, index=0, counter=0)
    assert (list(everything), len(everything["Dialogs"])) == (["Dialogs"], 3)
    assert failure("dlg_list", node, index=-1, counter=1) == (400, "Bad value for 'index'")
    assert failure("dlg_list", node, index=0, counter=-1) == (400, "Bad value for 'counter'")


def test_lists_take_named_parameters_only() -> None:
    node, _ = booted()
    refused = ask("dlg_list", [CALL.callid], node)["error"]
    assert (refused["code"], refused["data"]) == (-32602, "Command only supports named parameters")
    assert ask("dlg_list", {"index": "0", "counter": "1"}, node)["result"]["count"] == 3
    assert len(ask("dlg_list", [], node)["result"]["Dialogs"]) == 3


@pytest.mark.parametrize("dialog_id", [CALL.did, CALL.callid])
def test_a_dialog_is_ended_by_id_or_call_id(dialog_id: str) -> None:
    node, cluster = booted()
    assert run("dlg_end_dlg", node, dialog_id=dialog_id) == "OK"
    cluster.settle()
    assert cluster[2].find(CALL.callid) is None
    missing = (404, "Requested Dialog not found")
    assert failure("dlg_end_dlg", node, dialog_id=dialog_id) == missing


def test_a_backup_ends_nothing() -> None:
    node, cluster = booted()
    cluster.activate(2, "vip1")
    refused = (403, "Node is backup for requested dialog")
    assert failure("dlg_end_dlg", node, dialog_id=CALL.did) == refused
    assert run("dlg_list", node, callid=CALL.callid) == {"Dialog": LISTED}


def test_a_node_that_is_switched_off_says_so() -> None:
    node, cluster = booted()
    cluster.ports[NodeId(1)].current_state = CapState.DISABLED
    assert failure("dlg_end_dlg", node, dialog_id=CALL.did) == (500, "Operation failed")


# Syncs --------------------------------------------------------------------------------------------


def test_a_sync_is_asked_for_all_dialogs_or_those_of_a_tag() -> None:
    node, _ = booted()
    assert ask("dlg_cluster_sync", [], node)["result"] == "OK"
    assert ask("dlg_cluster_sync", ["vip1"], node)["result"] == "OK"
    assert [(what, name, tags) for what, name, tags, *_ in node.asked] == [
        ("sync", "dialog-dlg-repl", ()),
        ("sync", "dialog-dlg-repl", ("vip1",)),
    ]


def test_a_sync_that_is_under_way_or_cannot_be_says_so() -> None:
    node, _ = booted()
    node.answer = Answer.IN_PROGRESS
    assert run("dlg_cluster_sync", node) == "Sync already in progress"
    node.answer = Answer.DISABLED
    assert failure("dlg_cluster_sync", node) == (400, "Failed to send sync request")


def test_a_tag_that_cannot_be_synced_is_an_error_in_the_words_of_opensips(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> Answer:
        raise Misuse("it is active here")

    monkeypatch.setattr("tests.control.fake_node.FakeCluster.sync", refuse)
    node, _ = booted()
    wrong = (500, "Internal error while setting sync state")
    assert failure("dlg_cluster_sync", node, sharing_tag="vip1") == wrong


@pytest.mark.parametrize(
    "name", ["dlg_list", "dlg_list_ctx", "dlg_cluster_sync", "list_all_profiles"]
)
def test_a_node_without_dialogs_says_so(name: str) -> None:
    assert failure(name, FakeNode()) == (400, "Dialog replication disabled")


# Profiles -----------------------------------------------------------------------------------------


def test_profiles_have_sizes() -> None:
    node, _ = booted()
    assert run("profile_get_size", node, profile="trunk") == {
        "Profile": {
            "name": "trunk",
            "value": None,
            "count": 3,
            "shared": "no",
            "replicated": "yes",
        }
    }
    paris = run("profile_get_size", node, profile="trunk", value="paris")["Profile"]
    assert (paris["value"], paris["count"]) == ("paris", 2)
    assert run("profile_get_size", node, profile="trunk", value="oslo")["Profile"]["count"] == 0


def test_profiles_have_values() -> None:
    node, _ = booted()
    assert run("profile_get_values", node, profile="trunk") == [
        {"value": "berlin", "count": 1},
        {"value": "paris", "count": 2},
    ]
    assert run("profile_get_values", node, profile="calls") == [{"value": None, "count": 1}]


def test_profiles_have_dialogs() -> None:
    node, _ = booted()
    assert run("profile_list_dlgs", node, profile="calls") == {"Dialogs": [LISTED]}
    found = run("profile_list_dlgs", node, profile="trunk", value="paris")["Dialogs"]
    assert [each["callid"] for each in found] == [dialog(2).callid, dialog(3).callid]
    assert run("profile_list_dlgs", node, profile="trunk", value="oslo") == {"Dialogs": []}


def test_all_profiles_are_listed() -> None:
    node, _ = booted()
    assert run("list_all_profiles", node) == {
        "Profiles": [
            {"name": "calls", "has value": False},
            {"name": "trunk", "has value": True},
        ]
    }


@pytest.mark.parametrize("name", ["profile_get_size", "profile_get_values", "profile_list_dlgs"])
def test_a_profile_that_nobody_saw_is_not_found(name: str) -> None:
    assert failure(name, booted()[0], profile="trunc") == (404, "Profile not found")
