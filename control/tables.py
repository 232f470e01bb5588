"""Status snapshots as tables for people: ``ctl``, the demo and ``LocalCluster`` print them.

What a peer, a database row or a certificate put into a snapshot is shown through `plain`, so it
can neither send codes to the terminal nor look like markup.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..protocol.status import ClusterStatus, PeerStatus, RefusalStatus, Status
from .wording import capability_notes, caps, troubles

MAX_CELL_CHARS = 128
MAX_REFUSALS = 20
"""Refused joins shown, the latest first; the rest is counted."""
MAX_PLAIN_COLUMNS = 1000
"""Width when nobody looks at a terminal: wide enough to keep each row on its line."""

NOTHING = "-"
_LINK_STYLES = {"Up": "green", "Probe": "yellow", "Down": "red"}
_STATE_STYLES = {"enabled": "", "disabled": "yellow", "invalid": "red"}


def plain(text: str) -> str:
    """``text`` on one line of at most `MAX_CELL_CHARS`; what does not print is escaped."""
    shown = "".join(
        character if character.isprintable() else ascii(character)[1:-1]
        for character in text[: MAX_CELL_CHARS + 1]
    )
    return shown if len(shown) <= MAX_CELL_CHARS else f"{shown[: MAX_CELL_CHARS - 1]}…"


def console(stream: TextIO | None = None) -> Console:
    """A console on ``stream`` (default: stdout): colours on a terminal only, unless NO_COLOR."""
    stream = sys.stdout if stream is None else stream
    if isinstance(stream, io.TextIOWrapper) and "utf" not in stream.encoding.lower():
        stream.reconfigure(errors="replace")
    width = None if stream.isatty() else MAX_PLAIN_COLUMNS
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def status_table(status: Status) -> RenderableType:
    """Each cluster with its nodes, then what went wrong: refused joins, bad rows, the database."""
    parts: list[RenderableType] = []
    for cluster in status.clusters:
        parts += [_title(status, cluster), _cluster_table(status, cluster), Text()]
    if not status.clusters:
        parts.append(cell(f"node {_name(status)} is in no cluster", "yellow"))
    parts += _refusals(status.refusals)
    parts += [cell(f"invalid row: {row}", "yellow") for row in status.invalid_rows]
    parts += [cell(line, style) for line, style in _notes(status)]
    return Group(*(parts[:-1] if parts[-1] == Text() else parts))


def nodes_table(listed: Mapping[str, Any]) -> RenderableType:
    """The result of ``clusterer_list``."""
    columns = {
        "Node": "node_id",
        "DB id": "db_id",
        "URL": "url",
        "Link": "link_state",
        "State": "state",
        "Next hop": "next_hop",
        "Description": "description",
    }
    table = make_table("Cluster", *columns)
    for cluster in listed["Clusters"]:
        for node in cluster["Nodes"]:
            cells = [cell(str(node[key])) for key in columns.values()]
            cells[3].stylize(_LINK_STYLES.get(str(node["link_state"]), ""))
            table.add_row(str(cluster["cluster_id"]), *cells)
    return table


def topology_table(listed: Mapping[str, Any]) -> RenderableType:
    """The result of ``clusterer_list_topology``."""
    table = make_table("Cluster", "Node", "Neighbours")
    for cluster in listed["Clusters"]:
        for node in cluster["Nodes"]:
            neighbours = ", ".join(str(neighbour) for neighbour in node["Neighbours"])
            table.add_row(str(cluster["cluster_id"]), str(node["node_id"]), neighbours or "none")
    return table


def make_table(*columns: str) -> Table:
    """An empty table in our style."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def cell(text: str, style: str = "") -> Text:
    """What somebody else may have written, as the content of a table."""
    return Text(plain(text), style=style)


def _when(wall_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall_s))


def _name(status: Status) -> str:
    return f"{status.node_id} ({status.description})" if status.description else str(status.node_id)


