"""How soon the others notice that a node is gone, and that it is back.

Method: three processes with all links Up. Node 3 gets SIGKILL or SIGSTOP; a run counts from just
before the signal until the later of the log lines of nodes 1 and 2 that show their link with it
Down. After SIGKILL it is started again, and counted from the instant its port listens until all
six links are Up. How long a stopped node stays unnoticed depends on how long ago its last ping
was, so run k of n waits k/n of a ping interval before it stops the node: the runs cover the whole
interval instead of one lucky moment.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tagmesh.control.workspace import Workspace

from .processes import Nodes, mesh, temporary_folder
from .report import Figure

NODES, VICTIM = 3, 3
OBSERVERS = tuple((n, VICTIM) for n in range(1, NODES + 1) if n != VICTIM)
KILL_BUDGET_S = 0.2
BACK_BUDGET_S = 1.0
RETRIES = 3
"""The column ``no_ping_retries`` of a provisioned row, by default."""


@dataclass(frozen=True)
class Profile:
    """Times of a cluster."""

    name: str
    ping_interval_s: float
    ping_timeout_s: float

    @property
    def timing(self) -> dict[str, str]:
        """As settings of ``[[cluster]]``."""
        return {
            "ping_interval": f"{self.ping_interval_s:g}s",
            "ping_timeout": f"{self.ping_timeout_s:g}s",
        }

    @property
    def budget_s(self) -> float:
        """A silent node is noticed within this."""
        return self.ping_timeout_s * (RETRIES + 1) + self.ping_interval_s


PROFILES = (Profile("fast", 1.0, 0.25), Profile("default", 4.0, 1.0))


def measure(runs: int, profiles: Sequence[Profile] = PROFILES) -> list[Figure]:
    """Figures of ``runs`` kills, with the first profile, and ``runs`` stops with each."""
    figures: list[Figure] = []
    for profile in profiles:
        with temporary_folder() as folder:
            space = Workspace(folder, NODES, timing=profile.timing)
            with Nodes(space) as nodes:
                nodes.start(*space.ids)
                nodes.wait_links(mesh(space.ids), "Up")
                if profile is profiles[0]:
                    figures += _killed(nodes, runs)
                figures.append(_stopped(nodes, runs, profile))
    return figures


def _killed(nodes: Nodes, runs: int) -> list[Figure]:
    noticed: list[float] = []
    back: list[float] = []
    for _ in range(runs):
        killed = nodes.kill(VICTIM)
        noticed.append(nodes.wait_links(OBSERVERS, "Down") - killed)
        nodes.start(VICTIM)
        listening = nodes.wait_listening(VICTIM)
        back.append(nodes.wait_links(mesh(nodes.space.ids), "Up") - listening)
    return [
        Figure("kill -9: Down at all others", "s", noticed, KILL_BUDGET_S),
        Figure("restarted: listening to all links Up", "s", back, BACK_BUDGET_S),
    ]


def _stopped(nodes: Nodes, runs: int, profile: Profile) -> Figure:
    noticed: list[float] = []
    for run in range(runs):
        time.sleep(profile.ping_interval_s * (1 + run / runs))
        stopped = nodes.pause(VICTIM)
        noticed.append(nodes.wait_links(OBSERVERS, "Down") - stopped)
        nodes.resume(VICTIM)
        nodes.wait_links(OBSERVERS, "Up")
    times = f"interval {profile.ping_interval_s:g} s, timeout {profile.ping_timeout_s:g} s"
    name = f"SIGSTOP: Down at all others ({profile.name}: {times}, {RETRIES} retries)"
    return Figure(name, "s", noticed, profile.budget_s)
