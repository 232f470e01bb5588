"""The management commands that remove a node from a cluster, and take that back (X-1 … X-6)."""

from __future__ import annotations

from ..protocol.errors import Misuse, StorageUnavailable, TimedOut
from .command import DONE, Command, CommandError, the_cluster
from .port import NodePort

ANSWER_TIMEOUT_S = 4.0
"""How long the storage may take: less than those who ask wait."""
ALREADY = "already removed"


def _remove(port: NodePort, *, cluster_id: int, node_id: int) -> str:
    _check(port, cluster_id, node_id)
    try:
        return DONE if port.remove_node(cluster_id, node_id, timeout=ANSWER_TIMEOUT_S) else ALREADY
    except Misuse as misuse:
        raise CommandError(400, "Bad value for 'node_id'", str(misuse)) from misuse
    except (StorageUnavailable, TimedOut) as error:
        raise CommandError(500, "Failed to remove", str(error)) from error


def _readmit(port: NodePort, *, cluster_id: int, node_id: int) -> str:
    try:
        news = port.readmit_node(cluster_id, node_id, timeout=ANSWER_TIMEOUT_S)
    except Misuse as misuse:
        raise CommandError(400, "Running in DB mode", str(misuse)) from misuse
    except (StorageUnavailable, TimedOut) as error:
        raise CommandError(500, "Failed to readmit", str(error)) from error
    return DONE if news else "was not removed"


def _check(port: NodePort, cluster_id: int, node_id: int) -> None:
    status = port.status()
    the_cluster(status, cluster_id)
    if node_id == status.node_id:
        text = f"{node_id} is the node you ask: ask another one to remove it"
        raise CommandError(400, "Bad value for 'node_id'", text)


_BOTH = {"cluster_id": int, "node_id": int}

COMMANDS = (
    Command(
        name="clusterer_remove_node",
        module="clusterer",
        recipes=(("cluster_id", "node_id"),),
        types=_BOTH,
        help="removes a node from a cluster: all nodes close their links with it and refuse it",
        run=_remove,
        changing=True,
        admin=True,
        waits=True,
    ),
    Command(
        name="tagmesh_readmit_node",
        module="tagmesh",
        recipes=(("cluster_id", "node_id"),),
        types=_BOTH,
        help="takes a removal back where no database says who may join",
        run=_readmit,
        changing=True,
        admin=True,
        waits=True,
    ),
)
