"""The snapshot is a contract with those who read it as JSON: what is written is read again."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.protocol.contract import Progress, SyncReport
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.status import (
    CapabilityStatus,
    ClusterStatus,
    DonorSession,
    PeerCapability,
    PeerStatus,
    PlanStatus,
    RefusalStatus,
    Status,
)

PEER = PeerStatus(
    node_id=2, db_id=7, url="bins:10.0.0.6:5556", description=None, state="enabled", link="Probe",
    link_state="retrying", next_hop=3, route=[3, 2], rtt_s=0.0004, incarnation=5, since_s=1.5,
    why="no answer within 1 s",
    capabilities=[PeerCapability(name="users", state="pending", reason="no donor")],
)  # fmt: skip
USERS = CapabilityStatus(
    name="users", state="syncing", reason="", enabled=True, without_data=False,
    progress=Progress(
        donor=NodeId(2), state="receiving", done=7, total=9, bytes=700, seconds=0.1
    ),
    donating=[DonorSession(joiner=3, state="sending", done=1, total=9, bytes=100)],
    last_report=SyncReport(ok=False, reason="timeout", donor=NodeId(3)),
    quarantined=1,
    plans=[PlanStatus(plan_id=1, state="waiting", reason="guard", records=30, dropped=0)],
)  # fmt: skip
STATUS = Status(
    node_id=1, description="node-a", url="bins:10.0.0.5:5556", software="tagmesh 0.1.0",
    incarnation=9, started_wall_s=1.7e9, uptime_s=60.0, healthy=True, ready=True,
    roster="configuration", roster_error=None,
    clusters=[
        ClusterStatus(
            cluster_id=1, enabled=True, peers=[PEER], topology=[(1, [3]), (2, [3])],
            capabilities=[USERS],
        )
    ],
    invalid_rows=[],
    refusals=[
        RefusalStatus(
            node_id=None, direction="incoming", by="us", address="10.0.0.9:4000",
            reason="cert_missing", detail="", count=3, last_wall_s=1.7e9,
        )
    ],
    crashes=0, waits_for=["cluster 1: users is syncing"], actors={"link": 1},
)  # fmt: skip


def test_what_is_written_is_read_again() -> None:
    assert msgspec.json.decode(msgspec.json.encode(STATUS), type=Status) == STATUS


def test_readers_know_the_version_of_the_form() -> None:
    assert msgspec.to_builtins(STATUS)["version"] == 1


def test_another_form_is_noticed() -> None:
    raw = msgspec.to_builtins(STATUS)
    raw["clusters"][0]["peers"][0]["route"] = "3>2"
    with pytest.raises(msgspec.ValidationError, match="route"):
        msgspec.convert(raw, Status)


@pytest.mark.parametrize(
    ("link", "next_hop", "connected"),
    [("Up", 2, True), ("Up", None, False), ("Probe", 3, False), ("Down", None, False)],
)
def test_a_peer_is_connected_when_its_link_is_up_and_messages_have_a_way(
    link: str, next_hop: int | None, connected: bool
) -> None:
    peer = msgspec.structs.replace(PEER, link=link, next_hop=next_hop)
    assert peer.connected is connected
