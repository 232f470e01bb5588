"""All messages, wherever they are declared, by their numbers on the wire."""

from __future__ import annotations

import msgspec

from .messages import (
    CapabilityState,
    ClusterOffer,
    Credit,
    Description,
    Digest,
    Goodbye,
    Hello,
    LinkState,
    Message,
    Packets,
    Ping,
    Pong,
    ProbeAnswer,
    ProbeRequest,
    Refusal,
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
from .removal_messages import Removal, Removals
from .tag_messages import Claim, TagClaims, Vow, VowRequest
from .trace_messages import Trace

MESSAGES: tuple[type[Message], ...] = (
    Hello, Welcome, Refusal, Ping, Pong, ProbeRequest, ProbeAnswer,
    LinkState, Digest, Want, Description, Goodbye, Trace,
    Packets, Taken, Credit,
    SyncRequest, SyncAnswer, SyncChunk, SyncAck, SyncEnd, SyncStop,
    TagClaims, VowRequest, Vow, Removals,
)  # fmt: skip
"""Every message type, in the order of their numbers."""

INSIDE: tuple[type[msgspec.Struct], ...] = (
    ClusterOffer, CapabilityState, SyncId, Section, TagTerm, Claim, Removal,
)  # fmt: skip
"""The structures that stand in fields of messages."""

AnyMessage = (
    Hello | Welcome | Refusal | Ping | Pong | ProbeRequest | ProbeAnswer
    | LinkState | Digest | Want | Description | Goodbye | Trace
    | Packets | Taken | Credit
    | SyncRequest | SyncAnswer | SyncChunk | SyncAck | SyncEnd | SyncStop
    | TagClaims | VowRequest | Vow | Removals
)  # fmt: skip


def number_of(kind: type[Message]) -> int:
    """The message's number on the wire."""
    tag = kind.__struct_config__.tag
    assert isinstance(tag, int)
    return tag
