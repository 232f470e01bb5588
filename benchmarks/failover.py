"""How soon another node has a sharing tag in mode lease when its owner is killed.

Method: three processes, one database file. The node that has the tag gets SIGKILL; a run counts
from just before the signal until the log line of another node that shows the tag active there. How
long a lease still lasts depends on how long ago it was renewed, so run k of n waits k/n of the
time between renewals before it kills: the runs cover all of it. The benchmark fails if two nodes
ever show the tag active at once.
"""

from __future__ import annotations

import time

from tagmesh.control.workspace import Workspace
from tagmesh.protocol.lease_words import LeaseSettings

from .processes import Nodes, mesh, temporary_folder
from .report import Figure

NODES, TAG = 3, "vip"
SLACK_S = 1.0
"""Allowed beyond the lease."""


def measure(runs: int, lease: LeaseSettings | None = None) -> list[Figure]:
    """One figure of ``runs`` kills; ``lease``: the usual times if not given."""
    lease = lease or LeaseSettings()
    names = ("ttl", "renew", "retry", "safety", "rank_delay")
    settings = {name: f"{getattr(lease, f'{name}_s'):g}s" for name in names}
    moved: list[float] = []
    with temporary_folder() as folder:
        space = Workspace(folder, NODES, leases={TAG: settings})
        with Nodes(space) as nodes:
            nodes.start(*space.ids)
            nodes.wait_links(mesh(space.ids), "Up")
            owner, _ = nodes.wait_tag(TAG)
            for run in range(runs):
                time.sleep(lease.renew_s * (1 + run / runs))
                killed = nodes.kill(owner)
                following, instant = nodes.wait_tag(TAG)
                moved.append(instant - killed)
                nodes.start(owner)
                nodes.wait_links(mesh(space.ids), "Up")
                owner = following
    name = f"kill -9 of the owner: tag active elsewhere (lease {lease.ttl_s:g} s)"
    return [Figure(name, "s", moved, lease.ttl_s + SLACK_S)]
