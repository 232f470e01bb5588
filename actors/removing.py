"""Removing nodes: what the storage actor does when somebody asks for it, or others tell (X-1, X-3).

What is removed is first made to last, then told. Where a database says who may join, word of a
removal is a reason to read the rows now and nothing more: it removes nobody who has a row.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from ..protocol.errors import Unknown
from ..protocol.identity import ClusterId, NodeId
from ..protocol.removal_messages import Removal
from ..protocol.tombstones import Stone
from .actor import ReplyFuture
from .context import Context
from .removal_mail import RemovalNoted, RemovalsHeard, RemovalsRisen, RemoveWanted

logger = logging.getLogger("tagmesh.storage")

Changed = Callable[[Callable[[], None]], None]


class Removing:
    """Belongs to the storage actor. ``changed(then)``: decide anew who is here, then call."""

    def __init__(self, context: Context, changed: Changed) -> None:
        self._context = context
        self._changed = changed

    def wanted(self, mail: RemoveWanted, *, known: bool, dynamic: bool) -> ReplyFuture:
        """``known``: it is a node of the cluster as far as is known here."""
        reply = ReplyFuture()
        cluster, node, context = mail.cluster_id, mail.node_id, self._context
        removed = context.tombstones.standing(cluster, node) is not None
        if dynamic and removed != mail.lifted:
            reply.set(False)
            return reply
        if dynamic and not known and not mail.lifted:
            reply.set(
                Unknown(f"there is no node {node} in cluster {cluster}, as far as known here")
            )
            return reply
        view = context.views.get(cluster)
        removal = Removal(
            node_id=node,
            removed_ms=context.tombstones.later(cluster, node, context.runtime.wall()),
            incarnation=(view.incarnations.get(node) or 0) if view is not None else 0,
            by=mail.by,
            lifted=mail.lifted,
        )
        stone = (cluster, removal)
        context.runtime.call_in_pool(
            lambda: context.roster.note_removal(stone),
            lambda news, error: _ignore(
                context.supervisor.tell(("storage",), RemovalNoted(stone, news, error, reply))
            ),
        )
        return reply

    def noted(self, mail: RemovalNoted) -> None:
        """It lasts now: tell it, and answer when this node acts on it."""
        reply = mail.reply
        if mail.error is not None:
            reply.set(mail.error)
            return
        if mail.news:
            self.risen([mail.stone])
        self._changed(lambda: reply.set(mail.news))

    def heard(self, mail: RemovalsHeard, *, dynamic: bool) -> None:
        """Take it, keep it where nobody else does, and pass it on."""
        stones = [(mail.cluster_id, removal) for removal in mail.removals]
        news = self.risen(stones, told_by=mail.peer)
        if not news:
            return
        for stone in news if dynamic else ():
            self._keep(stone)
        self._changed(lambda: None)

    def refused(self, peer: NodeId, shared: Iterable[ClusterId]) -> None:
        """Without rows: this node was away when it was removed from the clusters ``shared`` with
        the peer, and takes its word for it (X-4). The others know."""
        context, me = self._context, self._context.me
        wall_s = context.runtime.wall()
        stones = [
            (cluster, Removal(me, context.tombstones.later(cluster, me, wall_s), by=f"node {peer}"))
            for cluster in shared
        ]
        for stone in context.tombstones.take(stones, wall_s):
            self._keep(stone)
        self._changed(lambda: None)

    def risen(self, stones: Iterable[Stone], told_by: NodeId | None = None) -> list[Stone]:
        """Take what is new and have the neighbours told; those."""
        context = self._context
        news = context.tombstones.take(stones, context.runtime.wall())
        for cluster in sorted({cluster for cluster, _ in news}):
            name = ("node", cluster)
            if context.supervisor.has(name):
                removals = [removal for c, removal in news if c == cluster]
                context.supervisor.tell(name, RemovalsRisen(removals, told_by))
        return news

    def _keep(self, stone: Stone) -> None:
        roster = self._context.roster
        self._context.runtime.call_in_pool(lambda: roster.note_removal(stone), _kept)


def _kept(_news: bool | None, error: Exception | None) -> None:
    if error is not None:  # it counts until this process ends, and neighbours tell it again
        logger.error("a removed node is not kept: %s", error)


def _ignore(_taken: bool) -> None:
    """A callback has no result; the supervisor has counted what was not taken."""
