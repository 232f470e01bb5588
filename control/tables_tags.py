"""Sharing tags as a table, for ``ctl``."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from ..protocol.status import Status, TagStatus
from .cli_output import printable
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


def explained(tag: TagStatus) -> RenderableType:
    """Who has one tag, and which nodes may take it."""
    holder = "nobody has it" if tag.holder is None else f"node {tag.holder} has it"
    parts: list[RenderableType] = [Text(printable(f"{tag.name}: {holder}: {tag.why}"))]
    if tag.mode != "lease":
        return Group(*parts, Text("mode manual: it moves when somebody activates it elsewhere"))
    if tag.paused:
        parts.append(Text("paused: nobody takes it over", "yellow"))
    table = make_table("Node", "May take it", "Preferred", "Elector", "Why not")
    for node, why in sorted(tag.barriers.items()):
        place = tag.preferred.index(node) + 1 if node in tag.preferred else None
        table.add_row(
            str(node),
            cell("no" if why else "yes", "yellow" if why else "green"),
            NOTHING if place is None else f"{place}.",
            "yes" if node in tag.electors or not tag.electors else "no",
            cell(why or NOTHING),
        )
    return Group(*parts, table)


def _epoch(tag: TagStatus) -> str:
    return f"{tag.number} of node {tag.owner}" if tag.owner is not None else NOTHING
