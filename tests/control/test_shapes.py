"""Every command of the management interface is compared with its recorded shape."""

from __future__ import annotations

import difflib

import pytest

from tagmesh.control.commands import COMMANDS
from tests.control.shapes import AGAIN, FOLDER, calls, record, shape

PROMISED = [
    "clusterer_list", "clusterer_list_topology", "clusterer_list_cap", "clusterer_list_shtags",
    "clusterer_set_status", "clusterer_set_cap_status", "clusterer_shtag_set_active",
    "clusterer_remove_node", "clusterer_reload",
    "cluster_send_mi", "cluster_broadcast_mi", "cluster_call",
    "dlg_cluster_sync", "which", "help", "uptime", "version", "ps", "log_level",
    "event_subscribe", "events_list", "subscribers_list",
    "get_statistics", "list_statistics",
    "sr_get_status", "sr_list_status", "sr_list_reports", "sr_list_identifiers",
    "tagmesh_sync_status", "tagmesh_actors", "tagmesh_config", "tagmesh_node_maintenance",
    "tagmesh_trace",
]  # fmt: skip
"""The table of the management interface."""
MISSING = {
    "clusterer_set_status": "operations on nodes",
    "tagmesh_node_maintenance": "operations on nodes",
}
"""Not there yet, with the work they are part of."""


@pytest.mark.parametrize("name", list(COMMANDS))
def test_each_command_has_its_recorded_shape(name: str) -> None:
    path = FOLDER / f"{name}.txt"
    if not path.exists():
        pytest.fail(f"{name} has no recorded shape. Record it: {AGAIN} {name}")
    written = path.read_text(encoding="utf-8")
    right = record(COMMANDS[name], written)
    if right != written:
        difference = difflib.unified_diff(
            written.splitlines(), right.splitlines(), "recorded", "now", lineterm="", n=8
        )
        pytest.fail("\n".join([*difference, "", f"if this is right: {AGAIN} {name}"]))


@pytest.mark.parametrize("name", list(COMMANDS))
def test_each_way_to_call_a_command_is_recorded(name: str) -> None:
    made = calls((FOLDER / f"{name}.txt").read_text(encoding="utf-8"))
    counts = {len(recipe) for recipe in COMMANDS[name].recipes}
    assert counts <= {len(params) for params in made}


def test_no_shape_is_left_of_a_command_that_is_gone() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(COMMANDS)


def test_what_is_promised_is_there_or_is_known_to_be_missing() -> None:
    assert sorted(set(PROMISED) - set(COMMANDS)) == sorted(MISSING)


def test_the_shape_of_an_array_is_that_of_all_its_items() -> None:
    items = [{"a": 1, "b": [], "c": None}, {"a": "x", "b": [1.5], "c": {"d": True}}, {"a": 2}]
    assert shape(items) == [{"a": "int or str", "b?": ["float"], "c?": {"d": "bool"}}]
    assert shape([]) == []
