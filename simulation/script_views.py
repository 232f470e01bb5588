"""What a scenario shows: events, and what nodes hold to be true, as lines of text.

Times are seconds since the block began, to a tenth. Events of the same tenth are sorted by kind
(link, route, node, refusal, roster) and subject, and what several nodes heard alike is one line, so
that a line changes when the behaviour does and not when a message takes a millisecond longer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..actors.gate import GateActor
from ..actors.link import LinkActor
from ..actors.node import NodeActor
from ..actors.storage import StorageActor
from ..protocol.events import Event, EventRecord
from ..protocol.identity import NodeId
from ..protocol.link import Link
from .rows import CLUSTER
from .script_words import ScenarioError
from .world import World

_ORDER = (
    Event.LINK_CHANGED,
    Event.ROUTE_CHANGED,
    Event.NODE_DOWN,
    Event.NODE_UP,
    Event.JOIN_REFUSED,
    Event.ROSTER_CHANGED,
)
_RANK = {kind: rank for rank, kind in enumerate(_ORDER)} | {Event.NODE_UP: 2}

Heard = tuple[float, NodeId, EventRecord]
"""(virtual second, who heard it, what)."""
Lives = dict[tuple[int, int], int]
"""(node, incarnation) → the how many-th life of the node that is."""


def compact(nodes: Iterable[int]) -> str:
    """``1,2,4-9``."""
    parts: list[list[int]] = []
    for node in sorted(set(nodes)):
        if parts and parts[-1][-1] == node - 1:
            parts[-1].append(node)
        else:
            parts.append([node])
    return ",".join(
        str(p[0]) if len(p) == 1 else f"{p[0]}{'-' if len(p) > 2 else ','}{p[-1]}" for p in parts
    )


def event_lines(heard: Sequence[Heard], begin: float, lives: Lives) -> list[str]:
    """The events of a stretch of time, as lines."""
    found: dict[tuple[int, str], tuple[tuple[int, int, int], list[NodeId]]] = {}
    for position, (when, node, record) in enumerate(heard):
        tenth = round((when - begin) * 10)
        text = event_text(record, lives)
        order = (_RANK.get(record.kind, len(_RANK)), record.node_id or 0, position)
        found.setdefault((tenth, text), (order, []))[1].append(node)
    rows = [
        (f"+{tenth / 10:.1f}", compact(nodes), text)
        for (tenth, text), (_, nodes) in sorted(
            found.items(), key=lambda item: (item[0][0], item[1][0])
        )
    ]
    return columns(rows)


def event_text(record: EventRecord, lives: Lives) -> str:
    """One event in the words of an operator."""
    life = lives.get((record.node_id or 0, record.incarnation or 0), 1)
    again = f", life {life}" if life > 1 else ""
    match record.kind:
        case Event.NODE_UP:
            via = "" if record.via == record.node_id else f" via {record.via}"
            text = f"node {record.node_id} UP{via}{again}"
        case Event.NODE_DOWN:
            text = f"node {record.node_id} DOWN{again}"
        case Event.LINK_CHANGED:
            text = f"link {record.node_id} {record.before}>{record.after}"
        case Event.ROUTE_CHANGED:
            text = f"route to {record.node_id}: next hop {record.before}>{record.after}"
        case Event.JOIN_REFUSED:
            text = f"refused node {record.node_id or '?'}"
        case Event.EXPELLED:
            text = "expelled"
        case Event.ROSTER_CHANGED:
            text = f"roster node {record.node_id}" if record.node_id is not None else "roster"
        case Event.CAPABILITY_CHANGED:
            text = f"{record.capability} {record.before}>{record.after}"
        case Event.TAG_CHANGED:
            text = f"tag {record.tag} {record.before}>{record.after}"
        case Event.WRITE_REFUSED:
            told = f" from node {record.node_id}" if record.node_id is not None else ""
            text = f"{record.capability} write refused, tag {record.tag}{told}"
        case Event.SYNC_DONE:  # how long it took changes with every message more or less
            items = (record.cause or "").partition(" in ")[0]
            return f"{record.capability} sync_done node {record.node_id}: {items}"
        case _:
            text = f"{record.capability} {record.kind.value}"
            text += f" node {record.node_id}" if record.node_id is not None else ""
    return f"{text}: {record.cause}" if record.cause else text


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Left-aligned, two spaces between; the last column is not filled."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)] + [0]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


# What a node holds to be true -----------------------------------------------------------------


def _actor(world: World, node: NodeId, name: tuple[str | int, ...]) -> object:
    if node not in world.processes:
        raise ScenarioError(f"node {node} does not run; boot it first")
    return world.processes[node].system.context.supervisor.actor(name)


def topology_actor(world: World, node: NodeId) -> NodeActor | None:
    """The actor of a running node in its cluster; None when it is in none."""
    actor = _actor(world, node, ("node", CLUSTER))
    return actor if isinstance(actor, NodeActor) else None


def link_of(world: World, node: NodeId, peer: NodeId) -> Link | None:
    """The link of a running node with a peer; None when it has none with that node."""
    actor = _actor(world, node, ("link", CLUSTER, peer))
    return actor.rules if isinstance(actor, LinkActor) else None


def route_of(world: World, node: NodeId, peer: NodeId) -> tuple[NodeId, ...]:
    """The way as a running node knows it; empty = unreachable."""
    actor = topology_actor(world, node)
    return actor.rules.route(peer) if actor is not None else ()


def reach_text(node: NodeId, route: Sequence[NodeId]) -> str:
    """How a node is reached."""
    if not route:
        return "unreachable"
    return "direct" if route == (node,) else "via " + " ".join(map(str, route[:-1]))


def status_lines(world: World, node: NodeId) -> list[str]:
    """One line per row of the roster that the node has now, itself left out."""
    storage = _actor(world, node, ("storage",))
    assert isinstance(storage, StorageActor), "a running process has one"
    rows = [("node", "link", "reach", "why")]
    for record in storage.rules.records.values():
        peer = record.node_id
        if peer == node:
            continue
        link = link_of(world, node, peer)
        shown = link.state.shown if link is not None else "-"
        why = link.cause if link is not None else "disabled" if not record.enabled else "no link"
        rows.append((str(peer), shown, reach_text(peer, route_of(world, node, peer)), why))
    rows += [
        (str(bad.node_id), "-", "unreachable", f"invalid row: {bad.reason}")
        for bad in storage.rules.invalid
    ]
    lines = columns(rows)
    if topology_actor(world, node) is None:
        lines.append("this node is in no cluster")
    if storage.rules.storage_error is not None:
        lines.append(f"trouble: {storage.rules.storage_error}")
    return lines


def topology_lines(world: World, nodes: Sequence[NodeId]) -> list[str]:
    """The links that count, as each node sees them; equal views are shown once."""
    views: dict[tuple[str, ...], list[NodeId]] = {}
    for node in nodes:
        actor = topology_actor(world, node)
        adjacency = sorted(actor.rules.adjacency()) if actor is not None else []
        view = tuple(f"  {n}: {compact(near) or '-'}" for n, near in adjacency)
        views.setdefault(view, []).append(node)
    lines: list[str] = []
    for view, seers in views.items():
        lines += [f"as {compact(seers)} see{'s' if len(seers) == 1 else ''} it", *view]
    return lines


def route_lines(world: World, nodes: Sequence[NodeId]) -> list[str]:
    """The way from each of these nodes to every other one."""
    return [
        f"{node} to {peer}: {reach_text(peer, route_of(world, node, peer))}"
        for node in nodes
        for peer in world.ids
        if peer != node
    ]


def why_lines(world: World, node: NodeId, peer: NodeId) -> list[str]:
    """What a node can say about another one."""
    link = link_of(world, node, peer)
    text = "none" if link is None else f"{link.state.shown} ({link.state.value}): {link.cause}"
    lines = [f"link: {text}", f"reach: {reach_text(peer, route_of(world, node, peer))}"]
    return lines + [f"refusal: {text}" for text in refusal_lines(world, node, peer)]


def refusal_lines(world: World, node: NodeId, about: NodeId | None = None) -> list[str]:
    """The refusals a node remembers, summed up."""
    gate = _actor(world, node, ("gate",))
    assert isinstance(gate, GateActor), "a running process has one"
    return [
        f"node {r.node_id or '?'} {r.direction}, refused by {r.by}, {r.count}x"
        f" {r.reason}: {r.detail}"
        for r in gate.refusals.values()
        if about is None or r.node_id == about
    ]


def counter_lines(counts: Counter[str]) -> list[str]:
    """Name and number, sorted by name."""
    return [f"{name} {count}" for name, count in sorted(counts.items()) if count]
