"""Numbers and fields of messages are a contract with nodes of other versions."""

from __future__ import annotations

import typing

import msgspec
import pytest

from tagmesh.protocol import messages
from tagmesh.protocol.messages import (
    MAX_CLUSTERS,
    MAX_HOPS,
    MAX_NODES,
    MAX_NUMBER,
    MAX_TEXT_CHARS,
    MESSAGES,
    AnyMessage,
    ClusterOffer,
    Digest,
    Hello,
    LinkState,
    Message,
    Ping,
    Refusal,
    Trace,
    Want,
    Welcome,
    number_of,
)

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
    20: "LinkState cluster_id origin incarnation epoch sequence neighbours hops",
    21: "Digest cluster_id entries",
    22: "Want cluster_id origins",
    23: "Description cluster_id origin incarnation url priority ping_retries sip_addr description"
    " hops",
    24: "Goodbye cluster_id cause",
    30: "Trace cluster_id source destination number ttl visited returning",
}
REQUIRED_FIELDS = {1: 9, 2: 3, 3: 1, 10: 2, 11: 2, 12: 3, 13: 4, 20: 6, 21: 2, 22: 2, 23: 6,
                   24: 2, 30: 6}  # fmt: skip


def layout(kind: type[Message]) -> str:
    return " ".join([kind.__name__, *kind.__struct_fields__])


@pytest.mark.parametrize("number", GOLDEN)
def test_numbers_and_fields_are_append_only(number: int) -> None:
    kind = {number_of(kind): kind for kind in MESSAGES}[number]
    assert f"{layout(kind)} ".startswith(f"{GOLDEN[number]} ")
    required = len(kind.__struct_fields__) - len(kind.__struct_defaults__)
    assert required == REQUIRED_FIELDS[number], "a field that is added needs a default"


def test_the_golden_table_is_complete() -> None:
    """Whoever adds a message writes it down there, so that it cannot change later."""
    assert {number_of(kind) for kind in MESSAGES} == GOLDEN.keys()


def test_numbers_are_unique_ascending_and_small() -> None:
    numbers = [number_of(kind) for kind in MESSAGES]
    assert numbers == sorted(set(numbers))
    assert 1 <= numbers[0] <= numbers[-1] <= MAX_NUMBER


def test_every_message_is_in_both_lists() -> None:
    declared = {
        kind
        for kind in vars(messages).values()
        if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
    }
    assert declared == set(MESSAGES) == set(typing.get_args(AnyMessage))


@pytest.mark.parametrize("kind", [*MESSAGES, ClusterOffer])
def test_every_message_is_an_immutable_documented_array(kind: type[msgspec.Struct]) -> None:
    config = kind.__struct_config__
    assert (config.array_like, config.frozen) == (True, True)
    assert kind.__doc__
    assert not config.forbid_unknown_fields  # a newer peer sends more fields


BIG_ID, BIG_63 = 2**31, 2**63
SESSION = b"12345678"
OFFER = [1, "digest"]
HELLO = [1, 1, 1, 2, 0, SESSION, b"", [OFFER], 131072, "tagmesh"]


def hello(position: int, value: object) -> list[object]:
    return [*HELLO[:position], value, *HELLO[position + 1 :]]


INSIDE = [
    (Hello, HELLO),
    (Hello, hello(6, SESSION)),
    (Hello, hello(7, [OFFER] * MAX_CLUSTERS)),
    (Hello, hello(9, "x" * MAX_TEXT_CHARS)),
    (Ping, [10, 0, BIG_63 - 1]),
    (LinkState, [20, BIG_ID - 1, 1, BIG_63 - 1, 0, 0, [[1, BIG_63 - 1]] * MAX_NODES, MAX_HOPS]),
    (Digest, [21, 1, [[1, 0, 0]] * MAX_NODES]),
    (Trace, [30, 1, 1, 2, 0, MAX_NODES, []]),
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
]


@pytest.mark.parametrize(("kind", "fields"), INSIDE)
def test_values_at_the_bounds_are_accepted(kind: type[Message], fields: list[object]) -> None:
    assert isinstance(msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=kind), kind)


@pytest.mark.parametrize(("kind", "fields"), OUTSIDE)
def test_values_beyond_the_bounds_are_refused(kind: type[Message], fields: list[object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=kind)
