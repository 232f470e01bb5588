"""Work partitioning in random histories: never two workers for one key, in the end one (P-3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagmesh.protocol import partition as partition_module
from tagmesh.protocol.donors import Peer
from tagmesh.protocol.effects import Effect
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.partition import (
    Adopted,
    Gained,
    Lost,
    Partition,
)
from tests.protocol.partition_bench import OK, UNSYNCED, around, peer, said


@pytest.fixture
def few_slots(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So that thousands of histories take seconds; the rules do not know how many there are."""
    monkeypatch.setattr(partition_module, "SLOTS", 64)
    caches = (partition_module._owners, partition_module._scores)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


class Process:
    """One life of a node: its rules, and an application that lets go when it is told to."""

    def __init__(self, node: int, life: int) -> None:
        self.life = life
        self.rules = Partition(NodeId(node), life, observes=True)
        self.own = said(UNSYNCED, generation=0, weight=0)
        self.asked = False
        self.working: set[int] = set()
        self.releasing: deque[tuple[int, ...]] = deque()
        self.known: dict[int, Peer] = {}


class World:
    """Nodes that learn of each other late, but each of one other in order."""

    def __init__(self, size: int) -> None:
        self.nodes = list(range(1, size + 1))
        self.lives = 0
        self.alive: dict[int, Process] = {}
        self.flying: dict[tuple[int, int], deque[Peer]] = {}
        for node in self.nodes:
            self.start(node)

    def start(self, node: int) -> None:
        """A new life; it sees everybody, and the others hear of it in time."""
        if node in self.alive:
            return
        self.lives += 1
        process = self.alive[node] = Process(node, self.lives)
        for other in self.nodes:
            self.flying.pop((other, node), None)
        for other, theirs in self.alive.items():
            if other != node:
                process.known[other] = self.word(other, theirs)
        self.tell(node)
        self.look(node)

    def word(self, node: int, process: Process) -> Peer:
        return peer(node, process.own, life=process.life)

    def tell(self, node: int, gone: bool = False) -> None:
        news = peer(node, hops=0) if gone else self.word(node, self.alive[node])
        for other in self.alive:
            if other != node:
                self.flying.setdefault((node, other), deque()).append(news)

    def kill(self, node: int) -> None:
        if node in self.alive:
            self.tell(node, gone=True)
            del self.alive[node]

    def flip(self, node: int) -> None:
        """OK or no longer."""
        if (process := self.alive.get(node)) is None:
            return
        ok = process.own.state is OK
        grown = process.own.generation + (not ok)
        state = UNSYNCED if ok else OK
        process.own = msgspec.structs.replace(process.own, state=state, generation=grown)
        self.tell(node)
        self.look(node)

    def ask(self, node: int) -> None:
        """It wants to take part, in this life, and looks round."""
        process = self.alive.get(node)
        if process is None or process.asked:
            return
        process.asked = True
        process.rules = Partition(NodeId(node), process.life)
        process.own = msgspec.structs.replace(process.own, view=0)
        self.tell(node)
        self.look(node)

    def join(self, node: int) -> None:
        """It takes part in the work, from now on in this life."""
        process = self.alive.get(node)
        if process is None or process.own.weight:
            return
        self.ask(node)
        process.own = msgspec.structs.replace(process.own, weight=1)
        self.tell(node)
        self.look(node)

    def arrive(self, node: int, other: int) -> None:
        queue = self.flying.get((other, node))
        if queue and node in self.alive:
            self.alive[node].known[other] = queue.popleft()
            self.look(node)

    def look(self, node: int) -> None:
        process = self.alive[node]
        peers = [process.known[other] for other in sorted(process.known)]
        self.perform(node, process.rules.see(process.own, around(node, *peers)))

    def confirm(self, node: int) -> None:
        """The application of the node has let go."""
        process = self.alive.get(node)
        if process and process.releasing:
            process.working -= set(process.releasing.popleft())
            self.perform(node, process.rules.let_go())

    def perform(self, node: int, effects: list[Effect]) -> None:
        process = self.alive[node]
        for effect in effects:
            match effect:
                case Lost():
                    process.releasing.append(effect.slots)
                case Gained():
                    assert not process.working & set(effect.slots), "each is told once"
                    process.working |= set(effect.slots)
                case Adopted():
                    process.own = msgspec.structs.replace(process.own, view=effect.view)
                    self.tell(node)
                case _:
                    pytest.fail(f"{effect}")
        self.check()

    def check(self) -> None:
        """At each instant a key has at most one worker."""
        seen: set[int] = set()
        for process in self.alive.values():
            assert not seen & process.working
            seen |= process.working

    def settle(self) -> None:
        while True:
            for (other, node), queue in sorted(self.flying.items()):
                while queue and node in self.alive:
                    self.arrive(node, other)
            for node in sorted(self.alive):
                self.confirm(node)
            if not any(q for (_, node), q in self.flying.items() if node in self.alive) and not any(
                p.releasing for p in self.alive.values()
            ):
                return


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["flip", "ask", "join", "kill", "start", *["confirm"] * 3, *["arrive"] * 6]
        ),
        st.integers(1, 4),
        st.integers(1, 4),
    ),
    min_size=20,
    max_size=120,
)


@pytest.mark.usefixtures("few_slots")
def test_never_two_workers_and_in_the_end_exactly_one() -> None:
    """P-3, B17"""

    @settings(max_examples=200, derandomize=True)
    @given(STEPS)
    def history(steps: list[tuple[str, int, int]]) -> None:
        world = World(4)
        for action, node, other in steps:
            if action == "arrive":
                world.arrive(node, other)
            else:
                getattr(world, action)(node)
        world.settle()
        workers = [slot for p in world.alive.values() for slot in p.working]
        some = any(p.own.state is OK and p.own.weight for p in world.alive.values())
        assert sorted(workers) == (list(range(64)) if some else [])
        views = {p.rules.view.id for p in world.alive.values()}
        assert len(views) <= 1

    history()


@pytest.mark.usefixtures("few_slots")
def test_without_the_second_phase_there_are_two_workers_for_a_while() -> None:
    """The check above can fail."""
    world = World(2)
    for node in (1, 2):
        world.join(node)
        world.alive[node].rules = Partition(NodeId(node), world.alive[node].life, two_phase=False)
    world.flip(1)
    with pytest.raises(AssertionError):
        world.flip(2)
