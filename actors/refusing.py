"""A refused connection with a known node, told to the gate, which counts, logs and announces it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .mail import RefusalNoted

if TYPE_CHECKING:
    from ..protocol.errors import Reason
    from ..protocol.identity import BinsUrl, NodeId
    from ..transport.base import Connection
    from .context import Context


def note_refusal(
    context: Context,
    peer: NodeId,
    url: BinsUrl,
    connection: Connection | None,
    reason: Reason,
    detail: str,
    *,
    by_us: bool,
) -> None:
    """``connection``: what was refused; None = an attempt to reach ``url`` that became none."""
    context.recorder.refused(reason, f"node {peer}: {detail}")
    context.supervisor.tell(
        ("gate",),
        RefusalNoted(
            node_id=peer,
            incoming=connection is not None and not connection.dialled,
            by_us=by_us,
            address=connection.address if connection is not None else str(url),
            reason=reason,
            detail=detail,
        ),
    )
