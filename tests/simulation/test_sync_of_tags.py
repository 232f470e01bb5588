"""K-1 … K-7, M-4 in a simulated cluster: who gives the records of a sharing tag to whom."""

from __future__ import annotations

from collections.abc import Sequence

from tagmesh.actors.mail import PlanDecision, SyncWanted
from tagmesh.actors.tag_standing import tell_of_tags
from tagmesh.capabilities.replicated_map import ReplicatedMap
from tagmesh.protocol.capability_words import SyncWish
from tagmesh.protocol.contract import SyncReport
from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.messages import CapState, Message, SyncAnswer, SyncRequest
from tagmesh.simulation import World
from tagmesh.transport.loopback_connection import Endpoint
from tests.capabilities.map_bench import lose


def booted(records: int = 200) -> tuple[World, list[Message]]:
    """Node 1 has tag a, node 2 tag b, and each has written records under it; node 3 has none.

    What is sent, by whoever it is of, comes into the list.
    """
    world = World(5, 3, settings={"sharing_tags": ["a", "b"]})
    world.provide(lambda _node: ReplicatedMap("calls", run=lambda function: function()))
    sent: list[Message] = []
    before = world.network.on_sent

    def watch(end: Endpoint, messages: Sequence[Message]) -> None:
        sent.extend(m for m in messages if getattr(m, "source", None) == end.node)
        if before is not None:
            before(end, messages)

    world.network.on_sent = watch
    world.boot_all()
    world.run_for(20)
    for node, tag in ((1, "a"), (2, "b")):
        world.activate(node, tag)
        world.run_for(1)
        for number in range(records):
            calls(world, node).put(f"{tag}{number}", number, tag=tag)
    calls(world, 3).put("plain", 1)
    world.run_for(5)
    return world, sent


def calls(world: World, node: int) -> ReplicatedMap:
    found = world.capability(node, "calls")
    assert isinstance(found, ReplicatedMap)
    return found


def seen(world: World, node: int) -> dict[str, object]:
    return {str(key): value for key, value in calls(world, node).items()}


def requests(sent: list[Message]) -> list[SyncRequest]:
    return [message for message in sent if isinstance(message, SyncRequest)]


def said(world: World, node: int) -> tuple[CapState, list[str]]:
    context = world.processes[NodeId(node)].system.context
    (registration,) = context.registrations.values()
    return registration.said.state, registration.said.lacking


def last(world: World, node: int) -> SyncReport:
    context = world.processes[NodeId(node)].system.context
    (registration,) = context.registrations.values()
    assert registration.last_report is not None
    return registration.last_report


def test_a_joiner_gets_each_tag_from_its_owner() -> None:
    """K-1, K-2: and what has no tag from anybody."""
    world, sent = booted()
    world.crash(3)
    world.run_for(5)
    sent.clear()
    world.boot(3)
    world.run_for(30)
    assert len(seen(world, 3)) >= 400
    assert said(world, 3) == (CapState.OK, [])
    tagged = {(r.destination, tuple(r.tags)) for r in requests(sent) if r.source == 3 and r.tags}
    assert tagged == {(1, ("a",)), (2, ("b",))}
    found = {e.tag: (e.donor, e.count, e.confirmed) for e in last(world, 3).evidence}
    assert found == {"a": (1, 200, True), "b": (2, 200, True)}


def test_an_empty_former_owner_lacks_its_tag_until_there_is_an_owner() -> None:
    """K-4, H-25: what others have of it comes by comparisons, and proves nothing."""
    world, _sent = booted()
    world.crash(1)
    world.run_for(5)
    world.boot(1)
    world.run_for(30)
    assert said(world, 1) == (CapState.OK, ["a"])
    assert sum(key.startswith("a") for key in seen(world, 1)) == 200
    world.activate(3, "a")
    world.run_for(5)
    assert said(world, 1) == (CapState.OK, [])
    assert sum(key.startswith("a") for key in seen(world, 1)) == 200


def test_an_owner_that_comes_back_into_sight_is_synced_with_and_nobody_else() -> None:
    """M-4: its own tag, once."""
    world, sent = booted()
    world.cut(1, 2)
    world.cut(1, 3)
    world.run_for(60)
    calls(world, 1).put("a0", "written alone")
    world.heal_all()
    sent.clear()
    world.run_for(20)
    assert [seen(world, node)["a0"] for node in world.ids] == ["written alone"] * 3
    named = [(r.source, r.destination, tuple(r.tags)) for r in requests(sent) if r.tags]
    assert sorted(named) == [
        (1, 2, ("b",)),
        (2, 1, ("a",)),
        (3, 1, ("a",)),
    ]


def test_a_backup_is_never_a_donor_of_a_tag() -> None:
    """K-1: whoever asks it, by mistake or by an old view, is refused."""
    world, sent = booted()
    table = world.processes[NodeId(3)].system.context.claims
    (claims,) = table.values()
    held = claims.of("a")
    assert held is not None
    claims._known["a"] = type(held)(
        "a", held.number, 2, world.processes[NodeId(2)].system.context.incarnation, held.priority
    )
    tell_of_tags(world.processes[NodeId(3)].system.context, ClusterId(1))
    ask(world, 3, SyncWish(tags=("a",)))
    world.run_for(0.5)
    answers = [message for message in sent if isinstance(message, SyncAnswer)]
    refused = [(a.source, a.refusal, a.unserved) for a in answers if a.destination == 3]
    assert (2, "not_tag_owner", [("a", 1)]) in refused


def test_what_is_active_here_is_not_fetched() -> None:
    """K-7."""
    world, sent = booted(3)
    sent.clear()
    ask(world, 1, SyncWish(tags=("a",)))
    world.run_for(1)
    assert (last(world, 1).reason, requests(sent)) == ("active_here", [])
    ask(world, 1, SyncWish(tags=("a",), force=("a",)))
    world.run_for(2)
    assert [(r.tags, r.unowned) for r in requests(sent) if r.source == 1] == [(["a"], True)]
    assert last(world, 1).ok


def test_a_mirror_of_a_tag_drops_what_its_owner_does_not_have() -> None:
    """S-26: and nothing of another tag."""
    world, _sent = booted(30)
    ask(world, 3, SyncWish(tags=("a",), mirror=True))
    world.run_for(3)
    assert (last(world, 3).ok, last(world, 3).dropped) == (True, 0)
    assert len(seen(world, 3)) == 61


def test_a_plan_for_a_tag_that_became_active_here_drops_nothing() -> None:
    """K-7: whoever confirms it, and however long it waited."""
    world, _sent = booted(30)
    lose(calls(world, 1), {"a0"})
    ask(world, 3, SyncWish(tags=("a",), mirror=True, dry_run=True))
    world.run_for(1)
    plan = last(world, 3).plan_id
    assert plan is not None
    world.activate(3, "a")
    world.run_for(1)
    supervisor = world.processes[NodeId(3)].system.context.supervisor
    supervisor.tell(("capability", 1, "calls"), PlanDecision(plan, "confirm"))
    world.run_for(1)
    assert seen(world, 3)["a0"] == 0


def ask(world: World, node: int, wish: SyncWish) -> None:
    supervisor = world.processes[NodeId(node)].system.context.supervisor
    assert supervisor.tell(("capability", 1, "calls"), SyncWanted(wish))
