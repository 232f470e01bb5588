"""Link states: which links count, what is newer, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from operator import eq

from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.linkstates import NOTHING, LinkStates, Said, said_in
from tagmesh.protocol.messages import CapabilityState, CapState, Digest
from tests.protocol.topology_bench import state

ONE, TWO, THREE = NodeId(1), NodeId(2), NodeId(3)


def said(version: tuple[int, int], *near: int, life: int = 100) -> Said:
    """Links with nodes of incarnation 100."""
    return Said(*version, life, {NodeId(n): 100 for n in near})


def held(origins: Mapping[NodeId, Said]) -> LinkStates:
    states = LinkStates(ClusterId(1), ONE)
    for origin, word in origins.items():
        states.store(origin, word, lambda _: False)
    return states


def changed(states: LinkStates, origin: NodeId, word: Said) -> set[int]:
    """The nodes whose link with the origin begins or ends to count."""
    nodes = {ONE, TWO, THREE}
    return {n for n in nodes if deepcopy(states).store(origin, word, partial(eq, n))}


def says(states: LinkStates, origin: NodeId, word: Said) -> set[int]:
    """Store it, and the same."""
    found = changed(states, origin, word)
    assert states.store(origin, word, lambda _: True) == bool(found)
    return found


def test_a_link_counts_when_both_ends_report_it() -> None:
    """T-12."""
    states = held({ONE: said((100, 0), 2, 3)})
    assert states == {1: set()}
    assert says(states, TWO, said((100, 0), 1, 3)) == {1}
    assert says(states, THREE, said((100, 0), 1, 2)) == {1, 2}
    assert states == {1: {2, 3}, 2: {1, 3}, 3: {1, 2}}
    assert says(states, TWO, said((100, 1), 3)) == {1}
    assert states == {1: {3}, 2: {3}, 3: {1, 2}}
    assert says(states, TWO, said((100, 2), 3)) == set()


def test_a_link_is_between_two_lives() -> None:
    """Decision 8: both ends must mean the life that made the other report."""
    states = held({ONE: said((100, 0), 2), TWO: said((101, 0), 1, life=101)})
    assert states == {1: set(), 2: set()}
    assert says(states, ONE, Said(100, 1, 100, {TWO: 101})) == {2}
    assert says(states, ONE, Said(102, 0, 102, {TWO: 101})) == {2}, "a link of the life before"
    assert states == {1: set(), 2: set()}


def test_what_is_forgotten_has_no_links_and_no_version() -> None:
    states = held({ONE: said((100, 0), 2), TWO: said((100, 4), 1)})
    states.forget(TWO)
    assert states == {1: set()}
    assert states.keys() == {1}
    assert states.of(TWO) is NOTHING
    assert states.is_news(TWO, (0, 0))


def test_only_a_greater_version_is_news() -> None:
    """T-9: the epoch first, then the sequence."""
    states = held({TWO: said((100, 4), 1)})
    assert [states.is_news(TWO, v) for v in ((100, 3), (100, 4), (99, 9))] == [False] * 3
    assert [states.is_news(TWO, v) for v in ((100, 5), (101, 0))] == [True] * 2
    assert states.is_news(THREE, (0, 0))


def test_what_a_digest_lacks_is_what_is_newer_here() -> None:
    states = held({n: said((100, 4), 1) for n in (TWO, THREE, NodeId(4), NodeId(5))})
    digest = Digest(1, [(2, 100, 3), (3, 100, 4), (4, 101, 0), (9, 100, 0)])
    assert states.missing_in(digest) == [2, 5]


def test_a_life_known_from_a_link_alone_is_not_told() -> None:
    states = held({TWO: said((100, -1)), ONE: said((100, 0), 2)})
    assert states.digest() == Digest(1, [(1, 100, 0)])
    assert states.missing_in(Digest(1, [])) == [1]
    assert states.messages([2, 1, 7]) == [state(1, (100, 0), 2)]


def test_a_link_state_is_told_as_it_was_said() -> None:
    """Its capabilities too; the neighbours by id, and no hops made yet."""
    message = state(2, (102, 7), 3, (1, 99), life=101, hops=3)
    calls = CapabilityState("calls", CapState.OK)
    message.capabilities.append(calls)
    (told,) = held({TWO: said_in(message)}).messages([2])
    assert told.capabilities == [calls]
    assert told.neighbours == [(1, 99), (3, 100)]
    assert (told.origin, told.incarnation, told.epoch, told.sequence, told.hops) == (
        (2, 101, 102, 7, 0)
    )
