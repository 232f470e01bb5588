"""Sharing tags as a table, for ``ctl``."""

from __future__ import annotations

from rich.console import RenderableType

from ..protocol.status import Status, TagStatus
from .tables import NOTHING, cell, make_table

_STYLES = {"active": "green", "claiming": "yellow", "handing_over": "yellow"}


def tags_table(status: Status) -> RenderableType:
    """Every tag that this node declared or heard of."""
    table = make_table("Cluster", "Tag", "Here", "Holder", "Epoch", "Mode", "Why")
    for cluster in status.clusters:
        for tag in cluster.tags:
            state = tag.state if tag.declared else "undeclared"
            table.add_row(
                str(cluster.cluster_id),
                cell(tag.name),
                cell(state, _STYLES.get(state, "")),
                cell("nobody" if tag.holder is None else f"node {tag.holder}"),
                cell(_epoch(tag)),
                cell(tag.mode),
                cell(tag.why or NOTHING),
            )
    return table


def _epoch(tag: TagStatus) -> str:
    return f"{tag.number} of node {tag.owner}" if tag.owner is not None else NOTHING
