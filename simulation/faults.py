"""Swarm: each seed draws which kinds of faults there are, how many, and when (reliability 3).

A `FaultPlan` is drawn from a seed and can be run, printed, and shortened to the faults that matter
when it fails. Each fault begins at a moment and, where that means something, ends at another; any
of them can be left out, so a plan stays a plan when it is shortened. A fault that makes no sense
when its time comes (a crash of a node that does not run) does nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from ..capabilities.records import TOMBSTONE_S
from ..protocol.lease_words import MAX_DRIFT
from .checkers import Checkers
from .fault_kinds import FASTEST, KINDS, Draw, Kind
from .players import Player
from .tag_traffic import TagTraffic
from .traffic import Traffic
from .world import World

if TYPE_CHECKING:
    from .check import Check
    from .trouble import Trouble

OFF_SHARE = 1 / 3
"""Of the seeds in which a kind of fault does not occur."""
MEAN_FAULTS = 2.0
"""Of a kind that occurs."""
MIN_PHASE_S, MAX_PHASE_S = 40.0, 160.0
"""The phase with faults; it begins when everybody boots."""
MANY_NODES = 20
MANY_MIN_PHASE_S, MANY_MAX_PHASE_S = 25.0, 50.0
"""The same of that many nodes: as many faults in less time, because their seconds cost more."""
LEAST_NODES, SIZES = 3, 5
DYNAMIC_SHARE = 1 / 8
FAST_SHARE = 1 / 4
"""Of the seeds in which nobody is provisioned (db_mode 0), or pings are quick."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault. ``nodes``, ``value`` and ``word`` mean what its kind says they do."""

    number: int
    """Its place in the plan that was drawn; stays when the plan is shortened."""
    kind: str
    at_s: float
    for_s: float
    """0 for what has no end."""
    nodes: tuple[int, ...]
    value: float = 0.0
    word: str = ""

    def __str__(self) -> str:
        parts = [f"#{self.number}", f"at {self.at_s:.3f} s:", self.kind, *map(str, self.nodes)]
        parts += [self.word] if self.word else []
        parts += [f"{self.value:.3g}"] if self.value else []
        return " ".join(parts + ([f"for {self.for_s:.3f} s"] if self.for_s else []))


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one world."""

    seed: int
    nodes: int
    phase_s: float
    faults: tuple[Fault, ...]
    dynamic: bool = False
    fast: bool = False
    tags: bool = False
    """The nodes have sharing tags, and clocks that are wrong by what leases allow."""

    @staticmethod
    def draw(seed: int, nodes: int | None = None, *, tags: bool = False) -> FaultPlan:
        """The plan of a seed; the same on every machine. ``nodes`` None: 3 … 7, by the seed."""
        nodes = nodes if nodes is not None else LEAST_NODES + seed % SIZES
        dice = random.Random(f"faults {seed} {nodes}")  # noqa: S311 - a seed, not a secret
        many = nodes >= MANY_NODES
        phase_s = dice.uniform(
            MANY_MIN_PHASE_S if many else MIN_PHASE_S, MANY_MAX_PHASE_S if many else MAX_PHASE_S
        )
        dynamic = dice.random() < DYNAMIC_SHARE
        fast = dice.random() < FAST_SHARE
        drawn = sorted(
            (at_s, name, draw)
            for name, kind in KINDS.items()
            if nodes >= kind.least_nodes and not (dynamic and kind.rows) and kind.tags <= tags
            for at_s, draw in _drawn(f"{name} {seed} {nodes}", kind, phase_s, nodes)
        )
        faults = tuple(
            Fault(
                number=number,
                kind=name,
                at_s=at_s,
                for_s=draw.for_s,
                nodes=draw.nodes,
                value=draw.value,
                word=draw.word,
            )
            for number, (at_s, name, draw) in enumerate(drawn)
        )
        return FaultPlan(
            seed=seed,
            nodes=nodes,
            phase_s=phase_s,
            faults=faults,
            dynamic=dynamic,
            fast=fast,
            tags=tags,
        )

    def only(self, numbers: Sequence[int]) -> FaultPlan:
        """The plan with these faults alone."""
        kept = tuple(fault for fault in self.faults if fault.number in set(numbers))
        return msgspec.structs.replace(self, faults=kept)

    def world(self) -> World:
        """The world it happens to, not booted."""
        settings = FASTEST if self.fast else None
        drift = MAX_DRIFT if self.tags else 0.0
        return World(self.seed, self.nodes, settings=settings, dynamic=self.dynamic, drift=drift)

    def __str__(self) -> str:
        how = "".join([", dynamic" if self.dynamic else "", ", fast pings" if self.fast else ""])
        head = f"seed {self.seed}, {self.nodes} nodes, faults for {self.phase_s:.1f} s{how}"
        return "\n".join([head, *(f"  {fault}" for fault in self.faults)])


def _drawn(seed: str, kind: Kind, phase_s: float, nodes: int) -> Iterator[tuple[float, Draw]]:
    """When and how one kind occurs. It has dice of its own: kinds to come change no other kind."""
    dice = random.Random(seed)  # noqa: S311 - a seed, not a secret
    rate = 0.0 if dice.random() < OFF_SHARE else dice.expovariate(1 / MEAN_FAULTS) / phase_s
    at_s = 0.0
    while rate and (at_s := at_s + dice.expovariate(rate)) < phase_s:
        yield at_s, kind.draw(dice, range(1, nodes + 1))


class Load(Protocol):
    """What goes on in a world while faults happen, beside the cluster itself."""

    def checks(self, trouble: Trouble) -> list[Check]:
        """What is checked meanwhile."""

    def timeline(self, phase_s: float) -> list[tuple[float, Callable[[], None]]]:
        """(virtual second, what to do then), sorted."""

    def settle(self) -> None:
        """All is healed: runs the world on until what must come true has, or raises."""


def run(
    plan: FaultPlan,
    world: World | None = None,
    *,
    checked: bool = True,
    traffic: Load | None = None,
) -> World:
    """Boot everybody, let the faults happen, heal everything, demand that the views agree.

    Raises `Violation`, `Runaway` or whatever else goes wrong. ``world``: one made by
    ``plan.world()`` that the caller wants to look at also when this raises. ``traffic``: of that
    world; then capabilities are at work meanwhile, and have to agree as well.
    """
    world = world if world is not None else plan.world()
    checkers = Checkers(world) if checked else None
    player = Player(world)
    timeline = player.timeline(plan.faults)
    if traffic is not None:
        timeline += traffic.timeline(plan.phase_s)
        timeline.sort(key=lambda moment: moment[0])
    if checkers is not None and traffic is not None:
        checkers.add(traffic.checks(checkers.trouble))
    world.boot_all()
    for at_s, action in timeline:
        if at_s >= plan.phase_s:
            break
        world.run_for(at_s - world.now)
        action()
    world.run_for(plan.phase_s - world.now)
    player.heal()
    if checkers is not None:
        checkers.after_healing()
    if traffic is not None:
        traffic.settle()
    return world


def busy(plan: FaultPlan, world: World | None = None) -> World:
    """`run` in a world whose nodes have capabilities, and applications that use them."""
    world = world if world is not None else plan.world()
    outs = {node for fault in plan.faults if KINDS[fault.kind].rows for node in fault.nodes}
    wrong_year = any(f.kind == "clock" and abs(f.value) > TOMBSTONE_S for f in plan.faults)
    return run(plan, world, traffic=Traffic(world, outs, wrong_year=wrong_year))


def tagged(plan: FaultPlan, world: World | None = None) -> World:
    """`run` in a world with sharing tags and people who move them, drawn with ``tags=True``."""
    world = world if world is not None else plan.world()
    return run(plan, world, traffic=TagTraffic(world))


def shorten(plan: FaultPlan, fails: Callable[[FaultPlan], bool]) -> FaultPlan:
    """The fewest faults found with which ``fails(plan)`` still holds (delta debugging).

    ``plan`` itself must fail. Leaves out ever smaller parts while the rest still fails.
    """
    parts = 2
    while len(plan.faults) >= 1:
        size = -(-len(plan.faults) // parts)
        for begin in range(0, len(plan.faults), size):
            rest = plan.faults[:begin] + plan.faults[begin + size :]
            shorter = msgspec.structs.replace(plan, faults=rest)
            if fails(shorter):
                plan, parts = shorter, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(plan.faults))
    return plan
