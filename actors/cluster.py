"""One cluster of an embedded node, as an application sees it. Thread-safe."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import gevent
from gevent.hub import Waiter

from ..capabilities.counters import Counters
from ..capabilities.dialogs import NAME as DIALOGS
from ..capabilities.dialogs import Dialogs
from ..capabilities.pending import Reply
from ..capabilities.replicated_dict import ReplicatedDict
from ..capabilities.replicated_map import ReplicatedMap
from ..capabilities.requests import DEFAULT_TIMEOUT_S, OnRequest, Requests
from ..capabilities.write_behind import Store
from ..protocol.contract import Capability, check_capability
from ..protocol.errors import Misuse
from .operations import Operations
from .partitioning import OnSlots, WorkPartition
from .port import CapabilityPort
from .sharing import SharingTag, Tags
from .worker import InlineWorker, Worker, attempt

if TYPE_CHECKING:
    from ..protocol.identity import ClusterId, NodeRecord
    from .life import NodeLife
    from .system import NodeSystem

PARALLEL_REQUESTS = 4
"""Requests of other nodes that are answered at the same time, by functions that may block."""

C = TypeVar("C", bound=Capability)
logger = logging.getLogger("tagmesh.capabilities")


class Cluster(Operations):
    """``node.cluster(1)``: register capabilities, or use those that are there.

    Whatever is registered before the node starts is there from its first moment on, and at each
    later start.
    """

    def __init__(self, node: NodeLife, cluster_id: ClusterId) -> None:
        super().__init__(node, cluster_id)
        self._workers: dict[str, Worker] = {}
        self._partitions: dict[str, WorkPartition] = {}
        self._tags = Tags(node, cluster_id)
        self.requests = Requests(run=node.handlers.run, parallel=PARALLEL_REQUESTS)
        """Requests that do not wait, and request and reply messages as OpenSIPS scripts send
        them."""
        for each in (self.requests, *node.own_capabilities(cluster_id)):
            self._capabilities[each.name] = each

    # Capabilities --------------------------------------------------------------------------------

    def register(self, capability: C) -> C:
        """Offer a capability here, now and at each later start; returns it, for chaining.

        `Misuse` when its name is taken or it cannot be registered as it is. One object serves one
        cluster of one node.
        """
        with self.node.in_turn():
            return self._add(capability)

    def replicated_dict(
        self,
        name: str,
        tag: str | None = None,
        *,
        store: Store | None = None,
        forward: bool = False,
    ) -> ReplicatedDict:
        """A dict that all nodes share which have one of this name; registered when it is new.

        What is written through it has ``tag``. ``store`` keeps the records beyond the life of the
        node, such as `SqlRecordStore`: what it has is loaded at once, which may block, what changes
        is written to it a moment later, and the rest when the node stops. With ``forward`` the node
        that has a record's tag is asked to write it, when that is another one, see `ReplicatedMap`.
        """

        def make() -> ReplicatedMap:
            made = ReplicatedMap(name, store=store, run=self.node.handlers.run, forward=forward)
            if store is not None:
                made.load()
            return made

        records = self._shared(name, ReplicatedMap, make)
        if store is not None and records.store is not store:
            raise Misuse(
                f"the dict {name!r} of cluster {self.cluster_id} is there already, without this"
                " store: name its store where it is made first"
            )
        if forward and not records.forward:
            raise Misuse(
                f"the dict {name!r} of cluster {self.cluster_id} is there already, made without"
                " forward: say so where it is made first"
            )
        return ReplicatedDict(records, tag)

    def counters(self, name: str = "tagmesh-counters") -> Counters:
        """Counters that all nodes share which have some of this name; registered when new."""
        return self._shared(name, Counters, lambda: Counters(name))

    def dialogs(self, name: str = DIALOGS, *, store: Store | None = None) -> Dialogs:
        """The dialogs of a SIP proxy that all nodes share; registered when new, with the counts of
        their profiles. ``store``: as of a dict."""

        def make() -> Dialogs:
            made = Dialogs(name, store=store, run=self.node.handlers.run)
            if store is not None:
                made.load()
            return made

        return self._shared(name, Dialogs, make)

    def _shared(self, name: str, kind: type[C], make: Callable[[], C]) -> C:
        known = self._capabilities.get(name)
        if isinstance(known, kind):
            return known
        with self.node.in_turn():
            known = self._capabilities.get(name)
            if known is None:
                return self._add(make())
        if not isinstance(known, kind):
            raise Misuse(
                f"the capability {name!r} of cluster {self.cluster_id} is a"
                f" {type(known).__name__}, not a {kind.__name__}: choose another name"
            )
        return known

    def _add(self, capability: C) -> C:
        """In turn: nobody starts, stops or registers meanwhile."""
        together: tuple[Capability, ...] = (capability, *capability.companions)
        for each in together:
            self._check_new(each)
        for each in together:
            if self.node.running:
                self.node.run_in_hub(partial(self._offer, each))
            self._capabilities[each.name] = each
        return capability

    def _check_new(self, capability: Capability) -> None:
        check_capability(capability)
        port = getattr(capability, "port", None)
        if isinstance(port, CapabilityPort) and not port.closed:
            raise Misuse(
                f"this {type(capability).__name__} serves node {port.node_id} in cluster"
                f" {port.cluster_id} already: make one for each"
            )
        if capability.name in self._capabilities:
            raise Misuse(
                f"cluster {self.cluster_id} has a capability {capability.name!r} on this node"
                " already"
            )

    # Sharing work --------------------------------------------------------------------------------

    def partition(
        self,
        name: str,
        *,
        on_gained: OnSlots | None = None,
        on_lost: OnSlots | None = None,
        two_phase: bool = True,
        quorum_share: float = 0.0,
        weigh: Callable[[NodeRecord], int] | None = None,
    ) -> WorkPartition:
        """How the work of a capability is divided; made at the first call, with these options.

        The functions get the slots (`protocol.partition.slot_of`) that this node works on from now
        on, or must let go: when ``on_lost`` returns, another node may work there. ``two_phase``
        False: it does not wait for that. ``quorum_share``: work only while more than this share of
        the enabled nodes is in sight. ``weigh``: 1 … 16 from this node's row, by which its share
        grows. Nodes that never call this take no part.
        """
        options = (on_gained, on_lost, two_phase, quorum_share, weigh)
        with self.node.in_turn():
            self.capability(name)
            known = self._partitions.get(name)
            if known is None:
                known = WorkPartition(*options)
                self._partitions[name] = known
                if self.node.running:
                    self.node.run_in_hub(lambda system: self._divide(name, system))
            elif options != (None, None, True, 0.0, None):
                raise Misuse(f"the work of {name!r} is divided already: ask without options")
            return known

    def get_my_index(self, name: str) -> tuple[int | None, int]:
        """See `WorkPartition.my_index`."""
        return self.partition(name).my_index()

    def _divide(self, name: str, system: NodeSystem) -> None:
        system.divide(self.cluster_id, name, self._partitions[name])
        system.wait_capability(self.cluster_id, name)

    # Sharing tags --------------------------------------------------------------------------------

    def tag(self, name: str) -> SharingTag:
        """A sharing tag: active on one node, backup on the others; declared here if it is new."""
        return self._tags.tag(name)

    # Requests ------------------------------------------------------------------------------------

    def request(self, node: int, payload: Any, timeout: float = DEFAULT_TIMEOUT_S) -> Any:
        """Ask a node and wait for its reply, at most ``timeout`` seconds.

        Raises `NodeDown`, `Unreachable`, `CapabilityDisabled`, `Busy`, `TimedOut`, `RemoteError`
        (its function raised) or `Misuse`. ``requests.request`` does the same without waiting.
        """
        in_hub = self.node.in_hub_thread()
        if not in_hub and not self.node.running:
            raise Misuse(f"node {self.node.node_id} is not running; call start() first")
        reply = self.requests.request(node, payload, timeout)
        if in_hub and not reply.done():
            self._wait(reply)
        return reply.result()

    def on_request(self, function: OnRequest, *, inline: bool = False) -> OnRequest:
        """Have ``function(payload, source)`` answer the requests of other nodes. A decorator.

        What it returns is the reply, what it raises becomes `RemoteError` there. ``inline``: it
        never waits, call it in the node's hub.
        """
        return self.requests.on_request(function, inline=inline)

    def _wait(self, reply: Reply) -> None:
        """In a greenlet of the node's hub."""
        hub = gevent.get_hub()
        if gevent.getcurrent() is hub:
            raise Misuse(
                "a request that waits would stop the node's hub: take requests.request and"
                " add_done_callback"
            )
        waiter: Waiter[Reply] = Waiter(hub)
        reply.add_done_callback(partial(hub.loop.run_callback, waiter.switch))
        waiter.get()  # every request ends, at the latest when the node stops

    # Called by the node ---------------------------------------------------------------------------

    def begin(self, system: NodeSystem) -> None:
        """The node starts; in its thread, in a greenlet that may wait."""
        self._tags.begin(system)
        for name, capability in self._capabilities.items():
            self._register(capability, system)
            if name in self._partitions:
                system.divide(self.cluster_id, name, self._partitions[name])

    def stopping(self) -> None:
        """The node stops, all its actors have ended. In its thread."""
        self.requests.give_up()

    def ended(self) -> None:
        """The node has stopped."""
        self._tags.ended()
        workers, self._workers = self._workers, {}
        for worker in workers.values():
            worker.stop()
        for partition in self._partitions.values():
            partition.end()
        for capability in self._capabilities.values():
            if isinstance(port := getattr(capability, "port", None), CapabilityPort):
                port.closed = True
            if (error := attempt(capability.on_stop)) is not None:
                logger.error("capability %s failed", capability.name, exc_info=error)

    def _offer(self, capability: Capability, system: NodeSystem) -> None:
        try:
            self._register(capability, system)
        except Misuse:
            self._workers.pop(capability.name).stop()
            raise
        system.wait_capability(self.cluster_id, capability.name)

    def _register(self, capability: Capability, system: NodeSystem) -> None:
        worker = self._worker(capability, system)
        registration = system.register(self.cluster_id, capability, worker)
        self.node.switches.restore(registration)  # its actor begins in a later turn

    def _worker(self, capability: Capability, system: NodeSystem) -> Worker:
        worker: Worker = InlineWorker()
        if not capability.inline:
            name = f"tagmesh-{self.node.node_id}-{capability.name}"
            worker = system.context.runtime.worker(name)
        self._workers[capability.name] = worker
        return worker
