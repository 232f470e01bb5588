"""What went through the connections of one transport since it was made, for those who watch it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from ..protocol.errors import Reason
from ..protocol.messages import Message
from ..protocol.status import HandshakeCount, TrafficStatus

DONE, BROKEN = "done", "broken"


class Tally:
    """Counters. Belongs to the hub's thread; connections write to it as they go."""

    __slots__ = ("_came", "_handshakes", "_went", "bytes_received", "bytes_sent")

    def __init__(self) -> None:
        self._came: defaultdict[type, int] = defaultdict(int)
        self._went: defaultdict[type, int] = defaultdict(int)
        self._handshakes: Counter[tuple[bool, str]] = Counter()
        self.bytes_received = 0
        """Of TCP, handshakes not included."""
        self.bytes_sent = 0

    def came(self, messages: Iterable[Message]) -> None:
        """These were received."""
        counts = self._came
        for message in messages:
            counts[type(message)] += 1

    def went(self, messages: Iterable[Message]) -> None:
        """These were taken for sending."""
        counts = self._went
        for message in messages:
            counts[type(message)] += 1

    def shook(self, *, dialled: bool, ended: bool, reason: Reason | None) -> None:
        """A handshake is over; ``ended``: without a connection."""
        result = reason.value if reason is not None else BROKEN if ended else DONE
        self._handshakes[dialled, result] += 1

    def told(self) -> TrafficStatus:
        """As the status has it."""
        return TrafficStatus(
            messages_received=_named(self._came),
            messages_sent=_named(self._went),
            bytes_received=self.bytes_received,
            bytes_sent=self.bytes_sent,
            handshakes=[
                HandshakeCount(role="client" if dialled else "server", result=result, count=count)
                for (dialled, result), count in sorted(self._handshakes.items())
            ],
        )


def _named(counts: dict[type, int]) -> dict[str, int]:
    return {kind.__name__: count for kind, count in sorted(counts.items(), key=_name)}


def _name(item: tuple[type, int]) -> str:
    return item[0].__name__
