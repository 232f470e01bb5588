"""Sharing tags as they stand on a node, for the tests of syncs."""

from __future__ import annotations

from tagmesh.protocol.identity import Incarnation, NodeId
from tagmesh.protocol.messages import TagTerm
from tagmesh.protocol.tag_words import Epoch, Owner, TagHere


def here(
    tag: str, holder: int | None = 2, number: int = 5, *, active: bool = False, life: int = 1
) -> TagHere:
    """A tag that ``holder`` has; its life is 1."""
    owner = Owner(NodeId(holder), Incarnation(life)) if holder is not None else None
    epoch = Epoch(number, NodeId(holder or 9), 50)
    return TagHere(tag=tag, epoch=epoch, holder=owner, active=active, why="a test says so")


def term(tag: str, owner: int = 2, number: int = 5) -> TagTerm:
    """What a request says of it."""
    return TagTerm(tag, number, owner, 50)
