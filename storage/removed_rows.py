"""Removing a node from the tables: its row goes and a tombstone stays, in one transaction (X-1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..protocol.config import ProvisioningSettings
from ..protocol.errors import Unknown
from ..protocol.identity import ClusterId, NodeId
from ..protocol.removal_messages import MAX_WALL_MS, Removal
from ..protocol.tombstones import Stone
from .schema import MAX_TEXT_CHARS, Schema


def remove_node(
    connection: Connection, schema: Schema, settings: ProvisioningSettings, stone: Stone
) -> bool:
    """Delete the row and write the tombstone; False = somebody did so already (X-6).

    Tombstones whose time is over go too. A database without the table keeps none. Raises `Unknown`
    when there is no such row, nor was.
    """
    cluster, removal = stone
    kept = schema.has_tombstones(connection)
    nodes, tombstones = schema.nodes, schema.tombstones
    if kept:
        oldest_ms = removal.removed_ms - int(settings.removal_memory_s * 1000)
        connection.execute(tombstones.delete().where(tombstones.c.removed_ms < oldest_ms))
    deleted = connection.execute(
        nodes.delete().where(nodes.c.cluster_id == cluster, nodes.c.node_id == removal.node_id)
    )
    if deleted.rowcount == 0:
        if kept and _is_removed(connection, schema, cluster, NodeId(removal.node_id)):
            return False
        raise Unknown(
            f"there is no node {removal.node_id} in cluster {cluster} of {nodes.name};"
            f" `tagmesh db list` shows those that are"
        )
    if kept:
        forget_removal(connection, schema, cluster, NodeId(removal.node_id))
        row = {
            "cluster_id": cluster,
            "node_id": removal.node_id,
            "incarnation": removal.incarnation,
            "removed_ms": removal.removed_ms,
            "by_whom": removal.by[:MAX_TEXT_CHARS],
        }
        connection.execute(tombstones.insert().values(row))
    return True


def forget_removal(
    connection: Connection, schema: Schema, cluster: ClusterId, node: NodeId
) -> None:
    """The node is provisioned again (X-5)."""
    if schema.has_tombstones(connection):
        connection.execute(schema.tombstones.delete().where(*_of(schema, cluster, node)))


def select_tombstones(schema: Schema) -> sa.Select[tuple[Any, ...]]:
    """(cluster id, node id, incarnation, time, by whom) of each, the newest first."""
    c = schema.tombstones.c
    columns = (c.cluster_id, c.node_id, c.incarnation, c.removed_ms, c.by_whom)
    return sa.select(*columns).order_by(c.removed_ms.desc(), c.cluster_id, c.node_id)


def read_tombstones(rows: Iterable[Any]) -> tuple[Stone, ...]:
    """What the rows of `select_tombstones` mean; one that cannot be used is left out."""
    return tuple(
        (ClusterId(cluster), Removal(node, removed_ms, incarnation, str(by)[:MAX_TEXT_CHARS]))
        for cluster, node, incarnation, removed_ms, by in rows
        if min(cluster, node) >= 1 and incarnation >= 0 and 0 <= removed_ms <= MAX_WALL_MS
    )


def _is_removed(connection: Connection, schema: Schema, cluster: ClusterId, node: NodeId) -> bool:
    count = sa.select(sa.func.count()).select_from(schema.tombstones)
    return bool(connection.scalar(count.where(*_of(schema, cluster, node))))


def _of(schema: Schema, cluster: ClusterId, node: NodeId) -> tuple[Any, Any]:
    c = schema.tombstones.c
    return c.cluster_id == cluster, c.node_id == node
