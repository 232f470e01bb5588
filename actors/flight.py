"""What of a node's data is still on its way: for tests and laboratories that wait until nothing is.

Who sent knows what it sent, who received what has been dealt with; so whether something is on a
connection is seen from both ends of it. What two looks in a row find unchanged, and finished, was
finished in between, whatever was sent because of something that arrived (Mattern's four counters).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from ..protocol.messages import CapState
from .mail import Describe

if TYPE_CHECKING:
    from ..protocol.identity import NodeId
    from .capability import CapabilityActor
    from .registration import Registration
    from .system import NodeSystem

SYNCS = (CapState.PENDING, CapState.SYNCING)

Flow = tuple[int, str]
"""(cluster, capability)"""


class Flight(msgspec.Struct, frozen=True):
    """One node, at one moment."""

    waits: tuple[str, ...]
    """What this node knows to be unfinished, in words."""
    sent: Mapping[tuple[NodeId, Flow], int]
    """Bytes that went to a neighbour since the connection with it began."""
    handled: Mapping[tuple[NodeId, Flow], int]
    """Bytes that came from a neighbour and have been dealt with."""


def flight_of(system: NodeSystem) -> Flight:
    """Look at a node; in its hub, in a greenlet that may wait."""
    context = system.context
    waits: list[str] = []
    for cluster, name in sorted(context.registrations):
        if context.supervisor.has(("capability", cluster, name)):
            actor: CapabilityActor = system.ask_capability(cluster, name, Describe())
            waits += _waits(context.registrations[cluster, name], actor)
    sent: dict[tuple[NodeId, Flow], int] = {}
    handled: dict[tuple[NodeId, Flow], int] = {}
    for peer, lane in context.lanes.items():
        sent |= {(peer, flow): size for flow, size in lane.sent_bytes().items()}
        handled |= {(peer, flow): size for flow, size in lane.handled_bytes().items()}
    return Flight(tuple(waits), sent, handled)


def _waits(registration: Registration, actor: CapabilityActor) -> list[str]:
    where, said = f"node {registration.port.node_id}: {registration.name}", registration.said
    found = []
    if said.state in SYNCS:
        found.append(f"{where} is {said.state.name.lower()} {said.reason}".rstrip())
    view = actor.context.views[registration.cluster]
    for node, states in sorted(view.capabilities.items()):
        if node != view.me and registration.name in states:
            size = registration.port.waiting_bytes(node) + actor.flows.unacknowledged_bytes(node)
            found += [f"{where} has {size} bytes for node {node}"] if size else []
    return found


def on_the_way(flights: Mapping[NodeId, Flight]) -> list[str]:
    """What is unfinished among nodes that were looked at; from others nothing is known."""
    found = [text for flight in flights.values() for text in flight.waits]
    for node, flight in flights.items():
        for (peer, flow), size in flight.sent.items():
            there = flights[peer].handled.get((node, flow), 0) if peer in flights else size
            if there != size:
                found.append(f"node {node}: {size - there} bytes of {flow[1]} on the way to {peer}")
    return found
