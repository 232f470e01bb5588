"""The work of a capability divided among simulated nodes, while they come and go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tagmesh.actors.mail import Switch
from tagmesh.actors.partitioning import WorkPartition
from tagmesh.protocol.contract import Capability
from tagmesh.protocol.identity import ClusterId, NodeId, NodeRecord
from tagmesh.protocol.messages import CapState
from tagmesh.protocol.partition import SLOTS, slot_of
from tagmesh.simulation import World

NAME = "calls"
CLUSTER = ClusterId(1)
KEYS = [f"key {n}" for n in range(200)]
TIMES = {"ping_interval": "1s", "ping_timeout": "250ms"}


class Workers:
    """A partition on each running node, and the slots that its application holds."""

    def __init__(self, seed: int = 1, **options: object) -> None:
        self.world = World(seed, 3, settings=TIMES)
        self.world.provide(lambda node: Named())
        self.options = options
        self.parts: dict[int, WorkPartition] = {}
        self.held: dict[int, set[int]] = {}
        for node in (1, 2, 3):
            self.boot(node)
        self.world.until(self.world.converged, within_s=30)
        self.world.run_for(2)

    def boot(self, node: int) -> None:
        self.world.boot(node)
        held = self.held[node] = set()
        part = WorkPartition(
            held.update,
            held.difference_update,
            **self.options,  # type: ignore[arg-type]  # as the tests say
        )
        self.world.processes[NodeId(node)].system.divide(CLUSTER, NAME, part)
        self.parts[node] = part

    def crash(self, node: int) -> None:
        self.world.crash(node)
        del self.parts[node], self.held[node]

    def tell(self, node: int, mail: object) -> None:
        supervisor = self.world.processes[NodeId(node)].system.context.supervisor
        assert supervisor.tell(("capability", CLUSTER, NAME), mail)

    def at_most_one_works(self) -> bool:
        return all(sum(p.works_on(k) for p in self.parts.values()) <= 1 for k in KEYS)

    def all_is_worked_on(self) -> bool:
        return set().union(*self.held.values()) == set(range(SLOTS))

    def settled(self) -> bool:
        owners = [[part.owner(key) for key in KEYS] for part in self.parts.values()]
        works = [[n for n, p in self.parts.items() if p.works_on(key)] for key in KEYS]
        return (
            all(view == owners[0] for view in owners)
            and works == [[owner] for owner in owners[0]]
            and self.all_is_worked_on()
        )

    def watch(self, condition: Callable[[], bool], within_s: float = 30) -> None:
        """Run until then; at no moment two nodes may work on one key."""
        for _ in range(int(within_s / 0.01)):
            assert self.at_most_one_works()
            assert sum(len(held) for held in self.held.values()) <= SLOTS
            if condition():
                return
            self.world.run_for(0.01)
        raise AssertionError("not so in time")


class Named(Capability):
    name = NAME


@pytest.mark.parametrize("seed", range(5))
def test_nodes_that_come_and_go_never_work_on_the_same_key(seed: int) -> None:
    """P-1 … P-4: agreed views, and a slot is let go before somebody else takes it.

    Nor does a node that starts and sees nobody yet believe to be alone.
    """
    workers = Workers(seed)
    workers.watch(workers.settled)
    assert [part.my_index() for part in workers.parts.values()] == [(0, 3), (1, 3), (2, 3)]
    workers.crash(3)
    workers.watch(workers.settled)
    assert workers.parts[2].my_index() == (1, 2)
    workers.boot(3)
    workers.watch(workers.settled)
    assert len({part.view.id for part in workers.parts.values()}) == 1


def test_one_that_is_switched_off_is_no_member() -> None:
    """P-4."""
    workers = Workers()
    workers.watch(workers.settled)
    workers.tell(2, Switch(enabled=False, reason="a test"))
    workers.watch(lambda: workers.parts[2].my_index() == (None, 2))
    assert workers.held[2] == set()
    workers.watch(lambda: workers.parts[1].my_index() == (0, 2) and workers.all_is_worked_on())
    workers.tell(2, Switch(enabled=True, reason=""))
    workers.watch(workers.settled)


@pytest.mark.parametrize("two_phase", [True, False])
def test_one_that_starts_and_reaches_nobody_waits_before_it_works_alone(two_phase: bool) -> None:
    """P-4: as long as a link takes to be DOWN, and then it does."""
    workers = Workers(two_phase=two_phase)
    workers.watch(workers.settled)
    workers.crash(3)
    for other in (1, 2):
        workers.world.cut(3, other)
    workers.watch(workers.settled)
    workers.boot(3)
    workers.world.run_for(0.9)
    assert (workers.held[3], workers.parts[3].my_index()) == (set(), (None, 0))
    workers.world.run_for(0.2)
    assert workers.held[3] == set(range(SLOTS)), "it is alone, as far as it can know"


def test_an_actor_that_crashed_takes_part_again() -> None:
    workers = Workers()
    workers.watch(workers.settled)
    workers.tell(2, "no such mail")
    workers.world.run_for(1)
    assert workers.world.processes[NodeId(2)].system.context.supervisor.crashes == 1
    workers.watch(workers.settled)
    assert workers.world.state(2, NAME) is CapState.OK
    workers.crash(3)
    workers.watch(workers.settled)


def test_a_node_that_takes_no_part_does_not_stop_the_others() -> None:
    """Two of three nodes ever ask for a partition of the capability that all of them have."""
    world = World(1, 3, settings=TIMES)
    world.provide(lambda node: Named())
    world.boot_all()
    world.until(world.converged, within_s=30)
    held: dict[int, set[int]] = {1: set(), 2: set()}
    parts = {node: WorkPartition(held[node].update, held[node].difference_update) for node in held}
    for node, part in parts.items():
        world.processes[NodeId(node)].system.divide(CLUSTER, NAME, part)
    world.run_for(2)
    assert [part.my_index() for part in parts.values()] == [(0, 2), (1, 2)]
    assert held[1] | held[2] == set(range(SLOTS))
    assert not held[1] & held[2]
    world.crash(3)
    world.crash(1)
    world.run_for(10)
    assert held[2] == set(range(SLOTS))


@pytest.mark.parametrize("wrong", [0, 17, "much"])
def test_a_weight_that_is_none_counts_as_one(wrong: object) -> None:
    def weigh(record: NodeRecord) -> int:
        return wrong if record.node_id == 2 else 1  # type: ignore[return-value]  # a mistake

    workers = Workers(weigh=weigh)
    workers.watch(workers.settled)
    assert [m.weight for m in workers.parts[1].view.members] == [1, 1, 1]


def test_weights_divide_the_work() -> None:
    """P-5."""
    workers = Workers(weigh=lambda record: 3 if record.node_id == 1 else 1)
    workers.watch(workers.settled)
    assert len(workers.held[1]) / SLOTS == pytest.approx(0.6, abs=0.03)


def test_functions_that_raise_stop_nothing() -> None:
    """What could not be let go in order counts as let go: the node goes on."""
    workers = Workers()
    broken = WorkPartition(on_lost=lambda slots: 1 / 0)  # type: ignore[arg-type]  # a mistake
    workers.world.processes[NodeId(2)].system.divide(CLUSTER, NAME, broken)
    workers.parts[2] = broken
    workers.world.run_for(5)
    workers.tell(2, Switch(enabled=False, reason="a test"))
    workers.world.run_for(5)
    assert workers.parts[1].my_index() == (0, 2)
    assert workers.parts[1].works_on(KEYS[0]) or workers.parts[3].works_on(KEYS[0])


def test_before_the_start_and_after_the_end_there_is_nothing_to_do() -> None:
    part = WorkPartition()
    assert (part.owner("x"), part.works_on("x"), part.my_index()) == (None, False, (None, 0))
    workers = Workers()
    workers.watch(workers.settled)
    workers.parts[1].end()
    assert not any(workers.parts[1].works_on(key) for key in KEYS)
    assert slot_of("x") in range(SLOTS)
