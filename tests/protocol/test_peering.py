"""Peering: which connection stays, who is refused and why, when to dial."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagmesh.protocol.damping import FIRST_BACKOFF_S
from tagmesh.protocol.effects import Count, Effect
from tagmesh.protocol.errors import Misuse, PeerViolation, Reason
from tagmesh.protocol.identity import ClusterId, Incarnation
from tagmesh.protocol.messages import Goodbye, Hello, Message, Ping, Pong, Refusal, Welcome
from tagmesh.protocol.peering import (
    MAX_GREETINGS,
    MAX_PROCESS_PINGS_PER_S,
    CancelDial,
    Close,
    Dial,
    Established,
    Gone,
    Lost,
    NoteRefusal,
    Peering,
    SendOn,
)
from tests.protocol.peering_net import (
    CAP,
    GREETING_TIMEOUT,
    ONE,
    PROBE_TIMEOUT,
    TWO,
    Net,
    explore,
    other,
    peering,
)

BOTH = pytest.mark.parametrize("me", [ONE, TWO], ids=["chooser", "follower"])


def sent(effects: list[Effect], kind: type[Message]) -> list[Message]:
    return [e.message for e in effects if isinstance(e, SendOn) and isinstance(e.message, kind)]


def without_sends(effects: list[Effect]) -> list[Effect]:
    return [e for e in effects if not isinstance(e, SendOn)]


def connected() -> Net:
    net = Net().start(ONE).settle()
    net.start(TWO)
    net.assert_one_connection()
    return net


HELLO = Hello(
    protocol_min=1,
    protocol_max=1,
    node_id=1,
    incarnation=1,
    session=b"\xee" * 8,
    lost_session=b"",
    clusters=[],
    max_frame_bytes=4096,
    software="test",
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


# What is refused, and how both sides know -------------------------------------------------------


def refused_net(one: Peering, two: Peering) -> Net:
    net = Net(one, two).start(ONE)
    net.settle()
    return net


def test_config_mismatch_is_noted_by_both_sides_and_the_links_know() -> None:
    net = refused_net(peering(ONE, TWO), peering(TWO, ONE, offers={ClusterId(1): "other"}))
    for node in (ONE, TWO):
        note = net.effects(node, NoteRefusal)[0]
        assert isinstance(note, NoteRefusal)
        assert note.reason is Reason.CONFIG_MISMATCH
        assert "settings of cluster 1 differ" in note.detail
        assert set(net.effects(node, Gone)) == {Gone("refused: config_mismatch")}
        assert net.sides[node].established is None


def test_no_common_cluster() -> None:
    net = refused_net(peering(ONE, TWO), peering(TWO, ONE, offers={ClusterId(7): "digest"}))
    for node, detail in (
        (ONE, "[1] with you, you offer [7]"),
        (TWO, "[7] with you, you offer [1]"),
    ):
        note = net.effects(node, NoteRefusal)[0]
        assert isinstance(note, NoteRefusal)
        assert note.reason is Reason.NO_COMMON_CLUSTER
        assert detail in note.detail


@pytest.mark.parametrize(("low", "high"), [(2, 9), (2, 2)])
@BOTH
def test_version(me: int, low: int, high: int) -> None:
    side = peering(TWO, ONE) if me == TWO else peering(ONE, TWO)
    side.opened(1, 0.0, dialled=True)
    hello = msgspec.structs.replace(HELLO, node_id=side.peer, protocol_min=low, protocol_max=high)
    effects = side.receive(1, hello, 0.0)
    detail = f"you speak protocol {low} … {high}, we speak 1"
    assert effects[:4] == [
        SendOn(1, Refusal("version", detail)),
        Close(1, "refused: version"),
        NoteRefusal(connection=1, reason=Reason.VERSION, detail=detail, by_us=True),
        Gone("refused: version"),
    ]


@BOTH
def test_hello_of_another_id(me: int) -> None:
    """G-11: the id of a connection is that of its certificate."""
    side = peering(ONE, TWO) if me == ONE else peering(TWO, ONE)
    side.opened(1, 0.0, dialled=True)
    effects = side.receive(1, msgspec.structs.replace(HELLO, node_id=77), 0.0)
    detail = f"HELLO of node 77, certificate of node {side.peer}"
    assert effects[:2] == [
        SendOn(1, Refusal("cert_identity", detail)),
        Close(1, "refused: cert_identity"),
    ]
    assert side.established is None


def test_a_refusal_is_told_and_noted_on_both_sides() -> None:
    """The follower refuses alone: the chooser hears of it."""
    net = connected()
    key = net.sides[ONE].established
    assert key is not None
    effects = net.perform(TWO, net.sides[TWO].refuse(Reason.DISABLED, "row 2", net.now))
    assert [type(e) for e in effects] == [SendOn, Close, Lost, NoteRefusal, Gone]
    net.whole = False
    net.settle()
    assert net.effects(ONE, NoteRefusal) == [
        NoteRefusal(connection=key, reason=Reason.DISABLED, detail="row 2", by_us=False)
    ]
    assert Gone("refused: disabled") in net.effects(ONE, Gone)
    assert net.sides[ONE].last_failure == "timed out"


def test_what_a_refusal_says_is_made_safe_for_logs() -> None:
    """S12."""
    side = peering(ONE, TWO)
    side.opened(1, 0.0, dialled=True)
    effects = side.receive(1, Refusal("disabled", "line\n\x1b[31m" + "x" * 250), 0.0)
    note = next(e for e in effects if isinstance(e, NoteRefusal))
    assert note.detail.startswith(r"line\n\x1b[31mxxx")
    assert len(note.detail) == 128


def test_an_unknown_reason_of_a_newer_peer_is_shown() -> None:
    side = peering(ONE, TWO)
    side.opened(1, 0.0, dialled=True)
    effects = side.receive(1, Refusal("too_blue\n", "x"), 0.0)
    note = next(e for e in effects if isinstance(e, NoteRefusal))
    assert (note.reason, note.detail) == (Reason.VIOLATION, r"unknown reason 'too_blue\n'")


def test_a_refused_dial_is_gone_and_noted() -> None:
    side = peering(ONE, TWO)
    side.start(0.0)
    effects = side.dial_failed(
        "unknown ca", 0.0, gone=False, reason=Reason.CERT_UNTRUSTED, by_us=False
    )
    assert effects == [
        NoteRefusal(
            connection=None, reason=Reason.CERT_UNTRUSTED, detail="unknown ca", by_us=False
        ),
        Gone("refused: cert_untrusted"),
    ]


def test_a_dial_that_nobody_answers_is_gone_one_that_times_out_is_not() -> None:
    side = peering(ONE, TWO)
    side.start(0.0)
    assert side.dial_failed("connection refused", 0.0, gone=True) == [Gone("connection refused")]
    assert side.tick(1.0) == [Dial()]
    assert side.dial_failed("timed out", 1.0, gone=False) == []
    assert side.last_failure == "timed out"


def test_nobody_listens_is_no_proof_while_the_peer_is_connecting_itself() -> None:
    side = peering(ONE, TWO)
    side.start(0.0)
    side.opened(1, 0.0, dialled=False)
    assert side.dial_failed("connection refused", 0.0, gone=True) == []


def test_a_second_connection_that_is_refused_leaves_the_links_alone() -> None:
    net = connected()
    side = net.sides[ONE]
    side.opened(99, net.now, dialled=False)
    effects = side.closed(99, "bad record", net.now, reason=Reason.VIOLATION)
    assert effects == [
        NoteRefusal(connection=99, reason=Reason.VIOLATION, detail="bad record", by_us=True)
    ]


# Out of turn (W17, W18) -------------------------------------------------------------------------


def waiting(me: int) -> tuple[Peering, Hello]:
    """A side that took a HELLO and waits for WELCOME."""
    side = peering(ONE, TWO) if me == ONE else peering(TWO, ONE)
    (hello,) = sent(side.opened(1, 0.0, dialled=True), Hello)
    assert isinstance(hello, Hello)
    theirs = msgspec.structs.replace(
        hello, node_id=other(side.identity.node_id), session=b"\xee" * 8
    )
    side.receive(1, theirs, 0.0)
    return side, hello


@BOTH
@pytest.mark.parametrize(
    ("message", "error"),
    [
        (Welcome(1, b"\x00" * 8, [1]), "a WELCOME out of turn"),
        (Ping(0, 1), "a message before WELCOME"),
        (Pong(0, 1), "a message before WELCOME"),
        (Goodbye(1, "x"), "a message before WELCOME"),
    ],
    ids=["WELCOME", "ping", "pong", "data"],
)
def test_before_hello(me: int, message: Message, error: str) -> None:
    side = peering(ONE, TWO) if me == ONE else peering(TWO, ONE)
    side.opened(1, 0.0, dialled=True)
    with pytest.raises(PeerViolation, match=error):
        side.receive(1, message, 0.0)
    assert side.closed(1, error, 1.0, reason=Reason.VIOLATION)[0] == NoteRefusal(
        connection=1, reason=Reason.VIOLATION, detail=error, by_us=True
    )


@BOTH
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"session": b"recorded"}, "a WELCOME of another session"),
        ({"protocol": 2}, "a WELCOME to protocol 2"),
        ({"clusters": []}, "a WELCOME to none of our common clusters"),
        ({"clusters": [7]}, "a WELCOME to none of our common clusters"),
    ],
)
def test_a_welcome_that_does_not_fit(me: int, change: dict[str, object], error: str) -> None:
    side, hello = waiting(me)
    welcome = msgspec.structs.replace(Welcome(1, hello.session, [1]), **change)
    with pytest.raises(PeerViolation, match=error):
        side.receive(1, welcome, 0.0)
    assert side.established is None


@BOTH
def test_hello_and_welcome_come_once(me: int) -> None:
    side, hello = waiting(me)
    theirs = msgspec.structs.replace(hello, node_id=other(side.identity.node_id))
    with pytest.raises(PeerViolation, match="a second HELLO"):
        side.receive(1, theirs, 0.0)
    side.receive(1, Welcome(1, hello.session, [1]), 0.0)
    assert side.established == 1
    with pytest.raises(PeerViolation, match="a second HELLO"):
        side.receive(1, theirs, 0.0)
    with pytest.raises(PeerViolation, match="a WELCOME out of turn"):
        side.receive(1, Welcome(1, hello.session, [1]), 0.0)


def test_links_messages_are_not_for_peering() -> None:
    net = connected()
    side = net.sides[ONE]
    assert side.established is not None
    for message in (Goodbye(1, "x"), Ping(1, 1)):
        with pytest.raises(Misuse, match=f"does not take {type(message).__name__}"):
            side.receive(side.established, message, net.now)


def test_what_arrives_on_a_connection_we_closed_is_late() -> None:
    side = peering(ONE, TWO)
    assert side.receive(5, HELLO, 0.0) == [Count("late")]
    assert side.closed(5, "x", 0.0) == []


def test_process_pings_are_answered_up_to_a_limit() -> None:
    net = connected()
    side, key = net.sides[ONE], net.sides[ONE].established
    assert key is not None
    for number in range(MAX_PROCESS_PINGS_PER_S):
        assert side.receive(key, Ping(0, number), net.now) == [SendOn(key, Pong(0, number))]
    assert side.receive(key, Ping(0, 99), net.now) == [Count("W16")]
    assert side.receive(key, Ping(0, 99), net.now + 1) == [SendOn(key, Pong(0, 99))]
    assert side.receive(key, Pong(0, 99), net.now) == [Count("L-1")]


# Contests (J-2) ---------------------------------------------------------------------------------


def intrude(me: int, incarnation: int = 2) -> tuple[Net, Peering, int, list[Effect]]:
    """A second process of the peer's id connects to ``me`` and says all the right things."""
    net = connected()
    side = net.sides[ONE if me == ONE else TWO]
    return net, side, *knock(net, side, 99, incarnation)


