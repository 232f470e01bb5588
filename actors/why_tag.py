"""``why tag``: who has a sharing tag, why nobody has it, and how it came to be so (B14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.because import About, Because, because
from ..protocol.errors import Unknown
from ..protocol.explaining import Explanation, past, present
from ..protocol.identity import NodeId
from ..protocol.tag_words import TagState, holding
from .mail import Describe
from .tag_reports import lives_of
from .why_node import Here

if TYPE_CHECKING:
    from ..protocol.identity import ClusterId
    from ..protocol.tag_base import Tag
    from .context import Context
    from .reports import Ask


def why_tag(context: Context, ask: Ask, cluster: ClusterId, tag: str) -> Explanation:
    """Explain a tag that this node declared or heard of; `Unknown` for others."""
    table = context.claims.get(cluster)
    claim = table.of(tag) if table is not None else None
    declared = (cluster, tag) in context.tags
    if claim is None and not declared:
        raise Unknown(f"nobody has spoken of a tag {tag!a} in cluster {cluster} here")
    book, name = context.events.decisions, ("tag", cluster, tag)
    below: list[Explanation] = []
    if declared and context.supervisor.has(name):
        rules: Tag = ask(name, Describe())  # type: ignore[assignment]  # describes its rules
        whose, state = rules.holding(), rules.state
        below = past(book, cluster, About("lease", tag))
    else:
        whose, state = holding(claim, lives_of(context, cluster)), TagState.BACKUP
    own = past(book, cluster, About("tag", tag))
    subject = About("tag", tag)
    cause = because(whose.why)
    if cause.about is not None and cause.about.kind == "node":
        below = [Here(context, ask, cluster).node(NodeId(int(cause.about.name))), *below]
        cause = Because(str(cause), cause.code, cause.rule)
    if state is TagState.ACTIVE and own:
        said = Because(own[0].text, own[0].code, own[0].rule)
        return present(book, cluster, subject, "active", said, below)
    shown = f"with node {whose.node_id}" if whose.node_id is not None else "with nobody"
    return present(book, cluster, subject, shown, cause, [*own, *below])
