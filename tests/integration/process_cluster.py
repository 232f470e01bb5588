"""Real node processes for tests: started, watched over HTTP, stopped by process id."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tagmesh.control.client import MiClient, NoAnswer
from tagmesh.control.workspace import Workspace
from tagmesh.protocol.errors import TagmeshError
from tagmesh.protocol.status import PeerStatus, Status

POLL_S = 0.005
_BUG = re.compile("Traceback|actor .* crashed")
"""What no node may ever log, whatever happens to it."""
CALM_POLL_S = 0.03
"""For tests that do not measure: each look costs the nodes some milliseconds."""


class ProcessCluster:
    """``count`` nodes of a `Workspace`; a context manager that leaves no process behind."""

    def __init__(
        self,
        folder: Path,
        count: int = 3,
        *,
        environ: Mapping[str, str] | None = None,
        poll_s: float = POLL_S,
        **space: object,
    ) -> None:
        """``environ``: variables added to that of the processes."""
        self._poll_s = poll_s
        self._use(Workspace(folder, count, **space), environ)  # type: ignore[arg-type]

    def _use(self, space: Workspace, environ: Mapping[str, str] | None) -> None:
        self.space = space
        self._environ = {**os.environ, **(environ or {})}
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    @classmethod
    def of(cls, space: Workspace) -> ProcessCluster:
        """The processes of a workspace that is there already."""
        cluster = cls.__new__(cls)
        cluster._poll_s = POLL_S
        cluster._use(space, None)
        return cluster

    def __enter__(self) -> ProcessCluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exc_info: object) -> None:
        self._end()
        if kind is None:
            bugs = {node: text for node in self.space.ids if _BUG.search(text := self._log(node))}
            assert bugs == {}, self.logs()

    def _end(self) -> None:
        for process in self.processes.values():
            process.kill()
            os.kill(process.pid, signal.SIGCONT) if process.poll() is None else None
        for process in self.processes.values():
            process.wait(10)

    def start(self, *nodes: int) -> None:
        """Start the processes (all when none is named)."""
        for node in nodes or self.space.ids:
            config = str(self.space.config(node))
            with self.log(node).open("ab") as log:
                self.processes[node] = subprocess.Popen(
                    [sys.executable, "-m", "tagmesh", "node", "run", "-c", config],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environ,
                )

    def log(self, node: int) -> Path:
        return self.space.folder / f"node-{node}" / "log"

    def kill(self, node: int) -> None:
        """SIGKILL."""
        process = self.processes.pop(node)
        process.kill()
        process.wait(10)

    def signal(self, node: int, number: signal.Signals) -> None:
        self.processes[node].send_signal(number)

    def client(self, node: int) -> MiClient:
        return MiClient(f"http://{self.space.admin[node]}", timeout_s=2.0)

    def status(self, node: int) -> Status:
        return self.client(node).state()[0]

    def peer(self, node: int, other: int) -> PeerStatus:
        (found,) = [p for p in self.status(node).clusters[0].peers if p.node_id == other]
        return found

    def listening(self, node: int) -> bool:
        try:
            self.status(node)
        except NoAnswer:
            return False
        return True

    def all_up(self) -> bool:
        """Every running node shows an Up link with, and a direct route to, every running one."""
        for node in self.processes:
            if not self.listening(node):
                return False
            peers = {p.node_id: p for p in self.status(node).clusters[0].peers}
            others = [n for n in self.processes if n != node]
            if not all(peers[n].link == "Up" and peers[n].next_hop == n for n in others):
                return False
        return True

    def _log(self, node: int) -> str:
        return self.log(node).read_text() if self.log(node).exists() else ""

    def logs(self) -> str:
        """What every node has said."""
        return "\n".join(f"--- {node}\n{self._log(node)}" for node in self.space.ids)

    def until(self, condition: Callable[[], bool], timeout: float) -> float:
        """Seconds until ``condition()`` held; fails with every node's log after ``timeout``."""
        begin = time.monotonic()
        try:
            while not condition():
                if time.monotonic() - begin > timeout:
                    raise AssertionError(f"not so within {timeout:g} s\n{self.logs()}")
                time.sleep(self._poll_s)
        except TagmeshError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from error
        return time.monotonic() - begin
