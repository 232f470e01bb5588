"""``tagmesh_why`` and ``tagmesh_flight``: what led to the present state (B14, I-4)."""

from __future__ import annotations

from ..protocol.errors import Misuse, Unknown
from ..protocol.explaining import Explanation
from .command import Command, CommandError, the_cluster
from .port import NodePort


def _why(port: NodePort, *, cluster_id: int, kind: str, name: str) -> Explanation:
    the_cluster(port.status(), cluster_id)
    try:
        return port.why(kind, name, cluster_id)
    except Unknown as unknown:
        raise CommandError(404, "Not found", str(unknown)) from unknown
    except Misuse as misuse:
        raise CommandError(400, "Not possible now", str(misuse)) from misuse


def _flight(port: NodePort) -> dict[str, object]:
    content = port.recording()
    return {"node_id": port.status().node_id, "bytes": len(content), "flight": content}


COMMANDS = (
    Command(
        name="tagmesh_flight",
        module="tagmesh",
        recipes=((),),
        help="the last messages of every link, without payloads, as a file in base64",
        run=_flight,
        admin=True,
    ),
    Command(
        name="tagmesh_why",
        module="tagmesh",
        recipes=(("cluster_id", "kind", "name"),),
        types={"cluster_id": int, "kind": str, "name": str},
        help="why a 'node', 'link', 'cap' or 'tag' is as it is: a tree of decisions, each with its"
        " rule",
        run=_why,
    ),
)
