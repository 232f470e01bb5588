"""What the status of a node says of sharing tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ..protocol.identity import ClusterId, NodeId
from ..protocol.lease_words import LeaseStanding
from ..protocol.status import TagChange, TagStatus
from ..protocol.tag_base import Tag
from ..protocol.tag_messages import Claim
from ..protocol.tag_words import Change, Holding, TagState, holding
from .context import Context, Name
from .mail import Describe
from .tag_mail import DescribeLease


def tags_of(
    context: Context, cluster: ClusterId, ask: Callable[[Name, Any], Any]
) -> list[TagStatus]:
    """Those that this node declared in a cluster, and those that it heard of."""
    found = {
        entry.name: tag_of(context, cluster, entry.name, ask) for entry in context.tagged(cluster)
    }
    table = context.claims.get(cluster)
    for claim in table.claims if table is not None else ():
        if claim.tag not in found:
            whose = holding(claim, lives_of(context, cluster))
            found[claim.tag] = _status(claim.tag, claim, whose, declared=False, mode=claim.mode)
    return [status for _, status in sorted(found.items())]


def tag_of(
    context: Context, cluster: ClusterId, tag: str, ask: Callable[[Name, Any], Any]
) -> TagStatus:
    """One tag that this node declared."""
    mode = context.tags[cluster, tag].settings.mode
    name: Name = ("tag", cluster, tag)
    if not context.supervisor.has(name):
        nobody = Holding(None, f"this node is not in cluster {cluster}")
        return _status(tag, None, nobody, declared=True, mode=mode)
    rules: Tag = ask(name, Describe())
    status = _status(
        tag,
        rules.known,
        rules.holding(),
        declared=True,
        mode=mode,
        state=rules.state,
        history=list(rules.history),
    )
    lease: LeaseStanding | None = ask(name, DescribeLease())
    return status if lease is None else _with_lease(status, lease)


def _with_lease(status: TagStatus, lease: LeaseStanding) -> TagStatus:
    row = lease.row
    return msgspec.structs.replace(
        status,
        paused=row is not None and row.paused,
        preferred=list(row.preferred) if row is not None else [],
        electors=list(row.electors) if row is not None else [],
        barriers={int(node): why for node, why in lease.barriers.items()},
    )


def lives_of(context: Context, cluster: ClusterId) -> dict[NodeId, int]:
    """The nodes that are reachable, and this one, each with its incarnation."""
    lives: dict[NodeId, int] = {context.me: context.incarnation}
    view = context.views.get(cluster)
    return {**view.incarnations, **lives} if view is not None else lives


def _status(
    tag: str,
    known: Claim | None,
    whose: Holding,
    *,
    declared: bool,
    mode: str,
    state: TagState = TagState.BACKUP,
    history: list[Change] | None = None,
) -> TagStatus:
    return TagStatus(
        name=tag,
        state=state.value,
        mode=mode,
        declared=declared,
        holder=whose.node_id,
        why=str(whose.why),
        number=known.number if known is not None else 0,
        owner=known.owner if known is not None else None,
        history=[_change(change) for change in history or ()],
    )


def _change(change: Change) -> TagChange:
    return TagChange(
        number=change.epoch.number,
        owner=change.epoch.owner,
        holder=change.owner,
        reason=change.reason,
        wall_s=change.wall_s,
    )
