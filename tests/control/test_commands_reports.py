"""OpenSIPS's commands about status reports."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tagmesh.control.command import CommandError
from tagmesh.control.commands import COMMANDS
from tests.control.fake_node import FakeNode, event


def run(name: str, **arguments: Any) -> Any:
    node = FakeNode()
    node.records = [event(1)]
    return COMMANDS[name].run(node, **arguments)


def failure(name: str, **arguments: Any) -> tuple[int, str]:
    with pytest.raises(CommandError) as caught:
        run(name, **arguments)
    return caught.value.code, caught.value.message


def test_one_status() -> None:
    running = {"Readiness": True, "Status": 1, "Details": "running"}
    assert run("sr_get_status", group="core") == running
    syncing = {"Readiness": False, "Status": -1, "Details": "sync in progress"}
    name = "cap:usrloc-contact-repl"
    assert run("sr_get_status", group="clusterer", identifier=name) == syncing
    assert run("sr_get_status", group="clusterer", identifier="node_states") == {
        "Readiness": True,
        "Status": 1,
    }


def test_all_of_a_group_as_one() -> None:
    together = run("sr_get_status", group="clusterer", identifier="ALL")
    assert together == {"Readiness": False, "Status": -1, "Details": "aggregated"}
    assert run("sr_get_status", group="core", identifier="all")["Readiness"] is True


def test_lists_of_a_group_are_those_of_the_whole() -> None:
    for name, of in (("sr_list_status", "Identifiers"), ("sr_list_reports", "Identifiers")):
        whole = run(name)
        assert [group["Name"] for group in whole] == ["core", "clusterer"]
        assert [group[of] for group in whole] == [run(name, group=group["Name"]) for group in whole]
    assert run("sr_list_identifiers") == [
        run("sr_list_identifiers", group=group) for group in ("core", "clusterer")
    ]
    assert run("sr_list_identifiers", group="core") == {"Group": "core", "Identifiers": ["main"]}


def test_a_report_has_its_time() -> None:
    happened_s = event(1).wall_s
    assert run("sr_list_reports", group="clusterer", identifier="node_states") == [
        {
            "Timestamp": int(happened_s),
            "Date": time.ctime(happened_s),
            "Log": "Node [3], cluster [1] is DOWN",
        }
    ]


def test_what_is_unknown_is_told_as_opensips_tells_it() -> None:
    for name in ("sr_get_status", "sr_list_status", "sr_list_reports", "sr_list_identifiers"):
        assert failure(name, group="nothing") == (404, "Group not found")
    asked = {"group": "clusterer", "identifier": "nothing"}
    assert failure("sr_get_status", **asked) == (404, "Identity not found")
    assert failure("sr_list_reports", **asked) == (404, "Identifier not found")
