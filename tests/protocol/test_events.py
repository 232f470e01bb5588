"""Events read as one line for people."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.protocol.events import Event, EventRecord
from tagmesh.protocol.identity import ClusterId, NodeId

ONE, TWO, THREE = NodeId(1), NodeId(2), NodeId(3)
CLUSTER = ClusterId(7)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (EventRecord(sequence=1, wall_s=0.0, kind=Event.ROSTER_CHANGED), "roster_changed"),
        (
            EventRecord(
                sequence=2,
                wall_s=0.0,
                kind=Event.LINK_CHANGED,
                cluster_id=CLUSTER,
                node_id=TWO,
                before="Up",
                after="Down",
                cause="no answer to 4 pings",
            ),
            "link_changed cluster 7 node 2 Up>Down: no answer to 4 pings",
        ),
        (
            EventRecord(
                sequence=3,
                wall_s=0.0,
                kind=Event.ROUTE_CHANGED,
                cluster_id=CLUSTER,
                node_id=TWO,
                via=THREE,
            ),
            "route_changed cluster 7 node 2 via 3",
        ),
        (
            EventRecord(
                sequence=4,
                wall_s=0.0,
                kind=Event.CAPABILITY_CHANGED,
                cluster_id=CLUSTER,
                capability="dialogs",
                before="syncing",
                after="ok",
                cause="synced from node 2",
            ),
            "capability_changed cluster 7 dialogs syncing>ok: synced from node 2",
        ),
        (
            EventRecord(
                sequence=5,
                wall_s=0.0,
                kind=Event.TAG_CHANGED,
                cluster_id=CLUSTER,
                tag="vip1",
                before="backup",
                after="active",
                cause="MI command",
            ),
            "tag_changed cluster 7 vip1 backup>active: MI command",
        ),
    ],
)
def test_an_event_is_one_line(event: EventRecord, line: str) -> None:
    assert str(event) == line


def test_an_event_survives_json() -> None:
    event = EventRecord(sequence=1, wall_s=1.5, kind=Event.NODE_UP, cluster_id=CLUSTER, node_id=ONE)
    assert msgspec.json.decode(msgspec.json.encode(event), type=EventRecord) == event


def test_the_kinds_of_events() -> None:
    assert [event.value for event in Event] == [
        "node_up", "node_down", "link_changed", "route_changed", "join_refused", "roster_changed",
        "expelled", "capability_changed", "sync_started", "sync_progress", "sync_done",
        "sync_failed", "repaired", "synced_without_data", "tag_changed", "write_refused",
    ]  # fmt: skip
