"""Snapshots as tables: what people see, and what a peer cannot make them see."""

from __future__ import annotations

import io
import time
from typing import Any

import msgspec
import pytest
from rich.console import Console, RenderableType

from tagmesh.control import tables
from tagmesh.protocol.status import Status
from tests.control.fake_node import STARTED_WALL_S, make_status, peer, refusal


def lines(renderable: RenderableType) -> list[str]:
    stream = io.StringIO()
    tables.console(stream).print(renderable)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def shown(**changes: Any) -> str:
    return "\n".join(lines(tables.status_table(make_status(**changes))))


def with_peers(*peers: Any) -> Status:
    status = make_status(invalid_rows=[])
    cluster = msgspec.structs.replace(status.clusters[0], peers=list(peers))
    return msgspec.structs.replace(status, clusters=[cluster])


def test_the_status_of_a_cluster() -> None:
    title, header, _, *rows = lines(tables.status_table(make_status(invalid_rows=[])))
    assert title.startswith(
        "Cluster 1 · seen from node 1 (node-a) · 3 nodes, 2 up, 1 reached through others    20"
    )
    assert header.split() == ["Node", "URL", "Link", "Route", "State", "RTT", "Caps", "Why"]
    assert [" ".join(row.split()) for row in rows] == [
        "1 node-a * bins:10.0.0.1:5556 - - enabled - 1/2 Ok "
        "usrloc-contact-repl syncing 61 % from 2",
        "2 node-2 bins:10.0.0.2:5556 Up 2 enabled 0.4 ms 2/2 Ok -",
        "3 bins:10.0.0.3:5556 Down 2>3 enabled - 0/1 Ok "
        "cut by the test switch; dialog-dlg-repl pending: no donor",
        "4 node-4 bins:10.0.0.4:5556 - - invalid - - "
        "url 'http:x' must have the form bins:host[:port]",
    ]


def test_this_node_stands_in_the_order_of_ids() -> None:
    status = msgspec.structs.replace(with_peers(peer(2), peer(9)), node_id=5, description=None)
    rows = lines(tables.status_table(status))[3:]
    assert [row.split()[0] for row in rows] == ["2", "5", "9"]
    assert rows[1].startswith("5 *")


def test_an_unreachable_node_has_no_route() -> None:
    (row,) = lines(tables.status_table(with_peers(peer(2, link="Down", route=[], next_hop=None))))[
        4:
    ]
    assert row.split()[2:6] == ["bins:10.0.0.2:5556", "Down", "none", "enabled"]


def test_the_moment_of_the_snapshot_not_of_the_printing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "localtime", time.gmtime)
    status = make_status(started_wall_s=STARTED_WALL_S, uptime_s=61.0)
    assert lines(tables.status_table(status))[0].endswith("    2026-09-21 14:14:21")


def test_refused_joins_are_summed_up_latest_first() -> None:
    text = shown(
        refusals=[
            refusal(),
            refusal(
                node_id=None,
                direction="outgoing",
                by="them",
                reason="cert_untrusted",
                detail="",
                count=39,
                last_wall_s=STARTED_WALL_S + 90,
            ),
        ]
    )
    table = text.partition("Refused joins: 42\n")[2].splitlines()
    assert table[0].split() == [
        "Reason", "Node", "Direction", "By", "Address", "Count", "Last", "Detail",
    ]  # fmt: skip
    assert table[2].split()[:6] == [
        "cert_untrusted", "unknown", "outgoing", "them", "10.0.0.9:40000", "39",
    ]  # fmt: skip
    assert table[3].split()[:6] == ["unknown_node", "9", "incoming", "us", "10.0.0.9:40000", "3"]
    assert table[3].endswith("node 9 has no row")


def test_many_refusals_are_cut_and_counted() -> None:
    many = [refusal(address=f"10.0.1.{n}:1") for n in range(tables.MAX_REFUSALS + 5)]
    text = shown(refusals=many)
    assert text.count("unknown_node") == tables.MAX_REFUSALS
    assert "… and 5 older ones" in text


