"""Routes over the graph of usable links, and the trace that walks them (behaviour 1.11).

A route is the best of all paths with the fewest hops: smallest maximum priority on the path, then
smallest sum of priorities, then smallest node ids (R-2). The pair (maximum, sum) cannot be
minimised in one sweep: the best path to a node may start with a piece that is not the best path
to where that piece ends, because a cheap piece with a high maximum costs nothing once a later
node is worse anyway. The two are taken one after the other instead:

1. breadth-first layers give the predecessors on fewest-hop paths;
2. the smallest maximum (the bottleneck) of each node, which does build on that of predecessors;
3. for all nodes with the same bottleneck, one sweep over the nodes that do not exceed it finds
   the smallest (sum, ids), which builds on predecessors because the maximum is settled.

Every hop of such a route is one hop nearer to the destination, so nodes that agree on the graph
never pass a message in a circle, whichever of several equal routes each of them prefers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set

import msgspec

from .effects import Arrived, Count, SendTo
from .identity import NodeId
from .messages import MAX_NODES, Routed
from .trace_messages import Trace

Path = tuple[NodeId, ...]
"""The nodes passed on the way, without the start, the destination last."""

_Layer = dict[NodeId, list[NodeId]]
"""The nodes at one distance, each with its predecessors, which are one hop nearer."""


def shortest_paths(
    me: NodeId,
    adjacency: Mapping[NodeId, Set[NodeId]],
    priorities: Mapping[NodeId, int],
) -> dict[NodeId, Path]:
    """The route to every other reachable node (R-2), in the order of node ids.

    ``adjacency`` holds directed links: node -> nodes it can send to. A node without an entry has
    no links of its own. ``priorities`` needs an entry for each reachable node but ``me``.
    """
    layers = _layers(me, adjacency, priorities.keys() - {me})
    if len(layers) == 1:  # a full mesh, nearly always
        return {node: (node,) for node in sorted(layers[0])}
    bottleneck: dict[NodeId, int] = {}
    sharing: dict[int, set[NodeId]] = {}
    for layer in layers:
        for node, before in layer.items():
            own = priorities[node]
            nearer = min((bottleneck[p] for p in before if p != me), default=own)
            bottleneck[node] = max(own, nearer)
            sharing.setdefault(bottleneck[node], set()).add(node)
    paths: dict[NodeId, Path] = {}
    for limit, targets in sharing.items():
        passable = {n for n, highest in bottleneck.items() if highest <= limit} | {me}
        paths.update(_cheapest(me, targets, passable, layers, priorities))
    return {node: paths[node] for node in sorted(paths)}


def _layers(
    me: NodeId, adjacency: Mapping[NodeId, Set[NodeId]], others: set[NodeId]
) -> list[_Layer]:
    """The nodes that can be reached, of ``others``, by distance; no layer is empty."""
    layers: list[_Layer] = []
    frontier: Iterable[NodeId] = [me]
    while others:
        layer: _Layer = {}
        for node in frontier:
            for neighbour in adjacency.get(node, frozenset()) & others:
                layer.setdefault(neighbour, []).append(node)
        if not layer:
            break
        others = others - layer.keys()
        layers.append(layer)
        frontier = layer
    return layers


def _cheapest(
    me: NodeId,
    targets: set[NodeId],
    passable: set[NodeId],
    layers: list[_Layer],
    priorities: Mapping[NodeId, int],
) -> dict[NodeId, Path]:
    """For each target the path of smallest (sum of priorities, ids) through passable nodes."""
    # Many distinct priorities mean many calls: look only at what leads to these targets.
    needed = set(targets)
    for layer in reversed(layers):
        for node in layer.keys() & needed:
            needed.update(p for p in layer[node] if p in passable)
    best: dict[NodeId, tuple[int, Path]] = {me: (0, ())}
    for layer in layers:
        for node in layer.keys() & needed:
            cost, path = min(best[p] for p in layer[node] if p in passable)
            best[node] = (cost + priorities[node], (*path, node))
    return {node: best[node][1] for node in targets}


class Sent(msgspec.Struct, frozen=True):
    """Handed to the next hop; ``route`` as the tables stand here, the destination last (R-8)."""

    route: Path


class Dropped(msgspec.Struct, frozen=True):
    """Not sent, and why (R-8)."""

    reason: str


def outcome(me: NodeId, destination: NodeId, route: Path, *, member: bool) -> Sent | Dropped:
    """What becomes of something for ``destination``, whose ``route`` is empty when there is none.

    ``member``: it is an enabled node of the cluster.
    """
    if destination == me:
        return Sent(())
    if not member:
        return Dropped("it is no enabled node of the cluster")
    return Sent(route) if route else Dropped("no path leads to it")


def forward(message: Routed, next_hop: Callable[[NodeId], NodeId | None]) -> SendTo | Count:
    """What a node between does with a control message that is not for it (R-11, C-6)."""
    hop = next_hop(NodeId(message.destination))
    if hop is None:
        return Count("R-3")
    if message.ttl == 0:
        return Count("R-11")
    return SendTo(hop, msgspec.structs.replace(message, ttl=message.ttl - 1))


def forward_trace(
    trace: Trace, me: NodeId, next_hop: Callable[[NodeId], NodeId | None]
) -> SendTo | Arrived | Count:
    """What node ``me`` does with a trace it started or received (R-11).

    ``visited`` gains each node passed on the way out, the destination included, the source not.
    The destination turns it round with the time to live it started with; back at the source it
    is `Arrived`. Dropped as ``R-11`` when the time to live or the room in ``visited`` is used up,
    as ``R-3`` when there is no route.
    """
    if trace.returning and me == trace.source:
        return Arrived(trace)
    ttl = trace.ttl
    if not trace.returning and (me != trace.source or trace.visited or me == trace.destination):
        if len(trace.visited) >= MAX_NODES:
            return Count("R-11")
        trace = msgspec.structs.replace(trace, visited=[*trace.visited, me])
    if not trace.returning and me == trace.destination:
        # Each hop took one from the ttl and added one to visited: their sum is the start value.
        ttl = min(ttl + len(trace.visited), MAX_NODES)
        trace = msgspec.structs.replace(trace, returning=True)
        if me == trace.source:
            return Arrived(trace)
    hop = next_hop(NodeId(trace.source if trace.returning else trace.destination))
    if hop is None:
        return Count("R-3")
    if ttl == 0:
        return Count("R-11")
    return SendTo(hop, msgspec.structs.replace(trace, ttl=ttl - 1))
