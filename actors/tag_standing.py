"""How the sharing tags of one node stand, for capabilities that have records with tags.

Called from any thread, for every record: it reads what the hub replaces or puts into a dict, and
waits for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.tag_words import TagStanding, standing

if TYPE_CHECKING:
    from ..protocol.identity import ClusterId
    from .context import Context


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
