"""Peering: several connections of one peer, and several processes of one id (J-2)."""

from __future__ import annotations

import msgspec

from tagmesh.protocol.effects import Count, Effect
from tagmesh.protocol.errors import Reason
from tagmesh.protocol.identity import ClusterId, Incarnation
from tagmesh.protocol.messages import Hello, Ping, Pong, Refusal, Welcome
from tagmesh.protocol.peering import (
    MAX_GREETINGS,
    Close,
    Established,
    Lost,
    NoteRefusal,
    Peering,
    SendOn,
)
from tests.protocol.peering_net import (
    BOTH,
    ONE,
    PROBE_TIMEOUT,
    TWO,
    Net,
    connected,
    knock,
    other,
    peering,
    sent,
    without_sends,
)

# Contests (J-2) ---------------------------------------------------------------------------------


def intrude(me: int, incarnation: int = 2) -> tuple[Net, Peering, int, list[Effect]]:
    """A second process of the peer's id connects to ``me`` and says all the right things."""
    net = connected()
    side = net.sides[ONE if me == ONE else TWO]
    return net, side, *knock(net, side, 99, incarnation)


def finish(side: Peering, key: int, effects: list[Effect], now: float) -> None:
    """The intruder answers the WELCOME it got."""
    assert sent(effects, Welcome) == [Welcome(1, b"intruder", [1])]
    if side.identity.node_id == ONE:
        ours = side._connections[key].session
        effects += side.receive(key, Welcome(1, ours, [1]), now)
    assert side.established == key
    assert without_sends(effects)[-1] == Established(key, Incarnation(2), (ClusterId(1),))


@BOTH
def test_duplicate_id_the_old_process_lives_so_the_new_one_is_refused(me: int) -> None:
    net, side, key, effects = intrude(me)
    held = side.established
    assert held is not None
    assert effects == [SendOn(held, Ping(0, 1))]
    assert side.deadline == net.now + PROBE_TIMEOUT
    detail = f"node {side.peer}: another process of that id is alive"
    assert side.receive(held, Pong(0, 7), net.now) == [Count("L-1")]
    assert side.receive(held, Pong(0, 1), net.now) == [
        SendOn(key, Refusal("duplicate_id", detail)),
        Close(key, "refused: duplicate_id"),
        NoteRefusal(connection=key, reason=Reason.DUPLICATE_ID, detail=detail, by_us=True),
    ]
    assert side.established == held
    assert side.tick(net.now + 100) == []


@BOTH
def test_duplicate_id_the_old_process_is_silent_so_it_is_replaced_after_the_probe(me: int) -> None:
    net, side, key, _ = intrude(me)
    held = side.established
    assert side.tick(net.now + PROBE_TIMEOUT - 0.001) == []
    effects = side.tick(net.now + PROBE_TIMEOUT)
    cause = "silent, and a newer process of that id came"
    assert effects[:2] == [Close(held, cause), Lost(held, cause)]  # type: ignore[arg-type]
    finish(side, key, effects, net.now + PROBE_TIMEOUT)


@BOTH
def test_duplicate_id_the_old_process_dies_during_the_probe(me: int) -> None:
    net, side, key, _ = intrude(me)
    held = side.established
    assert held is not None
    effects = side.closed(held, "reset", net.now + 0.1)
    assert effects[0] == Lost(held, "reset")
    finish(side, key, effects, net.now + 0.1)
    assert side.deadline is None


@BOTH
def test_duplicate_id_dropping_the_dead_path_lets_the_new_process_in(me: int) -> None:
    net, side, key, _ = intrude(me)
    effects = side.drop("4 pings unanswered", net.now + 0.1)
    finish(side, key, effects, net.now + 0.1)


@BOTH
def test_an_older_process_is_refused_without_a_probe(me: int) -> None:
    _net, side, key, effects = intrude(me, incarnation=0)
    detail = f"node {side.peer}: a newer process of that id is connected"
    assert effects == [
        SendOn(key, Refusal("duplicate_id", detail)),
        Close(key, "refused: duplicate_id"),
        NoteRefusal(connection=key, reason=Reason.DUPLICATE_ID, detail=detail, by_us=True),
    ]
    assert side.deadline is None


