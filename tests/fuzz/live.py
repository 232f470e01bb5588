"""Mutated frames through a real authenticated TLS link into a running node.

Node 1 is the victim, node 3 a good neighbour whose link must not notice anything, node 2 the
attacker: it has a good certificate and a row, greets as it should, and then says what it likes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import gevent
import gevent.socket
import gevent.ssl

from tagmesh.actors.runtime import GeventRuntime
from tagmesh.actors.system import NodeSystem
from tagmesh.protocol import messages as m
from tagmesh.protocol.config import Config, TransportSettings, read_config
from tagmesh.protocol.errors import PeerViolation
from tagmesh.protocol.events import Event, EventRecord
from tagmesh.protocol.identity import BinsUrl, ClusterId, Incarnation, NodeId, NodeRecord
from tagmesh.protocol.tombstones import Stone
from tagmesh.protocol.wire import decode, encode
from tagmesh.storage import FileTagStore
from tagmesh.storage.base import RosterSnapshot
from tagmesh.transport import TlsTransport
from tagmesh.transport.frames import FrameReader, frame
from tests.fuzz.draw import Draw
from tests.fuzz.rules_targets import topology_message
from tests.golden import table
from tests.pki import Paths, TestCa
from tests.transport.links import ANY_PORT, until

T = TypeVar("T", bound=m.Message)

CLUSTER = ClusterId(1)
VICTIM, ATTACKER, NEIGHBOUR = 1, 2, 3
NOBODY_LISTENS = BinsUrl("127.0.0.1", 1)
ANSWER_TIMEOUT_S = 2.0
SETTINGS = TransportSettings(handshakes_per_s=100_000, handshake_burst=100_000, close_timeout_s=0.3)


class Rows:
    """A roster that never changes."""

    name = "rows"

    def __init__(self, urls: dict[int, BinsUrl]) -> None:
        self._records = tuple(
            NodeRecord(cluster_id=CLUSTER, node_id=NodeId(n), url=url)
            for n, url in sorted(urls.items())
        )

    def load(self, me: NodeId) -> RosterSnapshot:
        """See `storage.base.Roster.load`."""
        return RosterSnapshot(records=self._records)

    def note_removal(self, stone: Stone) -> bool:
        """See `storage.base.Roster.note_removal`."""
        raise AssertionError(f"nobody removes {stone}")

    def close(self) -> None:
        """See `storage.base.Roster.close`."""


class Running:
    """A node in this thread's hub, and what it announced."""

    def __init__(self, ca: TestCa, node: int, urls: dict[int, BinsUrl]) -> None:
        self.runtime = GeventRuntime()
        self.transport = TlsTransport(ca.issue(node).settings(), SETTINGS, NodeId(node))
        self.events: list[EventRecord] = []
        config: Config = read_config({"node": {"id": node}, "cluster": [{"id": CLUSTER}]})
        rows = Rows(urls)
        self.system = NodeSystem(
            config=dataclasses.replace(config, transport=SETTINGS),
            incarnation=Incarnation(5),
            runtime=self.runtime,
            transport=self.transport,
            roster=rows,
            tag_store=FileTagStore("never-written", NodeId(node)),
            software="fuzzed",
        )
        self.system.context.events.subscribe(self.events.append)
        self.system.start(rows.load(NodeId(node)))

    def links(self, peer: int) -> list[str | None]:
        """The states its link with ``peer`` was announced in."""
        changes = [e for e in self.events if e.kind is Event.LINK_CHANGED and e.node_id == peer]
        return [change.after for change in changes]

    def violations(self) -> int:
        """Connections of the attacker that it closed for a violation."""
        return sum(
            refusal.count
            for refusal in self.system.status().refusals
            if refusal.node_id == ATTACKER and refusal.reason == "violation" and refusal.by == "us"
        )

    def stop(self) -> None:
        """Leave nothing behind."""
        self.system.stop()
        gevent.sleep(0.05)
        self.transport.close()
        self.runtime.close()


@contextlib.contextmanager
def victim_and_neighbour(ca: TestCa) -> Iterator[tuple[Running, Running]]:
    """The two of them, linked."""
    urls = {VICTIM: ANY_PORT, ATTACKER: NOBODY_LISTENS, NEIGHBOUR: NOBODY_LISTENS}
    victim = Running(ca, VICTIM, urls)
    try:
        urls = {**urls, VICTIM: victim.system.url, NEIGHBOUR: ANY_PORT}
        neighbour = Running(ca, NEIGHBOUR, urls)
        try:
            until(lambda: victim.links(NEIGHBOUR)[-1:] == ["Up"])
            until(lambda: neighbour.links(VICTIM)[-1:] == ["Up"])
            yield victim, neighbour
        finally:
            neighbour.stop()
    finally:
        victim.stop()


