"""Plans: drawn from a seed, run with every check, healed at the end."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from tagmesh.protocol.link import State
from tagmesh.simulation import Fault, FaultPlan, Violation, World, fault_kinds, faults, run
from tagmesh.simulation.fault_kinds import FASTEST, KINDS
from tagmesh.simulation.faults import DYNAMIC_SHARE, FAST_SHARE, MEAN_FAULTS, OFF_SHARE
from tagmesh.simulation.mutants import CANARY, MUTANTS

MANY = range(600)
"""Seeds drawn, not run."""
TOLERANCE = 0.07
"""More than three standard deviations of a share of so many seeds."""


@pytest.fixture(scope="module")
def plans() -> list[FaultPlan]:
    return [FaultPlan.draw(seed, tags=True) for seed in MANY]


# What is drawn ------------------------------------------------------------------------------------


def test_a_plan_is_a_function_of_seed_and_size() -> None:
    assert FaultPlan.draw(11) == FaultPlan.draw(11)
    assert str(FaultPlan.draw(11)) == str(FaultPlan.draw(11))
    assert FaultPlan.draw(11, 5) == FaultPlan.draw(11, 5)
    drawn = [FaultPlan.draw(seed, nodes).faults for seed in range(20) for nodes in (4, 5)]
    assert all(one != other for i, one in enumerate(drawn) for other in drawn[:i])


def test_the_size_follows_from_the_seed_unless_it_is_given() -> None:
    assert [FaultPlan.draw(seed).nodes for seed in range(6)] == [3, 4, 5, 6, 7, 3]
    assert FaultPlan.draw(0, 12).nodes == 12


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_off_in_a_third_of_the_seeds(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many are drawn of a kind that is on that hardly ever none comes by chance."""
    monkeypatch.setattr(faults, "KINDS", {kind: KINDS[kind]})
    monkeypatch.setattr(faults, "MEAN_FAULTS", 30.0)
    drawn = [plan for seed in MANY if not (plan := FaultPlan.draw(seed, 5, tags=True)).dynamic]
    off = sum(not plan.faults for plan in drawn) / len(drawn)
    assert off == pytest.approx(OFF_SHARE, abs=TOLERANCE)


def test_a_kind_that_is_on_comes_twice_on_average(plans: list[FaultPlan]) -> None:
    usual = [plan for plan in plans if not plan.dynamic]
    count = Counter(fault.kind for plan in usual for fault in plan.faults)
    for kind in KINDS:
        assert count[kind] / len(usual) == pytest.approx((1 - OFF_SHARE) * MEAN_FAULTS, rel=0.25)


