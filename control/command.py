"""What a management command is, and how one fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..protocol.errors import TagmeshError
from ..protocol.roles import Role
from ..protocol.status import ClusterStatus, Status

DONE = "OK"
"""The result of a command that has nothing to tell."""


class CommandError(TagmeshError):
    """A command that was understood and cannot be done.

    ``code`` and ``message`` are those of OpenSIPS, where it has them: 400, 404 and 500; 403 is ours
    for what the configuration forbids. ``data`` is a sentence for people.
    """

    def __init__(self, code: int, message: str, data: str = "") -> None:
        super().__init__(f"{code}: {message} ({data})" if data else f"{code}: {message}")
        self.code = code
        self.message = message
        self.data = data


Kind = type[int] | type[str] | type[list[str]]
"""What a parameter can be; ``list``: an array of strings."""
Argument = int | str | list[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """One command. ``run(port, **arguments)`` returns what JSON can carry, or a msgspec struct."""

    name: str
    module: str
    """Who exports it, as OpenSIPS names it in ``help``."""
    recipes: tuple[tuple[str, ...], ...]
    """The lists of parameter names it can be called with, each in order."""
    types: Mapping[str, Kind] = dataclasses.field(default_factory=dict)
    """Of each parameter named in a recipe."""
    named_only: bool = False
    """Parameters have to be named, whatever their number."""
    help: str
    run: Callable[..., Any]
    changing: bool = False
    """Changes the state of the instance; such a command is refused where people may only look."""
    admin: bool = False
    """Changes who belongs to the cluster, tells how this machine is set up, or is for tests:
    operators of other nodes may not."""
    asks_nodes: bool = False
    """Has other nodes do something, and so is not done for another node."""
    waits: bool = False
    """Can take seconds, because it asks other nodes."""

    @property
    def role(self) -> Role:
        """What another node must be here to have it done."""
        if self.admin:
            return Role.ADMIN
        return Role.OPERATOR if self.changing else Role.OBSERVER


def per_cluster(
    status: Status, key: str, listed: Callable[[ClusterStatus], list[dict[str, Any]]]
) -> dict[str, Any]:
    """``{"Clusters": [{"cluster_id", key: listed(cluster)}]}``, as OpenSIPS lists things."""
    return {
        "Clusters": [
            {"cluster_id": cluster.cluster_id, key: listed(cluster)} for cluster in status.clusters
        ]
    }


def the_cluster(status: Status, cluster_id: int) -> ClusterStatus:
    """The cluster of that id; 404 when this node has none."""
    for cluster in status.clusters:
        if cluster.cluster_id == cluster_id:
            return cluster
    raise CommandError(
        404, "Cluster id not found", f"clusters of this node: {_listed(status.clusters)}"
    )


def _listed(clusters: Iterable[ClusterStatus]) -> str:
    return ", ".join(str(cluster.cluster_id) for cluster in clusters) or "none"
