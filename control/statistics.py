"""The numbers of a node under names as OpenSIPS gives them to statistics: ``module:name``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..protocol.status import PeerStatus, Status


def statistics_of(status: Status) -> dict[str, int]:
    """All of them. Those of ``clusterer`` are OpenSIPS's: other nodes, in all clusters."""
    counts: dict[str, int] = {}
    for event in status.events:
        counts[event.kind] = counts.get(event.kind, 0) + event.count
    return {
        "core:timestamp": int(status.uptime_s),
        "clusterer:clusterer_nodes": _peers(status, lambda _peer: True),
        "clusterer:clusterer_nodes_up": _peers(status, lambda peer: peer.link == "Up"),
        "clusterer:clusterer_nodes_down": _peers(status, lambda peer: peer.link != "Up"),
        "tagmesh:actor_failures": status.crashes,
        "tagmesh:refused_connections": sum(refusal.count for refusal in status.refusals),
        "tagmesh:message_drops": sum(status.drops.values()),
        **{f"tagmesh:{kind}": count for kind, count in sorted(counts.items())},
    }


def chosen(values: Mapping[str, int], wanted: list[str]) -> dict[str, int]:
    """Of them ``all``, those of a module (``clusterer:``), or one with or without its module.

    What is unknown is left out, as OpenSIPS does.
    """
    return {
        name: value for name, value in values.items() if any(_means(want, name) for want in wanted)
    }


def _means(wanted: str, name: str) -> bool:
    if wanted.endswith(":"):
        return name.startswith(wanted)
    return wanted in ("all", name, name.partition(":")[2])


def _peers(status: Status, counts: Callable[[PeerStatus], bool]) -> int:
    peers = [peer for cluster in status.clusters for peer in cluster.peers]
    return sum(peer.state != "invalid" and counts(peer) for peer in peers)
