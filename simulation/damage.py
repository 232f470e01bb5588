"""A node on the way whose memory is bad: what it passes on is not what came (S-24)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ..actors.lane import Bulk, Lane
from ..actors.node import NodeActor
from ..protocol.errors import Misuse
from ..protocol.messages import SyncChunk
from .rows import CLUSTER

if TYPE_CHECKING:
    from .world import World


def damage_next_chunk(world: World, node: int, old: bytes, new: bytes) -> list[int]:
    """The next sync chunk with ``old`` in it that a node passes on has ``new`` there.

    The list gets its number when that happens. `Misuse` when the node is in no cluster now.
    """
    actor = world.processes[world.ids[node - 1]].system.context.supervisor.actor(("node", CLUSTER))
    if not isinstance(actor, NodeActor):
        raise Misuse(f"node {node} is in no cluster now")
    transit = actor._transit  # noqa: SLF001 - it is broken from inside
    forward = transit.forward
    hits: list[int] = []

    def damaged(lane: Lane, message: Bulk, now: float) -> None:
        if isinstance(message, SyncChunk) and not hits and old in message.pieces:
            hits.append(message.number)
            message = msgspec.structs.replace(message, pieces=message.pieces.replace(old, new, 1))
        forward(lane, message, now)

    transit.forward = damaged  # type: ignore[method-assign]  # of this object alone
    return hits
