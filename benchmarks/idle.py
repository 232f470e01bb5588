"""What a node costs that has nothing to do: CPU time and memory per link.

Method: `LINKS` peers run as nodes in one other process, linked with each other as in any cluster,
and pinging every second. They stay for all runs. While their mesh comes up, a node that is not
measured stands in for the measured one, which would else remember that storm. Per run four fresh
processes of ``tagmesh node run`` are measured in the same window, `SETTLE_S` after all is as it
shall be:

- ``linked``: provisioned together with the peers, a link with each of them;
- ``absent``: provisioned together with as many peers, of which none runs: it dials in vain;
- ``single``: one link, with a node that runs in the process of the peers too;
- ``alone``: the only node of its cluster.

CPU time is read from the kernel's CPU clock of the process at both ends of the window (nanoseconds;
``/proc/PID/stat`` has steps of 10 ms), private memory at its end (``Anonymous`` of
``/proc/PID/smaps_rollup``; pages of files are left out, because code that is loaded with the first
link is no cost per link). A window in which a link changed was not idle: that is said on stderr,
and another one is measured, `MAX_WINDOWS` in all before the benchmark fails. Memory per link is
what ``linked`` has more of it, divided by the links it has more:

- than ``absent``: the links, and what is made once with the first of them;
- than ``alone``: also what being provisioned costs;
- than ``single``: what a further link costs.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tagmesh.control.client import MiClient
from tagmesh.control.workspace import Workspace

from .processes import Nodes, clean_environment, temporary_folder, uninterrupted
from .report import BenchmarkFailed, Figure

LINKS = 30
WINDOW_S = 10.0
SETTLE_S = 3.0
MAX_WINDOWS = 5
MESH_TIMEOUT_S = 120.0
POLL_S = 0.5
TIMING = {"ping_interval": "1s", "ping_timeout": "900ms", "digest_interval": "10s"}
MEASURED = 1
PEERS_LOG = "peers.log"

CPU_BUDGET_PERCENT = 1.0
LINK_BUDGET_KIB = 100.0


@dataclass(frozen=True)
class Cost:
    """Of one process. CPU in percent of one core, memory in KiB."""

    cpu: float
    private: float
    resident: float


def measure(
    runs: int, links: int = LINKS, window_s: float = WINDOW_S, settle_s: float = SETTLE_S
) -> list[Figure]:
    """Figures of ``runs`` windows, each with fresh processes; 2 or more ``links``."""
    with temporary_folder() as folder:
        linked = _space(folder / "linked", links + 1)
        absent = _space(folder / "absent", links + 1)
        single = _space(folder / "single", 2)
        alone = _space(folder / "alone", 1)
        with _peers(linked, single):
            with Nodes(linked) as unmeasured:
                unmeasured.start(MEASURED)
                unmeasured.wait_answering(MEASURED)
                _wait_mesh(unmeasured)
            spaces = (linked, absent, single, alone)
            costs = [_run(spaces, window_s, settle_s) for _ in range(runs)]
    return _figures(costs, links)


def _figures(costs: Sequence[Sequence[Cost]], links: int) -> list[Figure]:
    """``costs``: per run those of linked, absent, single and alone."""
    linked, absent, single, alone = zip(*costs, strict=True)

    def per_link(name: str, others: Sequence[Cost], more: int) -> Figure:
        values = [(c.private - o.private) / more for c, o in zip(linked, others, strict=True)]
        return Figure(f"private memory per link, {name}", "KiB", values, LINK_BUDGET_KIB)

    return [
        Figure(f"CPU, {links} idle links", "%", [c.cpu for c in linked], CPU_BUDGET_PERCENT),
        Figure("CPU, 1 idle link", "%", [c.cpu for c in single]),
        Figure(f"CPU, {links} absent peers", "%", [c.cpu for c in absent]),
        Figure("CPU, a node alone", "%", [c.cpu for c in alone]),
        per_link(f"{links} links less {links} absent peers", absent, links),
        per_link(f"{links} links less a node alone", alone, links),
        per_link(f"{links} links less 1 link", single, links - 1),
        Figure("private memory, a node alone", "KiB", [c.private for c in alone]),
        Figure(f"resident memory, {links} links", "KiB", [c.resident for c in linked]),
    ]


def _space(folder: Path, count: int) -> Workspace:
    folder.mkdir()
    return Workspace(folder, count, timing=TIMING)


def _run(spaces: Sequence[Workspace], window_s: float, settle_s: float) -> list[Cost]:
    with contextlib.ExitStack() as stack:
        clusters = [stack.enter_context(Nodes(space)) for space in spaces]
        for cluster in clusters:
            cluster.start(MEASURED)
        for cluster in clusters:
            cluster.wait_answering(MEASURED)
        connected = [clusters[0], clusters[2]]
        for cluster in connected:
            _wait_mesh(cluster)
        return _window(clusters, connected, window_s, settle_s)


def _window(
    clusters: Sequence[Nodes], connected: Sequence[Nodes], window_s: float, settle_s: float
) -> list[Cost]:
    """The first window in which no link of ``connected`` changed."""
    pids = [cluster.pid(MEASURED) for cluster in clusters]
    for _ in range(MAX_WINDOWS):
        time.sleep(settle_s)
        begin = time.monotonic()
        shares = _cpu_percent(pids, window_s)
        costs = [
            Cost(cpu, memory_kib(pid, "Anonymous"), memory_kib(pid, "Rss"))
            for pid, cpu in zip(pids, shares, strict=True)
        ]
        if max(c.wait_links(_links(c.space), "Up") for c in connected) < begin:
            return costs
        print("links changed: this window was not idle and does not count", file=sys.stderr)
    raise connected[0].fail(f"links changed in each of {MAX_WINDOWS} windows; is it very busy?")


def _links(space: Workspace) -> list[tuple[int, int]]:
    return [(MEASURED, peer) for peer in space.ids if peer != MEASURED]


@contextlib.contextmanager
def _peers(*spaces: Workspace) -> Iterator[None]:
    """Every node of the clusters but the measured ones, in one process."""
    configs = [str(space.config(peer)) for space in spaces for _, peer in _links(space)]
    script = Path(__file__).with_name("peers.py")
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((spaces[0].folder / PEERS_LOG).open("wb"))
        with uninterrupted():
            process = subprocess.Popen(
                # -P: the modules beside the script are not importable by their short names
                [sys.executable, "-P", str(script), *configs],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**clean_environment(), "TAGMESH_ADMIN_HTTP": ""},
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
        yield


def _wait_mesh(nodes: Nodes) -> None:
    """Wait until every link of the measured node is Up and it knows all the others to be."""
    links = len(nodes.space.ids) - 1
    client = MiClient(f"http://{nodes.space.admin[MEASURED]}")
    deadline = time.monotonic() + MESH_TIMEOUT_S
    while True:
        cluster = client.state()[0].clusters[0]
        up = sum(peer.link == "Up" for peer in cluster.peers)
        edges = sum(len(near) for _, near in cluster.topology) // 2
        if up == links and edges == links * (links + 1) // 2:
            return
        if time.monotonic() > deadline:
            log = nodes.space.folder / PEERS_LOG
            told = log.read_text(encoding="utf-8") if log.exists() else ""
            raise nodes.fail(
                f"{up} of {links} links Up and {edges} links in the cluster known after "
                f"{MESH_TIMEOUT_S:g} s; the peers say:\n{told}"
            )
        time.sleep(POLL_S)


def _cpu_percent(pids: Sequence[int], window_s: float) -> list[float]:
    """Share of one core that each process used in the next ``window_s``."""
    begin = time.monotonic()
    used = [cpu_s(pid) for pid in pids]
    time.sleep(window_s)
    took = time.monotonic() - begin
    return [100 * (cpu_s(pid) - was) / took for pid, was in zip(pids, used, strict=True)]


def cpu_s(pid: int) -> float:
    """CPU time of all threads of a process, user and system, ended ones too."""
    # What clock_getcpuclockid(3) returns on Linux; Python has it for threads only.
    return time.clock_gettime(~pid << 3 | 2)


def memory_kib(pid: int, kind: str) -> float:
    """A line of ``/proc/PID/smaps_rollup``, in KiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(":")
        if key == kind:
            return float(value.split()[0])
    raise BenchmarkFailed(f"/proc/{pid}/smaps_rollup has no line {kind!r}; is this Linux 4.14+?")
