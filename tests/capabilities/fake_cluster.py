"""A cluster in memory for tests of capabilities: ports without nodes, links or threads.

Everything is decided by a seed and by the test: what is under way is delivered when the test says
so, in order per sender unless it is told to reorder; time moves when the test moves it. Messages
are packed and unpacked as on the wire.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from typing import Any, Generic, TypeVar

import msgspec

from tagmesh.protocol.contract import (
    Capability,
    KeyedCapability,
    Outcome,
    Result,
    SyncReport,
    check_capability,
)
from tagmesh.protocol.effects import Count
from tagmesh.protocol.identity import ClusterId, Incarnation, NodeId
from tagmesh.protocol.messages import CapState
from tagmesh.protocol.payloads import unpack_payloads
from tagmesh.protocol.tag_claims import ClaimTable
from tagmesh.protocol.tag_messages import Claim
from tagmesh.protocol.tag_words import Epoch, Owner, TagStanding, Token, epoch_of, standing

PRIORITY = 50
WALL_S = 1_760_000_000.0
BATCH = 5
"""Messages delivered in one call, at most."""
C = TypeVar("C", bound=Capability)


class FakePort:
    """See `protocol.contract.Port`."""

    def __init__(self, cluster: FakeCluster[Any], node: int) -> None:
        self.node_id = NodeId(node)
        self.cluster_id = ClusterId(1)
        self.current_state = CapState.OK
        self.skew_s = 0.0
        self.claims = ClaimTable(
            cluster_id=self.cluster_id, me=self.node_id, members=cluster.members
        )
        self.refusals: list[tuple[str, str, str, int, int | None]] = []
        """(rule, tag, why, records, who told them)."""
        self.tokens: dict[str, Token] = {}
        self._cluster = cluster

    def send(self, node: int, message: Any, timeout: float = 0.0) -> Result:
        return self.send_many(node, [message], timeout)

    def send_many(self, node: int, messages: Iterable[Any], timeout: float = 0.0) -> Result:
        assert timeout == 0.0, "nothing moves while a test waits"
        payloads = [msgspec.msgpack.encode(message) for message in messages]
        return self._cluster.accept(self.node_id, NodeId(node), payloads)

    def broadcast(self, message: Any, timeout: float = 0.0) -> dict[NodeId, Result]:
        others = (node for node in self._cluster.capabilities if node != self.node_id)
        return {node: self.send(node, message, timeout) for node in others}

    def request_sync(
        self, *, tags: Sequence[str] = (), mirror: bool = False, dry_run: bool = False
    ) -> None:
        raise NotImplementedError

    def state(self) -> CapState:
        return self.current_state

    def tag(self, name: str) -> TagStanding:
        known = self.claims.of(name)
        token = self.tokens.get(name)
        lives = {n: self._cluster.lives[n] for n in self._cluster.capabilities}
        return standing(name, token=token, declared=True, known=known, me=self.node_id, lives=lives)

    def judge(self, source: NodeId, tag: str, epoch: Epoch, records: int = 1) -> bool:
        token = self.tag(tag).token
        owner = Owner(source, Incarnation(self._cluster.lives[source]))
        mine = token.epoch if token is not None else None
        why, effects = self.claims.wrote(owner, tag, epoch, mine)
        if why:
            rule = next(effect.rule for effect in effects if isinstance(effect, Count))
            self.refused(rule, tag, why, records, source)
        return not why

    def refused(
        self, rule: str, tag: str, why: str, records: int = 1, source: NodeId | None = None
    ) -> None:
        self.refusals.append((rule, tag, why, records, source))

    def changed(self) -> None:
        raise NotImplementedError

    def call(self, function: Callable[[], None]) -> None:
        self.call_later(0.0, function)

    def now(self) -> float:
        return self._cluster.now_s

    def wall(self) -> float:
        return WALL_S + self._cluster.now_s + self.skew_s

    def call_later(self, delay_s: float, function: Callable[[], None]) -> None:
        self._cluster.later(delay_s, self.node_id, function)


class FakeCluster(Generic[C]):
    """One capability on several nodes, all reachable and OK at first."""

    def __init__(self, make: Callable[[], C], nodes: int = 3, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.now_s = 0.0
        self.capabilities: dict[NodeId, C] = {}
        self.ports: dict[NodeId, FakePort] = {}
        self.lives: dict[NodeId, int] = {}
        self.loss = 0.0
        """Probability that a message is lost on its way."""
        self.duplicates = 0.0
        """Probability that it comes twice."""
        self.reorders = False
        """Messages overtake each other."""
        self.busy: set[tuple[int, int]] = set()
        """(from, to): not accepted now, see `room`."""
        self.disabled: set[int] = set()
        self._make = make
        self._cuts: set[frozenset[int]] = set()
        self._ways: dict[tuple[NodeId, NodeId], deque[bytes]] = {}
        self._timers: list[tuple[float, int, NodeId, int, Callable[[], None]]] = []
        self._timer_number = 0
        self.members = [NodeId(number) for number in range(1, nodes + 1)]
        for node in self.members:
            self._start(node)

    def __getitem__(self, node: int) -> C:
        return self.capabilities[NodeId(node)]

    # What happens to nodes and ways --------------------------------------------------------------

    def _start(self, node: NodeId) -> None:
        capability = self._make()
        check_capability(capability)
        before = self.ports.get(node)
        self.ports[node] = FakePort(self, node)
        if before is not None:
            self.ports[node].claims.restore(before.claims.claims)  # they are stored
        capability.port = self.ports[node]
        self.capabilities[node] = capability
        life = int((WALL_S + self.now_s) * 1e6) + node
        self.lives[node] = max(life, self.lives.get(node, 0) + 1)

    def restart(self, node: int) -> None:
        """It dies, with all it had and had under way, and comes back empty."""
        node = NodeId(node)
        others = [other for other in self.capabilities if self.reaches(node, other)]
        for other in others:
            self.capabilities[other].on_node_down(node, "died")
        for way in [way for way in self._ways if node in way]:
            del self._ways[way]
        self._start(node)
        for other in others:
            self.capabilities[other].on_node_up(node, self.lives[node])
            self.capabilities[node].on_node_up(other, self.lives[other])

    def stop_and_start(self, node: int) -> None:
        """The node is stopped and started in the same process, so the capability stays: another
        port, another life, and no timer of before."""
        node = NodeId(node)
        for way in [way for way in self._ways if node in way]:
            del self._ways[way]
        self.lives[node] += 1_000_000
        self.ports[node] = FakePort(self, node)
        self.capabilities[node].port = self.ports[node]
        self.capabilities[node].on_state(CapState.OK, "")

    def cut(self, one: int, other: int) -> None:
        """No path between two nodes. What is under way waits."""
        self._cuts.add(frozenset((one, other)))
        self[one].on_node_down(NodeId(other), "cut")
        self[other].on_node_down(NodeId(one), "cut")

    def heal(self, one: int, other: int) -> None:
        """The path is back."""
        self._cuts.discard(frozenset((one, other)))
        self[one].on_node_up(NodeId(other), self.lives[NodeId(other)])
        self[other].on_node_up(NodeId(one), self.lives[NodeId(one)])

    def reaches(self, one: int, other: int) -> bool:
        return one != other and frozenset((one, other)) not in self._cuts

    def activate(self, node: int, tag: str, *, told: Iterable[int] | None = None) -> Token:
        """The node has the tag under the next epoch of all it heard; those in ``told``, all unless
        given, hear of it at once, and whoever had it and hears it has it no longer."""
        node = NodeId(node)
        known = self.ports[node].claims.of(tag)
        number = known.number + 1 if known is not None else 1
        ended = known is not None and known.released
        follows = (known.number, known.owner, known.priority) if known and ended else None
        claim = Claim(
            tag, number, node, self.lives[node], PRIORITY, reason="asked", follows=follows
        )
        self.tell(claim, [node])
        token = Token(ClusterId(1), tag, epoch_of(claim))
        self.ports[node].tokens[tag] = token
        self.tell(claim, self.capabilities if told is None else told)
        return token

    def release(self, node: int, tag: str) -> None:
        """The node gives the tag up, and all hear of it at once."""
        del self.ports[NodeId(node)].tokens[tag]
        (claim,) = [c for c in self.ports[NodeId(node)].claims.claims if c.tag == tag]
        self.tell(msgspec.structs.replace(claim, released=True), self.capabilities)

    def tell(self, claim: Claim, nodes: Iterable[int]) -> None:
        """These nodes hear of a claim."""
        for node in nodes:
            port = self.ports[NodeId(node)]
            if port.claims.restore([claim]) and claim.owner != node:
                port.tokens.pop(claim.tag, None)

    def room(self, source: int, destination: int) -> None:
        """A busy way has room again."""
        self.busy.discard((source, destination))
        self[source].on_room(NodeId(destination))

    # Messages and time ---------------------------------------------------------------------------

    def accept(self, source: NodeId, destination: NodeId, payloads: list[bytes]) -> Result:
        if self.disabled & {source, destination}:
            return Result(Outcome.DISABLED)
        if destination not in self.capabilities or not self.reaches(source, destination):
            return Result(Outcome.UNREACHABLE)
        if (source, destination) in self.busy:
            return Result(Outcome.BUSY)
        self._ways.setdefault((source, destination), deque()).extend(payloads)
        return Result(Outcome.SENT, (destination,))

    @property
    def under_way(self) -> int:
        """Messages not delivered yet."""
        return sum(map(len, self._ways.values()))

    @property
    def longest(self) -> int:
        """Of the messages under way, in bytes."""
        return max((len(payload) for way in self._ways.values() for payload in way), default=0)

    @property
    def timers(self) -> int:
        """Timers that run, outdated ones too."""
        return len(self._timers)

    def later(self, delay_s: float, node: NodeId, function: Callable[[], None]) -> None:
        self._timer_number += 1
        due_s = self.now_s + delay_s
        timer = (due_s, self._timer_number, node, self.lives.get(node, 0), function)
        heappush(self._timers, timer)

    def step(self) -> bool:
        """Deliver the next messages of a way chosen by the seed; False when there are none."""
        ways = [way for way, queue in self._ways.items() if queue and self.reaches(*way)]
        if not ways:
            return False
        source, destination = self.random.choice(sorted(ways))
        queue = self._ways[source, destination]
        payloads = [
            self._next(queue) for _ in range(min(len(queue), self.random.randint(1, BATCH)))
        ]
        payloads = [p for p in payloads if self.random.random() >= self.loss]
        queue.extend(p for p in payloads if self.random.random() < self.duplicates)
        if payloads and destination not in self.disabled:
            self._hand_over(self.capabilities[destination], payloads, source)
        return True

    def _next(self, queue: deque[bytes]) -> bytes:
        if self.reorders:
            queue.rotate(self.random.randrange(len(queue)))
        return queue.popleft()

    def _hand_over(self, capability: C, payloads: list[bytes], source: NodeId) -> None:
        header = bytes((0x90 | len(payloads),))
        messages = unpack_payloads(header + b"".join(payloads), len(payloads))
        if capability.on_batch is not None:
            capability.on_batch(messages, source)
            return
        for message in messages:
            capability.on_message(message, source)

    def settle(self) -> None:
        """Deliver everything that can be delivered, and what is due now."""
        while self.step() or self._run_due():
            pass

    def advance(self, seconds: float) -> None:
        """Move time; whatever is due on the way happens when it is due."""
        end_s = self.now_s + seconds
        self.settle()
        while self._timers and self._timers[0][0] <= end_s:
            self.now_s = max(self.now_s, self._timers[0][0])
            self.settle()
        self.now_s = end_s

    def _run_due(self) -> bool:
        if not self._timers or self._timers[0][0] > self.now_s:
            return False
        _, _, node, life, function = heappop(self._timers)
        if self.lives.get(node) == life:
            function()
        return True

    # Syncs ---------------------------------------------------------------------------------------

    def sync(self, joiner: int, donor: int, tags: Sequence[str] = (), mirror: bool = False) -> int:
        """What a sync session does, at once; how many records were sent."""
        here, there = self[joiner], self[donor]
        if isinstance(here, KeyedCapability) and isinstance(there, KeyedCapability):
            sent = sync_keyed(here, there, tags, mirror=mirror)
        else:
            items = list(there.sync_items(tags))
            sent = len(items)
            for item in items:
                here.sync_item(msgspec.msgpack.decode(msgspec.msgpack.encode(item)))
        here.sync_done(SyncReport(ok=True, donor=NodeId(donor), items=sent))
        return sent


def sync_keyed(
    here: KeyedCapability, there: KeyedCapability, tags: Sequence[str], *, mirror: bool
) -> int:
    """Only sections that differ travel; with ``mirror`` what the donor lacks is dropped."""
    have = here.sections(tags)
    offered = there.sections(tags)
    sent = 0
    for section in offered:
        if section in have:
            continue
        items = [msgspec.Raw(item) for item in there.section_items(section.tag, section.bucket)]
        token = there.port.tag(section.tag).token
        epoch = token.epoch if token is not None else None
        assert here.take_items(section.tag, items, epoch=epoch) == []
        sent += len(items)
        if mirror:
            here.drop(section.tag, here.extra_keys(section.tag, section.bucket, items))
    if mirror:
        known = {(section.tag, section.bucket) for section in offered}
        for section in have:
            if (section.tag, section.bucket) not in known:
                here.drop(section.tag, here.extra_keys(section.tag, section.bucket, []))
    return sent
