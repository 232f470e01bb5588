"""The management commands about sharing tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..protocol.errors import Misuse, TagmeshError
from ..protocol.status import Status, TagStatus
from .command import DONE, Command, CommandError
from .port import NodePort, TagPort

BY_MI = "MI command"
"""The reason in a tag's history, as OpenSIPS gives it."""
WAIT_S = 4.0
"""How long the end of a change is waited for: less than those who ask wait."""


def list_shtags(status: Status) -> list[dict[str, Any]]:
    """``[{"Tag", "Cluster", "State"}]`` of every tag known here; the state is this node's (H-8)."""
    return [
        {
            "Tag": tag.name,
            "Cluster": cluster.cluster_id,
            "State": "active" if tag.state == "active" else "backup",
        }
        for cluster in status.clusters
        for tag in cluster.tags
    ]


def tags(status: Status) -> list[dict[str, Any]]:
    """``[{"cluster_id", "tags"}]`` with all that is known of them."""
    return [{"cluster_id": c.cluster_id, "tags": c.tags} for c in status.clusters]


def _find(status: Status, tag: str) -> tuple[int, str]:
    """(cluster, name) of ``name/cluster``, with the errors of OpenSIPS."""
    name, slash, cluster = tag.rpartition("/")
    if not slash or not name:
        raise CommandError(400, "Bad tag format <name/cluster_id>", f"{tag!a} is not of this form")
    if not (cluster.isascii() and cluster.isdigit()):
        raise CommandError(400, "Bad cluster ID in tag", f"{cluster!a} is no number")
    known = [c.cluster_id for c in status.clusters]
    if int(cluster) not in known:
        listed = ", ".join(map(str, known)) or "none"
        raise CommandError(404, "Cluster ID not found", f"clusters of this node: {listed}")
    return int(cluster), name


def _known(status: Status, cluster: int, name: str) -> TagStatus | None:
    found = [t for c in status.clusters if c.cluster_id == cluster for t in c.tags]
    return next((tag for tag in found if tag.name == name), None)


def _port(port: NodePort, tag: str) -> TagPort:
    """A tag that somebody used already: a slip of the pen shall make no new one."""
    status = port.status()
    cluster, name = _find(status, tag)
    if _known(status, cluster, name) is None:
        names = [f"{t.name}/{c.cluster_id}" for c in status.clusters for t in c.tags]
        raise CommandError(404, "Tag not found", f"known here: {', '.join(names) or 'none'}")
    return port.cluster(cluster).tag(name)


def _done(call: Callable[[], None]) -> str:
    try:
        call()
    except Misuse as misuse:
        raise CommandError(400, "Not possible now", str(misuse)) from misuse
    except TagmeshError as error:
        raise CommandError(500, "Internal error", str(error)) from error
    return DONE


def _set_active(port: NodePort, *, tag: str) -> str:
    cluster, name = _find(port.status(), tag)
    try:
        port.cluster(cluster).tag(name).activate(reason=BY_MI, timeout=WAIT_S)
    except TagmeshError as error:
        raise CommandError(500, "Internal error", str(error)) from error
    return DONE


def _activate(port: NodePort, *, tag: str, force: int = 0) -> dict[str, int | None]:
    status = port.status()
    cluster, name = _find(status, tag)
    before = _known(status, cluster, name)
    made: list[TagPort] = []
    _done(lambda: made.append(port.cluster(cluster).tag(name)))
    _done(lambda: made[0].activate(force=bool(force), reason=BY_MI, timeout=WAIT_S))
    return {"node_id": status.node_id, "was": before.holder if before is not None else None}


def _release(port: NodePort, *, tag: str) -> str:
    found = _port(port, tag)
    return _done(lambda: found.release(reason=BY_MI))


def _hand_over(port: NodePort, *, tag: str, node_id: int) -> str:
    found = _port(port, tag)
    return _done(lambda: found.hand_over(node_id, reason=BY_MI, timeout=WAIT_S))


def _pause(port: NodePort, *, tag: str, paused: int) -> str:
    found = _port(port, tag)
    return _done(lambda: found.pause(paused=bool(paused)))


def _prefer(port: NodePort, *, tag: str, nodes: str) -> str:
    found, ids = _port(port, tag), _ids(nodes)
    return _done(lambda: found.prefer(ids))


def _free(port: NodePort, *, tag: str, nodes: str) -> str:
    found, ids = _port(port, tag), _ids(nodes)
    return _done(lambda: found.free(ids))


def _ids(nodes: str) -> list[int]:
    parts = [part.strip() for part in nodes.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise CommandError(400, "Bad value for 'nodes'", "node ids with commas between them")
    return [int(part) for part in parts]


_TAG: dict[str, type[int] | type[str]] = {"tag": str}

COMMANDS = (
    Command(
        name="clusterer_list_shtags",
        module="clusterer",
        recipes=((),),
        help="lists the sharing tags with their state on this node",
        run=lambda port: list_shtags(port.status()),
    ),
    Command(
        name="clusterer_shtag_set_active",
        module="clusterer",
        recipes=(("tag",),),
        types=_TAG,
        help="activates a sharing tag, named as name/cluster_id, on this node",
        run=_set_active,
        changing=True,
        waits=True,
    ),
    Command(
        name="tagmesh_tags",
        module="tagmesh",
        recipes=((),),
        help="all that is known here of the sharing tags: who has them, epochs, histories",
        run=lambda port: tags(port.status()),
    ),
    Command(
        name="tagmesh_tag_activate",
        module="tagmesh",
        recipes=(("tag",), ("tag", "force")),
        types={**_TAG, "force": int},
        help="activates a tag here and tells who had it; force 1: also without the store",
        run=_activate,
        changing=True,
        waits=True,
    ),
    Command(
        name="tagmesh_tag_release",
        module="tagmesh",
        recipes=(("tag",),),
        types=_TAG,
        help="gives up a tag that is active here",
        run=_release,
        changing=True,
        waits=True,
    ),
    Command(
        name="tagmesh_tag_hand_over",
        module="tagmesh",
        recipes=(("tag", "node_id"),),
        types={**_TAG, "node_id": int},
        help="gives a tag that is active here to another node, which must have its data",
        run=_hand_over,
        changing=True,
        waits=True,
    ),
    Command(
        name="tagmesh_tag_pause",
        module="tagmesh",
        recipes=(("tag", "paused"),),
        types={**_TAG, "paused": int},
        help="mode lease: nobody takes the tag over by itself (1), or somebody may again (0)",
        run=_pause,
        changing=True,
        waits=True,
    ),
    Command(
        name="tagmesh_tag_prefer",
        module="tagmesh",
        recipes=(("tag", "nodes"),),
        types={**_TAG, "nodes": str},
        help="mode lease: the nodes that are to have the tag, the best first ('2,1'); '' = all",
        run=_prefer,
        changing=True,
        waits=True,
    ),
    Command(
        name="tagmesh_tag_free",
        module="tagmesh",
        recipes=(("tag", "nodes"),),
        types={**_TAG, "nodes": str},
        help="mode lease: the nodes that had the tag or may take it, all of them, run no more",
        run=_free,
        changing=True,
        waits=True,
    ),
)
