"""Events are numbered, kept in a ring, counted and handed out."""

from __future__ import annotations

import msgspec

from tagmesh.actors.eventlog import RING_EVENTS, EventLog
from tagmesh.protocol.because import Cause, because
from tagmesh.protocol.effects import Announce
from tagmesh.protocol.events import Event, EventRecord
from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.status import EventCount

UP = Announce(kind=Event.NODE_UP, node_id=NodeId(2))


def test_the_ring_keeps_the_last_with_numbers_that_go_on() -> None:
    log = EventLog(lambda: 5.0, NodeId(1))
    heard: list[EventRecord] = []
    log.subscribe(heard.append)
    for _ in range(RING_EVENTS + 3):
        log.publish(UP, ClusterId(1))
    assert [event.sequence for event in log.ring] == list(range(4, RING_EVENTS + 4))
    assert [event.sequence for event in heard] == list(range(1, RING_EVENTS + 4))


def test_all_that_came_are_counted_by_cluster_kind_and_cause() -> None:
    log = EventLog(lambda: 5.0, NodeId(1))
    for _ in range(RING_EVENTS + 3):
        log.publish(UP, ClusterId(2))
    log.publish(UP, ClusterId(1))
    answers = because("it answers", Cause.ANSWERS)
    log.publish(msgspec.structs.replace(UP, cause=answers), ClusterId(1))
    log.publish(Announce(kind=Event.JOIN_REFUSED, node_id=None))
    assert log.counts() == [
        EventCount(cluster_id=None, kind="join_refused", cause="unstated", count=1),
        EventCount(cluster_id=1, kind="node_up", cause="answers", count=1),
        EventCount(cluster_id=1, kind="node_up", cause="unstated", count=1),
        EventCount(cluster_id=2, kind="node_up", cause="unstated", count=RING_EVENTS + 3),
    ]
