"""Peering: which connection stays, when to dial, what any order of events ends in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagmesh.protocol.damping import FIRST_BACKOFF_S
from tagmesh.protocol.errors import Reason
from tagmesh.protocol.identity import ClusterId, Incarnation
from tagmesh.protocol.messages import Refusal
from tagmesh.protocol.peering import (
    CancelDial,
    Close,
    Dial,
    Established,
    Gone,
    Lost,
)
from tests.protocol.peering_net import (
    BOTH,
    CAP,
    GREETING_TIMEOUT,
    ONE,
    TWO,
    Net,
    connected,
    explore,
    other,
    peering,
    sent,
    waiting,
)

# Getting connected ------------------------------------------------------------------------------


@BOTH
def test_one_side_dials_and_both_are_connected(me: int) -> None:
    net = Net().start(ONE if me == ONE else TWO).settle()
    wire = net.assert_one_connection()
    assert wire.dialler == me
    for node in (ONE, TWO):
        assert net.effects(node, Established) == [
            Established(wire.keys[node], Incarnation(1), (ClusterId(1),))
        ]


def test_simultaneous_dial_every_order_of_steps_keeps_exactly_one_and_never_loses_it() -> None:
    """F14; I13: the connection in use is not given up for the other one."""
    ends = explore(Net().start())
    assert len(ends) > 10
    for net in ends:
        net.assert_one_connection()
        for node in (ONE, TWO):
            assert len(net.effects(node, Established)) == 1
            assert not net.effects(node, Lost)
    assert {net.assert_one_connection().dialler for net in ends} == {ONE, TWO}


@BOTH
def test_a_connection_that_breaks_at_any_step_is_replaced(me: int) -> None:
    net = Net().start(ONE if me == ONE else TWO)
    net.breaks = 1
    ends = explore(net)
    assert len(ends) > 10
    for end in ends:
        end.assert_one_connection()


def test_the_follower_stops_its_own_dial_when_the_chooser_comes() -> None:
    net = Net().start()
    effects = net.do(("open", 0, TWO))
    assert CancelDial() in effects
    net.settle()
    assert net.assert_one_connection() is net.wires[0]


def test_only_the_clusters_both_serve_are_established() -> None:
    one = peering(ONE, TWO, offers={ClusterId(c): "d" for c in (1, 2, 3)})
    two = peering(TWO, ONE, offers={ClusterId(c): "d" for c in (2, 3, 4)})
    net = Net(one, two).start().settle()
    for node in (ONE, TWO):
        (established,) = net.effects(node, Established)
        assert isinstance(established, Established)
        assert established.clusters == (2, 3)


# Dialling (L-5) ---------------------------------------------------------------------------------


def test_the_back_off_doubles_is_jittered_and_bounded() -> None:
    for draw, share in ((0.0, 0.5), (0.5, 0.75), (0.999, 0.9995)):
        side = peering(ONE, TWO)
        side._backoff._draw = lambda draw=draw: draw  # type: ignore[misc]
        now = 0.0
        assert side.start(now) == [Dial()]
        pauses: list[float] = []
        for _ in range(12):
            assert side.deadline is None
            side.dial_failed("timed out", now, gone=False)
            assert side.deadline is not None
            pauses.append(side.deadline - now)
            now = side.deadline
            assert side.tick(now) == [Dial()]
        expected = [min(FIRST_BACKOFF_S * 2**n, CAP) * share for n in range(12)]
        assert pauses == pytest.approx(expected)
        assert max(pauses) <= CAP


def test_a_lost_connection_is_dialled_at_once() -> None:
    net = connected()
    key = net.sides[ONE].established
    assert key is not None
    effects = net.sides[ONE].closed(key, "reset", net.now)
    assert effects == [Lost(key, "reset"), Dial()]


def test_a_connection_that_lasted_is_dialled_at_once_whatever_happened_before() -> None:
    net = connected()
    for _ in range(5):
        net.now += CAP
        net.lose_established()
        net.settle()
        assert net.sides[ONE].established is not None


def test_connections_that_do_not_last_are_dialled_more_and_more_slowly() -> None:
    """A peer that accepts and drops must not be dialled in a tight loop."""
    net = Net().start(ONE).settle()
    start = net.now
    lost = 0
    while net.now < start + 60 and lost <= 30:
        if net.established(ONE) is not None:
            net.lose_established()
            lost += 1
        net.run(0.01)
    assert 10 <= lost <= 30
    for node in (ONE, TWO):
        assert len(net.effects(node, Dial)) <= 30


def test_a_new_process_is_not_held_back_for_what_the_old_one_did() -> None:
    net = connected()
    for number in range(1, 7):
        net.restart(TWO, told=True)
        assert len(net.effects(ONE, Dial)) == 1 + number
        net.settle()
        net.assert_one_connection()


def test_dial_soon_does_not_wait_for_the_back_off_and_does_nothing_when_connected() -> None:
    side = peering(ONE, TWO)
    side.start(0.0)
    for n in range(8):
        side.dial_failed("timed out", float(n), gone=False)
        side.tick(n + 0.999)
    side.dial_failed("timed out", 8.0, gone=False)
    assert side.dial_soon(8.0) == [Dial()]
    assert side.dial_soon(8.0) == []
    net = connected()
    assert net.sides[ONE].dial_soon(net.now) == []


def test_drop_closes_and_dials_and_does_nothing_without_a_connection() -> None:
    net = connected()
    key = net.sides[ONE].established
    effects = net.perform(ONE, net.sides[ONE].drop("4 pings unanswered", net.now))
    assert effects == [
        Close(key, "4 pings unanswered"),  # type: ignore[arg-type]
        Lost(key, "4 pings unanswered"),  # type: ignore[arg-type]
        Dial(),
    ]
    assert net.sides[ONE].drop("again", net.now) == []
    net.settle()
    net.run(1.0)
    net.assert_one_connection()


@BOTH
def test_greeting_timeout(me: int) -> None:
    node = ONE if me == ONE else TWO
    side = peering(node, other(node))
    side.opened(1, 0.0, dialled=False)
    assert side.deadline == GREETING_TIMEOUT
    assert side.tick(GREETING_TIMEOUT - 0.001) == []
    assert side.tick(GREETING_TIMEOUT) == [Close(1, "no HELLO in time"), Dial()]
    side, _hello = waiting(me)
    assert Close(1, "no WELCOME in time") in side.tick(GREETING_TIMEOUT)


def test_a_connection_that_ends_in_the_greeting_is_dialled_again_later() -> None:
    side = peering(ONE, TWO)
    assert side.start(0.0) == [Dial()]
    side.opened(1, 0.0, dialled=True)
    assert side.closed(1, "eof", 0.0) == []
    assert side.deadline == pytest.approx(FIRST_BACKOFF_S * 0.75)


def test_refuse_stops_dialling_until_dial_soon() -> None:
    side = peering(ONE, TWO)
    assert side.start(0.0) == [Dial()]
    assert side.refuse(Reason.UNKNOWN_NODE, "no row", 0.0) == [
        CancelDial(),
        Gone("refused: unknown_node"),
    ]
    assert side.last_failure == "refused: unknown_node"
    assert side.deadline is None
    assert side.tick(1000.0) == []
    assert side.dial_failed("cancelled", 1000.0, gone=False) == []
    assert side.deadline is None
    assert side.dial_soon(1000.0) == [Dial()]


def test_refuse_while_waiting_to_dial_dials_no_more() -> None:
    side = peering(ONE, TWO)
    side.start(0.0)
    side.dial_failed("timed out", 0.0, gone=False)
    side.refuse(Reason.DISABLED, "x", 0.0)
    assert side.deadline is None


def test_refuse_tells_every_connection() -> None:
    net = connected()
    side = net.sides[ONE]
    side.opened(99, net.now, dialled=False)
    effects = side.refuse(Reason.UNKNOWN_NODE, "no row", net.now)
    assert sent(effects, Refusal) == [Refusal("unknown_node", "no row")] * 2
    assert len([e for e in effects if isinstance(e, Close)]) == 2
    assert effects.count(Gone("refused: unknown_node")) == 1
    assert side.tick(net.now + 100) == []


def test_a_connection_admitted_after_a_refusal_is_taken_and_dialling_is_on_again() -> None:
    side = peering(ONE, TWO)
    side.start(0.0)
    side.refuse(Reason.DISABLED, "x", 0.0)
    side.opened(1, 1.0, dialled=False)
    side.closed(1, "eof", 1.0)
    assert side.deadline is not None


# Any order ------------------------------------------------------------------------------------

Act = Callable[[Net, int], None]


def step(net: Net, pick: int) -> None:
    if steps := net.steps():
        net.do(steps[pick % len(steps)])


def lose(net: Net, pick: int) -> None:
    """A connection breaks; both sides are told, or only one of them."""
    if alive := [n for n, w in enumerate(net.wires) if len(w.over) < 2 and w.keys]:
        told = [(ONE, TWO), (ONE,), (TWO,)][pick % 3]
        net.lose(alive[pick % len(alive)], *told)


def wait(net: Net, pick: int) -> None:
    net.now += [0.01, 0.1, 1.0, 3.0][pick % 4]
    net.tick()


def restart(net: Net, pick: int) -> None:
    net.restart((ONE, TWO)[pick % 2], told=bool(pick % 3))


def cut(net: Net, pick: int) -> None:
    net.whole = bool(pick % 2)


def drop(net: Net, pick: int) -> None:
    node = (ONE, TWO)[pick % 2]
    net.perform(node, net.sides[node].drop("dropped", net.now))


ACTS: list[Act] = [step, step, step, step, lose, wait, restart, cut, drop]


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(ACTS) - 1), st.integers(0, 11)), max_size=60))
def test_after_any_trouble_both_sides_end_with_the_same_connection(
    acts: list[tuple[int, int]],
) -> None:
    net = Net().start()
    for act, pick in acts:
        ACTS[act](net, pick)
        for side in net.sides.values():
            idle = side.established is None and not side._connections and not side._dialling
            assert not idle or side.deadline is not None
    net.whole = True
    net.run(60)
    for node in (ONE, TWO):  # what pings would find out: the other end does not exist any more
        wire = net.established(node)
        if wire is not None and wire is not net.established(other(node)):
            net.perform(node, net.sides[node].drop("4 pings unanswered", net.now))
    net.run(60)
    net.assert_one_connection()
