"""The machines of a simulated cluster: processes with their disks and clocks, and the rows."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

import msgspec

from ..actors.system import NodeSystem
from ..protocol.config import Config, TransportSettings, read_config
from ..protocol.errors import Misuse, StorageUnavailable
from ..protocol.events import EventRecord
from ..protocol.greeting import OUR_VERSIONS, Versions
from ..protocol.identity import Incarnation, NodeId, NodeRecord, PeerIdentity, next_incarnation
from ..protocol.messages import Message
from ..storage import FixedRoster, RemovalMemory
from ..storage.base import Roster
from ..transport.loopback import LoopbackNetwork, LoopbackTransport
from ..transport.loopback_connection import Endpoint
from .history import History
from .network import SimulatedPath
from .replay import Recorder
from .rows import CLUSTER, OwnView, SimulatedStorage, record_of
from .runtime import EPOCH_WALL_S, Database, Disk, Scheduler, SimulatedRuntime, StillBusy
from .services import Services
from .tag_store import SimulatedTagStore


class Process:
    """One running node process."""

    def __init__(
        self, system: NodeSystem, runtime: SimulatedRuntime, transport: LoopbackTransport
    ) -> None:
        self.system = system
        self.runtime = runtime
        self.transport = transport
        self.genuine = True
        """It shows the certificate of its own node."""
        self.member = True
        """It is genuine and was not started without a row."""

    @property
    def versions(self) -> Versions:
        """Of the protocol, that it speaks."""
        return self.system.context.versions


class Machines(Services):
    """What a `World` is without its network faults. Everything random is drawn from ``seed``."""

    def __init__(
        self,
        seed: int,
        nodes: int = 3,
        *,
        settings: Mapping[str, object] | None = None,
        dynamic: bool = False,
        drift: float = 0.0,
    ) -> None:
        """``settings`` override those of ``[[cluster]]``, written as in the file.

        ``dynamic``: nobody is provisioned; every node knows only node 1 and itself (db_mode 0).
        ``drift``: monotonic clocks, the database's too, are wrong by up to this share.
        """
        super().__init__(nodes)
        self.seed = seed
        self.random = random.Random(f"world {seed}")  # noqa: S311 - a seed, not a secret
        self.scheduler = Scheduler(seed)
        self.path = SimulatedPath(random.Random(f"path {seed}"), self._defer)  # noqa: S311
        self.network = LoopbackNetwork(self._defer, self.path)
        self.network.on_sent = self._sent
        self.storage = SimulatedStorage({n: record_of(n) for n in self.ids})
        self.drift = drift
        self.tag_store = SimulatedTagStore(
            self._clock("database"), lambda: self.storage.mode, self.storage.admits, shared=True
        )
        """In the same database as the rows."""
        self._tag_disks: dict[NodeId, SimulatedTagStore] = {}
        self._removals = defaultdict[NodeId, RemovalMemory](RemovalMemory)
        self.events: dict[NodeId, list[EventRecord]] = {n: [] for n in self.ids}
        self.history = History()
        self.sent: Counter[tuple[int, int, str]] = Counter()
        """(source, target, message type) → messages given to a connection."""
        self.dynamic = dynamic
        self.cluster_settings = dict(settings or {})
        """Of ``[[cluster]]``, of the processes that boot from now on."""
        self.capability_settings: dict[str, Mapping[str, object]] = {}
        """Tables ``[capability."name"]`` of the processes that boot from now on."""
        self.tag_settings: dict[str, Mapping[str, object]] = {}
        """Tables ``[tag."name"]`` of the processes that boot from now on."""
        self.recorder = Recorder()
        self._incarnations: dict[NodeId, list[Incarnation]] = {}
        """What each node's disk holds: the incarnations it had, the last one at the end."""
        self._clock_offset_s: dict[NodeId, float] = {}
        self._certificate_ends_s: dict[NodeId, float] = {}
        """Of the certificate in each node's files, by a right wall clock; never if not here."""
        self._software: dict[NodeId, Versions] = {}
        """What is installed on each machine: the protocol versions it speaks; ours if not here."""
        self._databases: dict[NodeId, Database] = {}
        """How each machine reaches the database, where something is wrong with that."""
        self._leaving: dict[NodeId, Process] = {}
        self._boots = 0

    @property
    def now(self) -> float:
        """Virtual seconds since the world began."""
        return self.scheduler.now

    @property
    def log(self) -> list[str]:
        """The history as lines ``time  node  text``."""
        return self.history.lines()

    @property
    def log_hash(self) -> str:
        """Digest of the whole history, all messages counted; the same for the same seed."""
        return self.history.digest(self.scheduler.steps, self.sent)

    def table(self, last: int | None = None) -> str:
        """The history with a column per node; ``last``: only so many entries."""
        return self.history.table(self.ids, last)

    def tag_disk(self, node: NodeId) -> SimulatedTagStore:
        """What a node of a dynamic world has stored of tags."""
        made = SimulatedTagStore(self._clock(f"node {node}"), shared=False)
        return self._tag_disks.setdefault(node, made)

    def rate(self, machine: str) -> float:
        """How fast the monotonic clock of a machine runs: as wrong as may be, or less."""
        dice = random.Random(f"rate {self.seed} {machine}")  # noqa: S311 - a seed, not a secret
        return 1.0 + self.drift * dice.choice((-1.0, 1.0, dice.uniform(-1.0, 1.0)))

    def _clock(self, machine: str) -> Callable[[], int]:
        rate = self.rate(machine)
        return lambda: int(self.scheduler.now * rate * 1000)

    def _defer(self, delay_s: float, action: Callable[[], None]) -> None:
        self.scheduler.at(self.scheduler.now + delay_s, action)

    def remark(self, text: str) -> None:
        """Add to the history something that was done to the world or seen in it."""
        self._note(text)

    def _note(self, what: str | EventRecord, node: int | None = None) -> None:
        self.history.note(self.scheduler.now, node, what)

    # Processes --------------------------------------------------------------------------------

    def boot(
        self,
        node: int,
        *,
        certificate_of: int | None = None,
        provisioned: bool = True,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Start the process of a node.

        ``certificate_of``: it shows the certificate of another node. ``provisioned`` False: it
        believes to have a row and tries to join, whatever the rows say. ``settings`` override
        those of the world for this process. Raises `StorageUnavailable`, `NotProvisioned` or
        `CertificateEnded` where the start of a real node fails.
        """
        me = self._known(node) if provisioned else NodeId(node)
        if me in self.processes:
            raise Misuse(f"node {node} runs already")
        config = self._config(me, settings or {})
        roster = self._roster(me, config, provisioned=provisioned)
        if self._databases.get(me, "ok") in ("failing", "hanging", "lost"):
            raise StorageUnavailable("the simulated database cannot be reached from here")
        try:
            snapshot = roster.load(me)
        except StillBusy:
            raise StorageUnavailable("the simulated database hangs") from None
        if me in self._leaving:
            self._end(self._leaving.pop(me))
        shown = NodeId(certificate_of) if certificate_of is not None else me
        process = self._process(me, shown, config, roster)
        process.genuine = shown == me
        process.member = provisioned and process.genuine
        self.processes[me] = process
        process.system.context.events.subscribe(lambda record: self._heard(me, record))
        about = "" if shown == me else f" with the certificate of {shown}"
        self._note(f"boot {me}{about}{'' if provisioned else ', not provisioned'}")
        self._equip(me, process)
        process.system.start(snapshot)

    def _process(self, me: NodeId, shown: NodeId, config: Config, roster: Roster) -> Process:
        self._boots += 1
        rate = self.rate(f"node {me}")
        runtime = SimulatedRuntime(self.scheduler, f"process {self.seed} {self._boots}", rate)
        runtime.database = self._databases.get(me, "ok")
        runtime.wall_offset_s = self._clock_offset_s.get(me, 0.0)
        identity = PeerIdentity(
            node_id=shown,
            fingerprint=f"{shown:064x}",
            not_after_wall_s=self._certificate_ends_s.get(shown, math.inf),
        )
        transport = self.network.transport(me, identity, runtime.wall)
        disk = self._incarnations.setdefault(me, [])
        incarnation = next_incarnation(disk[-1] if disk else 0, runtime.wall())
        disk.append(incarnation)
        system = NodeSystem(
            config=config,
            incarnation=incarnation,
            runtime=runtime,
            transport=transport,
            roster=roster,
            tag_store=self.tag_disk(me) if self.dynamic else self.tag_store,
            software="simulated",
            versions=self._software.get(me, OUR_VERSIONS),
        )
        return Process(system, runtime, transport)

    def boot_all(self) -> None:
        """Start the process of every provisioned node that does not run."""
        for node in self.ids:
            if node not in self.processes and (self.dynamic or node in self.storage.records):
                self.boot(node)

    def crash(self, node: int, disk: Disk = "kept") -> None:
        """End a process as kill -9 does.

        ``disk``: what the next boot finds of the incarnations: all, none, or all but the last. A
        disk that is lost has no switches of capabilities either.
        """
        process = self.processes.pop(self._known(node), None)
        if process is None:
            raise Misuse(f"node {node} does not run")
        self._note(f"crash {node}" + ("" if disk == "kept" else f", disk {disk}"))
        kept = self._incarnations[NodeId(node)]
        if disk == "lost":
            self._lose_switches(NodeId(node))
            self._removals.pop(NodeId(node), None)
            if self._tag_disks.pop(NodeId(node), None) is not None:
                self.forgot.add(NodeId(node))
        if disk != "kept":
            del kept[-1 if disk == "rolled_back" else 0 :]
        self._end(process)

    def stop(self, node: int) -> None:
        """Let a process leave as at SIGTERM: it says goodbye and flushes what is queued."""
        me = self._known(node)
        process = self.processes.pop(me, None)
        if process is None:
            raise Misuse(f"node {node} does not run")
        self._note(f"stop {node}")
        self._leaving[me] = process
        process.system.stop()

        def gone() -> None:
            if self._leaving.get(me) is process:
                self._end(self._leaving.pop(me))

        self._defer(TransportSettings().close_timeout_s, gone)

    def _end(self, process: Process) -> None:
        process.runtime.kill()
        process.transport.die()

    def pause(self, node: int) -> None:
        """Stop a process as SIGSTOP does; its kernel goes on acknowledging."""
        self._running(node).runtime.pause()
        self._note(f"pause {node}")

    def resume(self, node: int) -> None:
        """Let a paused process go on."""
        self._running(node).runtime.resume()
        self._note(f"resume {node}")

    def step_clock(self, node: int, seconds: float) -> None:
        """Set the wall clock of a node's machine forward, or back by negative ``seconds``."""
        me = self._known(node)
        self._clock_offset_s[me] = self._clock_offset_s.get(me, 0.0) + seconds
        if me in self.processes:
            self.processes[me].runtime.wall_offset_s = self._clock_offset_s[me]
        self._note(f"clock of {node} {seconds:+g} s")

    def database(self, node: int, how: Database) -> None:
        """How a node's machine reaches the database from now on."""
        me = self._known(node)
        self._databases[me] = how
        if me in self.processes:
            self.processes[me].runtime.database = how
        self._note(f"the database is {how} for {node}")

    def mend_databases(self) -> None:
        """Every machine reaches the database."""
        for node, how in sorted(self._databases.items()):
            if how != "ok":
                self.database(node, "ok")

    def expire(self, node: int) -> None:
        """Let the certificate of a node end now: what is connected stays (P17 is not built yet).

        Others refuse it from now on, each by its own clock, and no process starts with it.
        """
        me = self._known(node)
        self._certificate_ends_s[me] = ends_s = EPOCH_WALL_S + self.now
        for process in self.processes.values():
            shown = process.transport.identity
            if shown.node_id == me:
                ended = msgspec.structs.replace(shown, not_after_wall_s=ends_s)
                process.transport.identity = ended
        self._note(f"the certificate of {node} ends")

    def renew(self, node: int) -> None:
        """Put a certificate that does not end into the files of a node: its next process shows it.

        A process reads them when it starts, and only then.
        """
        self._certificate_ends_s.pop(self._known(node), None)
        self._note(f"{node} has a new certificate")

    def install(self, node: int, versions: Versions = OUR_VERSIONS) -> None:
        """Put software on a node's machine that speaks these protocol versions.

        Its next process is of it. Whatever the versions, the messages are those of today.
        """
        lowest, highest = versions
        if not 1 <= lowest <= highest:
            raise Misuse(f"protocol versions {lowest} … {highest} are no range above 0")
        self._software[self._known(node)] = versions
        self._note(f"the software of {node} speaks protocol {lowest} … {highest}")

    def outdated(self) -> list[NodeId]:
        """The nodes whose process has another certificate or software than their machine now."""
        return [node for node, process in sorted(self.processes.items()) if self._old(process)]

    def _old(self, process: Process) -> bool:
        shown, me = process.transport.identity, process.system.context.me
        ends_s = self._certificate_ends_s.get(shown.node_id, math.inf)
        versions = self._software.get(me, OUR_VERSIONS)
        return shown.not_after_wall_s != ends_s or process.versions != versions

    def _roster(self, me: NodeId, config: Config, *, provisioned: bool) -> Roster:
        if self.dynamic:
            return FixedRoster.from_config(config, self._removals[me])
        return self.storage if provisioned else OwnView(self.storage, record_of(me))

    def _config(self, me: NodeId, settings: Mapping[str, object]) -> Config:
        raw: dict[str, object] = {"node": {"id": me}}
        cluster: dict[str, object] = {"id": CLUSTER, **self.cluster_settings, **settings}
        if self.dynamic:
            raw["provisioning"] = {"mode": "static"}
            cluster["me"] = {"url": str(record_of(me).url)}
            first = {"node_id": 1, "url": str(record_of(self.ids[0]).url)}
            cluster["neighbours"] = [first] if me != 1 else []
        return read_config(
            {
                **raw,
                "cluster": [cluster],
                "capability": self.capability_settings,
                "tag": self.tag_settings,
            }
        )

    def _heard(self, node: NodeId, record: EventRecord) -> None:
        self.events.setdefault(node, []).append(record)
        self._note(record, node)

    # The rows ---------------------------------------------------------------------------------

    def provision(self, node: int, record: NodeRecord | None = None) -> None:
        """Write the row of a node, new or known; without ``record`` as at the beginning."""
        me = NodeId(node)
        self.ids = tuple(sorted({*self.ids, me}))
        self.events.setdefault(me, [])
        self.storage.write(me, record or record_of(me))
        if me in self.processes:
            self.processes[me].member = self.processes[me].genuine
        self._note(f"provision {node}")

    def remove(self, node: int) -> None:
        """Delete the row of a node."""
        self.storage.write(self._known(node), None)
        self._note(f"remove {node}")

    def disable(self, node: int) -> None:
        """Edit the row of a node: ``state`` 0."""
        self.storage.set_enabled(self._known(node), enabled=False)
        self._note(f"disable {node}")

    def enable(self, node: int) -> None:
        """Edit the row of a node: ``state`` 1."""
        self.storage.set_enabled(self._known(node), enabled=True)
        self._note(f"enable {node}")

    def _sent(self, end: Endpoint, messages: Sequence[Message]) -> None:
        for message in messages:
            self.sent[end.node, end.peer_node, type(message).__name__] += 1
        self.recorder.sent(end, messages)
