"""Machines of a world: processes with their disks, clocks, files and rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tagmesh.protocol.errors import Misuse, NotProvisioned, StorageUnavailable
from tagmesh.protocol.events import Event
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.link import State
from tagmesh.simulation import World
from tagmesh.simulation.rows import Mode, record_of
from tagmesh.simulation.runtime import EPOCH_WALL_S
from tagmesh.transport.loopback import CertificateEnded
from tests.simulation.taps import CONVERGE_S, Tap, agreed, say

DETECT_S = 8.0
"""P + (R + 1)·T with the settings a world has."""
READ_S = 4.0
"""Rows are read every 2 s, and what follows from them takes a moment."""
ONE, TWO, THREE = NodeId(1), NodeId(2), NodeId(3)
HOUR_S = 3600.0


def life(world: World, node: NodeId) -> int:
    return world.processes[node].system.context.incarnation


def causes(world: World, node: NodeId, kind: Event) -> list[str]:
    return [record.cause for record in world.events[node] if record.kind is kind]


# Starting and ending ------------------------------------------------------------------------------


def test_a_node_runs_from_boot_to_crash() -> None:
    world = World(1, 2)
    world.boot(2)
    assert list(world.processes) == [2]
    with pytest.raises(Misuse, match="node 2 runs already"):
        world.boot(2)
    world.crash(2)
    assert not world.processes
    with pytest.raises(Misuse, match="node 2 does not run"):
        world.crash(2)
    with pytest.raises(Misuse, match="node 2 does not run"):
        world.stop(2)
    with pytest.raises(Misuse, match="nodes 1 … 2, not 7"):
        world.boot(7)


def test_boot_all_starts_who_has_a_row_and_does_not_run() -> None:
    world = World(1, 4)
    world.boot(2)
    world.run_for(1.0)
    before = world.processes[TWO]
    world.remove(3)
    world.boot_all()
    assert sorted(world.processes) == [1, 2, 4]
    assert world.processes[TWO] is before


@pytest.mark.parametrize("mode", ["failing", "hanging"])
def test_nobody_starts_without_an_answer_of_the_database(mode: Mode) -> None:
    world = World(1, 2)
    world.storage.mode = mode
    with pytest.raises(StorageUnavailable):
        world.boot(1)
    world.storage.mode = "ok"
    world.boot(1)
    assert list(world.processes) == [1]


def test_nobody_starts_without_a_row() -> None:
    world = World(1, 3)
    world.remove(3)
    with pytest.raises(NotProvisioned):
        world.boot(3)
    world.provision(3)
    world.boot_all()
    world.until(world.converged, within_s=CONVERGE_S)
    assert len(world.members()) == 3


def test_a_stranger_runs_and_is_let_in_nowhere() -> None:
    world = agreed()
    world.boot(9, provisioned=False)
    world.run_for(5.0)
    assert not world.processes[NodeId(9)].member
    assert world.converged()
    assert world.members() == [1, 2, 3]
    assert any("unknown_node" in cause for cause in causes(world, ONE, Event.JOIN_REFUSED))
    world.provision(9)
    world.until(world.converged, within_s=CONVERGE_S)
    assert world.members() == [1, 2, 3, 9]


def test_an_impostor_shows_the_certificate_of_another_node() -> None:
    world = agreed()
    world.crash(2)
    world.boot(2, certificate_of=3)
    world.run_for(5.0)
    assert not world.processes[TWO].member
    assert world.route(1, 2) == ()
    assert any("cert_identity" in cause for cause in causes(world, ONE, Event.JOIN_REFUSED))


def test_settings_of_one_process_override_those_of_the_world() -> None:
    world = World(1, 2, settings={"ping_interval": "2s"})
    world.boot(1)
    world.boot(2, settings={"ping_interval": "3s"})
    seen = [p.system.context.config.clusters[0].ping_interval_s for p in world.processes.values()]
    assert seen == [2.0, 3.0]


def test_in_a_dynamic_world_nobody_has_a_row() -> None:
    world = World(1, 3, dynamic=True)
    world.storage.mode = "failing"
    world.boot_all()
    world.until(world.converged, within_s=CONVERGE_S)
    assert world.members() == [1, 2, 3]


def test_a_crash_is_heard_at_once_and_a_stop_says_goodbye() -> None:
    world = agreed()
    world.crash(3)
    world.stop(2)
    world.run_for(0.1)
    assert world.link(1, 2) is world.link(1, 3) is State.DOWN
    told = [record for record in world.events[ONE] if record.kind is Event.LINK_CHANGED]
    assert [r.node_id for r in told if r.cause == "left: 'stopping'"] == [2]


def test_who_starts_again_while_its_last_process_leaves_ends_that_one() -> None:
    world = agreed()
    before = life(world, TWO)
    world.stop(2)
    world.boot(2)
    world.until(world.converged, within_s=CONVERGE_S)
    assert life(world, TWO) > before
    assert sum(cause == "restarted" for cause in causes(world, ONE, Event.NODE_DOWN)) == 1


def test_a_paused_process_does_nothing_and_its_kernel_acknowledges() -> None:
    world = agreed()
    there = Tap(world, 2, 1)
    heard = len(world.events[TWO])
    sent = sum(count for (source, _, _), count in world.sent.items() if source == 2)
    world.pause(2)
    world.pause(2)
    say(world, 1, 2, 1)
    world.run_for(2 * DETECT_S)
    assert len(world.events[TWO]) == heard
    assert sum(count for (source, _, _), count in world.sent.items() if source == 2) == sent
    assert world.link(1, 2) is State.DOWN
    world.resume(2)
    world.run_for(0.1)
    assert there.marks == [1], "it was in the kernel's buffer"
    world.until(world.converged, within_s=CONVERGE_S)


def test_a_short_pause_is_noticed_by_nobody() -> None:
    world = agreed()
    before = {node: len(world.events[node]) for node in world.ids}
    world.pause(2)
    world.run_for(0.5)
    world.resume(2)
    world.resume(2)
    world.run_for(2 * DETECT_S)
    assert {node: len(world.events[node]) for node in world.ids} == before


# Disks and clocks ---------------------------------------------------------------------------------


def lives(disk: Callable[[World], None]) -> tuple[int, int, int]:
    """Incarnations of three processes of node 1, whose clock went back before the second one."""
    world = World(1, 2)
    world.boot(1)
    first = life(world, ONE)
    world.crash(1)
    world.step_clock(1, -HOUR_S)
    world.boot(1)
    second = life(world, ONE)
    disk(world)
    world.boot(1)
    return first, second, life(world, ONE)


def test_a_disk_that_is_kept_lets_lives_grow_whatever_the_clock_says() -> None:
    first, second, third = lives(lambda world: world.crash(1))
    assert first < second < third


def test_a_disk_that_is_rolled_back_has_forgotten_the_last_life() -> None:
    first, second, third = lives(lambda world: world.crash(1, disk="rolled_back"))
    assert first < second == third


def test_a_disk_that_is_lost_leaves_the_clock_alone_to_decide() -> None:
    first, second, third = lives(lambda world: world.crash(1, disk="lost"))
    assert third < first < second
    assert third == (EPOCH_WALL_S - HOUR_S) * 1_000_000


def test_clocks_step_for_good_and_nobody_notices() -> None:
    """P18."""
    world = agreed()
    before = {node: len(world.events[node]) for node in world.ids}
    world.step_clock(1, 600.0)
    world.step_clock(1, -1.0)
    world.step_clock(2, -10 * 365 * 24 * HOUR_S)
    world.run_for(2 * DETECT_S)
    assert {node: len(world.events[node]) for node in world.ids} == before
    assert world.processes[ONE].runtime.wall() == EPOCH_WALL_S + world.now + 599.0
    world.crash(1)
    world.boot(1)
    assert world.processes[ONE].runtime.wall() == EPOCH_WALL_S + world.now + 599.0


# Certificates and software ------------------------------------------------------------------------


def test_a_certificate_that_ended_is_refused_at_the_next_connection() -> None:
    world = agreed()
    world.expire(2)
    world.run_for(3 * DETECT_S)
    assert world.converged(), "what is connected stays"
    world.reset(1, 2)
    world.run_for(5.0)
    assert world.link(1, 2) is world.link(2, 1) is State.DOWN
    assert world.link(2, 3) is State.UP
    here = causes(world, ONE, Event.JOIN_REFUSED)
    assert "cert_expired (outgoing, by us): its certificate expired" in here
    assert "cert_expired (incoming, by us): its certificate expired" in here
    there = [cause.partition(":")[0] for cause in causes(world, TWO, Event.JOIN_REFUSED)]
    assert set(there) == {"cert_expired (outgoing, by them)", "cert_expired (incoming, by them)"}


def test_a_new_certificate_is_taken_by_the_next_process() -> None:
    world = agreed()
    assert world.outdated() == []
    world.expire(2)
    assert world.outdated() == []
    world.crash(2)
    with pytest.raises(CertificateEnded, match="the certificate of node 2 expired"):
        world.boot(2)
    assert TWO not in world.processes
    world.renew(2)
    world.boot(2)
    world.until(world.converged, within_s=CONVERGE_S)
    world.expire(2)
    world.renew(2)
    assert world.outdated() == [2], "what runs has read its files already"


def test_whoever_shows_a_certificate_that_ended_is_refused() -> None:
    world = agreed()
    world.crash(2)
    world.crash(3)
    world.boot(2, certificate_of=3)
    world.expire(3)
    world.run_for(10.0)
    refused = causes(world, ONE, Event.JOIN_REFUSED)
    assert any(cause.startswith("cert_expired") for cause in refused)


def test_a_clock_that_is_behind_takes_a_certificate_that_ended() -> None:
    world = agreed()
    for node in (1, 2):
        world.step_clock(node, -HOUR_S)
    world.expire(2)
    world.crash(2)
    world.boot(2)
    world.run_for(5.0)
    assert world.link(1, 2) is State.UP
    assert world.link(2, 3) is State.DOWN


def test_software_of_another_version_works_with_what_understands_it() -> None:
    world = agreed()
    world.install(2, (1, 2))
    assert world.outdated() == [2]
    world.crash(2)
    world.boot(2)
    world.until(world.converged, within_s=CONVERGE_S)
    world.install(3, (2, 2))
    world.crash(3)
    world.boot(3)
    world.until(world.converged, within_s=CONVERGE_S)
    assert world.link(2, 3) is State.UP
    assert world.link(1, 3) is State.DOWN
    assert world.route(1, 3) == (2, 3)
    why = "version (incoming, by us): you speak protocol 2, we speak 1"
    assert why in causes(world, ONE, Event.JOIN_REFUSED)
    assert world.outdated() == []
    world.install(3)
    assert world.outdated() == [3]
    with pytest.raises(Misuse, match="versions 2 … 1 are no range"):
        world.install(3, (2, 1))


# Rows ---------------------------------------------------------------------------------------------


def test_a_removed_node_is_away_until_it_is_provisioned_again() -> None:
    world = agreed()
    world.remove(3)
    assert world.members() == [1, 2]
    world.until(world.converged, within_s=READ_S)
    assert world.route(1, 3) == ()
    world.provision(3)
    world.until(world.converged, within_s=CONVERGE_S)
    assert world.route(1, 3) == (3,)


def test_a_disabled_node_is_away_until_it_is_enabled() -> None:
    world = agreed()
    world.disable(3)
    assert world.members() == [1, 2]
    world.until(world.converged, within_s=READ_S)
    assert world.route(1, 3) == ()
    world.enable(3)
    world.until(world.converged, within_s=CONVERGE_S)
    assert world.route(1, 3) == (3,)


def test_a_new_node_is_provisioned_while_the_others_run() -> None:
    world = agreed()
    world.provision(4, record_of(NodeId(4)))
    assert world.ids == (1, 2, 3, 4)
    world.boot(4)
    world.until(world.converged, within_s=CONVERGE_S)
    assert world.route(1, 4) == (4,)


@pytest.mark.parametrize("mode", ["failing", "hanging", "stale"])
def test_rows_that_cannot_be_read_are_not_known(mode: Mode) -> None:
    world = agreed()
    world.storage.mode = mode
    world.remove(3)
    world.run_for(3 * READ_S)
    assert world.link(1, 3) is State.UP
    world.storage.mode = "ok"
    world.until(world.converged, within_s=READ_S)
    assert world.route(1, 3) == ()


def test_a_stale_database_shows_the_rows_of_the_moment_it_became_stale() -> None:
    world = World(1, 3)
    world.storage.mode = "stale"
    world.remove(2)
    world.boot(2)
    assert TWO in world.processes
    with pytest.raises(Misuse, match="no storage mode 'slow'"):
        world.storage.mode = "slow"  # type: ignore[assignment]  # a caller's mistake


def test_a_database_can_lose_its_last_write() -> None:
    world = World(1, 3)
    with pytest.raises(Misuse, match="nothing was written yet"):
        world.storage.lose_last_write()
    world.remove(3)
    world.storage.lose_last_write()
    assert world.storage.enabled() == (1, 2, 3)
    with pytest.raises(Misuse, match="node 7 has no row"):
        world.storage.set_enabled(NodeId(7), enabled=False)
