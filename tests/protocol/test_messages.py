"""Numbers and fields of messages are a contract with nodes of other versions."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.protocol import messages, removal_messages, tag_messages, trace_messages
from tagmesh.protocol.message_list import INSIDE, MESSAGES, number_of
from tagmesh.protocol.messages import (
    BUCKETS,
    MAX_BATCH,
    MAX_BATCH_BYTES,
    MAX_CAPABILITIES,
    MAX_CLUSTERS,
    MAX_HOPS,
    MAX_NAME_CHARS,
    MAX_NODES,
    MAX_NUMBER,
    MAX_SECTIONS,
    MAX_TAGS,
    MAX_TEXT_CHARS,
    MAX_WINDOW,
    MIN_FRAME_BYTES,
    CapabilityState,
    CapState,
    ClusterOffer,
    Credit,
    Digest,
    Hello,
    LinkState,
    Message,
    Packets,
    Ping,
    Refusal,
    Routed,
    Section,
    SyncAck,
    SyncAnswer,
    SyncChunk,
    SyncEnd,
    SyncId,
    SyncRequest,
    SyncStop,
    TagTerm,
    Taken,
    Want,
    Welcome,
)
from tagmesh.protocol.removal_messages import MAX_REMOVALS, MAX_WALL_MS, Removal, Removals
from tagmesh.protocol.tag_messages import MAX_CLAIMS, Claim, TagClaims, Vow, VowRequest
from tagmesh.protocol.trace_messages import Trace
from tagmesh.protocol.wire import decode, encode

ROUTED = "cluster_id source incarnation destination ttl capability"
# Append only: a number is never used for another message, a field is only added at the end.
GOLDEN = {
    1: "Hello protocol_min protocol_max node_id incarnation session lost_session clusters"
    " max_frame_bytes software",
    2: "Welcome protocol session clusters",
    3: "Refusal reason detail",
    10: "Ping cluster_id number",
    11: "Pong cluster_id number",
    12: "ProbeRequest cluster_id target number",
    13: "ProbeAnswer cluster_id target number reached",
    20: "LinkState cluster_id origin incarnation epoch sequence neighbours hops capabilities",
    21: "Digest cluster_id entries tags",
    22: "Want cluster_id origins",
    23: "Description cluster_id origin incarnation url priority ping_retries sip_addr description"
    " hops",
    24: "Goodbye cluster_id cause",
    30: "Trace cluster_id source destination number ttl visited returning",
    40: f"Packets {ROUTED} stream number count payloads reliable floor",
    41: f"Taken {ROUTED} life stream number",
    42: "Credit cluster_id capability limit_bytes",
    50: f"SyncRequest {ROUTED} session version_min version_max tags have only buckets terms"
    " unowned",
    51: f"SyncAnswer {ROUTED} session refusal total version tags position unserved held",
    52: f"SyncChunk {ROUTED} session number checksum pieces",
    53: f"SyncAck {ROUTED} session next window resend",
    54: f"SyncEnd {ROUTED} session chunks tags",
    55: f"SyncStop {ROUTED} session reason moved",
    60: "TagClaims cluster_id claims",
    61: "VowRequest cluster_id tag number round members",
    62: "Vow cluster_id tag number round",
    70: "Removals cluster_id removals",
}
REQUIRED_FIELDS = {1: 9, 2: 3, 3: 1, 10: 2, 11: 2, 12: 3, 13: 4, 20: 6, 21: 2, 22: 2, 23: 6,
                   24: 2, 30: 6, 40: 10, 41: 9, 42: 3, 50: 12, 51: 11, 52: 10, 53: 9, 54: 9,
                   55: 8, 60: 2, 61: 5, 62: 4,
                   70: 2}  # fmt: skip
GOLDEN_INSIDE = {
    ClusterOffer: "ClusterOffer cluster_id config_digest description",
    CapabilityState: "CapabilityState name state version_min version_max position without_data"
    " reason view generation weight lacking",
    SyncId: "SyncId joiner incarnation counter",
    Section: "Section tag bucket count digest",
    TagTerm: "TagTerm tag number owner priority",
    Claim: "Claim tag number owner incarnation priority released mode reason successor",
    Removal: "Removal node_id removed_ms incarnation by lifted",
}
REQUIRED_INSIDE = {
    ClusterOffer: 2,
    CapabilityState: 2,
    SyncId: 3,
    Section: 4,
    TagTerm: 4,
    Claim: 5,
    Removal: 2,
}
STATES = "DISABLED UNSYNCED PENDING SYNCING OK DEGRADED"


DECLARED = [
    word
    for module in (messages, removal_messages, tag_messages, trace_messages)
    for word in vars(module).values()
]


def layout(kind: type[msgspec.Struct]) -> str:
    return " ".join([kind.__name__, *kind.__struct_fields__])


@pytest.mark.parametrize("number", GOLDEN)
def test_numbers_and_fields_are_append_only(number: int) -> None:
    kind = {number_of(kind): kind for kind in MESSAGES}[number]
    assert f"{layout(kind)} ".startswith(f"{GOLDEN[number]} ")
    required = len(kind.__struct_fields__) - len(kind.__struct_defaults__)
    assert required == REQUIRED_FIELDS[number], "a field that is added needs a default"


@pytest.mark.parametrize("kind", GOLDEN_INSIDE)
def test_fields_of_structures_inside_are_append_only(kind: type[msgspec.Struct]) -> None:
    assert f"{layout(kind)} ".startswith(f"{GOLDEN_INSIDE[kind]} ")
    required = len(kind.__struct_fields__) - len(kind.__struct_defaults__)
    assert required == REQUIRED_INSIDE[kind], "a field that is added needs a default"


def test_states_of_capabilities_keep_their_numbers() -> None:
    assert [(state.value, state.name) for state in CapState][:6] == [*enumerate(STATES.split())]


def test_the_golden_tables_are_complete() -> None:
    """Whoever adds a message writes it down there, so that it cannot change later."""
    assert {number_of(kind) for kind in MESSAGES} == GOLDEN.keys()
    assert set(INSIDE) == GOLDEN_INSIDE.keys()


def test_every_structure_is_a_message_or_inside_one() -> None:
    declared = {
        kind for kind in DECLARED if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    }
    assert declared == {Message, Routed, *MESSAGES, *INSIDE}


@pytest.mark.parametrize("kind", [*MESSAGES, *INSIDE])
def test_every_message_is_an_immutable_documented_array(kind: type[msgspec.Struct]) -> None:
    config = kind.__struct_config__
    assert (config.array_like, config.frozen) == (True, True)
    assert kind.__doc__
    assert not config.forbid_unknown_fields  # a newer peer sends more fields


BIG_ID, BIG_63 = 2**31, 2**63
SESSION = b"12345678"
OFFER = [1, "digest"]
NAME = "n" * MAX_NAME_CHARS
TEXT = "x" * MAX_TEXT_CHARS
ROUTE = [1, 1, 5, 2, 9, "calls"]
SYNC = [1, 5, 1]
DIGEST = bytes(16)
CAPABILITY = [NAME, 5, 0, 65_535, BIG_63 - 1, True, "x" * MAX_TEXT_CHARS]
SECTIONS = [["", 0, 0, DIGEST]] * MAX_SECTIONS
WANTED = [["", BUCKETS - 1]] * MAX_SECTIONS
HELLO = [1, 1, 1, 2, 0, SESSION, b"", [OFFER], 131072, "tagmesh"]


def hello(position: int, value: object) -> list[object]:
    return [*HELLO[:position], value, *HELLO[position + 1 :]]


def packets(number: int, count: object, payloads: bytes) -> list[object]:
    return [40, *ROUTE, 7, number, count, payloads]


def link_state(*capabilities: object) -> list[object]:
    return [20, 1, 1, 0, 0, 0, [], 0, list(capabilities)]


def claim(**changed: object) -> list[object]:
    fields = {"tag": NAME, "number": 2**64 - 1, "owner": 1, "incarnation": BIG_63 - 1}
    later = {"priority": 2**31 - 1, "released": True, "mode": "lease", "reason": TEXT}
    return list({**fields, **later, "successor": [1, 0], **changed}.values())


WITHIN = [
    (Hello, HELLO),
    (Hello, hello(6, SESSION)),
    (Hello, hello(7, [OFFER] * MAX_CLUSTERS)),
    (Hello, hello(9, "x" * MAX_TEXT_CHARS)),
    (Ping, [10, 0, BIG_63 - 1]),
    (LinkState, [20, BIG_ID - 1, 1, BIG_63 - 1, 0, 0, [[1, BIG_63 - 1]] * MAX_NODES, MAX_HOPS]),
    (Digest, [21, 1, [[1, 0, 0]] * MAX_NODES]),
    (Trace, [30, 1, 1, 2, 0, MAX_NODES, []]),
    (LinkState, link_state(*[CAPABILITY] * MAX_CAPABILITIES)),
    (Packets, packets(BIG_63 - 1, MAX_BATCH, bytes(MAX_BATCH_BYTES))),
    (Packets, [40, 1, 1, 0, 2, MAX_NODES, NAME, 0, 0, 1, b"", True, BIG_63 - 1]),
    (Taken, [41, *ROUTE, 5, BIG_63 - 1, BIG_63 - 1]),
    (Credit, [42, 1, NAME, BIG_63 - 1]),
    (SyncRequest, [50, *ROUTE, SYNC, 0, 65_535, [NAME] * MAX_TAGS, SECTIONS, WANTED]),
    (SyncRequest, [50, *ROUTE, SYNC, 0, 1, [], [], [], [BUCKETS - 1] * BUCKETS]),
    (SyncAnswer, [51, *ROUTE, SYNC, "x" * MAX_TEXT_CHARS, BIG_63 - 1, 0, [""] * MAX_TAGS]),
    (SyncChunk, [52, *ROUTE, SYNC, BIG_63 - 1, 2**32 - 1, bytes(MAX_BATCH_BYTES)]),
    (SyncAck, [53, *ROUTE, SYNC, BIG_63 - 1, MAX_WINDOW, True]),
    (SyncEnd, [54, *ROUTE, SYNC, BIG_63 - 1, [["", BIG_63 - 1, DIGEST]] * MAX_TAGS]),
    (SyncStop, [55, *ROUTE, SYNC, "x" * MAX_TEXT_CHARS]),
    (Digest, [21, 1, [], bytes(16)]),
    (TagClaims, [60, 1, [claim(), claim(number=0, incarnation=0, priority=0)] * (MAX_CLAIMS // 2)]),
    (TagClaims, [60, 1, [claim(mode="manual", successor=None)]]),
    (TagClaims, [60, 1, [["vip1", 1, 2, 3, 50]]]),
    (VowRequest, [61, 1, NAME, BIG_63 - 1, MAX_NUMBER, DIGEST]),
    (Vow, [62, 1, NAME, BIG_63 - 1, MAX_NUMBER]),
    (Removals, [70, 1, [[BIG_ID - 1, MAX_WALL_MS, BIG_63 - 1, TEXT, True]] * MAX_REMOVALS]),
]
OUTSIDE = [
    (Hello, hello(1, 0)),
    (Hello, hello(2, 65536)),
    (Hello, hello(3, 0)),
    (Hello, hello(3, True)),
    (Hello, hello(4, -1)),
    (Hello, hello(5, SESSION + b"9")),
    (Hello, hello(5, SESSION[1:])),
    (Hello, hello(6, SESSION + b"9")),
    (Hello, hello(7, [OFFER] * (MAX_CLUSTERS + 1))),
    (Hello, hello(7, [[0, "digest"]])),
    (Hello, hello(8, 4095)),
    (Hello, hello(9, "x" * (MAX_TEXT_CHARS + 1))),
    (Welcome, [2, 1, SESSION, [1] * (MAX_CLUSTERS + 1)]),
    (Refusal, [3, "x" * (MAX_TEXT_CHARS + 1)]),
    (Ping, [10, -1, 0]),
    (Ping, [10, 0, BIG_63]),
    (Ping, [10, 0, 1.0]),
    (LinkState, [20, 0, 1, 0, 0, 0, []]),
    (LinkState, [20, BIG_ID, 1, 0, 0, 0, []]),
    (LinkState, [20, 1, 1, BIG_63, 0, 0, []]),
    (LinkState, [20, 1, 1, 0, BIG_63, 0, []]),
    (LinkState, [20, 1, 1, 0, 0, BIG_63, []]),
    (LinkState, [20, 1, 1, 0, 0, 0, [[0, 0]]]),
    (LinkState, [20, 1, 1, 0, 0, 0, [[1, BIG_63]]]),
    (LinkState, [20, 1, 1, 0, 0, 0, [1]]),
    (LinkState, [20, 1, 1, 0, 0, 0, [[1, 0]] * (MAX_NODES + 1)]),
    (LinkState, [20, 1, 1, 0, 0, 0, [], MAX_HOPS + 1]),
    (LinkState, [20, 1, 1, 0, 0, 0, [], -1]),
    (Digest, [21, 1, [[1, 0, 0]] * (MAX_NODES + 1)]),
    (Digest, [21, 1, [[1, 0]]]),
    (Want, [22, 1, [1] * (MAX_NODES + 1)]),
    (Trace, [30, 1, 1, 2, 0, MAX_NODES + 1, []]),
    (LinkState, link_state(*[["calls", 4]] * (MAX_CAPABILITIES + 1))),
    (LinkState, link_state(["", 4])),
    (LinkState, link_state([NAME + "n", 4])),
    (LinkState, link_state(["calls", 6])),
    (LinkState, link_state(["calls", -1])),
    (LinkState, link_state(["calls", 4, 65_536])),
    (LinkState, link_state(["calls", 4, 1, 1, 0, False, "x" * (MAX_TEXT_CHARS + 1)])),
    (Packets, packets(BIG_63, 1, b"")),
    (Packets, packets(0, 0, b"")),
    (Packets, packets(0, MAX_BATCH + 1, b"")),
    (Packets, packets(0, 1, bytes(MAX_BATCH_BYTES + 1))),
    (Packets, [40, 1, 1, 5, 2, MAX_NODES + 1, "calls", 7, 0, 1, b""]),
    (Packets, [40, 1, 1, 5, 2, 9, "", 7, 0, 1, b""]),
    (Packets, [40, 1, 1, 5, 2, 9, NAME + "n", 7, 0, 1, b""]),
    (Packets, [40, 1, 0, 5, 2, 9, "calls", 7, 0, 1, b""]),
    (Packets, [40, 1, 1, 5, 2, 9, "calls", 7, 0, 1, b"", False, -1]),
    (Taken, [41, *ROUTE, 5, 7, BIG_63]),
    (Taken, [41, *ROUTE, -1, 7, 0]),
    (Credit, [42, 0, "calls", 0]),
    (Credit, [42, 1, "calls", BIG_63]),
    (SyncRequest, [50, *ROUTE, SYNC, 0, 65_536, [], [], []]),
    (SyncRequest, [50, *ROUTE, SYNC, 0, 1, [""] * (MAX_TAGS + 1), [], []]),
    (SyncRequest, [50, *ROUTE, SYNC, 0, 1, [], [*SECTIONS, SECTIONS[0]], []]),
    (SyncRequest, [50, *ROUTE, SYNC, 0, 1, [], [["", BUCKETS, 0, DIGEST]], []]),
    (SyncRequest, [50, *ROUTE, SYNC, 0, 1, [], [["", 0, 0, DIGEST[1:]]], []]),
    (SyncRequest, [50, *ROUTE, SYNC, 0, 1, [], [], [*WANTED, WANTED[0]]]),
    (SyncRequest, [50, *ROUTE, SYNC, 0, 1, [], [], [], [BUCKETS]]),
    (SyncRequest, [50, *ROUTE, SYNC, 0, 1, [], [], [], [0] * (BUCKETS + 1)]),
    (SyncRequest, [50, *ROUTE, [0, 5, 1], 0, 1, [], [], []]),
    (SyncAnswer, [51, *ROUTE, SYNC, "", 0, 0, [""] * (MAX_TAGS + 1)]),
    (SyncAnswer, [51, *ROUTE, SYNC, "x" * (MAX_TEXT_CHARS + 1), 0, 0, []]),
    (SyncChunk, [52, *ROUTE, SYNC, 0, 2**32, b""]),
    (SyncChunk, [52, *ROUTE, SYNC, 0, 0, bytes(MAX_BATCH_BYTES + 1)]),
    (SyncAck, [53, *ROUTE, SYNC, 0, MAX_WINDOW + 1]),
    (SyncEnd, [54, *ROUTE, SYNC, 0, [["", 0, DIGEST]] * (MAX_TAGS + 1)]),
    (SyncEnd, [54, *ROUTE, SYNC, 0, [["", 0, DIGEST + b"x"]]]),
    (SyncStop, [55, *ROUTE, SYNC, "x" * (MAX_TEXT_CHARS + 1)]),
    (Digest, [21, 1, [], bytes(17)]),
    (TagClaims, [60, 1, []]),
    (TagClaims, [60, 1, [claim()] * (MAX_CLAIMS + 1)]),
    (TagClaims, [60, 1, [claim(tag="")]]),
    (TagClaims, [60, 1, [claim(tag=NAME + "n")]]),
    (TagClaims, [60, 1, [claim(number=-1)]]),
    (TagClaims, [60, 1, [claim(owner=0)]]),
    (TagClaims, [60, 1, [claim(incarnation=BIG_63)]]),
    (TagClaims, [60, 1, [claim(priority=2**31)]]),
    (TagClaims, [60, 1, [claim(mode="both")]]),
    (TagClaims, [60, 1, [claim(reason=TEXT + "x")]]),
    (TagClaims, [60, 1, [claim(successor=[0, 0])]]),
    (TagClaims, [60, 1, [claim(successor=[1])]]),
    (VowRequest, [61, 1, NAME, BIG_63, 0, DIGEST]),
    (VowRequest, [61, 1, NAME, 1, MAX_NUMBER + 1, DIGEST]),
    (VowRequest, [61, 1, NAME, 1, 0, DIGEST[1:]]),
    (Vow, [62, 1, "", 1, 0]),
    (Removals, [70, 1, []]),
    (Removals, [70, 1, [[1, 0]] * (MAX_REMOVALS + 1)]),
    (Removals, [70, 1, [[1, MAX_WALL_MS + 1]]]),
    (Removals, [70, 1, [[0, 0]]]),
]


@pytest.mark.parametrize(("kind", "fields"), WITHIN)
def test_values_at_the_bounds_are_accepted(kind: type[Message], fields: list[object]) -> None:
    assert isinstance(msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=kind), kind)


@pytest.mark.parametrize(("kind", "fields"), OUTSIDE)
def test_values_beyond_the_bounds_are_refused(kind: type[Message], fields: list[object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=kind)


LONG_ID, LONG_63, WIDE = BIG_ID - 1, BIG_63 - 1, "\U0001f600"  # four bytes
LONG_TAG, LONG_TEXT = WIDE * MAX_NAME_CHARS, WIDE * MAX_TEXT_CHARS
LONG_ROUTE = (LONG_ID, LONG_ID, LONG_63, LONG_ID, MAX_NODES, LONG_TAG)
LONG_SYNC = SyncId(LONG_ID, LONG_63, LONG_63)
LONG_STATE = CapabilityState(
    LONG_TAG, CapState.OK, 65_535, 65_535, LONG_63, True, LONG_TEXT, LONG_63
)
LONG_CLAIM = Claim(
    LONG_TAG, 2**64 - 1, LONG_ID, LONG_63, LONG_ID, True, "manual", LONG_TEXT, (LONG_ID, LONG_63)
)
LONGEST = [
    LinkState(
        LONG_ID, LONG_ID, LONG_63, LONG_63, LONG_63, [(LONG_ID, LONG_63)] * MAX_NODES, MAX_HOPS,
        [LONG_STATE] * MAX_CAPABILITIES,
    ),
    Packets(*LONG_ROUTE, LONG_63, LONG_63, MAX_BATCH, bytes(MAX_BATCH_BYTES), True, LONG_63),
    SyncAnswer(*LONG_ROUTE, LONG_SYNC, LONG_TEXT, LONG_63, 65_535, [LONG_TAG] * MAX_TAGS, LONG_63),
    SyncChunk(*LONG_ROUTE, LONG_SYNC, LONG_63, 2**32 - 1, bytes(MAX_BATCH_BYTES)),
    SyncEnd(*LONG_ROUTE, LONG_SYNC, LONG_63, [(LONG_TAG, LONG_63, DIGEST)] * MAX_TAGS),
    TagClaims(LONG_ID, [LONG_CLAIM] * MAX_CLAIMS),
]  # fmt: skip


@pytest.mark.parametrize("message", LONGEST, ids=lambda message: type(message).__name__)
def test_the_longest_messages_fit_the_frames_of_every_node(message: Message) -> None:
    body = encode([message])
    assert len(body) <= MIN_FRAME_BYTES
    assert decode(body).messages == [message]
