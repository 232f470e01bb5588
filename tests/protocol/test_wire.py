"""Bytes of a peer become messages, or a `PeerViolation`, in bounded memory (I11, W1 … W11)."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagmesh.protocol import messages as m
from tagmesh.protocol import tag_messages as t
from tagmesh.protocol.errors import PeerViolation
from tagmesh.protocol.message_list import MESSAGES
from tagmesh.protocol.removal_messages import Removal, Removals
from tagmesh.protocol.trace_messages import Trace
from tagmesh.protocol.wire import MAX_MESSAGES_PER_FRAME, decode, encode, encode_into

FRAME_BYTES = 1024**2  # the default max_frame
MEMORY_BYTES = 24 * 1024**2

ids = st.integers(1, 2**31 - 1)
u63 = st.integers(0, 2**63 - 1)
texts = st.text(max_size=m.MAX_TEXT_CHARS)
id_lists = st.lists(ids, max_size=20)
sessions = st.binary(min_size=8, max_size=8)
hops = st.integers(0, m.MAX_HOPS)
versions = st.integers(1, 65535)
numbers = st.integers(0, 2**31 - 1)
names = st.text(min_size=1, max_size=m.MAX_NAME_CHARS)
tags = st.text(max_size=m.MAX_NAME_CHARS)
buckets = st.integers(0, m.BUCKETS - 1)
digests = st.binary(min_size=16, max_size=16)
formats = st.integers(0, 65535)
bulk = st.binary(max_size=200)
routed = (ids, ids, u63, ids, st.integers(0, m.MAX_NODES), names)
syncs = st.builds(m.SyncId, ids, u63, u63)
states = st.builds(
    m.CapabilityState, names, st.sampled_from(m.CapState), formats, formats, u63, st.booleans(),
    texts, u63,
)  # fmt: skip
claims = st.builds(
    t.Claim, names, st.integers(0, 2**64 - 1), ids, u63, numbers, st.booleans(),
    st.sampled_from(("manual", "lease")), texts, st.none() | st.tuples(ids, u63),
)  # fmt: skip
any_message: st.SearchStrategy[m.Message] = st.one_of(
    st.builds(
        m.Hello, versions, versions, ids, u63, sessions, st.binary(max_size=8),
        st.lists(st.builds(m.ClusterOffer, ids, texts), max_size=5),
        st.integers(m.MIN_FRAME_BYTES, 2**31 - 1), texts,
    ),
    st.builds(m.Welcome, versions, sessions, id_lists),
    st.builds(m.Refusal, texts, texts),
    st.builds(m.Ping, numbers, u63),
    st.builds(m.Pong, numbers, u63),
    st.builds(m.ProbeRequest, ids, ids, u63),
    st.builds(m.ProbeAnswer, ids, ids, u63, st.booleans()),
    st.builds(
        m.LinkState, ids, ids, u63, u63, u63,
        st.lists(st.tuples(ids, u63), max_size=20), hops, st.lists(states, max_size=3),
    ),
    st.builds(
        m.Digest, ids, st.lists(st.tuples(ids, u63, u63), max_size=10), st.binary(max_size=16)
    ),
    st.builds(m.Want, ids, id_lists),
    st.builds(
        m.Description, ids, ids, u63, texts, numbers, st.integers(0, 1000),
        st.none() | texts, st.none() | texts, hops,
    ),
    st.builds(m.Goodbye, ids, texts),
    st.builds(Trace, ids, ids, ids, u63, st.integers(0, m.MAX_NODES), id_lists, st.booleans()),
    st.builds(
        m.Packets, *routed, u63, u63, st.integers(1, m.MAX_BATCH), bulk, st.booleans(), u63
    ),
    st.builds(m.Taken, *routed, u63, u63, u63),
    st.builds(m.Credit, ids, names, u63),
    st.builds(
        m.SyncRequest, *routed, syncs, formats, formats, st.lists(tags, max_size=3),
        st.lists(st.builds(m.Section, tags, buckets, u63, digests), max_size=5),
        st.lists(st.tuples(tags, buckets), max_size=5), st.lists(buckets, max_size=5),
    ),
    st.builds(m.SyncAnswer, *routed, syncs, texts, u63, formats, st.lists(tags, max_size=3), u63),
    st.builds(m.SyncChunk, *routed, syncs, u63, st.integers(0, 2**32 - 1), bulk),
    st.builds(m.SyncAck, *routed, syncs, u63, st.integers(0, m.MAX_WINDOW), st.booleans()),
    st.builds(
        m.SyncEnd, *routed, syncs, u63, st.lists(st.tuples(tags, u63, digests), max_size=3)
    ),
    st.builds(m.SyncStop, *routed, syncs, texts),
    st.builds(t.TagClaims, ids, st.lists(claims, min_size=1, max_size=3)),
    st.builds(t.VowRequest, ids, names, u63, versions, digests),
    st.builds(t.Vow, ids, names, u63, versions),
)  # fmt: skip
frames = st.lists(any_message, min_size=1, max_size=8)

PING = m.Ping(cluster_id=1, number=7)
ROUTE = (1, 1, 5, 2, 9, "calls")
SYNC = m.SyncId(2, 7, 1)
ARRAY_OF_4G = b"\xdd\xff\xff\xff\xff"


@settings(max_examples=200)
@given(frames)
def test_what_is_encoded_is_decoded(sent: list[m.Message]) -> None:
    body = encode(sent)
    for received in (bytes(body), bytearray(body), memoryview(body)):
        assert decode(received) == (sent, [])


def test_a_frame_is_encoded_behind_what_is_there() -> None:
    buffer = bytearray(b"head and what is too much")
    encode_into([PING], buffer, 4)
    assert buffer == b"head" + encode([PING])


def test_every_message_is_in_the_roundtrip() -> None:
    built = {type(message) for message in [*_one_of_each()]}
    assert built == set(MESSAGES)


def _one_of_each() -> list[m.Message]:
    session = b"12345678"
    return [
        m.Hello(1, 1, 1, 5, session, b"", [m.ClusterOffer(1, "d")], 131072, "t"),
        m.Welcome(1, session, [1]),
        m.Refusal("unknown_node"),
        m.Ping(1, 1),
        m.Pong(1, 1),
        m.ProbeRequest(1, 2, 3),
        m.ProbeAnswer(1, 2, 3, True),
        m.LinkState(1, 2, 3, 4, 5, [(6, 7), (8, 9)]),
        m.Digest(1, [(1, 2, 3)]),
        m.Want(1, [2]),
        m.Description(1, 2, 3, "bins:a", 50, 3),
        m.Goodbye(1, "stop"),
        Trace(1, 1, 2, 9, 5, [1]),
        m.Packets(*ROUTE, 1, 0, 2, b"\x92\x01\x02"),
        m.Taken(*ROUTE, 5, 1, 2),
        m.Credit(1, "calls", 2**20),
        m.SyncRequest(*ROUTE, SYNC, 1, 1, ["vip"], [m.Section("vip", 0, 1, bytes(16))], []),
        m.SyncAnswer(*ROUTE, SYNC, "", 5, 1, ["vip"]),
        m.SyncChunk(*ROUTE, SYNC, 0, 7, b"\x90"),
        m.SyncAck(*ROUTE, SYNC, 1, 8),
        m.SyncEnd(*ROUTE, SYNC, 1, [("vip", 5, bytes(16))]),
        m.SyncStop(*ROUTE, SYNC, "done"),
        t.TagClaims(1, [t.Claim("vip", 3, 2, 7, 50, released=True, successor=(1, 5))]),
        t.VowRequest(1, "vip", 3, 1, bytes(16)),
        t.Vow(1, "vip", 3, 1),
        Removals(1, [Removal(3, 5, 7, "x", lifted=True)]),
    ]


def test_the_bytes_of_a_message_stay_the_same_for_ever() -> None:
    assert encode([PING, m.Goodbye(1, "x")]).hex() == "92930a0107" + "931801a178"


@pytest.mark.parametrize("count", [1, 15, 16, 65_535, MAX_MESSAGES_PER_FRAME])
def test_frames_of_every_size(count: int) -> None:
    """The count stands in one, three or five bytes."""
    assert decode(encode([PING] * count)) == ([PING] * count, [])


def test_a_message_of_a_newer_version_is_skipped_and_counted() -> None:
    """W4: an unknown number is no violation; order and the other messages are kept."""
    body = msgspec.msgpack.encode(
        [[10, 1, 7], [99, {"new": [1, 2]}], [65_535], [11, 1, 7], [0, b"old"]]
    )
    assert decode(body) == ([PING, m.Pong(1, 7)], [99, 65_535, 0])


def test_appended_fields_of_a_newer_version_are_ignored() -> None:
    assert decode(msgspec.msgpack.encode([[10, 1, 7, "new", [3]]])) == ([PING], [])


def test_fields_that_an_older_version_does_not_send_have_defaults() -> None:
    assert decode(msgspec.msgpack.encode([[20, 1, 2, 3, 4, 5, []]])).messages == [
        m.LinkState(1, 2, 3, 4, 5, [], hops=0, capabilities=[])
    ]


def frame(*messages: bytes) -> bytes:
    return bytes([0x90 + len(messages)]) + b"".join(messages)


MALFORMED = {
    "W5 nothing": b"",
    "W5 reserved byte": b"\xc1",
    "W5 not an array": b"\x01",
    "W10 map for array": b"\x81\x01\x01",
    "W5 trailing byte": encode([PING]) + b"\x00",
    "W5 trailing frame": encode([PING]) * 2,
    "W3 cut": encode([PING])[:-1],
    "W3 array16 header cut": b"\xdc\x00",
    "W3 array16 header only": b"\xdc\x00\x01",
    "W3 array32 header cut": b"\xdd\x00\x00\x00",
    "an unknown state of a capability": frame(
        msgspec.msgpack.encode([20, 1, 1, 1, 1, 1, [], 0, [["c", 6]]])
    ),
    "no message": frame(),
    "message is no array": frame(b"\x01"),
    "message is a map": frame(b"\x81\x00\x0a"),
    "message without a number": frame(b"\x90"),
    "number is a text": frame(b"\x91\xa2hi"),
    "number is a bool": frame(b"\x91\xc3"),
    "number is a float": frame(b"\x91" + msgspec.msgpack.encode(10.0)),
    "number is negative": frame(b"\x91\xff"),
    "number is 65536": frame(msgspec.msgpack.encode([65_536])),
    "number is 2^64-1": frame(b"\x91\xcf" + b"\xff" * 8),
    "W10 missing field": frame(b"\x92\x0a\x01"),
    "W11 bool for int": frame(b"\x93\x0a\xc3\x07"),
    "W11 int for bool": frame(b"\x95\x0d\x01\x02\x03\x01"),
    "W11 2^64-1": frame(b"\x93\x0a\x01\xcf" + b"\xff" * 8),
    "W11 negative": frame(b"\x93\x0a\x01\xff"),
    "W11 NaN": frame(b"\x93\x0a\x01" + msgspec.msgpack.encode(float("nan"))),
    "W11 nil": frame(b"\x93\x0a\xc0\x07"),
    "W9 invalid UTF-8": frame(b"\x92\x03\xa2\xff\xfe"),
    "W9 long text": frame(msgspec.msgpack.encode([3, "x" * 4097])),
    "text for bytes": frame(msgspec.msgpack.encode([2, 1, "12345678", []])),
    "W8 ext": frame(b"\x93\x0a\xd4\x05\x00\x07"),
    "W8 timestamp": frame(b"\x93\x0a\xd6\xff\x00\x00\x00\x00\x07"),
    "W8 huge timestamp": frame(b"\x93\x0a\xc7\x0c\xff" + b"\xff" * 12 + b"\x07"),
    "W6 4 G messages": ARRAY_OF_4G + b"\x93\x0a\x01\x07" * 100,
    "W6 4 G ids": frame(b"\x93\x16\x01" + ARRAY_OF_4G + b"\x01" * 1000),
    "W6 4 G entries": frame(b"\x93\x15\x01" + ARRAY_OF_4G + b"\x93\x01\x01\x01" * 1000),
    "W6 4 G capabilities": frame(
        msgspec.msgpack.encode([20, 1, 1, 1, 1, 1, [], 0, []])[:-1] + ARRAY_OF_4G + b"\x92\xa1c\x04"
    ),
    "W6 4 G sections": frame(
        msgspec.msgpack.encode([50, *ROUTE, SYNC, 1, 1, [], [], []])[:-2] + ARRAY_OF_4G + b"\x90"
    ),
    "W6 payloads of 4 GiB": frame(
        msgspec.msgpack.encode([40, *ROUTE, 1, 0, 1, b""])[:-2] + b"\xc6\xff\xff\xff\xffabc"
    ),
    "W6 4 G fields": frame(ARRAY_OF_4G + b"\x0a\x01\x07"),
    "W6 4 G fields of an unknown": frame(ARRAY_OF_4G + b"\x63\x01\x07"),
    "W6 map of 4 G in an unknown": frame(b"\x92\x63\xdf\xff\xff\xff\xff"),
    "W6 text of 4 GiB": frame(b"\x92\x03\xdb\xff\xff\xff\xffabc"),
    "W6 nested array32": frame(b"\x92\x63" + ARRAY_OF_4G * 1000),
    "W7 100,000 deep": b"\x91" * 100_000,
    "W7 100,000 deep in an unknown": frame(b"\x92\x63" + b"\x91" * 100_000),
    "W7 100,000 deep in a new field": frame(b"\x94\x0a\x01\x07" + b"\x91" * 100_000),
    "W7 100,000 maps deep": frame(b"\x92\x63" + b"\x81\x01" * 100_000),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_frames_are_violations(name: str) -> None:
    with pytest.raises(PeerViolation) as raised:
        decode(MALFORMED[name])
    text = str(raised.value)
    assert text.isprintable()
    assert len(text) < 250


@pytest.mark.parametrize("name", MALFORMED)
def test_one_bad_message_spoils_the_frame_it_is_in(name: str) -> None:
    """Nothing of a broken frame is delivered, not even what stood before the mistake."""
    good, bad = encode([PING])[1:], MALFORMED[name][1:]
    with pytest.raises(PeerViolation):
        decode(b"\x93" + good + bad)


def test_the_violation_names_the_message_and_the_field() -> None:
    body = msgspec.msgpack.encode([[10, 1, 7], [11, 1, -5]])
    with pytest.raises(PeerViolation, match=r"message 11 cannot be decoded: .*\$\[2\]"):
        decode(body)


def test_too_many_messages_are_refused_before_they_are_decoded() -> None:
    tiny = b"\x91\x63"
    count = MAX_MESSAGES_PER_FRAME
    assert decode(b"\xdd" + struct.pack(">I", count) + tiny * count).unknown == [99] * count
    with pytest.raises(PeerViolation, match=r"frame claims 65537 messages; allowed: 1 … 65536"):
        decode(b"\xdd" + struct.pack(">I", count + 1) + tiny * (count + 1))


@pytest.mark.parametrize("count", [0, MAX_MESSAGES_PER_FRAME + 1])
def test_we_never_send_a_frame_that_a_peer_must_refuse(count: int) -> None:
    with pytest.raises(AssertionError, match=f"a frame of {count} messages"):
        encode([PING] * count)


def repeated(item: bytes) -> bytes:
    """A message of an unknown number with as many items as a frame holds."""
    count = FRAME_BYTES // len(item)
    return frame(b"\x92\x63\xdd" + struct.pack(">I", count) + item * count)


HOSTILE = {
    "items of an unknown message": frame(
        b"\xdd" + struct.pack(">I", FRAME_BYTES) + b"\x63" + b"\x01" * (FRAME_BYTES - 1)
    ),
    "empty maps": repeated(b"\x80"),
    "empty arrays": repeated(b"\x90"),
    "smallest messages": b"\xdd" + struct.pack(">I", MAX_MESSAGES_PER_FRAME) + b"\x91\x63" * 65_536,
    "ids": frame(b"\x93\x16\x01\xdd" + struct.pack(">I", FRAME_BYTES) + b"\x01" * FRAME_BYTES),
    "digest entries": frame(
        b"\x93\x15\x01\xdd"
        + struct.pack(">I", FRAME_BYTES // 4)
        + b"\x93\x01\x01\x01" * (FRAME_BYTES // 4)
    ),
    **{name: body for name, body in MALFORMED.items() if name.startswith(("W6", "W7"))},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_frame_takes_bounded_memory(name: str) -> None:
    tracemalloc.start()
    try:
        with contextlib.suppress(PeerViolation):
            decode(HOSTILE[name])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_BYTES


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_random_bytes_are_messages_or_a_violation(body: bytes) -> None:
    for candidate in (body, b"\x91" + body, b"\x92\x93\x0a\x01\x07" + body):
        check(candidate)


@settings(max_examples=300)
@given(frames, st.data())
def test_frames_with_a_few_bytes_changed(sent: list[m.Message], data: st.DataObject) -> None:
    body = bytearray(encode(sent))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    check(bytes(body))


trees = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary()
    | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(st.lists(trees, max_size=12) | trees, max_size=4))
def test_well_formed_msgpack_of_any_shape(body: list[object]) -> None:
    check(msgspec.msgpack.encode(body))


def check(body: bytes) -> None:
    """Decoding gives messages that survive another round trip, or a violation, nothing else."""
    try:
        decoded = decode(body)
    except PeerViolation:
        return
    if decoded.messages:
        assert decode(encode(decoded.messages)).messages == decoded.messages
