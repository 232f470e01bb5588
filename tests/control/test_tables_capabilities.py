"""Capabilities and syncs as people see them."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest

from tagmesh.control import tables, tables_capabilities
from tagmesh.control.commands import COMMANDS
from tagmesh.protocol.contract import SyncReport
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.status import PlanStatus
from tests.control.fake_node import FakeNode, capability, make_status


def lines(renderable: Any) -> list[str]:
    stream = io.StringIO()
    tables.console(stream).print(renderable)
    return [" ".join(line.split()) for line in stream.getvalue().splitlines()]


def result(command: str, **arguments: Any) -> Any:
    ran = COMMANDS[command].run(FakeNode(), **arguments)
    return msgspec.json.decode(msgspec.json.encode(ran))


def having(*capabilities: Any) -> Any:
    status = make_status(invalid_rows=[])
    cluster = msgspec.structs.replace(status.clusters[0], capabilities=list(capabilities), peers=[])
    return msgspec.structs.replace(status, clusters=[cluster])


def test_every_capability_of_every_node() -> None:
    header, _, *rows = lines(tables_capabilities.caps_table(make_status()))
    assert header == "Cluster Node Capability State Why Last sync"
    assert rows == [
        "1 1 * dialog-dlg-repl Ok synced from node 2 1000 records from 2 in 0.5 s",
        "1 1 * usrloc-contact-repl syncing 61 % from 2 -",
        "1 2 dialog-dlg-repl Ok - -",
        "1 2 usrloc-contact-repl Ok seed, and no donor for 5 s; a donor of last resort -",
        "1 3 dialog-dlg-repl pending no donor -",
    ]


def test_syncs_under_way_and_how_the_last_ones_ended() -> None:
    header, _, *rows = lines(tables_capabilities.sync_table(result("tagmesh_sync_status")))
    assert header == "Cluster Capability Role With State Records Done Bytes Rate"
    assert rows == [
        "1 usrloc-contact-repl joiner 2 receiving 15310 of ~25000 61 % 1.91 MiB 3,828/s",
        "1 usrloc-contact-repl donor 3 sending 5 of ~10 50 % 600 B -",
        "dialog-dlg-repl: 1000 records from 2 in 0.5 s",
        "dialog-dlg-repl: plan 1 dropped: 30 of 30 records",
    ]


def test_no_sync_at_all() -> None:
    (line,) = lines(tables_capabilities.sync_table({"clusters": []}))
    assert line == "no sync is under way, and there was none"


def test_what_waits_for_a_sync() -> None:
    waiting = {"capability": "x", "state": "pending", "reason": "no donor\x1b[2J"}
    cluster = {"cluster_id": 1, "sessions": [], "waiting": [waiting], "last": []}
    (line,) = lines(tables_capabilities.sync_table({"clusters": [cluster]}))
    assert line == "x pending: no donor\\x1b[2J"


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (SyncReport(ok=False, reason="timeout"), "failed: timeout"),
        (SyncReport(ok=True), "declared OK without a donor"),
        (
            SyncReport(ok=True, donor=NodeId(2), items=9, seconds=2.0, dropped=3, quarantined=1),
            "9 records from 2 in 2 s, 3 dropped, 1 set aside",
        ),
    ],
)
def test_how_syncs_end(report: SyncReport, said: str) -> None:
    row = lines(tables_capabilities.caps_table(having(capability("x", last_report=report))))[2]
    assert row == f"1 1 * x Ok synced from node 2 {said}"


def test_the_status_names_what_somebody_should_look_at() -> None:
    plan = PlanStatus(plan_id=4, state="waiting", reason="guard", records=30, dropped=0)
    status = having(capability("x", quarantined=7, plans=[plan]))
    assert lines(tables.status_table(status))[-2:] == [
        "x: 7 set aside: tagmesh ctl cap quarantine x",
        "x: plan 4 would drop 30 records (guard): tagmesh ctl sync confirm x 4",
    ]


def test_the_status_says_what_a_node_waits_for() -> None:
    status = make_status(ready=False, waits_for=["cluster 1: x is pending: no donor"])
    assert (
        lines(tables.status_table(status))[-1]
        == "this node is not ready yet: cluster 1: x is pending: no donor"
    )


def test_what_was_set_aside() -> None:
    listed = result("tagmesh_quarantine", cluster_id=1, capability="dialog-dlg-repl")
    assert lines(tables_capabilities.quarantine_table(listed))[2:] == [
        "2 message ValueError: no such user {'user': '\\x1b[2Jbob'}",
        "3 record not msgpack b'\\xc1'",
    ]
    (line,) = lines(tables_capabilities.quarantine_table({"quarantine": []}))
    assert line == "nothing was set aside"


def test_donors() -> None:
    listed = result("tagmesh_explain_donor", cluster_id=1, capability="dialog-dlg-repl")
    assert lines(tables_capabilities.donors_table(listed))[2:] == [
        "2 1. 1 hop, position 7",
        "3 no: unreachable no path",
    ]


def test_what_differs() -> None:
    found = result("tagmesh_diff", cluster_id=1, capability="dialog-dlg-repl")
    shown = lines(tables_capabilities.diff_table(found))
    assert shown[2:4] == ["2 1 3 0 -", "3 - - - unreachable: no path"]
    assert shown[-3:] == [
        "2 \\x1b[2Jbob missing there",
        "2 ('a', 7) only there",
        "2 and 2 more -",
    ]
    alike = {**found, "nodes": [{**found["nodes"][0], "keys": [], "unlisted": 0}]}
    assert len(lines(tables_capabilities.diff_table(alike))) == 3
