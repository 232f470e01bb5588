"""Capabilities and syncs as tables, for ``ctl``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from ..protocol.contract import SyncReport
from ..protocol.status import ClusterStatus, PlanStatus, Status
from .tables import NOTHING, cell, make_table
from .wording import Told, detail, percent, plan_line, report_line

_STYLES = {"ok": "green", "degraded": "red", "disabled": "yellow"}
_UNITS = ("B", "KiB", "MiB", "GiB")


def caps_table(status: Status) -> RenderableType:
    """Every capability of every node that can be seen, this node's first (C-3)."""
    table = make_table("Cluster", "Node", "Capability", "State", "Why", "Last sync")
    for cluster in status.clusters:
        for node, capability, last in _told(status, cluster):
            state = capability.state
            table.add_row(
                str(cluster.cluster_id),
                cell(node),
                cell(capability.name),
                cell("Ok" if state == "ok" else state, _STYLES.get(state, "yellow")),
                cell(detail(capability) or NOTHING),
                cell(last),
            )
    return table


def _told(status: Status, cluster: ClusterStatus) -> Iterator[tuple[str, Told, str]]:
    for mine in cluster.capabilities:
        last = report_line(mine.last_report) if mine.last_report is not None else NOTHING
        yield f"{status.node_id} *", mine, last
    for peer in cluster.peers:
        for theirs in peer.capabilities:
            yield str(peer.node_id), theirs, NOTHING


def sync_table(listed: Mapping[str, Any]) -> RenderableType:
    """The result of ``tagmesh_sync_status``."""
    parts: list[RenderableType] = []
    for cluster in listed["clusters"]:
        sessions = cluster["sessions"]
        if sessions:
            parts.append(_sessions(cluster["cluster_id"], sessions))
        parts += [
            cell(f"{waiting['capability']} {waiting['state']}: {waiting['reason']}", "yellow")
            for waiting in cluster["waiting"]
        ]
        for last in cluster["last"]:
            parts += [cell(f"{last['capability']}: {line}") for line in _ended(last)]
    return Group(*parts) if parts else Text("no sync is under way, and there was none")


def _sessions(cluster: int, sessions: Iterable[Mapping[str, Any]]) -> RenderableType:
    table = make_table(
        "Cluster", "Capability", "Role", "With", "State", "Records", "Done", "Bytes", "Rate"
    )
    for session in sessions:
        seconds = session["seconds"]
        rate = f"{session['items'] / seconds:,.0f}/s" if seconds else NOTHING
        table.add_row(
            str(cluster),
            cell(session["capability"]),
            session["role"],
            str(session["node_id"]),
            cell(session["state"]),
            f"{session['items']} of ~{session['expected']}",
            percent(session["items"], session["expected"]),
            _size(session["bytes"]),
            rate,
        )
    return table


def _ended(last: Mapping[str, Any]) -> Iterator[str]:
    if last["report"] is not None:
        yield report_line(msgspec.convert(last["report"], SyncReport))
    for plan in last["plans"]:
        yield plan_line(msgspec.convert(plan, PlanStatus))


def _size(size_bytes: int) -> str:
    size, unit = float(size_bytes), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.3g} {_UNITS[unit]}"


def quarantine_table(listed: Mapping[str, Any]) -> RenderableType:
    """The result of ``tagmesh_quarantine``."""
    if not listed["quarantine"]:
        return Text("nothing was set aside")
    table = make_table("From", "Kind", "Error", "Content")
    for item in listed["quarantine"]:
        table.add_row(
            str(item["node_id"]), item["kind"], cell(item["error"], "red"), cell(item["content"])
        )
    return table


def diff_table(found: Mapping[str, Any]) -> RenderableType:
    """The result of ``tagmesh_diff``."""
    table = make_table("Node", "Missing there", "Only there", "Different", "Why not compared")
    keys = make_table("Node", "Key", "Is")
    words = {"missing": "missing there", "extra": "only there", "different": "different"}
    for node in found["nodes"]:
        number = str(node["node_id"])
        if node["compared"]:
            counts = [str(node[unlike]) for unlike in words]
            table.add_row(number, *counts, NOTHING)
        else:
            table.add_row(number, *[NOTHING] * 3, cell(node["reason"], "yellow"))
        for each in node["keys"]:
            keys.add_row(number, cell(each["key"]), words[each["unlike"]])
        if node["unlisted"]:
            keys.add_row(number, f"and {node['unlisted']} more", NOTHING)
    return Group(table, keys) if keys.row_count else table


def donors_table(listed: Mapping[str, Any]) -> RenderableType:
    """The result of ``tagmesh_explain_donor``."""
    table = make_table("Node", "Asked", "Why")
    for donor in listed["donors"]:
        place, rejection = donor["place"], donor["rejection"]
        table.add_row(
            str(donor["node_id"]),
            f"{place}." if place is not None else cell(f"no: {rejection}", "yellow"),
            cell(donor["detail"] or NOTHING),
        )
    return table
