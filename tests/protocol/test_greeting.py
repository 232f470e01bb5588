"""HELLO and WELCOME: what is refused and how both sides know, what is out of turn."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.protocol.effects import Count
from tagmesh.protocol.errors import Misuse, PeerViolation, Reason
from tagmesh.protocol.greeting import Versions
from tagmesh.protocol.identity import ClusterId
from tagmesh.protocol.messages import Goodbye, Message, Ping, Pong, Refusal, Welcome
from tagmesh.protocol.peering import (
    MAX_PROCESS_PINGS_PER_S,
    Close,
    Dial,
    Gone,
    Lost,
    NoteRefusal,
    Peering,
    SendOn,
)
from tests.protocol.peering_net import (
    BOTH,
    HELLO,
    ONE,
    TWO,
    Net,
    connected,
    other,
    peering,
    sent,
    waiting,
)

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


@pytest.mark.parametrize(
    ("low", "high", "spoken"), [(2, 9, "2 to 9"), (2, 2, "2"), (3, 1, "3 to 1")]
)
@BOTH
def test_version(me: int, low: int, high: int, spoken: str) -> None:
    side = peering(TWO, ONE) if me == TWO else peering(ONE, TWO)
    side.opened(1, 0.0, dialled=True)
    hello = msgspec.structs.replace(HELLO, node_id=side.peer, protocol_min=low, protocol_max=high)
    effects = side.receive(1, hello, 0.0)
    detail = f"you speak protocol {spoken}, we speak 1"
    assert effects[:4] == [
        SendOn(1, Refusal("version", detail)),
        Close(1, "refused: version"),
        NoteRefusal(connection=1, reason=Reason.VERSION, detail=detail, by_us=True),
        Gone("refused: version"),
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "spoken"),
    [((1, 1), (1, 2), 1), ((1, 3), (2, 2), 2), ((1, 3), (2, 5), 3), ((2, 2), (2, 2), 2)],
)
def test_the_highest_version_of_both_ends_is_spoken(
    ours: Versions, theirs: Versions, spoken: int
) -> None:
    """F27: nodes of two versions work together while a cluster is upgraded."""
    net = Net(peering(ONE, TWO, versions=ours), peering(TWO, ONE, versions=theirs)).start(ONE)
    net.settle().assert_one_connection()
    for node in (ONE, TWO):
        (welcome,) = sent(net.effects(node, SendOn), Welcome)
        assert isinstance(welcome, Welcome)
        assert welcome.protocol == spoken


def test_two_processes_without_a_common_version_refuse_each_other() -> None:
    net = refused_net(peering(ONE, TWO, versions=(1, 2)), peering(TWO, ONE, versions=(3, 4)))
    for node, detail in (
        (ONE, "you speak protocol 3 to 4, we speak 1 to 2"),
        (TWO, "you speak protocol 1 to 2, we speak 3 to 4"),
    ):
        note = net.effects(node, NoteRefusal)[0]
        assert isinstance(note, NoteRefusal)
        assert (note.reason, note.detail) == (Reason.VERSION, detail)
        assert net.sides[node].established is None


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
