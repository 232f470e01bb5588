"""The one command table: each management command, declared once.

The management interface, ``which``, ``help`` and completion are derived from it. Names, parameters,
JSON shapes and error texts of the commands OpenSIPS has are those of OpenSIPS 3.2 (behaviour 1.21);
commands that start with ``tagmesh_`` are ours. OpenSIPS 4.0 has other names, which do too.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..protocol.errors import Misuse, NodeDown
from ..protocol.status import ClusterStatus, PeerStatus, Status
from . import (
    commands_capabilities,
    commands_dialogs,
    commands_events,
    commands_nodes,
    commands_process,
    commands_remote,
    commands_removal,
    commands_reports,
    commands_statistics,
    commands_tags,
    commands_why,
    event_pages,
)
from .command import DONE, Command, CommandError, per_cluster, the_cluster
from .command_names import new_name
from .port import NodePort

TRACE_TIMEOUT_S = 2.0
"""How long ``tagmesh_trace`` waits for the route to answer."""


def clusterer_list(status: Status) -> dict[str, Any]:
    """``{"Clusters": [{"cluster_id", "Nodes": […]}]}`` of the valid peers, without this node."""
    return per_cluster(
        status,
        "Nodes",
        lambda cluster: [_listed(peer) for peer in cluster.peers if peer.state != "invalid"],
    )


def _listed(peer: PeerStatus) -> dict[str, Any]:
    return {
        "node_id": peer.node_id,
        "db_id": peer.db_id,
        "url": peer.url,
        "link_state": peer.link,
        "state": peer.state,
        "next_hop": "none" if peer.next_hop is None else str(peer.next_hop),
        "description": "none" if peer.description is None else peer.description,
    }


def clusterer_list_topology(status: Status) -> dict[str, Any]:
    """``{"Clusters": [{"cluster_id", "Nodes": [{"node_id", "Neighbours"}]}]}``, this node first."""
    return per_cluster(
        status,
        "Nodes",
        lambda cluster: [
            {"node_id": node, "Neighbours": neighbours} for node, neighbours in cluster.topology
        ],
    )


def _known(status: Status, node_id: int, clusters: Iterable[ClusterStatus]) -> None:
    """Raise unless ``node_id`` is another node of one of ``clusters``."""
    if node_id == status.node_id:
        raise CommandError(400, "Bad value for 'node_id'", f"{node_id} is the node you ask")
    known = sorted({peer.node_id for cluster in clusters for peer in cluster.peers})
    if node_id not in known:
        listed = ", ".join(map(str, known)) or "none"
        raise CommandError(404, "Node id not found", f"other nodes known here: {listed}")


def _trace(port: NodePort, *, cluster_id: int, node_id: int) -> dict[str, Any]:
    status = port.status()
    _known(status, node_id, [the_cluster(status, cluster_id)])
    try:
        route = port.trace_route(cluster_id, node_id, TRACE_TIMEOUT_S)
    except NodeDown as down:
        raise CommandError(400, "Destination down", str(down)) from down
    except Misuse as misuse:
        raise CommandError(400, "Bad value for 'node_id'", str(misuse)) from misuse
    return {"cluster_id": cluster_id, "from": status.node_id, "to": node_id, "route": route}


def _cut(port: NodePort, *, node_id: int) -> str:
    return _switch(port, port.cut, node_id)


def _heal(port: NodePort, *, node_id: int) -> str:
    return _switch(port, port.heal, node_id)


def _switch(port: NodePort, turn: Callable[[int], None], node_id: int) -> str:
    status = port.status()
    _known(status, node_id, status.clusters)
    try:
        turn(node_id)
    except Misuse as misuse:
        raise CommandError(403, "Not allowed", str(misuse)) from misuse
    return DONE


def _lookup(name: str) -> Command:
    if name not in TABLE:
        raise CommandError(404, "unknown MI command")
    return TABLE[name]


def _which(_port: NodePort, *, command: str | None = None) -> list[str] | list[list[str]]:
    """All names; with ``module:`` those of a module; else the parameter lists of a command."""
    if command is None:
        return list(TABLE)
    if command.endswith(":"):
        found = [name for name in TABLE if name.startswith(command)]
        if not found:
            raise CommandError(404, "unknown MI command")
        return found
    return [list(recipe) for recipe in _lookup(command).recipes]


def _help(_port: NodePort, *, mi_cmd: str | None = None) -> str | dict[str, str]:
    if mi_cmd is None:
        return "Usage: help mi_cmd - returns information about 'mi_cmd'"
    command = _lookup(mi_cmd)
    return {"Help": command.help, "Exported by": command.module}


def _version(port: NodePort) -> dict[str, str]:
    number = port.status().software.removeprefix("tagmesh").strip(" /")
    system = f"{platform.machine()}/{platform.system().lower()}"
    return {"Server": f"tagmesh ({number} ({system}))"}


def _uptime(port: NodePort) -> dict[str, str]:
    status = port.status()
    return {
        "Now": time.ctime(),
        "Up since": time.ctime(status.started_wall_s),
        "Up time": f"{int(status.uptime_s)} [sec]",
    }


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command(
            name="clusterer_list",
            module="clusterer",
            recipes=((),),
            help="lists the other nodes of each cluster with the state of the link to them",
            run=lambda port: clusterer_list(port.status()),
        ),
        Command(
            name="clusterer_list_topology",
            module="clusterer",
            recipes=((),),
            help="lists each cluster's topology from this node's perspective, as an adjacency list",
            run=lambda port: clusterer_list_topology(port.status()),
        ),
        *commands_capabilities.COMMANDS,
        *commands_tags.COMMANDS,
        *commands_dialogs.COMMANDS,
        *commands_events.COMMANDS,
        *commands_nodes.COMMANDS,
        *commands_removal.COMMANDS,
        *commands_remote.COMMANDS,
        *commands_statistics.COMMANDS,
        *commands_reports.COMMANDS,
        *commands_process.COMMANDS,
        *commands_why.COMMANDS,
        Command(
            name="which",
            module="core",
            recipes=((), ("command",)),
            types={"command": str},
            help="lists all commands, or the parameter lists of one command",
            run=_which,
        ),
        Command(
            name="help",
            module="core",
            recipes=((), ("mi_cmd",)),
            types={"mi_cmd": str},
            help="tells what a command does",
            run=_help,
        ),
        Command(
            name="version",
            module="core",
            recipes=((),),
            help="tells the version of the running instance",
            run=_version,
        ),
        Command(
            name="uptime",
            module="core",
            recipes=((),),
            help="tells when the instance started and for how long it has been running",
            run=_uptime,
        ),
        Command(
            name="tagmesh_status",
            module="tagmesh",
            recipes=((),),
            help="the whole status: clusters, links, routes, refused joins, provisioning",
            run=lambda port: port.status(),
        ),
        Command(
            name="tagmesh_events",
            module="tagmesh",
            recipes=((), ("after",)),
            types={"after": str},
            help="the last events, or those after the 'next' of an earlier answer",
            run=event_pages.after,
        ),
        Command(
            name="tagmesh_trace",
            module="tagmesh",
            recipes=(("cluster_id", "node_id"),),
            types={"cluster_id": int, "node_id": int},
            help="asks the nodes on the way to a node and lists those passed, the destination last",
            run=_trace,
            waits=True,
        ),
        Command(
            name="tagmesh_cut",
            module="tagmesh",
            recipes=(("node_id",),),
            types={"node_id": int},
            help="blocks the direct path to a node; needs [admin] fault_switch = true",
            run=_cut,
            changing=True,
            admin=True,
        ),
        Command(
            name="tagmesh_heal",
            module="tagmesh",
            recipes=(("node_id",),),
            types={"node_id": int},
            help="opens the direct path to a node again; needs [admin] fault_switch = true",
            run=_heal,
            changing=True,
            admin=True,
        ),
    )
}
"""By name, in the order in which ``which`` lists them."""

TABLE: Mapping[str, Command] = COMMANDS | {
    new: command for command in COMMANDS.values() if (new := new_name(command))
}
"""By every name that is accepted: those of OpenSIPS 4.0 stand behind."""
