"""Commands have the names of OpenSIPS 3.2 and of 4.0."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tagmesh.control.asking import Asking
from tagmesh.control.command_names import MOVED
from tagmesh.control.commands import COMMANDS, TABLE
from tests.control.fake_node import FakeNode


def ask(method: str, *params: object) -> Any:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    asking = Asking(FakeNode(), "http")
    reply = asking.manage(json.dumps(request).encode())
    asking.close()
    assert reply is not None
    return json.loads(reply)["result"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("clusterer_list", "clusterer:list"),
        ("clusterer_shtag_set_active", "clusterer:shtag_set_active"),
        ("dlg_cluster_sync", "dialog:cluster_sync"),
        ("list_all_profiles", "dialog:list_all_profiles"),
        ("which", "core:which"),
    ],
)
def test_both_names_are_one_command(old: str, new: str) -> None:
    assert TABLE[old] is TABLE[new]


def test_a_command_answers_to_both() -> None:
    assert ask("clusterer:list") == ask("clusterer_list")
    assert ask("help", "clusterer:list") == ask("help", "clusterer_list")
    assert ask("which", "dialog:list") == ask("which", "dlg_list")


def test_which_lists_both_or_those_of_a_module() -> None:
    """opensips-cli runs nothing that is not in the list."""
    listed = ask("which")
    assert {"clusterer_list", "clusterer:list", "tagmesh_status"} <= set(listed)
    assert len(listed) == len(set(listed))
    assert ask("which", "clusterer:") == [n for n in listed if n.startswith("clusterer:")]


def test_ours_have_one_name() -> None:
    ours = [name for name, command in COMMANDS.items() if command.module == "tagmesh"]
    assert [name for name in TABLE if TABLE[name].module == "tagmesh"] == ours


def test_read_only_holds_for_both() -> None:
    asking = Asking(FakeNode(), "http", read_only=True)
    for name in ("clusterer_shtag_set_active", "clusterer:shtag_set_active"):
        request = {"jsonrpc": "2.0", "id": 1, "method": name, "params": ["vip1/1"]}
        reply = json.loads(asking.manage(json.dumps(request).encode()) or b"")
        assert reply["error"]["code"] == 403
    asking.close()


@pytest.mark.parametrize("name", MOVED)
def test_what_moved_is_a_command(name: str) -> None:
    assert TABLE[MOVED[name]] is COMMANDS[name]
