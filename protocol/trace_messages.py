"""The message that finds out which way another one would go (R-11). As in `messages`: numbers are
never used again, fields are only appended, bounds stand in the types.
"""

from __future__ import annotations

from .messages import U63, Id, Ids, Message, Ttl


class Trace(Message, frozen=True, tag=30):
    """Routed there and back, noting each node passed (R-11)."""

    cluster_id: Id
    source: Id
    destination: Id
    number: U63
    ttl: Ttl
    visited: Ids
    returning: bool = False
