"""Claims, views and rules of sharing tags made by hand, for the tests of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from tagmesh.protocol.effects import Announce, Effect
from tagmesh.protocol.identity import ClusterId, Incarnation, NodeId
from tagmesh.protocol.tag_messages import Claim, Mode
from tagmesh.protocol.tag_words import Answered, Owner, StoreEpoch, TagState, TagView
from tagmesh.protocol.tags import TagRules

E = TypeVar("E", bound=Effect)

ONE, TWO, THREE = NodeId(1), NodeId(2), NodeId(3)
CLUSTER = ClusterId(1)
LIFE = 100
"""Incarnation of everybody unless a test says otherwise."""


def claim(
    number: int = 1,
    owner: int = 2,
    *,
    tag: str = "vip",
    life: int = LIFE,
    priority: int = 50,
    released: bool = False,
    mode: Mode = "manual",
    reason: str = "",
    successor: tuple[int, int] | None = None,
    follows: tuple[int, int, int] | None = None,
    inferred: bool = False,
) -> Claim:
    return Claim(
        tag, number, owner, life, priority, released, mode, reason, successor, follows, inferred
    )


def me(node: int = 1, life: int = LIFE) -> Owner:
    return Owner(NodeId(node), Incarnation(life))


def view(
    lives: Mapping[int, int] | Iterable[int] = (2, 3),
    fit: Iterable[int] = (1, 2, 3),
    others: int = 2,
) -> TagView:
    known = lives if isinstance(lives, Mapping) else dict.fromkeys(lives, LIFE)
    return TagView(
        lives={NodeId(n): life for n, life in known.items()},
        fit=frozenset(NodeId(n) for n in fit),
        others=others,
    )


def kinds(effects: Iterable[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def only(effects: Iterable[Effect], kind: type[E]) -> E:
    (found,) = [effect for effect in effects if isinstance(effect, kind)]
    return found


def tag(known: Claim | None = None) -> TagRules:
    """On node 1; nodes 2 and 3 are reachable and fit."""
    rules = TagRules(
        cluster_id=CLUSTER, tag="vip", me=me(), priority=50, wall=lambda: 0.0, known=known
    )
    rules.view_changed(view(), 0.0)
    return rules


def active(number: int = 1) -> TagRules:
    """In the epoch of this number."""
    rules = tag(claim(number - 1) if number > 1 else None)
    (asked,) = rules.activate("asked", 0.0)
    assert asked == StoreEpoch(1, number - 1)
    rules.stored(1, number, 0.0)
    assert rules.state is TagState.ACTIVE
    return rules


def brief(effects: list[Effect]) -> list[Effect]:
    """Without what goes to the event log."""
    return [effect for effect in effects if not isinstance(effect, Announce)]


def is_idle(rules: TagRules) -> bool:
    return rules.state is TagState.BACKUP and rules.deadline is None


def refusal(effects: list[Effect]) -> str:
    return only(effects, Answered).refusal