def test_what_an_operator_should_know_is_said() -> None:
    text = shown(roster_error="database is locked", healthy=False, ready=False, crashes=2)
    assert "invalid row: row 14: url 'http:x'" in text
    assert "provisioning: database is locked (known: table clusterer, read 1 s ago)" in text
    assert "2 actor restarts" in text
    assert "not healthy" in text
    assert "not ready" in text
    assert len(shown(invalid_rows=[]).splitlines()) == 7  # nothing to say: nothing said


def test_a_node_in_no_cluster() -> None:
    assert "node 1 (node-a) is in no cluster" in shown(clusters=[])


HOSTILE = "a\x1b[31m\x9b1m\r\n\u202e[bold red]x[/] :smile:" + "y" * 500


def test_texts_of_peers_can_neither_control_the_terminal_nor_break_a_row() -> None:
    bad = peer(2, description=HOSTILE, url=HOSTILE, why=HOSTILE)
    status = msgspec.structs.replace(
        with_peers(bad),
        invalid_rows=[HOSTILE],
        roster_error=HOSTILE,
        description=HOSTILE,
        refusals=[refusal(address=HOSTILE, detail=HOSTILE, reason=HOSTILE)],
    )
    printed = lines(tables.status_table(status))
    assert len(printed) == 5 + 1 + 4 + 1 + 2  # a row each
    assert all(line.isprintable() for line in printed)
    assert any(
        "a\\x1b[31m\\x9b1m\\r\\n\\u202e[bold red]x[/] :smile:yyy" in line for line in printed
    )
    listed = {"Clusters": [{"cluster_id": 1, "Nodes": [
        {"node_id": 2, "db_id": 1, "url": HOSTILE, "link_state": "Up", "state": "enabled",
         "next_hop": "2", "description": HOSTILE}]}]}  # fmt: skip
    assert all(line.isprintable() for line in lines(tables.nodes_table(listed)))


def test_a_cell_has_a_longest_length() -> None:
    assert tables.plain("x" * tables.MAX_CELL_CHARS) == "x" * tables.MAX_CELL_CHARS
    cut = tables.plain("x" * (tables.MAX_CELL_CHARS + 1))
    assert len(cut) == tables.MAX_CELL_CHARS
    assert cut.endswith("x…")


def test_colours_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")

    def rendered() -> str:
        stream = io.StringIO()
        stream.isatty = lambda: True  # type: ignore[method-assign]
        tables.console(stream).print(tables.status_table(make_status()))
        return stream.getvalue()

    assert "\x1b[31mDown" in rendered()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in rendered()
    assert "\x1b" not in shown()


def test_a_terminal_without_unicode_gets_a_table_too() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    tables.console(stream).print(tables.status_table(make_status(description="nœud")))
    stream.flush()
    assert b"seen from node 1 (n?ud)" in raw.getvalue()


def test_nodes_and_topology_tables() -> None:
    listed = {"Clusters": [{"cluster_id": 7, "Nodes": [
        {"node_id": 2, "db_id": 5, "url": "bins:h:1", "link_state": "Up", "state": "enabled",
         "next_hop": "2", "description": "none"}]}]}  # fmt: skip
    header, _, row = lines(tables.nodes_table(listed))
    assert header.split()[:3] == ["Cluster", "Node", "DB"]
    assert row.split() == ["7", "2", "5", "bins:h:1", "Up", "enabled", "2", "none"]
    topology = {"Clusters": [{"cluster_id": 7, "Nodes": [
        {"node_id": 1, "Neighbours": [2, 3]}, {"node_id": 2, "Neighbours": []}]}]}  # fmt: skip
    _, _, *rows = lines(tables.topology_table(topology))
    assert [row.split() for row in rows] == [["7", "1", "2,", "3"], ["7", "2", "none"]]


def test_it_is_a_renderable_for_any_console() -> None:
    """The demo prints it in a live display of the terminal's width."""
    stream = io.StringIO()
    Console(file=stream, width=60, color_system=None).print(tables.status_table(make_status()))
    assert max(len(line) for line in stream.getvalue().splitlines()) <= 60
