"""What the transport tests share: two kinds of networks behind one face, and recorders."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import gevent

from tagmesh.protocol.config import TransportSettings
from tagmesh.protocol.identity import BinsUrl, NodeId, PeerIdentity
from tagmesh.protocol.messages import Goodbye, Message, Packets, Ping
from tagmesh.transport import Connection, Ending, LoopbackNetwork, TlsTransport, Transport
from tagmesh.transport.listener import TlsListener
from tests.pki import TestCa

ANY_PORT = BinsUrl("127.0.0.1", 0)
PATIENCE_S = 10.0


def node(value: int) -> NodeId:
    return NodeId(value)


def ping(number: int) -> Ping:
    return Ping(cluster_id=1, number=number)


def text(size: int) -> Goodbye:
    """A message of about ``size`` bytes, at most 256."""
    return Goodbye(cluster_id=1, cause="x" * size)


def packets(number: int, size: int = 10) -> Packets:
    """Data, with ``size`` bytes of payloads."""
    return Packets(
        cluster_id=1,
        source=1,
        incarnation=1,
        destination=2,
        ttl=1,
        capability="map",
        stream=1,
        number=number,
        count=1,
        payloads=b"x" * size,
    )


def until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Let the hub run until ``condition`` holds."""
    deadline_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        gevent.sleep(0.001)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Recorder:
    """The consumer of one connection: notes what it gets."""

    def __init__(self, connection: Connection, start: bool = True) -> None:
        self.connection = connection
        self.batches: list[list[Message]] = []
        self.endings: list[Ending] = []
        self.after_end = 0
        if start:
            self.start()

    def start(self) -> None:
        self.connection.start(self._on_messages, self.endings.append)

    def _on_messages(self, messages: Sequence[Message]) -> None:
        self.after_end += len(self.endings)
        self.batches.append(list(messages))

    @property
    def messages(self) -> list[Message]:
        return [message for batch in self.batches for message in batch]

    @property
    def ending(self) -> Ending:
        until(lambda: bool(self.endings))
        return self.endings[0]


class Network(Protocol):
    """A place where nodes get transports."""

    def transport(self, number: int) -> Transport: ...

    def close(self) -> None: ...


class TlsNetwork:
    """Real sockets and TLS, all in this thread's hub."""

    def __init__(self, folder: Path, settings: TransportSettings) -> None:
        self.ca = TestCa(folder / "ca")
        self._settings = settings
        self._transports: list[TlsTransport] = []

    def transport(self, number: int) -> TlsTransport:
        tls = self.ca.issue(number).settings()
        transport = TlsTransport(tls, self._settings, node(number))
        self._transports.append(transport)
        return transport

    def close(self) -> None:
        for transport in self._transports:
            transport.close()
        gevent.sleep(0)


def identity(number: int) -> PeerIdentity:
    """What a loopback node's certificate would prove."""
    return PeerIdentity(
        node_id=node(number), fingerprint=f"{number:064x}", not_after_wall_s=4_000_000_000.0
    )


class LoopbackOnHub:
    """The loopback network with the hub's clock."""

    def __init__(self, settings: TransportSettings) -> None:
        self.network = LoopbackNetwork(self._defer, settings=settings)
        self._timers: list[gevent.Greenlet] = []

    def _defer(self, delay_s: float, action: Callable[[], None]) -> None:
        self._timers.append(gevent.spawn_later(delay_s, action))

    def transport(self, number: int) -> Transport:
        return self.network.transport(node(number), identity(number))

    def close(self) -> None:
        gevent.killall(self._timers)


class Pair:
    """Node 1 dialled node 2; both record."""

    def __init__(self, network: Network, start: bool = True) -> None:
        self.one, self.two = network.transport(1), network.transport(2)
        accepted: list[Connection] = []
        dialled: list[Connection] = []
        failures: list[Ending] = []
        self.refused: list[tuple[str, Ending]] = []
        self.listener = self.two.listen(
            ANY_PORT,
            accepted.append,
            lambda address, ending: self.refused.append((address, ending)),
        )
        self.one.dial(self.listener.url, node(2), dialled.append, failures.append)
        until(lambda: bool(accepted and dialled) or bool(failures))
        assert not failures, failures
        self.left = Recorder(dialled[0], start)
        self.right = Recorder(accepted[0], start)


# short limits, so that tests reach them soon
SETTINGS = TransportSettings(
    connect_timeout_s=1.0, handshake_timeout_s=1.5, close_timeout_s=0.5, half_open=8
)


@contextlib.contextmanager
def made(folder: Path, settings: TransportSettings) -> Iterator[TlsNetwork]:
    network = TlsNetwork(folder, settings)
    try:
        yield network
    finally:
        network.close()


class Server:
    """Node 2 listening; notes what comes."""

    def __init__(self, network: TlsNetwork) -> None:
        self.transport = network.transport(2)
        self.connections: list[Connection] = []
        self.refused: list[Ending] = []
        self.addresses: list[str] = []
        self.listener = self.transport.listen(ANY_PORT, self.connections.append, self._refuse)
        assert isinstance(self.listener, TlsListener)
        self.real = self.listener
        self.address = (self.listener.url.host, self.listener.url.port)

    def _refuse(self, address: str, ending: Ending) -> None:
        self.addresses.append(address)
        self.refused.append(ending)

    def stranger(self) -> socket.socket:
        """A plain TCP connection to it; non-blocking."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(self.address)
        until(lambda: connected(sock))
        return sock


def connected(sock: socket.socket) -> bool:
    """TCP is up, or was already: the other end may have hung up since."""
    return bool(select.select([], [sock], [], 0)[1])


@contextlib.contextmanager
def strangers(server: Server, count: int) -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    try:
        while len(sockets) < count:
            sockets += [server.stranger() for _ in range(min(16, count - len(sockets)))]
            gevent.sleep(0.001)  # below the backlog, so that no SYN is dropped
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def closed(sock: socket.socket) -> bool:
    """The other end hung up."""
    try:
        while sock.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