def knock(net: Net, side: Peering, key: int, incarnation: int) -> tuple[int, list[Effect]]:
    (ours,) = sent(side.opened(key, net.now, dialled=False), Hello)
    assert isinstance(ours, Hello)
    theirs = msgspec.structs.replace(
        ours, node_id=side.peer, incarnation=incarnation, session=b"intruder"
    )
    effects = side.receive(key, theirs, net.now)
    if side.identity.node_id == TWO:  # the peer chooses: it says WELCOME first
        effects += side.receive(key, Welcome(1, ours.session, [1]), net.now)
    return key, effects


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
        net.lose(len(net.wires) - 1, ONE, TWO)
        net.settle()
        assert net.sides[ONE].established is not None


def test_connections_that_do_not_last_are_dialled_more_and_more_slowly() -> None:
    """A peer that accepts and drops must not be dialled in a tight loop."""
    net = Net().start(ONE).settle()
    start = net.now
    while net.now < start + 60:
        net.lose(len(net.wires) - 1, ONE, TWO)
        net.settle()
        net.run(0.001)
    assert len(net.wires) <= 2 * 30


def test_a_new_process_is_not_held_back_for_what_the_old_one_did() -> None:
    net = connected()
    for _ in range(6):
        net.restart(TWO, told=True)
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


@settings(max_examples=300, deadline=None)
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
