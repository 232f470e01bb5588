"""The command table: every command, its result and its errors."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tagmesh.control.command import CommandError
from tagmesh.control.commands import COMMANDS
from tagmesh.protocol.roles import Role
from tests.control.fake_node import STARTED_WALL_S, FakeNode, make_status, peer


def run(name: str, node: FakeNode | None = None, **arguments: Any) -> Any:
    result = COMMANDS[name].run(node or FakeNode(), **arguments)
    return msgspec.json.decode(msgspec.json.encode(result))


def failure(name: str, node: FakeNode | None = None, **arguments: Any) -> CommandError:
    with pytest.raises(CommandError) as caught:
        run(name, node, **arguments)
    return caught.value


def test_list_has_the_keys_and_values_of_opensips_and_no_invalid_rows() -> None:
    assert run("clusterer_list") == {
        "Clusters": [
            {
                "cluster_id": 1,
                "Nodes": [
                    {
                        "node_id": 2,
                        "db_id": 12,
                        "url": "bins:10.0.0.2:5556",
                        "link_state": "Up",
                        "state": "enabled",
                        "next_hop": "2",
                        "description": "node-2",
                    },
                    {
                        "node_id": 3,
                        "db_id": 13,
                        "url": "bins:10.0.0.3:5556",
                        "link_state": "Down",
                        "state": "enabled",
                        "next_hop": "2",
                        "description": "none",
                    },
                ],
            }
        ]
    }


def test_an_unreachable_node_has_next_hop_none_as_a_string() -> None:
    status = make_status()
    lonely = peer(2, link="Probe", state="disabled", next_hop=None, route=[], db_id=-1)
    cluster = msgspec.structs.replace(status.clusters[0], peers=[lonely])
    node = FakeNode(msgspec.structs.replace(status, clusters=[cluster]))
    (listed,) = run("clusterer_list", node)["Clusters"][0]["Nodes"]
    assert (listed["link_state"], listed["state"]) == ("Probe", "disabled")
    assert (listed["next_hop"], listed["db_id"]) == ("none", -1)


def test_topology_lists_this_node_first() -> None:
    assert run("clusterer_list_topology") == {
        "Clusters": [
            {
                "cluster_id": 1,
                "Nodes": [
                    {"node_id": 1, "Neighbours": [2]},
                    {"node_id": 2, "Neighbours": [1, 3]},
                    {"node_id": 3, "Neighbours": [2]},
                ],
            }
        ]
    }


def test_a_node_without_clusters_lists_none() -> None:
    node = FakeNode(make_status(clusters=[]))
    assert run("clusterer_list", node) == {"Clusters": []}
    assert run("clusterer_list_topology", node) == {"Clusters": []}


def test_which_answers_both_forms() -> None:
    names = run("which")
    assert names[:2] == ["clusterer_list", "clusterer_list_topology"]
    assert {"which", "help", "version", "uptime", "tagmesh_status", "tagmesh_trace"} <= set(names)
    assert run("which", command="which") == [[], ["command"]]
    assert run("which", command="tagmesh_trace") == [["cluster_id", "node_id"]]


@pytest.mark.parametrize(("command", "argument"), [("which", "command"), ("help", "mi_cmd")])
def test_asking_about_an_unknown_command(command: str, argument: str) -> None:
    arguments: dict[str, Any] = {argument: "clusterer_fly"}
    error = failure(command, **arguments)
    assert (error.code, error.message) == (404, "unknown MI command")


def test_help_with_and_without_a_command() -> None:
    assert run("help") == "Usage: help mi_cmd - returns information about 'mi_cmd'"
    told = run("help", mi_cmd="clusterer_list")
    assert told["Exported by"] == "clusterer"
    assert "link" in told["Help"]


def test_version_names_the_software_in_opensips_form() -> None:
    server = run("version")["Server"]
    assert server.startswith("tagmesh (0.1.0 (")
    assert server.endswith("/linux))")


def test_uptime_has_the_keys_of_opensips() -> None:
    told = run("uptime")
    assert list(told) == ["Now", "Up since", "Up time"]
    assert told["Up time"] == "61 [sec]"
    later = msgspec.structs.replace(make_status(), started_wall_s=STARTED_WALL_S + 86400)
    assert run("uptime", FakeNode(later))["Up since"] != told["Up since"]


def test_status_is_the_whole_snapshot() -> None:
    assert msgspec.convert(run("tagmesh_status"), type(make_status())) == make_status()


def test_trace_lists_the_nodes_passed() -> None:
    traced = run("tagmesh_trace", cluster_id=1, node_id=3)
    assert traced == {"cluster_id": 1, "from": 1, "to": 3, "route": [2, 3]}


@pytest.mark.parametrize(
    ("cluster", "node", "code", "message", "hint"),
    [
        (7, 3, 404, "Cluster id not found", "clusters of this node: 1"),
        (1, 8, 404, "Node id not found", "2, 3, 4"),
        (1, 1, 400, "Bad value for 'node_id'", "the node you ask"),
        (1, 2, 400, "Destination down", "did not answer within 2 s"),
    ],
)
def test_trace_refuses(cluster: int, node: int, code: int, message: str, hint: str) -> None:
    fake = FakeNode()
    fake.down = {2}
    error = failure("tagmesh_trace", fake, cluster_id=cluster, node_id=node)
    assert (error.code, error.message) == (code, message)
    assert hint in error.data


def test_cut_and_heal_turn_the_switch() -> None:
    node = FakeNode()
    assert run("tagmesh_cut", node, node_id=3) == "OK"
    assert run("tagmesh_heal", node, node_id=3) == "OK"
    assert node.switched == [("cut", 3), ("heal", 3)]


def test_cut_without_the_setting_is_not_allowed() -> None:
    node = FakeNode()
    node.fault_switch = False
    error = failure("tagmesh_cut", node, node_id=3)
    assert (error.code, error.message) == (403, "Not allowed")
    assert "fault_switch = true" in error.data


def test_cut_of_an_unknown_node_changes_nothing() -> None:
    node = FakeNode()
    assert failure("tagmesh_cut", node, node_id=8).code == 404
    assert failure("tagmesh_cut", node, node_id=1).code == 400
    assert node.switched == []


def test_each_parameter_has_a_type_and_each_command_a_help() -> None:
    for name, command in COMMANDS.items():
        assert command.name == name
        assert command.help
        assert {p for recipe in command.recipes for p in recipe} == set(command.types), name


def test_these_change_something_and_no_others() -> None:
    changing = {name for name, command in COMMANDS.items() if command.changing}
    assert changing == {
        "clusterer_reload",
        "clusterer_remove_node",
        "clusterer_set_cap_status",
        "clusterer_shtag_set_active",
        "cluster_send_mi",
        "cluster_broadcast_mi",
        "cluster_call",
        "dlg_cluster_sync",
        "dlg_end_dlg",
        "event_subscribe",
        "log_level",
        "tagmesh_tag_activate",
        "tagmesh_tag_release",
        "tagmesh_tag_hand_over",
        "tagmesh_tag_pause",
        "tagmesh_tag_prefer",
        "tagmesh_tag_free",
        "tagmesh_sync_start",
        "tagmesh_sync_plan",
        "tagmesh_cut",
        "tagmesh_heal",
        "tagmesh_readmit_node",
    }


def test_what_only_admins_of_other_nodes_may() -> None:
    assert {name for name, command in COMMANDS.items() if command.role is Role.ADMIN} == {
        "clusterer_reload",
        "clusterer_remove_node",
        "cluster_send_mi",
        "cluster_broadcast_mi",
        "cluster_call",
        "tagmesh_cut",
        "tagmesh_readmit_node",
        "tagmesh_flight",
        "tagmesh_heal",
        "tagmesh_config",
    }


def test_what_only_looks_is_a_short_list() -> None:
    """Whatever is not in it is refused under [admin] read_only: a new command must choose."""
    assert {name for name, command in COMMANDS.items() if not command.changing} == {
        "clusterer_list",
        "clusterer_list_cap",
        "clusterer_list_shtags",
        "clusterer_list_topology",
        "dlg_list",
        "dlg_list_ctx",
        "events_list",
        "get_statistics",
        "help",
        "list_all_profiles",
        "list_statistics",
        "profile_get_size",
        "profile_get_values",
        "profile_list_dlgs",
        "ps",
        "sr_get_status",
        "sr_list_identifiers",
        "sr_list_reports",
        "sr_list_status",
        "subscribers_list",
        "tagmesh_actors",
        "tagmesh_config",
        "tagmesh_diff",
        "tagmesh_events",
        "tagmesh_explain_donor",
        "tagmesh_flight",
        "tagmesh_quarantine",
        "tagmesh_status",
        "tagmesh_sync_status",
        "tagmesh_tags",
        "tagmesh_trace",
        "tagmesh_why",
        "uptime",
        "version",
        "which",
    }