class Attacker:
    """The other end of a link, byte by byte."""

    def __init__(self, paths: Paths, url: BinsUrl) -> None:
        self._url = url
        self._tls = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.load_verify_locations(str(paths.ca))
        self._tls.load_cert_chain(str(paths.certificate), str(paths.private_key))
        self._socket: gevent.ssl.SSLSocket | None = None
        self._reader = FrameReader(SETTINGS.max_frame_bytes)
        self._received: list[m.Message] = []
        self._incarnation = 100
        self._question = 2**40  # far from what mutants ask

    def connect(self) -> None:
        """TLS and the greeting, as they should be."""
        raw = gevent.socket.create_connection((self._url.host, self._url.port), ANSWER_TIMEOUT_S)
        self._socket = self._tls.wrap_socket(raw)
        self._reader = FrameReader(SETTINGS.max_frame_bytes)
        self._received.clear()
        digest = read_config({"node": {"id": 1}}).cluster(CLUSTER).digest
        self._incarnation += 1
        hello = m.Hello(
            1, 1, ATTACKER, self._incarnation, b"attacker", b"",
            [m.ClusterOffer(CLUSTER, digest)], m.MIN_FRAME_BYTES, "evil",
        )  # fmt: skip
        self.send(frame(encode([hello])))
        theirs = self._await(m.Hello)
        assert theirs is not None, "the victim greets"
        assert self._await(m.Welcome) is not None, "it has the lower id, so it chooses"
        self.send(frame(encode([m.Welcome(1, theirs.session, [CLUSTER])])))

    def send(self, data: bytes) -> None:
        """These bytes, if the other end still takes any."""
        assert self._socket is not None
        with contextlib.suppress(OSError):
            self._socket.sendall(data)

    def answered(self) -> bool:
        """Does the victim still answer on this connection? False: it has closed it.

        The question makes it ping its good neighbour, so that link is looked at too.
        """
        self._question += 1
        self.send(frame(encode([m.ProbeRequest(CLUSTER, NEIGHBOUR, self._question)])))
        while answer := self._await(m.ProbeAnswer):
            if answer.number == self._question:
                return True
        return False

    def _await(self, kind: type[T]) -> T | None:
        """The next message of a kind; None = the connection ended. Others are skipped."""
        assert self._socket is not None
        while True:
            while self._received:
                message = self._received.pop(0)
                if isinstance(message, kind):
                    return message
            try:
                data = self._socket.recv(65536)
            except TimeoutError as error:
                raise AssertionError("the victim neither answers nor closes") from error
            except OSError:
                return None
            if not data:
                return None
            for body in self._reader.receive([data]):
                self._received += decode(body).messages

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def mutated(source: random.Random, bodies: list[bytes]) -> bytes:
    """A frame that was once good with some bytes changed, or a good one that makes no sense."""
    if source.random() < 0.4:
        return frame(encode([topology_message(Draw(source.randbytes(40)))]))
    body = bytearray(source.choice(bodies))
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(body) + 1)
        removed = source.choice((1, 1, 1, 0, 2))
        body[at : at + removed] = source.randbytes(source.choice((1, 1, 1, 0, 2)))
    if source.random() < 0.05:
        return source.choice((0, 2**20 + 1, 2**32 - 1)).to_bytes(4, "big") + bytes(body)
    return frame(bytes(body) or b"\0")


@dataclasses.dataclass
class Outcome:
    """What came of it."""

    sent: int = 0
    closed: int = 0
    """Connections that the victim closed."""
    refused_by_us: int = 0
    """Of these: mutants that said REFUSAL themselves."""


def attack(folder: Path, seed: int, frames: int) -> Outcome:
    """Send so many mutants; `AssertionError` when anything but the attacker's link suffers."""
    source = random.Random(f"live {seed}")
    bodies = [line.body for line in table.load()]
    ca = TestCa(folder / "ca")
    outcome = Outcome()
    with victim_and_neighbour(ca) as (victim, neighbour):
        crashes = victim.system.context.supervisor
        before = victim.links(NEIGHBOUR), neighbour.links(VICTIM)
        attacker = Attacker(ca.issue(ATTACKER), victim.system.url)
        attacker.connect()
        while outcome.sent < frames:
            mutant = mutated(source, bodies)
            attacker.send(mutant)
            outcome.sent += 1
            assert crashes.crashes == 0, f"seed {seed}: an actor crashed of {mutant.hex()}"
            if not attacker.answered():
                outcome.closed += 1
                outcome.refused_by_us += _refuses(mutant)
                attacker.close()
                attacker.connect()
        attacker.close()
        assert crashes.crashes == 0, f"seed {seed}: an actor crashed"
        # every connection is closed with its reason, and noted
        until(lambda: victim.violations() == outcome.closed - outcome.refused_by_us)
        after = victim.links(NEIGHBOUR), neighbour.links(VICTIM)
        assert after == before, f"seed {seed}: the good link noticed"
    return outcome


def _refuses(mutant: bytes) -> bool:
    try:
        bodies = FrameReader(SETTINGS.max_frame_bytes).receive([mutant])
        return any(isinstance(x, m.Refusal) for body in bodies for x in decode(body).messages)
    except PeerViolation:
        return False
