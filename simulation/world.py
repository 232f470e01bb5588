"""A simulated cluster: real actors, virtual clock, a network and processes that can fail.

>>> world = World(seed=7, nodes=3)
>>> world.boot_all()
>>> world.until(world.converged, within_s=30)
>>> world.cut(1, 2)
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping

from ..actors.link import LinkActor
from ..actors.node import NodeActor
from ..actors.system import NodeSystem
from ..protocol.config import Config, read_config
from ..protocol.errors import Misuse, StorageUnavailable
from ..protocol.events import EventRecord
from ..protocol.identity import (
    BinsUrl,
    ClusterId,
    Incarnation,
    NodeId,
    NodeRecord,
    PeerIdentity,
    next_incarnation,
)
from ..protocol.link import State
from ..storage import FixedRoster
from ..storage.base import RosterSnapshot
from ..transport.loopback import LoopbackNetwork
from .network import SimulatedPath
from .runtime import Scheduler, SimulatedRuntime

CLUSTER = ClusterId(1)
CERTIFICATES_END_WALL_S = 4_000_000_000.0


class SimulatedRoster:
    """Provisioned nodes in memory; ``failing`` makes it the database that cannot be asked."""

    name = "simulated"

    def __init__(self, records: Mapping[NodeId, NodeRecord]) -> None:
        self.records = dict(records)
        self.failing = False

    def load(self, me: NodeId) -> RosterSnapshot:
        """See `storage.base.Roster.load`."""
        if self.failing:
            raise StorageUnavailable("the simulated database does not answer")
        assert me in self.records, "worlds provision every node they boot"
        return RosterSnapshot(records=tuple(r for _, r in sorted(self.records.items())))

    def close(self) -> None:
        """See `storage.base.Roster.close`."""


class Process:
    """One running node process."""

    def __init__(self, system: NodeSystem, runtime: SimulatedRuntime) -> None:
        self.system = system
        self.runtime = runtime


class World:
    """One seed, one history (I12): everything random is drawn from ``seed``."""

    def __init__(
        self,
        seed: int,
        nodes: int = 3,
        *,
        settings: Mapping[str, object] | None = None,
        dynamic: bool = False,
    ) -> None:
        """``settings`` override those of ``[[cluster]]``, written as in the file.

        ``dynamic``: nobody is provisioned; every node knows only node 1 and itself (db_mode 0).
        """
        self.seed = seed
        self.ids = tuple(NodeId(n) for n in range(1, nodes + 1))
        self.random = random.Random(f"world {seed}")  # noqa: S311 - a seed, not a secret
        self.scheduler = Scheduler(seed)
        self.path = SimulatedPath(random.Random(f"path {seed}"))  # noqa: S311
        self.network = LoopbackNetwork(self._defer, self.path)
        self.roster = SimulatedRoster({n: _record(n) for n in self.ids})
        self.processes: dict[NodeId, Process] = {}
        self.events: dict[NodeId, list[EventRecord]] = {n: [] for n in self.ids}
        self.log: list[str] = []
        self.dynamic = dynamic
        self._settings = dict(settings or {})
        self._incarnations: dict[NodeId, Incarnation] = {}
        self._boots = 0

    @property
    def now(self) -> float:
        """Virtual seconds since the world began."""
        return self.scheduler.now

    @property
    def log_hash(self) -> str:
        """Digest of the whole history; the same for the same seed."""
        return hashlib.sha256("\n".join(self.log).encode()).hexdigest()

    def _defer(self, delay_s: float, action: Callable[[], None]) -> None:
        self.scheduler.at(self.scheduler.now + delay_s, action)

    def _note(self, text: str) -> None:
        self.log.append(f"{self.scheduler.now:.6f} {text}")

    # Processes --------------------------------------------------------------------------------

    def boot(self, node: int) -> None:
        """Start the process of a node."""
        me = self._known(node)
        if me in self.processes:
            raise Misuse(f"node {node} runs already")
        self._boots += 1
        runtime = SimulatedRuntime(self.scheduler, f"process {self.seed} {self._boots}")
        previous = self._incarnations.get(me, 0)
        self._incarnations[me] = next_incarnation(previous, runtime.wall())
        identity = PeerIdentity(
            node_id=me, fingerprint=f"{me:064x}", not_after_wall_s=CERTIFICATES_END_WALL_S
        )
        config = self._config(me)
        roster = FixedRoster.from_config(config) if self.dynamic else self.roster
        system = NodeSystem(
            config=config,
            incarnation=self._incarnations[me],
            runtime=runtime,
            transport=self.network.transport(me, identity),
            roster=roster,
            software="simulated",
        )
        self.processes[me] = Process(system, runtime)
        system.context.events.subscribe(lambda record: self._heard(me, record))
        self._note(f"boot {me}")
        system.start(roster.load(me))

    def boot_all(self) -> None:
        """Start every process that does not run."""
        for node in self.ids:
            if node not in self.processes:
                self.boot(node)

    def crash(self, node: int) -> None:
        """End a process as kill -9 does."""
        process = self.processes.pop(self._known(node), None)
        if process is None:
            raise Misuse(f"node {node} does not run")
        self._note(f"crash {node}")
        process.runtime.kill()
        self.network.kill(NodeId(node))

    def pause(self, node: int) -> None:
        """Stop a process as SIGSTOP does; its kernel goes on acknowledging."""
        self._note(f"pause {node}")
        self.processes[self._known(node)].runtime.pause()

    def resume(self, node: int) -> None:
        """Let a paused process go on."""
        self._note(f"resume {node}")
        self.processes[self._known(node)].runtime.resume()

    def _known(self, node: int) -> NodeId:
        if node not in self.ids:
            raise Misuse(f"this world has nodes {self.ids[0]} … {self.ids[-1]}, not {node}")
        return NodeId(node)

    def _config(self, me: NodeId) -> Config:
        raw: dict[str, object] = {"node": {"id": me}}
        cluster: dict[str, object] = {"id": CLUSTER, **self._settings}
        if self.dynamic:
            raw["provisioning"] = {"mode": "static"}
            cluster["me"] = {"url": str(_record(me).url)}
            first = {"node_id": 1, "url": str(_record(self.ids[0]).url)}
            cluster["neighbours"] = [first] if me != 1 else []
        return read_config({**raw, "cluster": [cluster]})

    def _heard(self, node: NodeId, record: EventRecord) -> None:
        self.events[node].append(record)
        self._note(f"{node}: {record}")

    # The network --------------------------------------------------------------------------------

    def cut(self, a: int, b: int) -> None:
        """Lose everything between two nodes, in both directions, without a word to either."""
        self._note(f"cut {a} {b}")
        self.path.cut(self._known(a), self._known(b))
        self.path.cut(self._known(b), self._known(a))

    def heal(self, a: int, b: int) -> None:
        """Undo `cut`."""
        self._note(f"heal {a} {b}")
        self.path.heal(self._known(a), self._known(b))
        self.path.heal(self._known(b), self._known(a))

    def heal_all(self) -> None:
        """Undo every cut."""
        self._note("heal all")
        self.path.heal_all()

    # Time -----------------------------------------------------------------------------------------

    def run_for(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.scheduler.run_for(seconds)

    def until(self, condition: Callable[[], bool], within_s: float) -> float:
        """Run until ``condition()`` holds; the virtual seconds it took. `TimeoutError` otherwise.

        The error holds seed and log, so that the history can be read and replayed.
        """
        begin = self.now
        while not condition():
            if self.now - begin >= within_s:
                tail = "\n".join(self.log[-60:])
                raise TimeoutError(f"seed {self.seed}: not so within {within_s:g} s\n{tail}")
            self.run_for(min(0.05, begin + within_s - self.now) or 0.05)
        return self.now - begin

    # What is true ---------------------------------------------------------------------------------

    def link(self, a: int, b: int) -> State:
        """State of the link machine of ``a`` with ``b``."""
        actor = self._actor(a, ("link", CLUSTER, b))
        assert isinstance(actor, LinkActor), "every pair of a world has a link"
        return actor.rules.state

    def route(self, a: int, b: int) -> tuple[NodeId, ...]:
        """Nodes on the way from ``a`` to ``b``; empty = unreachable, or ``a`` is still starting."""
        actor = self._actor(a, ("node", CLUSTER))
        return actor.rules.route(NodeId(b)) if isinstance(actor, NodeActor) else ()

    def _topology(self, node: int) -> NodeActor:
        actor = self._actor(node, ("node", CLUSTER))
        assert isinstance(actor, NodeActor), "a running node is in its cluster"
        return actor

    def _actor(self, node: int, name: tuple[str | int, ...]) -> object:
        return self.processes[NodeId(node)].system.context.supervisor.actor(name)

    def converged(self) -> bool:
        """I2: every running node agrees with the world about links, topology and routes."""
        running = sorted(self.processes)
        return all(self._agrees(node, running) for node in running)

    def _agrees(self, node: NodeId, running: list[NodeId]) -> bool:
        if self._actor(node, ("node", CLUSTER)) is None:
            return False
        near = {n: [x for x in running if self._linked(n, x)] for n in running}
        shown = dict(self._topology(node).rules.adjacency())
        return all(
            self._actor(node, ("link", CLUSTER, x)) is not None
            and (self.link(node, x) is State.UP) == (x in near[node])
            and (x not in near[node] or self.route(node, x) == (x,))
            for x in running
            if x != node
        ) and all(shown.get(n, []) == near[n] for n in running)

    def _linked(self, a: NodeId, b: NodeId) -> bool:
        return a != b and not (self.path.is_cut(a, b) or self.path.is_cut(b, a))


def _record(node: NodeId) -> NodeRecord:
    return NodeRecord(
        cluster_id=CLUSTER, node_id=node, url=BinsUrl(f"node-{node}"), description=f"sim {node}"
    )
