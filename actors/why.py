"""``why node|link|cap|tag``: how something stands here, and the decisions that led to it (B14).

The rules of a thing say how it stands and for what cause; what that followed from stands among the
decisions of this node (`EventLog.decisions`). Called from outside, like the status: it asks actors,
so it may wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.errors import Unknown
from ..protocol.explaining import Explanation
from ..protocol.identity import ClusterId, NodeId
from .why_capability import why_capability
from .why_node import Here
from .why_tag import why_tag

if TYPE_CHECKING:
    from ..protocol.identity import NodeRecord
    from ..protocol.link import Link
    from .context import Context
    from .reports import Ask

KINDS = ("node", "link", "cap", "tag")
"""What can be asked about."""


def why(context: Context, ask: Ask, cluster: ClusterId, kind: str, name: str) -> Explanation:
    """Explain a node or the link with it (``name``: its id), a capability, or a sharing tag.

    Raises `Unknown` for what is not there.
    """
    if kind == "cap":
        return why_capability(context, ask, cluster, name)
    if kind == "tag":
        return why_tag(context, ask, cluster, name)
    if kind not in KINDS:
        raise Unknown(f"{kind!a} cannot be explained; ask about one of {', '.join(KINDS)}")
    if not name.isdecimal():
        raise Unknown(f"a node has a number, not {name!a}")
    here, node = Here(context, ask, cluster), NodeId(int(name))
    return here.node(node) if kind == "node" else here.link(node)


def link_cause(record: NodeRecord, link: Link | None) -> str:
    """Why the link with a node is as it is, in words."""
    if link is not None:
        return str(link.cause)
    return "its actor restarts" if record.enabled else "disabled in the roster"
