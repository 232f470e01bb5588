"""The flight recorder: what is kept of messages, its bounds, and its file."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.protocol.errors import Misuse, Reason
from tagmesh.protocol.flight_recorder import (
    RING_HEADS,
    RING_INPUTS,
    RING_WHOLE_BYTES,
    VERSION,
    Began,
    Flight,
    FlightRecorder,
    from_bytes,
    to_bytes,
)
from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.messages import LinkState, Packets, Ping
from tagmesh.protocol.tag_messages import Claim
from tagmesh.protocol.wire import decode

ONE, TWO = ClusterId(1), NodeId(2)
SECRET = b"\xa6secret"


def link_state(sequence: int = 0, neighbours: int = 1) -> LinkState:
    return LinkState(1, 2, 9, 9, sequence, [(n, 7) for n in range(10, 10 + neighbours)])


def packets() -> Packets:
    return Packets(1, 2, 9, 1, 3, "records", stream=1, number=0, count=1, payloads=b"\x91" + SECRET)


def made(recorder: FlightRecorder) -> Flight:
    return Flight(
        node_id=1,
        incarnation=7,
        software="test",
        reason="asked for",
        wall_s=60.0,
        at_s=3.0,
        frames=recorder.frames(),
        lost=recorder.lost,
        clusters=recorder.clusters(),
        events=[],
    )


def test_frames_are_told_in_order_each_with_its_way_its_kind_and_its_size() -> None:
    recorder = FlightRecorder()
    recorder.came(TWO, [Ping(1, 4), link_state()], 1.0)
    recorder.sent(NodeId(3), packets(), 2.0)
    told = [(f.at_s, f.out, f.peer, f.kind, f.size_bytes) for f in recorder.frames()]
    assert told == [
        (1.0, False, 2, "Ping", 0),
        (1.0, False, 2, "LinkState", 0),
        (2.0, True, 3, "Packets", 8),
    ]


def test_what_carries_state_is_kept_whole_and_payloads_are_not_kept() -> None:
    recorder = FlightRecorder()
    recorder.came(TWO, [link_state(), packets()], 1.0)
    state, data = recorder.frames()
    assert decode(state.body).messages == [link_state()]
    assert data.body == b""
    assert b"secret" not in to_bytes(made(recorder))


def test_of_heads_the_last_are_kept_of_each_neighbour() -> None:
    recorder = FlightRecorder()
    recorder.came(NodeId(3), [Ping(1, 0)], 0.0)
    for number in range(RING_HEADS + 5):
        recorder.came(TWO, [Ping(1, number)], float(number))
    frames = recorder.frames()
    assert len(frames) == RING_HEADS + 1
    assert [f.at_s for f in frames][:2] == [0.0, 5.0]
    assert recorder.lost == 0


def test_what_is_kept_whole_is_bounded_in_bytes_and_what_is_lost_is_counted() -> None:
    recorder = FlightRecorder()
    for sequence in range(2000):
        recorder.came(TWO, [link_state(sequence, 400)], 1.0)
    frames = recorder.frames()
    assert sum(len(frame.body) for frame in frames) <= RING_WHOLE_BYTES
    assert recorder.lost == 2000 - len(frames) > 0


def test_inputs_are_bounded_and_a_cluster_that_begins_anew_forgets_them() -> None:
    recorder = FlightRecorder()
    began = Began(epoch=7, rerouting=True, digest_interval_s=5.0)
    recorder.began(ONE, began)
    for number in range(RING_INPUTS + 3):
        recorder.link(ONE, TWO, float(number), "answers", incarnation=number)
    (there,) = recorder.clusters()
    assert (len(there.inputs), there.inputs_lost) == (RING_INPUTS, 3)
    recorder.began(ONE, began)
    recorder.link(ONE, TWO, 1.0, "silent", incarnation=None)
    (there,) = recorder.clusters()
    assert [(step.what, step.cause) for step in there.inputs] == [("link_down", "silent")]


def test_claims_that_no_message_brought_are_inputs() -> None:
    recorder = FlightRecorder()
    recorder.began(ONE, Began(epoch=7, rerouting=True, digest_interval_s=5.0))
    recorder.claims(ONE, [], 1.0)
    recorder.claims(ONE, [Claim("vip", 3, 1, 7, 50)], 2.0)
    (there,) = recorder.clusters()
    assert [(step.what, [c.tag for c in step.claims]) for step in there.inputs] == [
        ("claims", ["vip"])
    ]


def test_faults_are_told_to_whoever_keeps_recordings_other_refusals_are_not() -> None:
    recorder = FlightRecorder()
    told: list[str] = []
    recorder.refused(Reason.VIOLATION, "nobody listens yet")
    recorder.on_fault = told.append
    recorder.refused(Reason.VERSION, "too old")
    recorder.refused(Reason.VIOLATION, "node 2: nonsense")
    recorder.fault("quarantine")
    assert told == ["violation: node 2: nonsense", "quarantine"]


def test_a_file_is_read_back_and_what_is_none_is_said_to_be_none() -> None:
    recorder = FlightRecorder()
    recorder.came(TWO, [link_state()], 1.0)
    flight = made(recorder)
    assert from_bytes(to_bytes(flight)) == flight
    with pytest.raises(Misuse, match="no recording of a flight"):
        from_bytes(b"\x00garbage")
    newer = msgspec.structs.replace(flight, version=VERSION + 1)
    with pytest.raises(Misuse, match=f"up to version {VERSION}"):
        from_bytes(to_bytes(newer))
