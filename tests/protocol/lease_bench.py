"""A node with the lease on a sharing tag, or around it, for the tests of its rules."""

from __future__ import annotations

from collections.abc import Iterable

from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.lease import LeaseRules
from tagmesh.protocol.lease_words import (
    Acquire,
    LeaseSettings,
    LeaseView,
    LeaseWon,
    ReadRow,
)
from tagmesh.protocol.tag_messages import Mode
from tagmesh.protocol.tag_words import TagRow, digest_of_terms
from tests.protocol.tag_bench import CLUSTER, LIFE, ONE, THREE, TWO, me

SETTINGS = LeaseSettings()
LASTS_S = SETTINGS.ttl_s - SETTINGS.safety_s
BORN = -100.0
"""Long before the tests begin, so nothing of an earlier life matters."""
TERMS = digest_of_terms([ONE, TWO, THREE], SETTINGS.ttl_s)


def around(lives: Iterable[int] = (2, 3), fit: Iterable[int] = (1, 2, 3)) -> LeaseView:
    return LeaseView(
        members=(ONE, TWO, THREE),
        lives={NodeId(n): LIFE for n in lives},
        fit=frozenset(NodeId(n) for n in fit),
    )


def row(
    number: int = 0,
    owner: int | None = None,
    left_s: float = 0.0,
    *,
    released: bool | None = None,
    preferred: Iterable[int] = (),
    paused: bool = False,
    mode: Mode = "lease",
) -> TagRow:
    return TagRow(
        tag="vip",
        number=number,
        owner=None if owner is None else me(owner),
        released=owner is None if released is None else released,
        mode=mode,
        left_s=left_s,
        paused=paused,
        preferred=tuple(NodeId(n) for n in preferred),
    )


def node(
    number: int = 1,
    *,
    view: LeaseView | None = None,
    settings: LeaseSettings = SETTINGS,
    born: float = BORN,
) -> LeaseRules:
    """All is fit and reachable; the row is being read since second 0."""
    rules = LeaseRules(
        cluster_id=CLUSTER,
        tag="vip",
        me=me(number),
        settings=settings,
        view=view or around({1, 2, 3} - {number}),
        now=born,
    )
    assert rules.tick(0.0) == [ReadRow()]
    return rules


def holder(settings: LeaseSettings = SETTINGS, **options: Iterable[int]) -> LeaseRules:
    """Node 1, which asked for the lease in second 0."""
    rules = node(settings=settings)
    assert rules.row_read(row(), 0.0) == [Acquire(0)]
    won = rules.acquired(row(1, 1, 10.0, **options), 0.3)  # type: ignore[arg-type]  # preferred
    assert won == [LeaseWon(1, LASTS_S)]
    return rules
