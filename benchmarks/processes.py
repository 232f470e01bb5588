"""Real node processes, watched without disturbing them.

What a node does is read from its log, which is a pipe: a thread per node stamps each line with
``time.monotonic()`` as it arrives. Asking over HTTP instead would cost the node milliseconds of
the very time that is measured. When a node begins to listen is read from the kernel's table of
sockets (``/proc/net/tcp``), every `LISTEN_POLL_S`; its own line "listens at" comes later, when the
management interface answers too. All instants are seconds of ``time.monotonic()``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from tagmesh.control.workspace import Workspace

from .report import BenchmarkFailed

LISTEN_POLL_S = 0.002
TIMEOUT_S = 60.0
"""A benchmark that waits longer than this has failed."""
END_TIMEOUT_S = 10.0
LOG_LINES = 12
"""Last lines of each node's log shown when a benchmark fails."""

_LISTEN = "0A"
_ENDING = (signal.SIGINT, signal.SIGTERM)


def clean_environment() -> dict[str, str]:
    """The environment without settings of tagmesh, so that figures do not depend on them."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TAGMESH_")}


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="tagmesh-bench-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM come after the block. Main thread only.

    A signal between the birth of a process and the line that keeps it would leave it behind.
    """
    came: list[int] = []
    handlers = {n: signal.signal(n, lambda number, _: came.append(number)) for n in _ENDING}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for pending in came:
            signal.raise_signal(pending)


class Nodes:
    """Node processes of a workspace; a context manager that leaves no process behind."""

    def __init__(self, space: Workspace) -> None:
        self.space = space
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._readers: dict[int, threading.Thread] = {}
        self._logs: dict[int, deque[str]] = {}
        self._news = threading.Condition()
        self._links: dict[tuple[int, int], tuple[str, float]] = {}
        self._active: dict[tuple[str, int], float] = {}
        """(tag, node on which it is active) → since when."""

    def __enter__(self) -> Nodes:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        for process in self._processes.values():
            process.kill()  # ends a stopped process too
        for node in list(self._processes):
            self._forget(node)

    def start(self, *nodes: int) -> float:
        """Spawn the processes; the instant just before."""
        begin = time.monotonic()
        for node in nodes:
            self._links = {pair: seen for pair, seen in self._links.items() if pair[0] != node}
            with uninterrupted():
                self._spawn(node)
        return begin

    def _spawn(self, node: int) -> None:
        config = str(self.space.config(node))
        process = subprocess.Popen(
            [sys.executable, "-m", "tagmesh", "node", "run", "--log", "json", "-c", config],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        )
        self._processes[node] = process
        assert process.stderr is not None, "it is a pipe"
        self._logs[node] = deque(maxlen=LOG_LINES)
        reader = threading.Thread(target=self._read, args=(node, process.stderr), daemon=True)
        self._readers[node] = reader
        reader.start()

    def kill(self, node: int) -> float:
        """SIGKILL; the instant just before."""
        instant = time.monotonic()
        self._processes[node].kill()
        self._forget(node)
        self._active = {where: at for where, at in self._active.items() if where[1] != node}
        return instant

    def pause(self, node: int) -> float:
        """SIGSTOP; the instant just before."""
        instant = time.monotonic()
        self._processes[node].send_signal(signal.SIGSTOP)
        return instant

    def resume(self, node: int) -> None:
        """SIGCONT."""
        self._processes[node].send_signal(signal.SIGCONT)

    def pid(self, node: int) -> int:
        return self._processes[node].pid

    def wait_listening(self, *nodes: int) -> float:
        """The instant at which the last of ``nodes`` began to listen for other nodes."""
        ports = {int(self.space.urls[node].rpartition(":")[2]) for node in nodes}
        return self._wait_ports(ports, f"nodes {nodes} do not listen")

    def wait_answering(self, node: int) -> None:
        """Wait until the management interface of a node answers."""
        port = int(self.space.admin[node].rpartition(":")[2])
        self._wait_ports({port}, f"node {node} does not answer")

    def wait_links(self, pairs: Iterable[tuple[int, int]], state: str) -> float:
        """Wait until each (observer, peer) shows ``state``; the instant of the last change."""
        wanted = list(pairs)
        deadline = time.monotonic() + TIMEOUT_S
        with self._news:
            while not all(self._shown(pair) == state for pair in wanted):
                self._check(deadline, f"not all of the links {wanted} are {state}")
                self._news.wait(1.0)
            return max(self._links[pair][1] for pair in wanted)

    def wait_tag(self, tag: str) -> tuple[int, float]:
        """The node on which a sharing tag is active, and since when; waits until there is one."""
        deadline = time.monotonic() + TIMEOUT_S
        with self._news:
            while not (found := [(n, at) for (t, n), at in self._active.items() if t == tag]):
                self._check(deadline, f"tag {tag} is active nowhere")
                self._news.wait(1.0)
        if len(found) > 1:
            raise self.fail(f"tag {tag} is active on several nodes: {found}")
        return found[0]

    def fail(self, what: str) -> BenchmarkFailed:
        """``what`` with the last lines of every log."""
        logs = (f"--- node {node}\n{''.join(lines)}" for node, lines in self._logs.items())
        return BenchmarkFailed("\n".join([what, *logs]))

    def _wait_ports(self, ports: set[int], what: str) -> float:
        deadline = time.monotonic() + TIMEOUT_S
        while not ports <= listening_ports():
            self._check(deadline, what)
            time.sleep(LISTEN_POLL_S)
        return time.monotonic()

    def _check(self, deadline: float, what: str) -> None:
        for node, process in self._processes.items():
            if process.poll() is not None:
                self._readers[node].join(END_TIMEOUT_S)
                raise self.fail(f"{what}: node {node} ended with status {process.returncode}")
        if time.monotonic() > deadline:
            raise self.fail(f"{what} after {TIMEOUT_S:g} s")

    def _shown(self, pair: tuple[int, int]) -> str:
        return self._links[pair][0] if pair in self._links else "Down"

    def _read(self, node: int, log: IO[str]) -> None:
        for line in log:
            instant = time.monotonic()
            self._logs[node].append(line)
            told = json.loads(line) if line.startswith("{") else {}
            with self._news:
                self._note(node, told, instant)
                self._news.notify_all()

    def _note(self, node: int, told: Mapping[str, object], instant: float) -> None:
        """A line of a log: of links and tags it says how they are now."""
        if told.get("event") == "link_changed":
            self._links[node, int(str(told["node_id"]))] = (str(told["to"]), instant)
        elif told.get("event") == "tag_changed" and told["to"] == "active":
            self._active[str(told["tag"]), node] = instant
        elif told.get("event") == "tag_changed":
            self._active.pop((str(told["tag"]), node), None)

    def _forget(self, node: int) -> None:
        process = self._processes.pop(node)
        process.wait(END_TIMEOUT_S)
        self._readers.pop(node).join(END_TIMEOUT_S)
        assert process.stderr is not None, "it is a pipe"
        process.stderr.close()


def mesh(nodes: Iterable[int]) -> list[tuple[int, int]]:
    """Every (observer, peer) among ``nodes``."""
    ids = list(nodes)
    return [(a, b) for a in ids for b in ids if a != b]


def listening_ports() -> set[int]:
    """TCP ports of IPv4 somebody listens on, from the kernel."""
    rows = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    fields = (row.split(maxsplit=4) for row in rows)
    return {int(f[1].rpartition(":")[2], 16) for f in fields if f[3] == _LISTEN}
