"""A node inside an application: every public call thread-safe; how it lives is told in `life`.

Callbacks of the application run in worker threads, never in the hub.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from ..capabilities.counters import Counters
from ..capabilities.replicated_dict import ReplicatedDict
from ..capabilities.requests import DEFAULT_TIMEOUT_S, OnRequest
from ..capabilities.write_behind import Store
from ..protocol.errors import Misuse, StorageUnavailable, TimedOut
from ..protocol.events import Event, EventRecord
from ..protocol.explaining import Explanation
from ..protocol.flight_recorder import to_bytes
from ..protocol.identity import BinsUrl, ClusterId, NodeId
from ..protocol.messages import MAX_TEXT_CHARS
from ..protocol.status import Status
from ..transport import TlsTransport
from .actor import NoReply, ReplyFuture
from .cluster import Cluster
from .flight import Flight, flight_of
from .flight_dump import recording
from .hubcalls import POLL_S
from .life import NodeLife
from .mail import ReloadWanted, RosterWanted
from .removal_mail import RemoveWanted
from .runtime import GeventRuntime
from .sharing import SharingTag
from .system import NodeSystem
from .why import why

T = TypeVar("T")


class EmbeddedNode(NodeLife):
    """One node."""

    _first: int | None = None
    """The cluster that is meant when none is named, once it is known."""

    @property
    def url(self) -> BinsUrl:
        """Where this node listens for other nodes."""
        return self._running().url

    def status(self) -> Status:
        """The node and its clusters as they are now."""
        system = self._running()
        asked_s = time.monotonic()

        def answer() -> Status:
            lag_s = time.monotonic() - asked_s
            transport, runtime = self._the_transport(), self._the_runtime()
            return msgspec.structs.replace(
                system.status(),
                certificate_ends_wall_s=transport.certificate_ends_wall_s,
                inboxes=system.context.supervisor.waiting(),
                traffic=transport.tally.told(),
                storage_calls=runtime.pool_calls.told(),
                hub_lag_s=lag_s,
            )

        return self._call(answer)

    def reload(self) -> None:
        """Use what the files of ``[tls]`` hold now, and read the provisioned nodes soon.

        Links that are there stay, and keep the certificate they were made with. Raises `Misuse`
        when a file is not good; then the certificate in use stays in use.
        """
        self._running()
        self._call(self._the_transport().reload)
        self.run_in_hub(
            lambda system: system.context.supervisor.tell(("storage",), RosterWanted("reload"))
        )

    def reload_rows(self, timeout: float = 5.0) -> None:
        """Read the provisioned nodes and wait until that is done; links whose rows are as they
        were are not disturbed (D-8).

        Raises `Misuse` in static mode, `StorageUnavailable` when the rows cannot be read within
        ``timeout`` seconds: then those read before go on deciding.
        """
        self._running()
        if self.config.provisioning.mode != "database":
            raise Misuse('[provisioning] mode = "static": there are no rows to read again')
        failed: str = self.run_in_hub(lambda system: _reload(system, timeout))
        if failed:
            raise StorageUnavailable(failed)

    def remove_node(self, cluster: int, node: int, *, by: str = "", timeout: float = 5.0) -> bool:
        """Remove another node from a cluster, whatever its state; False = it was already (X-1).

        With a database its row is deleted; without one every node that hears of it refuses the
        node for ``removal_memory``. All nodes close their links with it, and it gives up its tags.
        ``by`` is told to whoever asks why. Raises `Unknown` when there is no such node, `Misuse`
        for this one, `StorageUnavailable`, and `TimedOut`: then it may be removed or not.
        """
        self._running()
        if node == self.node_id:
            raise Misuse(f"node {node} is this one: have another one remove it, or stop it")
        return self._about_removal(cluster, node, by, timeout, lifted=False)

    def readmit_node(self, cluster: int, node: int, *, by: str = "", timeout: float = 5.0) -> bool:
        """Take a removal back, where there is no database; False = there is none (X-5).

        The other nodes hear of it; the node itself, if it knows of its removal, must be told there.
        Raises `Misuse` where a database says who may join: provision the node there.
        """
        self._running()
        if self.config.provisioning.mode == "database":
            raise Misuse("the database says who may join: `tagmesh db add` provisions the node")
        return self._about_removal(cluster, node, by, timeout, lifted=True)

    def _about_removal(
        self, cluster: int, node: int, by: str, timeout_s: float, *, lifted: bool
    ) -> bool:
        by = by or f"node {self.node_id}"
        wanted = RemoveWanted(ClusterId(cluster), NodeId(node), by[:MAX_TEXT_CHARS], lifted=lifted)
        return self.run_in_hub(lambda system: _wait(system, wanted, timeout_s))

    def why(self, kind: str, name: str | int, cluster: int | None = None) -> Explanation:
        """How something stands here, and the decisions that led to it (B14).

        ``kind``: ``node`` or ``link`` (``name``: the node's id), ``cap`` or ``tag``. Without a
        ``cluster`` the node's first one. Print its `lines`; its `roots` are what to look at. Raises
        `Unknown` for what is not there.
        """
        where = ClusterId(self._first_cluster() if cluster is None else cluster)
        subject = where, kind, str(name)
        return self.run_in_hub(lambda system: why(system.context, system.ask, *subject))

    def recording(self) -> bytes:
        """The last messages of every link as a file for ``tagmesh flight decode``.

        Heads and what carries the state of the cluster; no payload of an application (B14).
        """
        return to_bytes(self.run_in_hub(recording))

    # Clusters ------------------------------------------------------------------------------------

    def cluster(self, cluster: int | None = None) -> Cluster:
        """The way to the capabilities of one cluster; there whether the node runs or not.

        Without an id the node's first cluster: the first one in its configuration, or else the one
        with the lowest id that it has a row in; before the start that is not known (`Misuse`).
        """
        number = ClusterId(self._first_cluster() if cluster is None else cluster)
        known = self._clusters.get(number)
        if known is not None:
            return known
        with self.in_turn():
            if number not in self._clusters:
                made = Cluster(self, number)
                if self.running:
                    self.run_in_hub(made.begin)
                    self.run_in_hub(lambda system: system.wait_begun())
                self._clusters[number] = made
            return self._clusters[number]

    def _first_cluster(self) -> int:
        if self._first is None and self.config.clusters:
            self._first = self.config.clusters[0].id
        if self._first is None and self.running:
            mine = self.run_in_hub(lambda system: system.clusters())
            self._first = mine[0] if mine else None
        if self._first is None:
            raise Misuse(
                f"which cluster? Node {self.node_id} has no [[cluster]] in its configuration"
                f"{'' if self.running else ' and does not run yet'}: name one, as node.cluster(1)"
            )
        return self._first

    def replicated_dict(
        self,
        name: str,
        tag: str | None = None,
        *,
        store: Store | None = None,
        forward: bool = False,
    ) -> ReplicatedDict:
        """See `Cluster.replicated_dict`; of the node's first cluster, as the next four."""
        return self.cluster().replicated_dict(name, tag, store=store, forward=forward)

    def counters(self, name: str = "tagmesh-counters") -> Counters:
        """See `Cluster.counters`."""
        return self.cluster().counters(name)

    def tag(self, name: str) -> SharingTag:
        """See `Cluster.tag`."""
        return self.cluster().tag(name)

    def request(self, node: int, payload: Any, timeout: float = DEFAULT_TIMEOUT_S) -> Any:
        """See `Cluster.request`."""
        return self.cluster().request(node, payload, timeout)

    def on_request(self, function: OnRequest, *, inline: bool = False) -> OnRequest:
        """See `Cluster.on_request`."""
        return self.cluster().on_request(function, inline=inline)

    def trace_route(self, cluster: int, node: int, timeout: float = 2.0) -> list[int]:
        """The nodes that a message to ``node`` passes, the destination last.

        Raises `NodeDown` when ``timeout`` seconds pass without an answer, `Misuse` for a cluster
        this node is not in.
        """
        system = self._running()
        return [
            int(n)
            for n in self._call(
                lambda: system.trace_route(ClusterId(cluster), NodeId(node), timeout)
            )
        ]

    def cut(self, node: int) -> None:
        """Test switch: end the connection with ``node`` and refuse new ones (``fault_switch``)."""
        self._running()
        self._check_fault_switch()
        self._call(lambda: self._the_transport().block(NodeId(node)))

    def heal(self, node: int) -> None:
        """Undo `cut`, and dial at once."""
        system = self._running()
        self._check_fault_switch()

        def mend() -> None:
            self._the_transport().unblock(NodeId(node))
            system.dial_now(NodeId(node))

        self._call(mend)

    def _the_runtime(self) -> GeventRuntime:
        assert self._runtime is not None, "set while the system runs"
        return self._runtime

    def _the_transport(self) -> TlsTransport:
        assert self._transport is not None, "set while the system runs"
        return self._transport

    def _check_fault_switch(self) -> None:
        if not self.config.admin.fault_switch:
            raise Misuse("links can be cut only with fault_switch = true in [admin]")

    def flight(self) -> Flight:
        """What of this node's data is still on its way; for laboratories, see `flight`."""
        return self.run_in_hub(flight_of)

    def until(self, condition: Callable[[Status], bool], timeout: float = 10.0) -> Status:
        """Wait until ``condition(status)`` holds and return that status.

        Raises `TimeoutError` with the last status after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            status = self.status()
            if condition(status):
                return status
            if time.monotonic() >= deadline:
                raise TimeoutError(f"node {self.node_id}: not so within {timeout:g} s: {status}")
            self.sleep(POLL_S)

    def wait_ready(self, timeout: float = 10.0) -> None:
        """Wait until the node is provisioned and enabled and the syncs of its start are done.

        `TimeoutError` says what is missing.
        """
        deadline = time.monotonic() + timeout
        while not (status := self.status()).ready or not status.healthy:
            if time.monotonic() >= deadline:
                missing = "; ".join(status.waits_for) or "its actors crash, see the log"
                raise TimeoutError(
                    f"node {self.node_id} is not ready after {timeout:g} s: {missing}"
                )
            self.sleep(POLL_S)

    def on(self, *kinds: Event) -> Callable[[Callable[[EventRecord], None]], Any]:
        """Decorator: call the function, in a worker thread, for each event of these kinds."""

        def register(function: Callable[[EventRecord], None]) -> Callable[[EventRecord], None]:
            self._callbacks.register(function, frozenset(kinds) or frozenset(Event))
            return function

        return register

    def events(self) -> Iterator[EventRecord]:
        """The last events of this node (at most `eventlog.RING_EVENTS`), oldest first."""
        system = self._running()
        return iter(self._call(lambda: list(system.context.events.ring)))


def _wait(system: NodeSystem, wanted: RemoveWanted, timeout_s: float) -> bool:
    future: ReplyFuture = system.ask(("storage",), wanted)
    try:
        answer: bool | Exception = future.get(timeout=timeout_s)
    except NoReply:
        raise TimedOut(
            f"the storage has not answered for {timeout_s:g} s; it may come to pass yet"
        ) from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _reload(system: NodeSystem, timeout_s: float) -> str:
    future: ReplyFuture = system.ask(("storage",), ReloadWanted())
    try:
        return str(future.get(timeout=timeout_s))
    except NoReply:
        return f"the database has not answered for {timeout_s:g} s"
