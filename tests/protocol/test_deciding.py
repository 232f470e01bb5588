"""Which decisions events tell of."""

from __future__ import annotations

import pytest

from tagmesh.protocol.because import STORAGE, About
from tagmesh.protocol.deciding import decided
from tagmesh.protocol.effects import Announce
from tagmesh.protocol.events import Event
from tagmesh.protocol.identity import NodeId

THREE = NodeId(3)


@pytest.mark.parametrize(
    ("announce", "found"),
    [
        (Announce(kind=Event.NODE_UP, node_id=THREE), (About("node", "3"), "reachable")),
        (Announce(kind=Event.NODE_DOWN, node_id=THREE), (About("node", "3"), "unreachable")),
        (Announce(kind=Event.ROUTE_CHANGED, node_id=THREE), (About("node", "3"), "reachable")),
        (Announce(kind=Event.LINK_CHANGED, node_id=THREE, after="Up"), (About("link", "3"), "Up")),
        (Announce(kind=Event.JOIN_REFUSED, node_id=THREE), (About("join", "3"), None)),
        (Announce(kind=Event.ROSTER_CHANGED, node_id=THREE), (About("row", "3"), None)),
        (Announce(kind=Event.ROSTER_CHANGED), (STORAGE, None)),
        (
            Announce(kind=Event.CAPABILITY_CHANGED, capability="c", after="ok"),
            (About("cap", "c"), "ok"),
        ),
        (Announce(kind=Event.SYNC_FAILED, capability="c"), (About("sync", "c"), None)),
        (Announce(kind=Event.TAG_CHANGED, tag="t", after="active"), (About("tag", "t"), "active")),
        (Announce(kind=Event.WRITE_REFUSED, tag="t"), (About("write", "t"), None)),
    ],
    ids=lambda value: value.kind if isinstance(value, Announce) else "",
)
def test_the_subject_and_the_state_after(
    announce: Announce, found: tuple[About, str | None]
) -> None:
    said = decided(announce)
    assert said is not None
    assert (said[0], said[2]) == found


def test_the_progress_of_a_sync_is_no_decision() -> None:
    assert decided(Announce(kind=Event.SYNC_PROGRESS, capability="c")) is None
