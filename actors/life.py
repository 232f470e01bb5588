"""The life of an embedded node: its thread and hub, from `start` to the end of `stop`.

``start()`` runs one OS thread with a hub of its own; ``start(inline=True)`` joins the hub of the
calling greenlet in a gevent application; one that is monkey-patched is such an application, so
``start()`` means the same there. Nothing of the host is monkey-patched.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self, TypeVar

import gevent
import gevent.event

from ..protocol.config import ClusterSettings, Config, own_id
from ..protocol.errors import ForkedRuntime, Misuse, NotProvisioned, StorageUnavailable
from ..protocol.identity import ClusterId, NodeId
from ..storage import FileTagStore, FixedRoster, RemovalFile, SqlRoster, SqlTagStore
from ..storage.base import Roster, RosterSnapshot, TagStore
from ..transport import TlsTransport
from .callbacks import CallbackWorker
from .cluster import Cluster
from .flight_dump import FaultFiles
from .handlers import Handlers
from .hubcalls import (
    POLL_S,
    HubCalls,
    Reply,
    Turn,
    current_thread_id,
    sleep_in,
    threads_are_greenlets,
)
from .incarnation import take_incarnation
from .runtime import GeventRuntime, in_pool
from .switches import Switches
from .system import NodeSystem

if TYPE_CHECKING:
    from ..protocol.contract import Capability

START_TIMEOUT_S = 60.0  # beyond boot_patience
CALL_TIMEOUT_S = 30.0
FAILED_START_TIMEOUT_S = 2.0
BOOT_RETRY_S = 0.25

logger = logging.getLogger("tagmesh.node")

T = TypeVar("T")


class NodeLife:
    """Begins and ends. Made without side effects: no thread, no socket, no file until `start`."""

    software = "tagmesh"

    def __init__(self, config: Config) -> None:
        self.config = config
        self.node_id: NodeId = own_id(config)
        self._pid = os.getpid()
        self._turn = Turn()
        self._thread: threading.Thread | None = None
        self._hub_thread: int | None = None
        self._runtime: GeventRuntime | None = None
        self._calls: HubCalls | None = None
        self._transport: TlsTransport | None = None
        self._system: NodeSystem | None = None
        self._roster: Roster | None = None
        self._tag_store: TagStore | None = None
        self._finished: Any = None
        self._given_up = False
        self._callbacks = CallbackWorker(f"tagmesh-events-{self.node_id}")
        self.handlers = Handlers(f"tagmesh-handlers-{self.node_id}")
        """Where the application's functions may block."""
        self.switches = Switches(config.node.state_dir, self.node_id)
        """How operators left the capabilities."""
        self._clusters: dict[ClusterId, Cluster] = {}

    def __repr__(self) -> str:
        state = "running" if self._system is not None else "stopped"
        return f"<{type(self).__name__} {self.node_id} {state}>"

    # Life -------------------------------------------------------------------------------------

    def start(self, *, inline: bool = False) -> None:
        """Join the clusters this node is provisioned in; returns when it listens.

        Raises `NotProvisioned`, `StorageUnavailable`, `Misuse` (certificates, address in use)
        with a sentence that says what to do; nothing is left running then.
        """
        self._check_fork()
        with self.in_turn():
            if self._system is not None:
                raise Misuse(f"node {self.node_id} runs already")
            if self._thread is not None and self._thread.is_alive():
                raise Misuse(f"node {self.node_id} still ends a start that was interrupted")
            self._callbacks.start()
            try:
                if inline or threads_are_greenlets():
                    self._boot()
                else:
                    self._start_thread()
            except BaseException:
                self._callbacks.stop()
                raise
            atexit.register(self._at_exit)

    def _start_thread(self) -> None:
        started: Reply[None] = Reply()
        self._given_up = False
        self._thread = threading.Thread(
            target=self._run, args=(started,), name=f"tagmesh-node-{self.node_id}", daemon=True
        )
        self._thread.start()
        try:
            started.wait(self.config.provisioning.boot_patience_s + START_TIMEOUT_S)
        except BaseException:
            self._given_up = True  # Ctrl-C: what still starts ends by itself
            self._thread.join(FAILED_START_TIMEOUT_S)
            raise

    def stop(self) -> None:
        """Tell the peers, close, and end the thread. A second call does nothing."""
        self._end(silent=False)

    def kill(self) -> None:
        """End without a word, as a crash of the process would: for tests of what others notice."""
        self._end(silent=True)

    def _end(self, *, silent: bool) -> None:
        self._check_fork()
        with self.in_turn():
            if self._system is None:
                return
            atexit.unregister(self._at_exit)
            self._call(lambda: self._shut_down(silent=silent))
            thread, self._thread = self._thread, None
            if thread is not None and thread is not threading.current_thread():
                thread.join(CALL_TIMEOUT_S)
        for cluster in self._clusters.values():
            cluster.ended()
        self._callbacks.stop()
        self.handlers.stop()

    def _at_exit(self) -> None:
        """The program ends without `stop`: the peers are told all the same."""
        if os.getpid() == self._pid:
            self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.stop()

    def _run(self, started: Reply[None]) -> None:
        """The node's own thread: boot, serve until told to finish, take the hub down."""
        hub = gevent.get_hub()
        keep_alive = hub.loop.async_()  # a hub with nothing to watch would give up waiting
        keep_alive.start(_nothing)
        try:
            self._boot()
        except BaseException as error:  # noqa: BLE001 - handed to the caller of start
            started.give(error=error)
        else:
            if self._given_up:
                self._shut_down(silent=False)
            started.give(None)
            self._finished.wait()
        finally:
            keep_alive.stop()
            keep_alive.close()
            hub.destroy(destroy_loop=True)

    def _boot(self) -> None:
        """In the hub's thread, in a greenlet that may wait."""
        self._finished = gevent.event.Event()
        with contextlib.ExitStack() as undo:
            self._hub_thread = current_thread_id()
            undo.callback(setattr, self, "_hub_thread", None)  # the system uses ids again
            runtime = GeventRuntime()
            undo.callback(runtime.close)
            roster = self._make_roster()
            undo.callback(roster.close)
            snapshot = self._first_snapshot(runtime, roster)
            tag_store = self._make_tag_store()
            undo.callback(tag_store.close)
            transport = TlsTransport(
                self.config.tls,
                self.config.transport,
                self.node_id,
                user_timeout_s=self._detection_s(),
            )
            undo.callback(transport.close)
            system = NodeSystem(
                config=self.config,
                incarnation=take_incarnation(self.config.node.state_dir, self.node_id),
                runtime=runtime,
                transport=transport,
                roster=roster,
                tag_store=tag_store,
                software=self.software,
            )
            FaultFiles(system.context, self.config.node.state_dir)
            self.switches.load()
            undo.callback(gevent.sleep, POLL_S)  # the actors' turn to end
            undo.callback(system.stop)
            system.context.events.subscribe(self._callbacks.put)
            undo.callback(self.handlers.stop)
            self.handlers.start()
            for cluster in self._clusters_of(snapshot):
                undo.callback(cluster.ended)
                cluster.begin(system)
            system.start(snapshot)
            system.wait_begun()
            self._started_in_hub(system)
            undo.pop_all()
        self._calls = HubCalls(runtime, f"node {self.node_id} was stopped; call start() first")
        self._runtime, self._transport = runtime, transport
        self._roster, self._tag_store = roster, tag_store
        self._system = system

    def _clusters_of(self, snapshot: RosterSnapshot) -> list[Cluster]:
        """Those that the application named, and those that this node has a row in."""
        for record in snapshot.records:
            if record.node_id == self.node_id:
                self._clusters.setdefault(record.cluster_id, Cluster(self, record.cluster_id))
        return list(self._clusters.values())

    def own_capabilities(self, cluster: ClusterId) -> Iterable[Capability]:  # noqa: ARG002 - a hook
        """What the node itself offers in each of its clusters, made for this one."""
        return ()

    def _started_in_hub(self, system: NodeSystem) -> None:
        """Hook for faces that live beside the node."""

    def _stopping_in_hub(self) -> None:
        """Hook for faces that live beside the node."""

    def _shut_down(self, *, silent: bool) -> None:
        assert self._system is not None, "checked by the caller"
        assert self._transport is not None, "set with the system"
        assert self._runtime is not None, "set with the system"
        assert self._roster is not None, "set with the system"
        assert self._tag_store is not None, "set with the system"
        assert self._calls is not None, "set with the system"
        system, self._system = self._system, None
        self._stopping_in_hub()
        if silent:
            self._transport.close()
        elif system.leave("it stops"):
            gevent.sleep(POLL_S)  # so that the others hear of it
        system.stop(silent=silent)
        gevent.sleep(POLL_S)  # the actors' turn to end
        deadline = time.monotonic() + self.config.transport.close_timeout_s
        while self._transport.connections and time.monotonic() < deadline:
            gevent.sleep(POLL_S)
        self._transport.close()
        for cluster in self._clusters.values():
            cluster.stopping()
        self._calls.close()
        self._runtime.close()
        self._roster.close()
        self._tag_store.close()
        self._calls = self._hub_thread = None
        self._finished.set()

    def _detection_s(self) -> float:
        """The longest detection time: unacknowledged bytes end a connection after it (H22)."""
        clusters = self.config.clusters or (ClusterSettings(id=1),)
        return max(c.ping_interval_s + (c.ping_retries + 1) * c.ping_timeout_s for c in clusters)

    def _make_roster(self) -> Roster:
        if self.config.provisioning.mode == "static":
            removals = RemovalFile(self.config.node.state_dir, self.node_id)
            return FixedRoster.from_config(self.config, removals)
        return SqlRoster(self.config.provisioning)

    def _make_tag_store(self) -> TagStore:
        if self.config.provisioning.mode == "static":
            return FileTagStore(self.config.node.state_dir, self.node_id)
        return SqlTagStore(self.config.provisioning)

    def _first_snapshot(self, runtime: GeventRuntime, roster: Roster) -> RosterSnapshot:
        """The rows at start; a database that cannot be reached is tried for ``boot_patience``."""
        deadline = time.monotonic() + self.config.provisioning.boot_patience_s
        while True:
            try:
                snapshot = in_pool(runtime, lambda: roster.load(self.node_id))
            except StorageUnavailable as error:
                if not error.may_pass or self._given_up or time.monotonic() >= deadline:
                    raise
                logger.warning("%s; trying again", error)
                gevent.sleep(BOOT_RETRY_S)
                continue
            if not any(r.node_id == self.node_id for r in snapshot.records):
                raise NotProvisioned(f"node {self.node_id} has no row in {roster.name}")
            return snapshot

    def _check_fork(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedRuntime(
                f"node {self.node_id} was made in process {self._pid}, this is {os.getpid()}: "
                "threads and sockets do not survive a fork; make and start the node in the child"
            )

    def _running(self) -> NodeSystem:
        self._check_fork()
        if self._system is None:
            raise Misuse(f"node {self.node_id} is not running; call start() first")
        return self._system

    @property
    def running(self) -> bool:
        """It was started and not stopped."""
        return self._system is not None

    def run_in_hub(self, function: Callable[[NodeSystem], T]) -> T:
        """Call in the node's thread and wait; `Misuse` when the node does not run."""
        system = self._running()
        return self._call(lambda: function(system))

    def in_hub_thread(self) -> bool:
        """Is the caller in the thread that the node's hub runs in?"""
        return current_thread_id() == self._hub_thread

    def in_turn(self) -> AbstractContextManager[None]:
        """Starting, stopping and registering: one at a time."""
        return self._turn.taken(self.sleep)

    def _call(self, function: Callable[[], T]) -> T:
        """Run in a greenlet of the hub's thread and wait for the result."""
        calls = self._calls
        if calls is None:
            raise Misuse(f"node {self.node_id} is not running; call start() first")
        return calls.call(function, CALL_TIMEOUT_S)

    def sleep(self, seconds: float) -> None:
        """Wait without stopping the hub, should this be its thread."""
        sleep_in(self._hub_thread, seconds)


def _nothing() -> None:
    """The keep-alive watcher never fires."""
