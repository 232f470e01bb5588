"""The fence round records with tags: what was written under epochs that are over stays outside.

One per registered capability, behind its port. The claims of the cluster judge, by
`ClaimTable.wrote`; what they learn by it, for a record may come before the claim under which it was
written, goes to the node actor as if a neighbour had told it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..protocol.effects import Announce, Count
from ..protocol.events import Event
from ..protocol.identity import Incarnation
from ..protocol.tag_words import Owner
from .tag_mail import ClaimsRisen
from .tag_standing import standing_of

if TYPE_CHECKING:
    from ..protocol.identity import ClusterId, NodeId
    from ..protocol.tag_words import Epoch, TagStanding
    from .context import Context

MAX_TOLD = 1000
"""Refusals that are remembered, so that each is one event; then they are told anew."""


class Fence:
    """See `Port.tag`, `Port.judge` and `Port.refused`."""

    def __init__(self, context: Context, cluster: ClusterId, capability: str) -> None:
        self.counts: Counter[str] = Counter()
        """Records refused, by the rule."""
        self._context = context
        self._cluster = cluster
        self._capability = capability
        self._told: set[tuple[str, NodeId | None, str, str]] = set()

    def tag(self, name: str) -> TagStanding:
        """See `Port.tag`."""
        return standing_of(self._context, self._cluster, name)

    def judge(self, source: NodeId, tag: str, epoch: Epoch, records: int = 1) -> bool:
        """See `Port.judge`."""
        context = self._context
        table, view = context.claims.get(self._cluster), context.views.get(self._cluster)
        if table is None or view is None:
            return False  # the cluster was left: nothing is kept of it
        life = Incarnation(view.incarnations.get(source, 0))
        token = self.tag(tag).token
        why, effects = table.wrote(
            Owner(source, life), tag, epoch, token.epoch if token is not None else None
        )
        learned = [effect for effect in effects if not isinstance(effect, Count)]
        if learned:
            context.supervisor.tell(("node", self._cluster), ClaimsRisen(learned))
        if why:
            rule = next((effect.rule for effect in effects if isinstance(effect, Count)), "H-24")
            self.refused(rule, tag, why, records, source)
        return not why

    def refused(
        self, rule: str, tag: str, why: str, records: int = 1, source: NodeId | None = None
    ) -> None:
        """See `Port.refused`."""
        self.counts[rule] += records
        self._context.drops[rule] += records
        told = (rule, source, tag, why)
        if told in self._told:
            return
        if len(self._told) >= MAX_TOLD:
            self._told.clear()
        self._told.add(told)
        self._context.events.publish(
            Announce(
                kind=Event.WRITE_REFUSED,
                node_id=source,
                cause=f"{rule}: {why}",
                capability=self._capability,
                tag=tag,
            ),
            self._cluster,
        )
