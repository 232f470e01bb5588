"""Who joined without a row: descriptions told from node to node (db_mode 0, J-4).

Each node describes itself once per life. A node keeps the newest description of each origin,
passes on what was new to it, and tells a newcomer all it has, so that everybody can dial
everybody. A description says only where to dial and how to treat the node: whether it really is
that node, TLS proves on the connection. Rows from the own configuration stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from .cluster_settings import MAX_NODES
from .effects import Count, Effect, Learn, SendTo
from .errors import Misuse
from .identity import BinsUrl, ClusterId, NodeId, NodeRecord
from .messages import MAX_HOPS, Description


class Descriptions:
    """The descriptions one node holds of one cluster, its own among them."""

    def __init__(
        self, own: NodeRecord, incarnation: int, configured: Mapping[NodeId, NodeRecord]
    ) -> None:
        """``configured`` are the nodes of the configuration: passed on, but never learned."""
        self._me = own.node_id
        self._configured = frozenset(configured)
        self._known = {
            own.node_id: Description(
                cluster_id=own.cluster_id,
                origin=own.node_id,
                incarnation=incarnation,
                url=str(own.url),
                priority=own.priority,
                ping_retries=own.ping_retries,
                sip_addr=own.sip_addr,
                description=own.description,
            )
        }

    @property
    def own(self) -> Description:
        """What this node says of itself."""
        return self._known[self._me]

    def known(self) -> list[Description]:
        """All descriptions, by node id: what a newcomer is told when its link comes up."""
        return [self._known[node] for node in sorted(self._known)]

    def forget(self, node: NodeId) -> None:
        """It was removed: nobody is told of it any more. What I say of myself stays."""
        if node != self._me:
            self._known.pop(node, None)

    def receive(
        self, sender: NodeId, message: Description, neighbours: Iterable[NodeId]
    ) -> list[Effect]:
        """A description from the authenticated peer ``sender``; passed on to ``neighbours``.

        Dropped as ``T-10`` when it is not newer, ``D-5`` when its url cannot be used, ``J-2``
        when the cluster is full.
        """
        origin = NodeId(message.origin)
        known = self._known.get(origin)
        if origin == self._me or (known and message.incarnation <= known.incarnation):
            return [Count("T-10")]
        if known is None and len(self._known) >= MAX_NODES:
            return [Count("J-2")]
        try:
            record = record_of(message)
        except Misuse:
            return [Count("D-5")]
        self._known[origin] = msgspec.structs.replace(message, hops=0)
        effects: list[Effect] = [] if origin in self._configured else [Learn(record)]
        if message.hops >= MAX_HOPS:
            return [*effects, Count("G-14")]
        onward = msgspec.structs.replace(message, hops=message.hops + 1)
        effects += [SendTo(n, onward) for n in sorted(set(neighbours) - {sender, origin})]
        return effects


def record_of(message: Description) -> NodeRecord:
    """As a row: enabled, no flags, no database id (behaviour 1.10). `Misuse` for a bad url."""
    return NodeRecord(
        cluster_id=ClusterId(message.cluster_id),
        node_id=NodeId(message.origin),
        url=BinsUrl.parse(message.url),
        ping_retries=message.ping_retries,
        priority=message.priority,
        sip_addr=message.sip_addr,
        description=message.description,
    )
