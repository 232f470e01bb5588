"""Both ends of one connection of tagmesh's transport, for `benchmarks.transport`.

The dialler sends `Packets` as full as a stream makes them, each with the payloads encoded in one
call, and the listener decodes those of each: what `benchmarks.raw` does with messages, plus typed
messages in frames, the send queue with its limits, credit, and the event loop. Beside the bulk,
pings may go out in fixed intervals, whatever waits; the listener answers at once.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

import gevent
import msgspec
from gevent.event import Event

from tagmesh.protocol.config import TlsSettings, TransportSettings
from tagmesh.protocol.credit import Granted, Spent
from tagmesh.protocol.identity import BinsUrl
from tagmesh.protocol.messages import MAX_BATCH_BYTES, Credit, Message, Packets, Ping, Pong
from tagmesh.transport import Connection, Ending, TlsTransport

from .pair import DIALLER, HOST, IDS, LISTENER, Options, Result, play
from .raw import VALUES, encoder

PACKETS_BYTES = 32 * 1024
"""Payloads of one `Packets`, about."""
CAPABILITY = "benchmark"
LAST = 2**63 - 1
"""Number of the packets that say there are no more."""


class Wire:
    """One connection and its hub."""

    def __init__(self, options: Options, role: str) -> None:
        folder = options["tls"]
        tls = TlsSettings(
            ca=f"{folder}/ca.crt",
            certificate=f"{folder}/node.crt",
            private_key=f"{folder}/node.key",
        )
        settings = TransportSettings()
        self.transport = TlsTransport(tls, settings, IDS[role])
        self.over = Event()
        self.ending: Ending | None = None
        self._made = Event()
        self._connections: list[Connection] = []

    def made(self, connection: Connection) -> None:
        """The transport made it."""
        self._connections.append(connection)
        self._made.set()

    def failed(self, ending: Ending) -> None:
        """It did not."""
        raise SystemExit(f"no connection: {ending.cause}")

    def connection(self) -> Connection:
        """The connection, once it is made."""
        self._made.wait()
        return self._connections[0]

    def ended(self, ending: Ending) -> None:
        """It is over."""
        self.ending = ending
        self.over.set()


class Taker:
    """The listener: decodes and counts."""

    def __init__(self, wire: Wire) -> None:
        self._connection = wire.connection()
        self._decode = msgspec.msgpack.Decoder(list[Any]).decode
        self._granted = Granted()
        self.messages = 0
        self.begin = self.end = 0.0
        self.cpu_begin = self.cpu_end = 0.0
        self._connection.start(self.take, wire.ended)

    def take(self, batch: Sequence[Message]) -> None:
        """Messages arrived."""
        for message in batch:
            if isinstance(message, Packets):
                self._take_packets(message)
            elif isinstance(message, Ping):
                self._connection.send([Pong(message.cluster_id, message.number)])

    def _take_packets(self, packets: Packets) -> None:
        size = len(packets.payloads)
        self._granted.received(size)
        if packets.number == LAST:
            self.end, self.cpu_end = time.monotonic(), time.process_time()
            self._connection.close("all is here")
            return
        if not self.begin:  # the clock runs from the first to the last
            self.begin, self.cpu_begin = time.monotonic(), time.process_time()
        else:
            self.messages += len(self._decode(packets.payloads))
        limit = self._granted.consumed(size)
        if limit is not None:
            self._connection.send([Credit(1, CAPABILITY, limit)])


class Giver:
    """The dialler: keeps the connection as busy as it lets it."""

    def __init__(self, wire: Wire, values: Sequence[Any], until: float) -> None:
        self._connection = wire.connection()
        self._values = values
        self._until = until
        self._spent = Spent()
        self._number = 0
        self._said_last = False
        self._pings: dict[int, float] = {}
        self.trips: list[float] = []
        self._connection.on_room = self.fill
        self._connection.start(self.hear, wire.ended)

    def fill(self) -> None:
        """Send until the queue is full, credit is spent, or time is up."""
        while not self._said_last and self._spent.left_bytes >= MAX_BATCH_BYTES:
            over = time.monotonic() > self._until
            packets = self._packets(LAST if over else self._number)
            if not self._connection.send([packets]):
                break
            self._spent.spend(len(packets.payloads))
            self._number += packets.count
            self._said_last = over

    def ping(self) -> None:
        """Ask, whatever waits."""
        number = len(self._pings)
        self._pings[number] = time.monotonic()
        self._connection.send([Ping(cluster_id=1, number=number)])

    def hear(self, batch: Sequence[Message]) -> None:
        """Answers arrived."""
        for message in batch:
            if isinstance(message, Pong):
                self.trips.append(time.monotonic() - self._pings[message.number])
            elif isinstance(message, Credit):
                self._spent.granted(message.limit_bytes)
                self.fill()

    def _packets(self, number: int) -> Packets:
        return Packets(
            cluster_id=1,
            source=IDS[DIALLER],
            incarnation=1,
            destination=IDS[LISTENER],
            ttl=8,
            capability=CAPABILITY,
            stream=1,
            number=number,
            count=len(self._values),
            payloads=encoder.encode(self._values),
        )


def take(options: Options, tell_port: Callable[[int], None]) -> Result:
    """``messages`` decoded in ``seconds``; ``cpu_s`` of this process meanwhile."""
    wire = Wire(options, LISTENER)
    listener = wire.transport.listen(BinsUrl(HOST, 0), wire.made, lambda *_: None)
    tell_port(listener.url.port)
    taker = Taker(wire)
    gc.freeze()
    wire.over.wait()
    return {
        "messages": taker.messages,
        "seconds": taker.end - taker.begin,
        "cpu_s": taker.cpu_end - taker.cpu_begin,
    }


def give(options: Options, port: int) -> Result:
    """Send for ``seconds`` messages of ``kind`` and ``size``; ping every ``ping_interval_s``.

    ``trips_s`` of the pings; without an interval there are none.
    """
    wire = Wire(options, DIALLER)
    wire.transport.dial(BinsUrl(HOST, port), IDS[LISTENER], wire.made, wire.failed)
    wire.connection()
    size: int = options["size"]
    values = VALUES[options["kind"]](size, PACKETS_BYTES // size)
    giver = Giver(wire, values, time.monotonic() + options["seconds"])
    gc.freeze()
    cpu = time.process_time()
    giver.fill()
    interval_s = options["ping_interval_s"]
    while not wire.over.wait(interval_s or None):
        giver.ping()
    return {"cpu_s": time.process_time() - cpu, "trips_s": giver.trips}


if __name__ == "__main__":
    play(take, give)
    gevent.get_hub().destroy()
