"""Histories in which mutants of capabilities die."""

from __future__ import annotations

from collections.abc import Sequence

from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import CapState, Message, SyncAck, SyncEnd
from tagmesh.simulation import faults
from tagmesh.simulation.checkers import Checkers
from tagmesh.simulation.damage import damage_next_chunk
from tagmesh.simulation.faults import FaultPlan
from tagmesh.simulation.records import LETTERS, NOTES, RECORDS, REGISTERED, Notes, Post, Records
from tagmesh.simulation.traffic import SYNCED_S, Traffic
from tagmesh.simulation.world import CLUSTER, World
from tagmesh.transport.loopback_connection import Endpoint
from tests.simulation.histories import SETTLE_S, unless

NODES = 4
LETTER_BYTES = 60_000


class Busy:
    """A checked world with the capabilities of `records`."""

    def __init__(self, seed: int, nodes: int, *, line: bool = False, **settings: object) -> None:
        """Booted and OK everywhere; ``line``: each node has paths to its neighbours only."""
        self.world = World(seed, nodes, settings=settings)
        self.traffic = Traffic(self.world)
        self.checkers = Checkers(self.world)
        self.checkers.add(self.traffic.checks(self.checkers.trouble))
        for a in self.world.ids if line else ():
            for b in self.world.ids[a + 1 :]:
                self.world.cut(a, b)
        self.world.boot_all()
        self.checkers.settle(SETTLE_S)
        self.world.run_for(SETTLE_S)

    def over(self) -> World:
        """Everything is healed, and has to be well again."""
        self.world.heal_all()
        self.checkers.after_healing()
        self.traffic.settle()
        return self.world

    def post(self, source: int, to: int, name: str, size_bytes: int) -> None:
        """Letters, so many bytes of them as far as they are accepted."""
        post = self.traffic.of(source, name, Post)
        for _ in range(size_bytes // LETTER_BYTES):
            post.post(to, LETTER_BYTES)


def busy(seed: int) -> World:
    """The swarm with capabilities, in a small cluster."""
    return faults.busy(FaultPlan.draw(seed, NODES))


# Syncs --------------------------------------------------------------------------------------------


def unanswered(seed: int) -> World:
    """The only donor does not hear the request, and is back before anybody notices."""
    b = Busy(seed, 2)
    b.world.cut(1, 2)
    b.world.capability(2, RECORDS).port.request_sync()
    b.world.run_for(b.world.random.uniform(2.5, 3.5))
    return b.over()


def both_ask(seed: int) -> World:
    """Two nodes ask for a sync at the same moment: each was OK as far as the other knows (S-9)."""
    b = Busy(seed, 2)
    for node in b.world.ids:
        b.world.capability(node, b.world.random.choice((NOTES, RECORDS))).port.request_sync()
        b.world.run_for(b.world.random.uniform(0.0, 0.001))
    for node in b.world.ids:
        b.world.capability(node, RECORDS).port.request_sync()
    b.world.run_for(SETTLE_S)
    return b.over()


def stale_donor(seed: int) -> World:
    """A node restarts without data, and somebody asks for a sync as soon as it is back (S-9)."""
    b = Busy(seed, 2)
    b.traffic.of(1, RECORDS, Records).put("a", 1)
    b.world.run_for(1.0)
    b.world.crash(2)
    b.world.run_for(b.world.random.uniform(0.5, 1.5))
    b.world.boot(2)
    while not b.world.route(1, 2):
        b.world.run_for(0.0005)  # less than any way takes
    b.world.capability(1, RECORDS).port.request_sync()
    b.world.run_for(SETTLE_S)
    return b.over()


def unasked(seed: int) -> World:
    """A member says that a sync is over in which another node is the donor (S-11)."""
    b = Busy(seed, 3)
    for _ in range(5):
        b.traffic.of(2, NOTES, Notes).add()
    b.world.run_for(1.0)
    before = b.world.network.on_sent

    def watch(end: Endpoint, messages: Sequence[Message]) -> None:
        if before is not None:
            before(end, messages)
        for message in messages:
            if end.node == 3 and isinstance(message, SyncAck) and message.capability == NOTES:
                liar = b.world.processes[NodeId(3 - message.destination)].system.context
                head = (CLUSTER, liar.me, liar.incarnation, 3, 1, NOTES)
                liar.send(end.node, SyncEnd(*head, message.session, 0, []))

    b.world.network.on_sent = watch
    b.world.crash(3)
    b.world.boot(3)
    b.world.until(lambda: b.world.state(3, NOTES) is CapState.OK, within_s=SYNCED_S)
    b.world.network.on_sent = before
    return b.over()


def damaged(seed: int) -> World:
    """A node on the way has a bad memory: one chunk that it forwards is another one then."""
    b = Busy(seed, 3, line=True)
    for number in range(50):
        b.traffic.of(1, RECORDS, Records).put(number, "good")
    b.world.run_for(1.0)
    b.world.switch(2, RECORDS, on=False)
    hits = damage_next_chunk(b.world, 2, b"good", b"evil")
    b.world.crash(3)
    b.world.boot(3)
    b.world.until(lambda: b.world.state(3, RECORDS) is CapState.OK, within_s=SYNCED_S)
    unless(bool(hits), "S-24", "no chunk came by way of node 2", b.world)
    values = {value for _, value in b.traffic.of(3, RECORDS, Records).items()}
    unless(values == {"good"}, "I5", f"after a sync the values are {sorted(values)}", b.world)
    return b.over()


def long_sync(seed: int) -> World:
    """While a sync takes long, more messages come than may be held (S-23)."""
    b = Busy(seed, 3, sync_queue_messages=50, sync_packet_size=1024, sync_window=1)
    for node in (1, 2):
        b.traffic.of(node, NOTES, Notes).notes.update(dict.fromkeys(range(10_000, 14_000)))
    b.world.crash(3)
    for other in (1, 2):
        b.world.slow(other, 3, 0.1)
    b.world.boot(3)
    b.world.until(lambda: b.world.state(3, NOTES) is CapState.SYNCING, within_s=SETTLE_S)
    for _ in range(10):
        for _ in range(20):
            b.traffic.of(2, NOTES, Notes).add()
        b.world.run_for(b.world.random.uniform(0.1, 0.2))
    return b.over()


def leaver(seed: int) -> World:
    """A node leaves for good; the others have its work to do."""
    b = Busy(seed, 3)
    b.world.remove(3)
    b.world.run_for(b.world.random.uniform(5.0, 8.0))
    b.world.stop(3)
    b.world.run_for(SETTLE_S)
    return b.over()


# Messages -----------------------------------------------------------------------------------------


def relayed(seed: int) -> World:
    """What two nodes send each other comes by way of one that has the capability switched off."""
    b = Busy(seed, 3, line=True)
    name = b.world.random.choice((LETTERS, REGISTERED))
    b.world.switch(2, name, on=False)
    b.world.run_for(1.0)
    sender, hearer = b.traffic.of(1, name, Post), b.traffic.of(3, name, Post)
    for _ in range(10):
        sender.post(3)
    b.world.run_for(5.0)
    came = hearer.heard.get((1, sender.life), 0)
    unless(came == 10, "C-6", f"{came} of 10 {name} came by way of node 2", b.world)
    return b.over()


def slow_reader(seed: int) -> World:
    """A process at the end of a line reads nothing for a while, and much is sent to it (R-10)."""
    b = Busy(seed, 3, line=True, credit_window="256KiB", outbox="256KiB")
    b.world.slow_reader(3)
    for _ in range(8):
        for source in (1, 2):
            b.post(source, 3, LETTERS, 512 * 1024)
        b.world.run_for(b.world.random.uniform(0.2, 0.3))
    b.world.slow_reader(3, on=False)
    return b.over()


def far_reader(seed: int) -> World:
    """The same with windows so large that the unacknowledged is what has to be bounded (R-9)."""
    b = Busy(seed, 5, line=True, credit_window="8MiB", outbox="16MiB")
    b.world.slow_reader(3)
    b.post(1, 3, REGISTERED, 8 * 1024 * 1024)
    b.world.run_for(b.world.random.uniform(2.0, 2.5))
    b.world.slow_reader(3, on=False)
    return b.over()


def bulk(seed: int) -> World:
    """Bulk data fills a path on which everything takes long: pings go first all the same (B13)."""
    b = Busy(seed, 4, credit_window="8MiB", outbox="16MiB", ping_interval="2s")
    b.world.slow(1, 2, b.world.random.uniform(0.1, 0.15))
    b.world.run_for(5.0)
    for _ in range(30):
        b.post(1, 2, LETTERS, 2 * 1024 * 1024)
        b.world.run_for(0.2)
        waiting = b.world.sent[1, 2, "Ping"] - b.world.sent[2, 1, "Pong"]
        unless(waiting <= 1, "B13", f"{waiting} pings are on their way behind data", b.world)
    b.world.heal_all()
    b.world.run_for(5.0)
    return b.over()
