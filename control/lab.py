"""`LocalCluster`: a whole cluster in this process, for notebooks, tests and first tries.

Real nodes with real TLS on loopback, each in a thread of its own, provisioned in a throw-away
SQLite database with a throw-away CA. Nothing stays behind.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from ..actors.flight import on_the_way
from ..protocol.config import Config
from ..protocol.errors import ForkedRuntime, Misuse
from ..protocol.identity import NodeId
from ..protocol.status import PeerStatus, Status
from .configfile import load_config
from .node import Node
from .shown import Shown, shown
from .tables import status_table
from .tables_tags import tags_table
from .workspace import Workspace

MAX_NODES = 32  # threads of this process, not a limit of clusters
POLL_S = 0.01


class LocalCluster:
    """``with LocalCluster(3) as lab:`` blocks until every link is up."""

    def __init__(self, nodes: int = 3, *, timing: dict[str, str] | None = None) -> None:
        """``timing`` overrides settings of ``[[cluster]]``. Raises `Misuse` for a bad count."""
        if not 1 <= nodes <= MAX_NODES:
            raise Misuse(f"a LocalCluster has 1 … {MAX_NODES} nodes, not {nodes}")
        self._count = nodes
        self._timing = timing
        self._pid = os.getpid()
        self._folder: Path | None = None
        self._configs: dict[int, Config] = {}
        self._nodes: dict[int, Node] = {}

    # Life -------------------------------------------------------------------------------------

    def start(self, timeout: float = 30.0) -> None:
        """Make CA, database and nodes, start them and wait until all links are up."""
        if self._folder is not None:
            raise Misuse("this LocalCluster runs already")
        # no TemporaryDirectory: it would remove the files when a forked child ends
        self._folder = Path(tempfile.mkdtemp(prefix="tagmesh-lab-"))
        atexit.register(self._at_exit)
        try:
            space = Workspace(
                self._folder, self._count, timing=self._timing, admin=False, names="lab"
            )
            self._configs = {n: load_config(space.config(n)) for n in space.ids}
            for node_id in self._configs:
                self._start_node(node_id)
            self.wait_all_up(timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every node and remove every file."""
        if os.getpid() != self._pid:
            raise ForkedRuntime("this LocalCluster was made in another process; leave it alone")
        for node in self._nodes.values():
            node.stop()
        self._nodes.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None
            atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:
            self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.stop()

    def _start_node(self, node_id: int) -> None:
        node = Node(self._configs[node_id])
        node.start()
        self._nodes[node_id] = node

    # Nodes ------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self._nodes.values()))

    def __len__(self) -> int:
        return len(self._nodes)

    def __getitem__(self, node_id: int) -> Node:
        """The running node of that id (ids begin at 1)."""
        if node_id not in self._nodes:
            raise Misuse(f"node {node_id} does not run; running: {sorted(self._nodes)}")
        return self._nodes[node_id]

    def __str__(self) -> str:
        return "\n".join(shown(status_table(node.status())) for node in self)

    def __repr__(self) -> str:
        return str(self) if self._nodes else "<LocalCluster, not running>"

    def tags(self) -> Shown:
        """The sharing tags, as each node sees them."""
        return Shown("\n".join(shown(tags_table(node.status())) for node in self))

    def kill(self, node_id: int) -> None:
        """End a node without a word, as kill -9 would: its connections just break."""
        node = self[node_id]
        del self._nodes[node_id]
        node.kill()

    def restart(self, node_id: int) -> None:
        """Start a killed node again."""
        if node_id in self._nodes or node_id not in self._configs:
            raise Misuse(f"node {node_id} was not killed")
        self._start_node(node_id)

    # Faults -----------------------------------------------------------------------------------

    def cut(self, a: int, b: int) -> None:
        """Break the direct path between two nodes, in both directions."""
        self[a].cut(b)
        self[b].cut(a)

    def heal(self, a: int, b: int) -> None:
        """Mend what `cut` broke."""
        self[a].heal(b)
        self[b].heal(a)

    # Waiting ----------------------------------------------------------------------------------

    def until(self, condition: Callable[[], bool] | str, timeout: float = 10.0) -> None:
        """Wait until ``condition()`` holds; `TimeoutError` with the status tables otherwise.

        In words: ``"2 is Down"`` (or ``Up``) for all others, ``"vip1 is active on 2"``.
        """
        holds = condition if callable(condition) else self._in_words(condition)
        deadline = time.monotonic() + timeout
        while not holds():
            if time.monotonic() >= deadline:
                raise TimeoutError(f"not so within {timeout:g} s:\n{self}")
            time.sleep(POLL_S)

    def wait_all_up(self, timeout: float = 30.0) -> None:
        """Wait until every running node has an Up link with, and a path to, every other one."""
        self.until(lambda: all(self._all_up(n.status()) for n in self), timeout)

    def wait_route(self, a: int, b: int, via: int | None = None, timeout: float = 10.0) -> None:
        """Wait until ``a`` reaches ``b``: through next hop ``via``, or directly without it."""
        hop = b if via is None else via
        self.until(lambda: self.peer(a, b).next_hop == hop, timeout)

    def wait_link(self, a: int, b: int, link: str, timeout: float = 10.0) -> None:
        """Wait until ``a`` shows its link with ``b`` as ``Up``, ``Probe`` or ``Down``."""
        self.until(lambda: self.peer(a, b).link == link, timeout)

    def settle(self, timeout: float = 30.0) -> None:
        """Wait until nothing is in flight: every sync that can be done is done, and what was sent
        has been handled by whoever it can reach. `TimeoutError` says what is not."""
        deadline = time.monotonic() + timeout
        before = None
        while True:
            flights = {NodeId(node.node_id): node.flight() for node in self}
            unfinished = on_the_way(flights)
            if not unfinished and flights == before:
                return
            if time.monotonic() >= deadline:
                raise TimeoutError(
                    f"not settled within {timeout:g} s: {'; '.join(unfinished) or 'still busy'}"
                )
            before = flights
            time.sleep(POLL_S)

    def peer(self, a: int, b: int) -> PeerStatus:
        """Node ``b`` as ``a`` sees it."""
        for peer in self[a].status().clusters[0].peers:
            if peer.node_id == b:
                return peer
        raise Misuse(f"node {a} knows no node {b}")

    def _in_words(self, text: str) -> Callable[[], bool]:
        match text.split():
            case [node, "is", "Up" | "Down" as link] if node.isdecimal():
                other = int(node)
                return lambda: all(
                    self.peer(n.node_id, other).link == link for n in self if n.node_id != other
                )
            case [tag, "is", "active", "on", node] if node.isdecimal():
                holder = self[int(node)]
                return lambda: (
                    tag
                    in [
                        t.name
                        for c in holder.status().clusters
                        for t in c.tags
                        if t.state == "active"
                    ]
                )
        raise Misuse(f'{text!a}: say "2 is Down", "2 is Up" or "vip1 is active on 2"')

    def _all_up(self, status: Status) -> bool:
        return all(
            peer.connected
            for cluster in status.clusters
            for peer in cluster.peers
            if peer.node_id in self._nodes
        )