def test_another_kind_changes_nothing_about_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed that failed once goes on drawing the same faults; only their numbers move."""
    before = FaultPlan.draw(11).faults
    dropped = before[0].kind
    others = {name: kind for name, kind in KINDS.items() if name != dropped}
    monkeypatch.setattr(faults, "KINDS", others)

    def unnumbered(plan: tuple[Fault, ...]) -> list[Fault]:
        return [msgspec.structs.replace(f, number=0) for f in plan if f.kind != dropped]

    assert unnumbered(FaultPlan.draw(11).faults) == unnumbered(before)


def test_what_is_about_tags_is_drawn_only_where_there_are_some() -> None:
    """And nothing else is drawn otherwise."""
    for seed in range(20):
        plain, tags = FaultPlan.draw(seed), FaultPlan.draw(seed, tags=True)
        assert "database" not in {fault.kind for fault in plain.faults}
        others = [fault for fault in tags.faults if fault.kind != "database"]
        assert [f.at_s for f in others] == [f.at_s for f in plain.faults]


def test_some_seeds_are_dynamic_and_some_are_fast(plans: list[FaultPlan]) -> None:
    for seen, share in (
        (sum(plan.dynamic for plan in plans), DYNAMIC_SHARE),
        (sum(plan.fast for plan in plans), FAST_SHARE),
    ):
        assert seen / len(plans) == pytest.approx(share, abs=TOLERANCE)


def test_faults_stand_in_order_within_the_phase_and_name_nodes_that_are_there(
    plans: list[FaultPlan],
) -> None:
    for plan in plans:
        assert [fault.number for fault in plan.faults] == list(range(len(plan.faults)))
        times = [fault.at_s for fault in plan.faults]
        assert times == sorted(times)
        assert all(0.0 < at_s < plan.phase_s for at_s in times)
        for fault in plan.faults:
            assert not (plan.dynamic and KINDS[fault.kind].rows)
            assert plan.nodes >= KINDS[fault.kind].least_nodes
            known = range(1, plan.nodes + 1 + (fault.kind == "stranger"))
            assert set(fault.nodes) <= set(known)
            assert len(set(fault.nodes)) == len(fault.nodes)


def test_cuts_below_the_detection_time_are_below_it(plans: list[FaultPlan]) -> None:
    blips = [f.for_s for plan in plans for f in plan.faults if f.kind == "blip"]
    assert max(blips) <= fault_kinds.BELOW_DETECTION_S
    pauses = [f.for_s for plan in plans for f in plan.faults if f.kind == "pause"]
    assert 0.1 <= min(pauses) < 1.0
    assert 30.0 < max(pauses) <= 60.0


def test_the_world_of_a_plan_is_what_it_says() -> None:
    plan = FaultPlan(seed=3, nodes=4, phase_s=1.0, faults=(), dynamic=True, fast=True)
    world = plan.world()
    assert (world.seed, len(world.ids), world.dynamic, world.drift) == (3, 4, True, 0.0)
    assert msgspec.structs.replace(plan, tags=True).world().drift == 0.05
    world.boot(1)
    settings = world.processes[world.ids[0]].system.context.config.clusters[0]
    assert settings.ping_interval_s == 1.0
    assert FASTEST["ping_interval"] == "1s"


def test_a_plan_can_be_read() -> None:
    crash = Fault(number=4, kind="crash", at_s=2.5, for_s=1.0, nodes=(3,), word="lost")
    slow = Fault(number=5, kind="slow", at_s=3.0, for_s=0.0, nodes=(1, 2), value=0.25)
    plan = FaultPlan(seed=3, nodes=4, phase_s=60.0, faults=(crash, slow), dynamic=True, fast=True)
    assert str(plan).splitlines() == [
        "seed 3, 4 nodes, faults for 60.0 s, dynamic, fast pings",
        "  #4 at 2.500 s: crash 3 lost for 1.000 s",
        "  #5 at 3.000 s: slow 1 2 0.25",
    ]


def test_chosen_faults_keep_their_numbers() -> None:
    plan = FaultPlan.draw(11)
    chosen = plan.only([7, 2, 5, 9999])
    assert [fault.number for fault in chosen.faults] == [2, 5, 7]
    assert msgspec.structs.replace(chosen, faults=plan.faults) == plan
    assert plan.only([]).faults == ()


# What is run --------------------------------------------------------------------------------------


def remarks(world: World) -> list[tuple[float, str]]:
    """What was done to the world, except what begins and ends every run."""
    return [
        (entry.at_s, entry.text)
        for entry in world.history.entries
        if entry.node is None and entry.at_s > 0 and not entry.text.endswith("reads again")
    ]


def test_without_faults_nothing_is_done() -> None:
    plan = FaultPlan(seed=1, nodes=3, phase_s=30.0, faults=())
    assert remarks(run(plan)) == [(30.0, "heal all")]


def test_chosen_faults_are_all_that_happens() -> None:
    cut = Fault(number=6, kind="cut", at_s=5.0, for_s=10.0, nodes=(1, 2))
    stop = Fault(number=9, kind="stop", at_s=8.0, for_s=2.0, nodes=(3,))
    late = Fault(number=3, kind="reset", at_s=30.0, for_s=0.0, nodes=(1, 2))
    plan = FaultPlan(seed=1, nodes=3, phase_s=30.0, faults=(cut, stop, late))
    assert remarks(run(plan.only([9]))) == [(8.0, "stop 3"), (10.0, "boot 3"), (30.0, "heal all")]
    assert remarks(run(plan)) == [
        (5.0, "cut 1 2"), (8.0, "stop 3"), (10.0, "boot 3"), (15.0, "heal 1 2"),
        (30.0, "heal all"),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_everything_is_healed_at_the_end(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
    plan = FaultPlan.draw(seed)
    world = run(plan)
    assert world.now > plan.phase_s
    assert world.converged()
    assert world.members() == list(world.ids) == list(range(1, plan.nodes + 1))
    assert world.storage.mode == "ok"
    assert world.outdated() == []
    for a in world.ids:
        for b in world.ids:
            assert a == b or (world.link(a, b) is State.UP and world.route(a, b) == (b,))


def test_the_world_can_be_given_and_looked_at_when_a_check_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("CRITICAL")
    plan = FaultPlan(seed=1, nodes=3, phase_s=30.0, faults=())
    world = plan.world()
    with MUTANTS[CANARY].active(), pytest.raises(Violation) as caught:
        run(plan, world)
    assert caught.value.at_s == world.now > 0.0


def test_an_unchecked_run_goes_on_whatever_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
    plan = FaultPlan(seed=1, nodes=3, phase_s=30.0, faults=())
    with MUTANTS[CANARY].active():
        assert run(plan, checked=False).now == 30.0