def _title(status: Status, cluster: ClusterStatus) -> Text:
    members = [peer for peer in cluster.peers if peer.state != "invalid"]
    up = sum(peer.link == "Up" for peer in members) + cluster.enabled
    rerouted = sum(peer.link != "Up" and bool(peer.route) for peer in members)
    count = f"{len(members) + 1} node{'s' if members else ''}, {up} up"
    if rerouted:
        count += f", {rerouted} reached through others"
    seen = plain(f"Cluster {cluster.cluster_id} · seen from node {_name(status)} · {count}")
    moment = _when(status.started_wall_s + status.uptime_s)
    return Text.assemble((seen, "bold"), "    ", (moment, "dim"))


def _cluster_table(status: Status, cluster: ClusterStatus) -> Table:
    table = make_table("Node", "URL", "Link", "Route", "State", "RTT", "Caps", "Why")
    table.columns[5].justify = "right"
    rows: dict[int, Sequence[Text]] = {peer.node_id: _peer_row(peer) for peer in cluster.peers}
    rows[status.node_id] = _own_row(status, cluster)
    for _, row in sorted(rows.items()):
        table.add_row(*row)
    return table


def _own_row(status: Status, cluster: ClusterStatus) -> Sequence[Text]:
    state = "enabled" if cluster.enabled else "disabled"
    name = f"{_label(status.node_id, status.description)} *"
    return [
        cell(name, "bold"),
        cell(status.url),
        cell(NOTHING),
        cell(NOTHING),
        cell(state, _STATE_STYLES[state]),
        cell(NOTHING),
        cell(caps(cluster.capabilities)),
        cell(troubles(cluster.capabilities) or NOTHING),
    ]


def _peer_row(peer: PeerStatus) -> Sequence[Text]:
    valid = peer.state != "invalid"
    route = ">".join(str(node) for node in peer.route) or "none"
    return [
        cell(_label(peer.node_id, peer.description)),
        cell(peer.url),
        cell(peer.link if valid else NOTHING, _LINK_STYLES.get(peer.link, "")),
        cell(route if valid else NOTHING),
        cell(peer.state, _STATE_STYLES.get(peer.state, "")),
        cell(NOTHING if peer.rtt_s is None else f"{peer.rtt_s * 1000:.1f} ms"),
        cell(caps(peer.capabilities)),
        cell("; ".join(filter(None, (peer.why, troubles(peer.capabilities)))) or NOTHING),
    ]


def _label(node_id: int, description: str | None) -> str:
    return f"{node_id} {description}" if description else str(node_id)


def _refusals(refusals: Sequence[RefusalStatus]) -> Iterable[RenderableType]:
    if not refusals:
        return
    table = make_table("Reason", "Node", "Direction", "By", "Address", "Count", "Last", "Detail")
    latest = sorted(refusals, key=lambda refusal: refusal.last_wall_s, reverse=True)
    for refusal in latest[:MAX_REFUSALS]:
        table.add_row(
            cell(refusal.reason, "red"),
            cell("unknown" if refusal.node_id is None else str(refusal.node_id)),
            cell(refusal.direction),
            cell(refusal.by),
            cell(refusal.address),
            str(refusal.count),
            _when(refusal.last_wall_s),
            cell(refusal.detail or NOTHING),
        )
    total = sum(refusal.count for refusal in refusals)
    yield Text(f"Refused joins: {total}", style="bold")
    yield table
    if len(latest) > MAX_REFUSALS:
        yield Text(f"… and {len(latest) - MAX_REFUSALS} older ones (all of them: -o json)")
    yield Text()


def _notes(status: Status) -> Iterable[tuple[str, str]]:
    """(line, style) for each thing an operator should know beyond the tables."""
    if status.roster_error is not None:
        yield f"provisioning: {status.roster_error} (known: {status.roster})", "red"
    yield from capability_notes(status)
    if status.crashes:
        yield f"{status.crashes} actor restarts since start; the log tells why", "yellow"
    if not status.healthy:
        yield "this node is not healthy", "red"
    if not status.ready:
        missing = "; ".join(status.waits_for)
        yield f"this node is not ready yet{': ' + missing if missing else ''}", "yellow"