@BOTH
def test_two_new_processes_contest_at_once(me: int) -> None:
    """One probe serves both; when the old one is silent the newer of them wins in the end."""
    net, side, first, _ = intrude(me)
    second, effects = knock(net, side, 100, 3)
    assert effects == []
    later = net.now + PROBE_TIMEOUT
    effects = side.tick(later)
    if me == ONE:  # chooses: the first was only chosen, so the newer one replaces it at once
        assert Close(first, "a newer process of that id came") in effects
    else:
        assert side.established == first
        assert SendOn(first, Ping(0, 2)) in effects
        effects = side.tick(later + PROBE_TIMEOUT)
        assert side.established == second
    assert side._connections.keys() == {second}


def test_a_process_killed_and_restarted_is_connected_again_within_the_probe() -> None:
    """Both ways round, the old connection still looking alive to the survivor."""
    for node in (ONE, TWO):
        net = connected()
        net.restart(node, told=False)
        net.run(PROBE_TIMEOUT)
        net.assert_one_connection()
        assert len(net.effects(other(node), Lost)) == 1


# Connections that replace others ----------------------------------------------------------------


@BOTH
def test_a_side_that_lost_its_connection_replaces_it_at_once(me: int) -> None:
    """The other side was not told of the loss: ``lost_session`` tells it."""
    node = ONE if me == ONE else TWO
    for dialler in (ONE, TWO):
        net = Net().start(dialler).settle()
        net.start(other(dialler))
        net.lose(0, node)
        before = net.now
        net.settle()
        assert net.assert_one_connection() is net.wires[1]
        assert net.now == before
        assert len(net.effects(other(node), Lost)) == 1


def test_a_peer_that_dials_again_before_it_was_established_replaces_its_older_connection() -> None:
    """It has given the first up without our knowing; no session was ever lost for it."""
    side = peering(ONE, TWO)
    side.start(0.0)
    side.dial_failed("x", 0.0, gone=False)
    net = Net(side)
    _, first = knock(net, side, 1, 1)
    assert sent(first, Welcome)
    _, second = knock(net, side, 2, 1)
    assert second[0] == Close(1, "the peer connected anew")
    assert sent(second, Welcome)


def test_the_older_of_two_connections_of_one_dialler_does_not_come_back() -> None:
    """Its HELLO was overtaken by the newer connection's."""
    side = peering(ONE, TWO)
    net = Net(side)
    (ours,) = sent(side.opened(1, 0.0, dialled=False), Hello)
    knock(net, side, 2, 1)
    theirs = msgspec.structs.replace(ours, node_id=TWO, session=b"overtook")
    effects = side.receive(1, theirs, 0.0)
    assert effects == [Close(1, "both sides dialled; the other connection stays")]


def test_a_newer_process_replaces_one_that_was_only_chosen() -> None:
    side = peering(ONE, TWO)
    net = Net(side)
    knock(net, side, 1, 1)
    _, effects = knock(net, side, 2, 2)
    assert effects[0] == Close(1, "a newer process of that id came")
    assert sent(effects, Welcome)


def test_an_older_process_does_not_replace_one_that_was_chosen_and_the_links_are_not_told() -> None:
    side = peering(ONE, TWO)
    net = Net(side)
    knock(net, side, 1, 2)
    _, effects = knock(net, side, 2, 1)
    assert [type(e) for e in effects] == [SendOn, Close, NoteRefusal]


@BOTH
def test_too_many_connections_close_the_oldest(me: int) -> None:
    net = connected()
    side = net.sides[ONE if me == ONE else TWO]
    held = side.established
    for key in range(50, 50 + MAX_GREETINGS):
        assert not without_sends(side.opened(key, net.now, dialled=False))
    effects = side.opened(99, net.now, dialled=False)
    assert effects[0] == Close(50, "too many connections at once")
    assert side.established == held
