"""How the sharing tags of one node stand, for capabilities that have records with tags.

Called from any thread, for every record: it reads what the hub replaces or puts into a dict, and
waits for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.contract import KeyedCapability
from ..protocol.identity import Incarnation
from ..protocol.tag_words import Owner, TagHere, TagStanding, epoch_of, standing
from .mail import ViewChanged

if TYPE_CHECKING:
    from ..protocol.identity import ClusterId
    from ..protocol.tag_messages import Claim
    from .context import Context
    from .view import View


def tags_of(context: Context, cluster: ClusterId) -> tuple[TagHere, ...]:
    """The tags that somebody claimed, by name, as they stand here; see `CapabilityView.tags`."""
    table, view = context.claims.get(cluster), context.views.get(cluster)
    if table is None or view is None:
        return ()
    return tuple(_tag_here(context, view, claim) for claim in table.claims)


def _tag_here(context: Context, view: View, claim: Claim) -> TagHere:
    stands = standing_of(context, view.cluster_id, claim.tag)
    node = stands.holder
    lives = {**view.incarnations, context.me: context.incarnation}
    return TagHere(
        tag=claim.tag,
        epoch=stands.epoch or epoch_of(claim),
        holder=Owner(node, Incarnation(lives[node])) if node is not None else None,
        active=stands.active,
        why=stands.why,
    )


def tell_of_tags(context: Context, cluster: ClusterId) -> None:
    """A tag is another node's, or became mine: capabilities whose records have tags look."""
    for registration in context.registered(cluster):
        if isinstance(registration.capability, KeyedCapability):
            name = ("capability", cluster, registration.name)
            if context.supervisor.has(name):
                context.supervisor.tell(name, ViewChanged())


def standing_of(context: Context, cluster: ClusterId, tag: str) -> TagStanding:
    """See `Port.tag`. A cluster in which this node is not has claims of nobody."""
    entry = context.tags.get((cluster, tag))
    table = context.claims.get(cluster)
    view = context.views.get(cluster)
    return standing(
        tag,
        token=entry.token if entry is not None else None,
        declared=entry is not None,
        known=table.of(tag) if table is not None else None,
        me=context.me,
        lives=view.incarnations if view is not None else {},
    )
