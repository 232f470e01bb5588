"""Whatever happens, one owner remains, and no epoch has two (H-21, I3, P4; B3's proof)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagmesh.protocol.effects import Effect
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.tag_claims import ClaimTable
from tagmesh.protocol.tag_messages import Claim
from tagmesh.protocol.tag_words import ClaimHeard, TagState
from tagmesh.protocol.tags import TagRules
from tests.protocol.tag_net import Net

EXAMPLES = 150

Step = tuple[Any, ...]
node = st.integers(1, 5)
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("activate"), node),
    st.tuples(st.just("release"), node),
    st.tuples(st.just("hand_over"), node, node),
    st.tuples(st.just("restart"), node, st.booleans(), st.booleans()),
    st.tuples(st.just("cut"), node, node),
    st.tuples(st.just("join"), node, node),
    st.tuples(st.just("split"), st.integers(0, 63)),
    st.tuples(st.just("heal")),
    st.tuples(st.just("deliver"), st.integers(1, 20)),
    st.tuples(st.just("lose"), st.integers(1, 5)),
    st.tuples(st.just("store"), st.integers(1, 3), st.booleans()),
    st.tuples(st.just("fit"), node, st.booleans()),
    st.tuples(st.just("tick"), st.sampled_from((0.5, 2.0, 5.0, 20.0))),
    st.tuples(st.just("digests")),
    st.tuples(st.just("write")),
)


NODES_FIRST = ("activate", "release", "hand_over", "restart", "cut", "join", "fit")
"""Steps whose first words are nodes."""


def play(net: Net, history: Iterable[Step]) -> None:
    """Nodes that there are not are the last one."""
    last = net.ids[-1]
    for name, *words in history:
        if name in NODES_FIRST:
            words = [w if isinstance(w, bool) else min(w, last) for w in words]
        match name:
            case "restart":
                net.restart(words[0], keep=words[1], active=words[2])
            case "store":
                net.answer_stores(words[0], fail=words[1])
            case "fit":
                net.set_fit(words[0], fit=words[1])
            case _:
                getattr(net, name)(*words)


def end(net: Net) -> None:
    net.settle()
    net.check()


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(2, 5),
    st.integers(0, 2**32),
    st.booleans(),
    st.lists(steps, min_size=5, max_size=60),
)
def test_after_any_trouble_the_owner_of_the_highest_claim_is_active_and_nobody_else(
    size: int, seed: int, shared: bool, history: list[Step]
) -> None:
    net = Net(size, seed, shared=shared)
    play(net, history)
    end(net)


CROSSING: list[Step] = [
    ("split", 0b010), ("activate", 1), ("activate", 2), ("store", 3, False), ("heal",),
]  # fmt: skip


def test_crossing_activations_leave_one_owner() -> None:
    """H-5 in OpenSIPS: both step down, nobody is active."""
    net = Net(2, 0, shared=False)
    play(net, CROSSING)
    assert [n.rules.state for n in net.nodes.values()] == [TagState.ACTIVE] * 2
    end(net)
    assert net.nodes[1].active, "of two with one number the one with the lower priority value"


class EveryClaimCounts(ClaimTable):
    """OpenSIPS's rule H-3: whatever somebody claims, he has it, and the receiver has not."""

    def _heard(self, sender: NodeId, claims: Iterable[Claim]) -> list[Effect]:
        news = [c for c in claims if c.owner != self._me and c != self._known.get(c.tag)]
        for claim in news:
            self._store(claim)
        return [ClaimHeard(claim) for claim in news]


class AlwaysStepsDown(TagRules):
    """See `EveryClaimCounts`."""

    def claim_heard(self, claim: Claim, now: float) -> list[Effect]:
        self._know(claim)
        return self._proceed(now)


def test_the_rule_of_opensips_fails_this_test() -> None:
    """Row 18 of behaviour 1.23; a test of the test."""
    net = Net(2, 0, shared=False, table_kind=EveryClaimCounts, rules_kind=AlwaysStepsDown)
    play(net, CROSSING)
    net.settle()
    assert [n.rules.state for n in net.nodes.values()] == [TagState.BACKUP] * 2, "nobody"
    with pytest.raises(AssertionError):
        net.check()


class LetsEverythingIn(ClaimTable):
    """A defect: no fence."""

    def wrote(self, *_words: object) -> tuple[str, list[Effect]]:
        return "", []


def older_writes_let_in(kind: type[ClaimTable]) -> int:
    """Of ten histories in which two nodes are active, one after the other."""
    history: list[Step] = [
        ("activate", 1), ("store", 3, False), ("deliver", 20), ("write",),
        ("activate", 2), ("store", 3, False), ("write",), ("deliver", 20),
    ]  # fmt: skip
    found = 0
    for seed in range(10):
        try:
            play(Net(3, seed, shared=True, table_kind=kind), history)
        except AssertionError as error:
            found += "an older epoch" in str(error)
    return found


def test_receivers_without_a_fence_fail_this_test() -> None:
    """A test of the test: of what two owners wrote the older may come last."""
    assert older_writes_let_in(LetsEverythingIn) > 0
    assert older_writes_let_in(ClaimTable) == 0
