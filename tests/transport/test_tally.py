"""Counters of a transport."""

from __future__ import annotations

from tagmesh.protocol.errors import Reason
from tagmesh.protocol.identity import ClusterId
from tagmesh.protocol.messages import Ping, Pong
from tagmesh.protocol.status import HandshakeCount
from tagmesh.transport.tally import Tally

PING = Ping(cluster_id=ClusterId(1), number=7)
PONG = Pong(cluster_id=ClusterId(1), number=7)


def test_messages_by_type_and_direction() -> None:
    tally = Tally()
    tally.went([PONG, PING])
    tally.went([PING])
    tally.came([PONG])
    tally.bytes_sent += 100
    told = tally.told()
    assert told.messages_sent == {"Ping": 2, "Pong": 1}
    assert told.messages_received == {"Pong": 1}
    assert (told.bytes_sent, told.bytes_received) == (100, 0)


def test_handshakes_by_role_and_how_they_ended() -> None:
    tally = Tally()
    tally.shook(dialled=True, ended=False, reason=None)
    tally.shook(dialled=True, ended=False, reason=None)
    tally.shook(dialled=False, ended=True, reason=None)
    tally.shook(dialled=False, ended=True, reason=Reason.CERT_UNTRUSTED)
    assert tally.told().handshakes == [
        HandshakeCount(role="server", result="broken", count=1),
        HandshakeCount(role="server", result="cert_untrusted", count=1),
        HandshakeCount(role="client", result="done", count=2),
    ]
