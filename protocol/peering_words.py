"""The words of a peering: its times, and what it asks of the world.

The machine that uses them, with its theory, is `peering`.
"""

from __future__ import annotations

import msgspec

from .effects import Effect
from .errors import Reason
from .greeting import ConnectionKey
from .identity import ClusterId, Incarnation
from .messages import Message


class Dial(Effect, frozen=True):
    """Open a connection to the peer's url."""


class CancelDial(Effect, frozen=True):
    """Give the attempt up; a connection is there."""


class SendOn(Effect, frozen=True):
    """Send on one particular connection."""

    connection: ConnectionKey
    message: Message


class Close(Effect, frozen=True):
    """Flush and close a connection."""

    connection: ConnectionKey
    cause: str


class Established(Effect, frozen=True):
    """Links may use this connection."""

    connection: ConnectionKey
    incarnation: Incarnation
    clusters: tuple[ClusterId, ...]


class Lost(Effect, frozen=True):
    """The established connection is gone."""

    connection: ConnectionKey
    cause: str


class Gone(Effect, frozen=True):
    """The peer cannot be had now: nobody listens, or a refusal."""

    cause: str


class NoteRefusal(Effect, frozen=True, kw_only=True):
    """A connection was refused; for logs, ``list`` and the event."""

    connection: ConnectionKey | None
    reason: Reason
    detail: str
    by_us: bool


class PeeringTiming(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds."""

    greeting_timeout_s: float
    """HELLO and WELCOME must be through within this."""
    probe_timeout_s: float
    """How long an old connection has to show life when a new process of that id comes."""
    reconnect_cap_s: float
