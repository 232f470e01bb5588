"""What one node may have another do: roles, as the configuration gives them to nodes (I-3)."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, NamedTuple

from .cluster_settings import MAX_NODES
from .errors import Misuse
from .identity import MAX_ID
from .kinds import choice
from .settings import Kind, shown


class Role(enum.IntEnum):
    """Each may do what those before it may."""

    NONE = 0
    """Nothing."""
    OBSERVER = 1
    """What changes nothing."""
    OPERATOR = 2
    """Status of nodes and capabilities, sharing tags, syncs, dialogs."""
    ADMIN = 3
    """Who belongs to the cluster, test switches."""

    def __str__(self) -> str:
        return self.name.lower()


class NodeRole(NamedTuple):
    """The role of one node."""

    node_id: int
    role: Role


ROLES = {str(role): role for role in Role}
"""By name."""
_NAME = choice(*ROLES)


def node_roles() -> Kind:
    """Nodes, each with its role."""

    def read(value: Any) -> tuple[NodeRole, ...]:
        if not isinstance(value, list):
            raise Misuse(f"{shown(value)} is not a list")
        if len(value) > MAX_NODES:
            raise Misuse(f"{len(value)} nodes, more than {MAX_NODES}")
        given = tuple(map(_node_role, value))
        nodes = [one.node_id for one in given]
        for node in nodes:
            if nodes.count(node) > 1:
                raise Misuse(f"node {node} stands twice")
        return given

    def write(given: Sequence[NodeRole]) -> list[str]:
        return [f"{one.node_id}={one.role}" for one in given]

    return Kind(read, f'[ "node=role" ], role: {_NAME.allowed}', write)


def _node_role(value: object) -> NodeRole:
    node, sign, name = value.partition("=") if isinstance(value, str) else ("", "", "")
    if not (sign and node.isascii() and node.isdigit() and 0 < int(node[:12]) <= MAX_ID):
        raise Misuse(f'{shown(value)} is not a node and its role, as "2=operator"')
    return NodeRole(int(node), ROLES[_NAME.read(name)])
