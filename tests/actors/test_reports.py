"""What a node tells of its capabilities, while simulated nodes sync and come and go."""

from __future__ import annotations

from typing import Any

from tagmesh import ReplicatedMap
from tagmesh.actors.mail import SyncWanted
from tagmesh.actors.reports import capabilities_of, peer_capabilities, waits_for
from tagmesh.protocol.capability_words import SyncWish
from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.status import CapabilityStatus, PeerCapability
from tagmesh.simulation import World
from tests.capabilities.map_bench import lose

NAME = "users"
CLUSTER = ClusterId(1)
TIMES = {"ping_interval": "1s", "ping_timeout": "250ms", "sync_window": 1}


def made(records: int = 0, **settings: Any) -> World:
    """Three nodes; node 1 has records, node 3 does not run."""
    world = World(1, 3, settings={**TIMES, **settings})
    world.provide(lambda node: ReplicatedMap(NAME))
    world.boot(1)
    world.boot(2)
    world.until(lambda: told(world, 2).state == "ok", within_s=60)
    users = world.capability(1, NAME)
    assert isinstance(users, ReplicatedMap)
    for number in range(records):
        users.put(number, "x" * 500)
    world.run_for(5)
    return world


def told(world: World, node: int) -> CapabilityStatus:
    context = world.processes[NodeId(node)].system.context

    def ask(name: Any, mail: object) -> object:
        actor = context.supervisor.actor(name)
        assert actor is not None
        return actor.on_receive(mail)

    (status,) = capabilities_of(context, CLUSTER, ask)
    return status


def missing(world: World, node: int) -> list[str]:
    context = world.processes[NodeId(node)].system.context
    return waits_for(list(context.registrations.values()), [CLUSTER])


def test_a_sync_under_way_is_told_by_both_ends() -> None:
    world = made(2000)
    world.slow(1, 3, 0.05)
    world.slow(2, 3, 0.05)
    world.boot(3)
    assert missing(world, 3) == [f"cluster 1: {NAME} begins"]
    world.until(lambda: (p := told(world, 3).progress) is not None and p.done > 500, within_s=60)
    joiner = told(world, 3)
    assert joiner.state == "syncing"
    assert joiner.progress is not None
    assert 500 < joiner.progress.done < joiner.progress.total == 2000
    assert missing(world, 3) == [f"cluster 1: {NAME} is syncing"]
    (session,) = told(world, joiner.progress.donor).donating
    assert (session.joiner, session.state, session.total) == (3, "sending", 2000)
    assert joiner.progress.done <= session.done <= 2000
    world.until(lambda: told(world, 3).state == "ok", within_s=60)
    world.run_for(1)
    done = told(world, 3)
    assert done.progress is None
    assert done.last_report is not None
    assert done.last_report.items == 2000
    assert told(world, 1).donating == told(world, 2).donating == []
    assert missing(world, 3) == []


def test_a_sync_that_is_asked_for_later_does_not_make_a_node_unready() -> None:
    world = made()
    supervisor = world.processes[NodeId(2)].system.context.supervisor
    world.crash(1)
    world.until(lambda: not world.route(2, 1), within_s=60)
    supervisor.tell(("capability", CLUSTER, NAME), SyncWanted(SyncWish()))
    world.run_for(0.1)
    assert told(world, 2).state == "pending"
    assert missing(world, 2) == []


def test_a_plan_that_waits_is_told() -> None:
    world = made(40)
    for node in (1, 2):  # both have 40; the donor forgets 30
        users = world.capability(node, NAME)
        assert isinstance(users, ReplicatedMap)
        if node == 1:
            lose(users, list(users.keys())[:30])
    supervisor = world.processes[NodeId(2)].system.context.supervisor
    supervisor.tell(("capability", CLUSTER, NAME), SyncWanted(SyncWish(mirror=True)))
    world.until(lambda: bool(told(world, 2).plans), within_s=60)
    (plan,) = told(world, 2).plans
    assert (plan.plan_id, plan.state, plan.reason) == (1, "waiting", "guard")
    assert (plan.records, plan.dropped) == (30, 0)


def test_a_node_that_left_the_cluster_offers_nothing() -> None:
    world = made()
    world.disable(2)
    world.run_for(10)
    status = told(world, 2)
    assert (status.state, status.reason) == ("disabled", "this node is not enabled in cluster 1")
    context = world.processes[NodeId(2)].system.context
    (text,) = waits_for(list(context.registrations.values()), [])
    assert text == f"cluster 1: {NAME}: this node has no enabled row in that cluster"


def test_what_others_say_is_listed_by_name() -> None:
    world = made()
    states = world.processes[NodeId(1)].system.context.views[CLUSTER].capabilities[NodeId(2)]
    (users,) = peer_capabilities(states)
    assert users == PeerCapability(
        name=NAME, state="ok", reason=users.reason, without_data=users.without_data
    )


def test_what_waits_for_its_first_sync_says_why() -> None:
    world = World(1, 3, settings=TIMES)
    world.provide(lambda node: ReplicatedMap(NAME))
    world.boot(2)
    world.run_for(1)
    (text,) = missing(world, 2)
    assert text.startswith(f"cluster 1: {NAME} is pending: ")


def test_pending_tags_are_told_with_the_reason_and_the_others_with_the_evidence() -> None:
    """K-4."""
    world = made(sharing_tags=["mine", "vip"])
    for tag in ("mine", "vip"):
        world.activate(1, tag)
    world.run_for(5)
    world.boot(3)
    world.run_for(20)
    assert [(e.tag, e.donor, e.confirmed) for e in told(world, 3).evidence] == [
        ("mine", 1, True),
        ("vip", 1, True),
    ]
    assert told(world, 3).pending == {}
    world.crash(1)
    world.crash(3)
    world.boot(3)
    world.run_for(60)
    pending = told(world, 3).pending
    assert sorted(pending) == ["mine", "vip"]
    assert pending["vip"] == "node 1 had it last and is unreachable"
