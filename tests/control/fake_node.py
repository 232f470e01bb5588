"""A node that is a hand-made status: what the faces for people are tested against."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

import gevent
import gevent.event
import msgspec

from tagmesh.control import http
from tagmesh.control.port import NodePort
from tagmesh.control.subscriptions import Subscriptions
from tagmesh.protocol.capability_words import Answer
from tagmesh.protocol.config import read_config
from tagmesh.protocol.contract import Capability, Progress, SyncReport
from tagmesh.protocol.errors import Misuse, NodeDown, Unknown
from tagmesh.protocol.events import Event, EventRecord
from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.status import (
    CapabilityStatus,
    ClusterStatus,
    Distribution,
    DonorSession,
    PeerCapability,
    PeerStatus,
    PlanStatus,
    RefusalStatus,
    Status,
    TagStatus,
)
from tests.control.fake_cluster_port import FakeCluster
from tests.control.fake_why import explanation, recorded

STARTED_WALL_S = 1_790_000_000.0


def peer(node_id: int, **changes: Any) -> PeerStatus:
    up = PeerStatus(
        node_id=node_id,
        db_id=node_id + 10,
        url=f"bins:10.0.0.{node_id}:5556",
        description=f"node-{node_id}",
        state="enabled",
        link="Up",
        link_state="UP",
        next_hop=node_id,
        route=[node_id],
        rtt_s=0.0004,
        rtts=Distribution(bounds_s=[0.001, 0.01], counts=[1, 1, 0], sum_s=0.0054),
        incarnation=1,
        since_s=12.0,
        why="",
    )
    return msgspec.structs.replace(up, **changes)


def capability(name: str, **changes: Any) -> CapabilityStatus:
    fine = CapabilityStatus(
        name=name,
        state="ok",
        reason="synced from node 2",
        enabled=True,
        without_data=False,
        progress=None,
        donating=[],
        last_report=SyncReport(
            ok=True, donor=NodeId(2), items=1000, bytes=80_000, seconds=0.5, plan_id=1
        ),
        quarantined=0,
        records_taken=1000,
        records_given=50,
        plans=[PlanStatus(plan_id=1, state="dropped", reason="", records=30, dropped=30)],
    )
    return msgspec.structs.replace(fine, **changes)


def syncing(name: str) -> CapabilityStatus:
    """61 % of it has come from node 2, and node 3 is being served at the same time."""
    half = Progress(
        donor=NodeId(2), state="receiving", done=15310, total=25000, bytes=2_000_000, seconds=4.0
    )
    serving = DonorSession(joiner=3, state="sending", done=5, total=10, bytes=600)
    return capability(
        name,
        state="syncing",
        reason="",
        progress=half,
        donating=[serving],
        last_report=None,
        plans=[],
    )


def tag(name: str, **changes: Any) -> TagStatus:
    unused = TagStatus(
        name=name,
        state="backup",
        mode="manual",
        declared=True,
        holder=None,
        why="nobody has claimed it yet",
        number=0,
        owner=None,
    )
    return msgspec.structs.replace(unused, **changes)


def refusal(**changes: Any) -> RefusalStatus:
    stranger = RefusalStatus(
        node_id=9,
        direction="incoming",
        by="us",
        address="10.0.0.9:40000",
        reason="unknown_node",
        detail="node 9 has no row",
        count=3,
        last_wall_s=STARTED_WALL_S + 60,
    )
    return msgspec.structs.replace(stranger, **changes)


def event(sequence: int, **changes: Any) -> EventRecord:
    down = EventRecord(
        sequence=sequence,
        wall_s=STARTED_WALL_S + sequence,
        kind=Event.NODE_DOWN,
        cluster_id=ClusterId(1),
        node_id=NodeId(3),
        incarnation=4,
        cause="no pong for 2 s",
    )
    return msgspec.structs.replace(down, **changes)


SEEDED = PeerCapability(
    name="usrloc-contact-repl", state="ok", reason="seed, and no donor for 5 s", without_data=True
)


def make_status(**changes: Any) -> Status:
    """Node 1 of three: 2 is up, 3 is down and reached through 2, 4 has a bad row."""
    cluster = ClusterStatus(
        cluster_id=1,
        enabled=True,
        peers=[
            peer(2, capabilities=[PeerCapability(name="dialog-dlg-repl", state="ok"), SEEDED]),
            peer(
                3,
                capabilities=[
                    PeerCapability(name="dialog-dlg-repl", state="pending", reason="no donor")
                ],
                description=None,
                link="Down",
                link_state="DOWN",
                next_hop=2,
                route=[2, 3],
                rtt_s=None,
                rtts=None,
                why="cut by the test switch",
            ),
            peer(
                4,
                state="invalid",
                link="Down",
                next_hop=None,
                route=[],
                rtt_s=None,
                rtts=None,
                why="url 'http:x' must have the form bins:host[:port]",
            ),
        ],
        topology=[(1, [2]), (2, [1, 3]), (3, [2])],
        capabilities=[capability("dialog-dlg-repl"), syncing("usrloc-contact-repl")],
        tags=[
            tag("vip1", state="active", holder=1, why="MI command", number=3, owner=1),
            tag("vip2", declared=False, holder=2, why="asked", number=7, owner=2),
        ],
    )
    whole = Status(
        node_id=1,
        description="node-a",
        url="bins:10.0.0.1:5556",
        software="tagmesh 0.1.0",
        incarnation=5,
        started_wall_s=STARTED_WALL_S,
        uptime_s=61.5,
        healthy=True,
        ready=True,
        roster="table clusterer, read 1 s ago",
        roster_error=None,
        clusters=[cluster],
        invalid_rows=["row 14: url 'http:x' must have the form bins:host[:port]"],
        refusals=[],
        crashes=0,
        actors={"gate": 1, "link": 2},
        inboxes={"gate": 0, "link": 5},
    )
    return msgspec.structs.replace(whole, **changes)


class FakeNode:
    """Satisfies NodePort. ``hold`` keeps `trace_route` waiting until it is set."""

    def __init__(self, status: Status | None = None) -> None:
        self.current = make_status() if status is None else status
        self.fault_switch = True
        self.switched: list[tuple[str, int]] = []
        self.down: set[int] = set()
        self.noted: list[tuple[str, str, str, str]] = []
        """What the audit was told."""
        self.asked: list[tuple[Any, ...]] = []
        """What was done with capabilities."""
        self.answer = Answer.TAKEN
        self.capabilities: dict[str, Capability] = {}
        """The objects behind the status, as far as somebody asks for them."""
        self.broken: Exception | None = None
        self.broken_rows: Exception | None = None
        self.removed: set[tuple[int, int]] = set()
        self.broken_tag: Exception | None = None
        self.records: list[EventRecord] = []
        """Its events."""
        self.subscriptions = Subscriptions()
        self.config = read_config(
            {"node": {"id": 1}, "provisioning": {"url": "postgresql://ops:secret@db/opensips"}}
        )
        self.hold: threading.Event | None = None
        self.held = threading.Semaphore(0)
        """Released by each trace that begins to wait."""

    def status(self) -> Status:
        if self.broken is not None:
            raise self.broken
        return self.current

    def events(self) -> Iterable[EventRecord]:
        return list(self.records)

    def trace_route(self, cluster: int, node: int, timeout: float) -> list[int]:
        if self.hold is not None:
            self.held.release()
            assert self.hold.wait(10)
        if node in self.down:
            raise NodeDown(f"node {node} did not answer within {timeout:g} s")
        peers = [p for c in self.current.clusters if c.cluster_id == cluster for p in c.peers]
        return next(p.route for p in peers if p.node_id == node)

    why = staticmethod(explanation)
    recording = staticmethod(recorded)

    def cluster(self, cluster: int) -> FakeCluster:
        return FakeCluster(self)

    def reload_rows(self, timeout: float) -> None:
        if isinstance(self.broken_rows, Exception):
            raise self.broken_rows
        self.asked.append(("reload", timeout))

    def remove_node(self, cluster: int, node: int, *, timeout: float) -> bool:
        self.asked.append(("remove", cluster, node, timeout))
        return self._removal(cluster, node, removed=True)

    def readmit_node(self, cluster: int, node: int, *, timeout: float) -> bool:
        self.asked.append(("readmit", cluster, node, timeout))
        return self._removal(cluster, node, removed=False)

    def _removal(self, cluster: int, node: int, *, removed: bool) -> bool:
        if isinstance(self.broken_rows, Exception):
            raise self.broken_rows
        if node == 9:
            raise Unknown(f"there is no node {node} in cluster {cluster}")
        news = ((cluster, node) in self.removed) != removed
        (self.removed.add if removed else self.removed.discard)((cluster, node))
        return news

    def note(self, who: str, command: str, arguments: str, outcome: str) -> None:
        self.noted.append((who, command, arguments, outcome))

    def cut(self, node: int) -> None:
        self._switch("cut", node)

    def heal(self, node: int) -> None:
        self._switch("heal", node)

    def _switch(self, what: str, node: int) -> None:
        if not self.fault_switch:
            raise Misuse("set [admin] fault_switch = true to cut links")
        self.switched.append((what, node))


class Stoppable(Protocol):
    """A server of any kind."""

    def stop(self) -> None: ...


Server = TypeVar("Server", bound=Stoppable)


@contextlib.contextmanager
def served(node: NodePort, address: str = "127.0.0.1:0", **options: Any) -> Iterator[str]:
    """The url of an HTTP server for ``node``."""
    with in_a_hub(lambda: http.serve(node, address, **options)) as server:
        yield server.url


@contextlib.contextmanager
def in_a_hub(start: Callable[[], Server]) -> Iterator[Server]:
    """What ``start`` makes, running in a thread and hub of its own."""
    started = threading.Event()
    servers: list[Server] = []
    stop: list[Callable[[], None]] = []

    def run() -> None:
        hub = gevent.get_hub()
        stopping = gevent.event.Event()
        try:
            servers.append(start())
            stop.append(lambda: hub.loop.run_callback_threadsafe(stopping.set))
        finally:
            started.set()
        # A timer keeps the loop alive and its wake-ups prompt while nothing else is due.
        while not stopping.wait(0.05):
            pass
        servers[0].stop()
        hub.destroy(destroy_loop=True)

    thread = threading.Thread(target=run, name="face", daemon=True)
    thread.start()
    try:
        assert started.wait(10), "the server did not start"
        assert servers, "the server could not start"
        yield servers[0]
    finally:
        if stop:
            stop[0]()
        thread.join(10)
    assert not thread.is_alive(), "the server did not stop"
