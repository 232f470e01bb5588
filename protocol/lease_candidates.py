"""Who may take the lease on a sharing tag, in which order, and why the others may not (B4).

A candidate is a node that can be reached, whose data is complete, that is one of the preferred
nodes where there are some, and that is an elector of the lease where that ran out. Only candidates
have a place in the order: waiting for a node that the store would refuse costs time for nothing.
Who lacks records of the tag comes last: it takes the lease when nobody who is complete does, as
without an owner it could not become complete either.

A lease that ran out may have no candidate although somebody could take it if it had been released:
of its electors none is preferred, or fit. Then a *deputy*, an elector, asks for it, and gives it up
at once. Without that the tag would have no owner until a person helps.
"""

from __future__ import annotations

import msgspec

from .identity import NodeId
from .lease_words import LeaseView
from .tag_words import TagRow


def is_elector(node: NodeId, row: TagRow) -> bool:
    """Whether the store would give it the lease, once that is over.

    A lease that was released goes to anybody, one that ran out to those whom its owner knew: it may
    go on by their word, and has not asked the others.
    """
    return row.released or not row.electors or node in row.electors


def why_not(node: NodeId, row: TagRow | None, view: LeaseView, me: NodeId) -> str:
    """Why the node is no candidate, for people; empty: it is one."""
    if node != me and node not in view.lives:
        return "it is not reachable"
    if node not in view.fit:
        return "its capabilities are not all OK"
    if row is not None and row.preferred and node not in row.preferred:
        return "it is not among the preferred nodes"
    if row is not None and not is_elector(node, row):
        return "the owner did not know it at its last renewal"
    return ""


def candidates(row: TagRow | None, view: LeaseView, me: NodeId) -> list[NodeId]:
    """As seen by ``me``, the first to take the lease first: those that have all records of the tag
    before those that lack some, as preferred, else by id."""
    preferred = row.preferred if row is not None else ()
    able = [node for node in preferred or view.members if not why_not(node, row, view, me)]
    return sorted(able, key=lambda node: node not in view.complete)


def deputies(row: TagRow | None, view: LeaseView, me: NodeId) -> list[NodeId]:
    """Who may ask for a lease to free it for others, when it has no candidate otherwise."""
    if row is None or row.released or candidates(row, view, me):
        return []
    if not candidates(msgspec.structs.replace(row, released=True), view, me):
        return []
    return [node for node in view.members if node in {me, *view.lives} and is_elector(node, row)]
