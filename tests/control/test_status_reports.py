"""Status reports: what each part of a node says of itself, with OpenSIPS's numbers and texts."""

from __future__ import annotations

import pytest

from tagmesh.control.status_reports import MAX_REPORTS, Identifier, groups
from tagmesh.protocol.events import Event
from tests.control.fake_node import capability, event, make_status


def reports(name: str, **changes: object) -> list[str]:
    found = groups(make_status(), [event(1, **changes)])["clusterer"]
    return [r.text for identifier in found if identifier.name == name for r in identifier.reports]


def test_the_groups_and_their_identifiers() -> None:
    found = groups(make_status())
    assert {group: [i.name for i in listed] for group, listed in found.items()} == {
        "core": ["main"],
        "clusterer": [
            "node_states", "sharing_tags", "cap:dialog-dlg-repl", "cap:usrloc-contact-repl"
        ],
    }  # fmt: skip


def test_the_node_is_ready_or_says_what_it_waits_for() -> None:
    assert groups(make_status())["core"] == [Identifier("main", 1, "running")]
    waits = make_status(ready=False, waits_for=["cluster 1: a is syncing", "cluster 2: b begins"])
    (main,) = groups(waits)["core"]
    assert (main.status, main.details) == (-1, "cluster 1: a is syncing; cluster 2: b begins")


@pytest.mark.parametrize(
    ("state", "status", "details"),
    [
        ("ok", 1, "synced"),
        ("syncing", -1, "sync in progress"),
        ("pending", -2, "sync pending"),
        ("unsynced", -3, "not synced"),
        ("degraded", -3, "not synced"),
        ("disabled", -3, "not synced"),
    ],
)
def test_the_status_of_a_capability(state: str, status: int, details: str) -> None:
    whole = make_status()
    whole.clusters[0].capabilities[:] = [capability("calls", state=state)]
    assert groups(whole)["clusterer"][2] == Identifier("cap:calls", status, details, [])


def test_reports_of_nodes_and_tags() -> None:
    assert reports("node_states") == ["Node [3], cluster [1] is DOWN"]
    assert reports("node_states", kind=Event.NODE_UP) == ["Node [3], cluster [1] is UP"]
    moved = {"kind": Event.TAG_CHANGED, "tag": "vip1", "after": "active", "cause": "MI command"}
    assert reports("sharing_tags", **moved) == [
        "TAG <vip1>, cluster 1, became active due to MI command"
    ]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Event.SYNC_STARTED, "Sync started from node [3]"),
        (Event.SYNC_DONE, "Sync completed, 30 records"),
        (Event.SYNC_FAILED, "Sync failed: 30 records"),
        (Event.SYNCED_WITHOUT_DATA, "Synced without data: 30 records"),
    ],
)
def test_reports_of_syncs(kind: Event, text: str) -> None:
    changes = {"kind": kind, "capability": "dialog-dlg-repl", "cause": "30 records"}
    assert reports("cap:dialog-dlg-repl", **changes) == [text]
    assert reports("cap:usrloc-contact-repl", **changes) == []


def test_other_events_are_no_reports_and_the_newest_are_kept() -> None:
    assert reports("node_states", kind=Event.ROUTE_CHANGED) == []
    many = [event(number) for number in range(1, MAX_REPORTS + 2)]
    (states, *_) = groups(make_status(), many)["clusterer"]
    assert len(states.reports) == MAX_REPORTS
    assert states.reports[-1].wall_s == many[-1].wall_s
