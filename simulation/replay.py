"""What nodes told each other, kept so that it can arrive a second time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ..protocol.identity import NodeId
from ..protocol.messages import Goodbye, Hello, Message, Ping, Pong, Refusal, Welcome
from ..transport.loopback_connection import Endpoint

RECORDED_MESSAGES = 64
"""Kept per direction; the oldest goes first."""
_PASSING = frozenset((Hello, Welcome, Refusal, Goodbye, Ping, Pong))
"""Not kept: they are about one connection, and a replayed one would only end it (W17, W18)."""


class Recorder:
    """The last messages that carry state, per direction, with the connection they went over."""

    def __init__(self) -> None:
        self._kept: dict[tuple[NodeId, NodeId], deque[tuple[Endpoint, Message]]] = {}

    def sent(self, end: Endpoint, messages: Sequence[Message]) -> None:
        """A connection took these messages."""
        state = [message for message in messages if type(message) not in _PASSING]
        if state:
            way = (end.node, end.peer_node)
            kept = self._kept.setdefault(way, deque(maxlen=RECORDED_MESSAGES))
            kept.extend((end, message) for message in state)

    def over(self, source: NodeId, target: NodeId, open_ends: Sequence[Endpoint]) -> list[Message]:
        """What went from ``source`` to ``target``, except over ``open_ends``."""
        kept = self._kept.get((source, target), ())
        return [message for end, message in kept if end not in open_ends]
