"""Capabilities on virtual time: messages, switches, mistakes of applications, syncs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tagmesh.actors.mail import Switch, SyncWanted
from tagmesh.protocol.capability_words import SyncWish
from tagmesh.protocol.contract import Capability, Outcome, SyncReport
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.lacking import PATIENCE_S
from tagmesh.protocol.messages import CapState
from tagmesh.simulation import World

NAME = "calls"


class Calls(Capability):
    """Remembers what it hears."""

    name = NAME

    def __init__(self, records: Sequence[Any] = ()) -> None:
        self.records = list(records)
        self.heard: list[tuple[int, Any]] = []
        self.nodes: list[tuple[str, int]] = []
        self.reports: list[SyncReport] = []
        self.states: list[CapState] = []

    def on_message(self, message: Any, source: NodeId) -> None:
        if message == "bad":
            raise ValueError("a bad message")
        self.heard.append((source, message))

    def on_node_up(self, node: NodeId, incarnation: int) -> None:
        self.nodes.append(("up", node))

    def on_node_down(self, node: NodeId, cause: str) -> None:
        self.nodes.append(("down", node))

    def on_state(self, state: CapState, reason: str) -> None:
        self.states.append(state)

    def sync_items(self, tags: Sequence[str]) -> Iterator[Any]:
        yield from list(self.records)

    def sync_item(self, item: Any) -> None:
        if item == "bad":
            raise ValueError("a bad record")
        self.records.append(item)

    def sync_done(self, report: SyncReport) -> None:
        self.reports.append(report)


class Syncing(Calls):
    """Begins with a sync."""

    startup_sync = True


class Reliable(Calls):
    """Loses nothing."""

    delivery = "at_least_once"


def booted(make: type[Calls], nodes: int = 3, records: Sequence[Any] = (), seed: int = 1) -> World:
    """A cluster at peace; node 1 has ``records``, all are OK."""
    world = World(seed, nodes, settings={"ping_interval": "1s", "ping_timeout": "250ms"})
    world.provide(lambda node: make(records if node == 1 else ()))
    world.boot_all()
    world.until(world.converged, within_s=30)
    world.until(lambda: all_are(world, CapState.OK), within_s=60)
    world.run_for(0.2)
    return world


def all_are(world: World, state: CapState) -> bool:
    return all(world.state(node, NAME) is state for node in world.processes)


def calls(world: World, node: int) -> Calls:
    capability = world.capability(node, NAME)
    assert isinstance(capability, Calls)
    return capability


def switch(world: World, node: int, *, on: bool) -> None:
    supervisor = world.processes[NodeId(node)].system.context.supervisor
    supervisor.tell(("capability", 1, NAME), Switch(on, "an operator"))


def test_messages_come_in_order_and_say_who_sent_them() -> None:
    world = booted(Calls)
    sent = [calls(world, 1).send(2, n).outcome for n in range(5000)]
    calls(world, 3).send(2, "hello")
    world.run_for(1)
    heard = calls(world, 2).heard
    assert [m for source, m in heard if source == 1] == list(range(5000))
    assert (3, "hello") in heard
    assert sent[0] is Outcome.SENT
    assert set(sent[1:]) == {Outcome.QUEUED}


def test_a_broadcast_reaches_every_other_node() -> None:
    world = booted(Calls, nodes=5)
    results = calls(world, 2).broadcast({"a": [1, 2]})
    assert {node: result.code for node, result in results.items()} == {1: 1, 3: 1, 4: 1, 5: 1}
    world.run_for(0.1)
    assert [calls(world, n).heard for n in (1, 3, 4, 5)] == [[(2, {"a": [1, 2]})]] * 4
    assert calls(world, 2).heard == []


def test_messages_go_round_a_cut_link_through_nodes_that_may_lack_the_capability() -> None:
    """C-6: the node between forwards, whatever its own capabilities are (row 5 of 1.23)."""
    world = World(3, 3, settings={"ping_interval": "1s", "ping_timeout": "250ms"})
    world.boot(2)
    world.provide(lambda node: Calls())
    world.boot_all()
    world.cut(1, 3)
    world.until(lambda: world.route(1, 3) == (2, 3) and world.route(3, 1) == (2, 1), within_s=30)
    world.run_for(1)
    result = calls(world, 1).send(3, "round")
    assert result.route == (2, 3)
    world.run_for(1)
    assert calls(world, 3).heard == [(1, "round")]
    assert calls(world, 1).send(2, "x").outcome is Outcome.DISABLED, "node 2 has not registered it"


def test_what_waits_for_a_node_that_never_registers_the_capability_is_given_up() -> None:
    """R-8: its sender is told, and nothing is sent again and again for ever."""
    world = World(3, 2, settings={"ping_interval": "1s", "ping_timeout": "250ms"})
    world.boot(2)
    world.provide(lambda node: Reliable())
    world.boot(1)
    world.until(world.converged, within_s=30)
    sender = calls(world, 1)
    assert sender.send(2, "waits").outcome is Outcome.QUEUED
    world.run_for(PATIENCE_S + 1)
    result = sender.send(2, "late")
    assert (result.outcome, result.detail) == (Outcome.DISABLED, "node 2 has not registered it")
    assert world.processes[NodeId(1)].system.context.drops["R-3"] == 1
    sent = world.sent[1, 2, "Packets"]
    world.run_for(60)
    assert world.sent[1, 2, "Packets"] == sent
    world.crash(2)
    world.boot(2)
    world.until(world.converged, within_s=30)
    world.run_for(1)
    assert sender.send(2, "there").outcome is Outcome.SENT
    world.run_for(1)
    assert calls(world, 2).heard == [(1, "there")]


def test_a_capability_that_is_switched_off_neither_sends_nor_delivers() -> None:
    """C-1, I7, P11: also what was on its way."""
    world = booted(Calls)
    switch(world, 2, on=False)
    for n in range(100):
        calls(world, 1).send(2, n)
    world.run_for(1)
    assert calls(world, 2).heard == []
    assert calls(world, 2).send(1, "x").code == -1
    assert calls(world, 1).send(2, "x").code == -1
    assert world.state(2, NAME) is CapState.DISABLED
    switch(world, 2, on=True)
    world.run_for(1)
    assert world.state(2, NAME) is CapState.OK
    assert calls(world, 1).send(2, "again")
    world.run_for(1)
    assert calls(world, 2).heard == [(1, "again")]


def test_a_message_that_its_handler_refuses_is_set_aside_and_the_next_one_comes() -> None:
    world = booted(Calls)
    for message in ("a", "bad", "b"):
        calls(world, 1).send(2, message)
    world.run_for(1)
    assert calls(world, 2).heard == [(1, "a"), (1, "b")]
    application = world.processes[NodeId(2)].system.context.registrations[1, NAME].application  # type: ignore[index]
    assert application.quarantined == 1
    assert "a bad message" in application.quarantine[0].error
    assert world.processes[NodeId(2)].system.context.supervisor.crashes == 0


def test_nodes_come_and_go_once_each_for_the_application() -> None:
    world = booted(Calls)
    world.crash(3)
    world.until(lambda: not world.route(1, 3), within_s=30)
    world.boot(3)
    world.until(world.converged, within_s=30)
    world.run_for(1)
    of_3 = [what for what, node in calls(world, 1).nodes if node == 3]
    assert of_3 == ["up", "down", "up"]


def test_nothing_can_be_sent_to_a_node_that_no_path_leads_to() -> None:
    world = booted(Calls)
    world.crash(3)
    world.until(lambda: not world.route(1, 3), within_s=30)
    world.run_for(0.1)
    assert calls(world, 1).send(3, "x").code == -2


@pytest.mark.parametrize("seed", range(10))
def test_reliable_messages_outlive_cuts_resets_and_changes_of_route(seed: int) -> None:
    """R-9: at least once, and no message twice while nobody restarts."""
    world = booted(Reliable, seed=seed)
    sent = 0
    for round_ in range(6):
        for _ in range(50):
            assert calls(world, 1).send(3, sent)
            sent += 1
        [lambda: world.reset(1, 3), lambda: world.cut(1, 3), lambda: world.heal(1, 3)][round_ % 3]()
        world.run_for(world.random.uniform(0.01, 3))
    world.heal_all()
    world.until(lambda: len(calls(world, 3).heard) >= sent, within_s=60)
    world.run_for(20)
    assert [m for _, m in calls(world, 3).heard] == list(range(sent))


def test_reliable_messages_wait_for_a_node_that_is_away() -> None:
    world = booted(Reliable)
    world.crash(3)
    world.until(lambda: not world.route(1, 3), within_s=30)
    assert calls(world, 1).send(3, "wait").outcome is Outcome.QUEUED
    world.boot(3)
    world.until(lambda: calls(world, 3).heard == [(1, "wait")], within_s=60)


def test_a_joiner_gets_everything_from_a_node_that_is_ok() -> None:
    world = booted(Syncing, records=range(3000))
    assert [len(calls(world, n).records) for n in (1, 2, 3)] == [3000] * 3
    report = calls(world, 3).reports[-1]
    assert (report.ok, report.items, report.quarantined) == (True, 3000, 0)


def test_a_record_that_its_handler_refuses_is_set_aside_and_counted() -> None:
    world = booted(Syncing, records=[1, "bad", 3])
    assert calls(world, 2).records == [1, 3]
    assert calls(world, 2).reports[-1].quarantined == 1


@pytest.mark.parametrize("seed", range(10))
def test_messages_during_a_sync_wait_for_its_end(seed: int) -> None:
    """S-23: queued from the request on, delivered in order behind the records."""
    world = booted(Syncing, records=range(20_000), seed=seed)
    world.crash(2)
    world.until(lambda: not world.route(1, 2), within_s=30)
    for other in (1, 3):
        world.slow(2, other, 0.05)
    world.boot(2)
    joiner, donor = calls(world, 2), calls(world, 1)
    world.until(lambda: world.state(2, NAME) is CapState.SYNCING, within_s=60)
    during = sent = 0
    while not joiner.reports:
        sent += bool(donor.send(2, sent))
        world.run_for(0.005)
        during = during if joiner.reports else len(joiner.heard)
    world.run_for(1)
    assert sent > 10
    assert during == 0
    assert [m for _, m in joiner.heard] == list(range(sent))
    assert joiner.records == list(range(20_000))


def test_a_sync_can_be_asked_for_again_and_two_at_once_are_one() -> None:
    world = booted(Syncing, records=range(100))
    supervisor = world.processes[NodeId(2)].system.context.supervisor
    before = len(calls(world, 2).reports)
    for _ in range(2):
        supervisor.tell(("capability", 1, NAME), SyncWanted(SyncWish()))
    world.until(lambda: len(calls(world, 2).reports) > before, within_s=30)
    world.run_for(5)
    assert len(calls(world, 2).reports) == before + 1


def test_what_a_node_took_before_it_left_the_cluster_is_not_taken_again_when_it_is_back() -> None:
    """R-9: who is out of the cluster for a while goes on living, and so does what it remembers."""
    world = booted(Reliable)
    calls(world, 1).send(3, "once")
    world.run_for(1)
    world.disable(3)
    world.until(lambda: not world.route(1, 3), within_s=30)
    world.enable(3)
    world.until(world.converged, within_s=60)
    assert world.replay(1, 3) > 0
    world.run_for(1)
    assert calls(world, 3).heard == [(1, "once")]


def test_a_node_whose_disk_and_clock_were_set_back_is_heard() -> None:
    """T-9: its life has a lower number than the one before, and is the one that counts."""
    world = booted(Calls)
    calls(world, 1).send(3, "before")
    world.run_for(1)
    world.crash(1, "lost")
    world.step_clock(1, -3600.0)
    world.until(lambda: not world.route(3, 1), within_s=30)
    world.boot(1)
    world.until(world.converged, within_s=60)
    world.run_for(1)
    assert calls(world, 1).send(3, "after")
    world.run_for(1)
    assert calls(world, 3).heard == [(1, "before"), (1, "after")]


def test_a_node_whose_disk_and_clock_were_set_back_is_served() -> None:
    """Seed 5310: who had served its life before took its requests for old ones, for ever."""
    world = booted(Syncing, nodes=2, records=range(10))
    world.crash(2, "lost")
    world.step_clock(2, -3600.0)
    world.until(lambda: not world.route(1, 2), within_s=30)
    world.boot(2)
    world.until(world.converged, within_s=60)
    world.until(lambda: world.state(2, NAME) is CapState.OK, within_s=10)
    assert calls(world, 2).records == list(range(10))
