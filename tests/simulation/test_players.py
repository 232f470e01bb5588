"""`Player`: each kind of fault does what its name says, ends, and is undone by healing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tagmesh.protocol.link import State
from tagmesh.simulation import Fault, World
from tagmesh.simulation.fault_kinds import KINDS
from tagmesh.simulation.players import Player
from tests.simulation.taps import CONVERGE_S, agreed

AT_S, FOR_S = 10.0, 5.0
Story = list[tuple[float, str]]

PAST: dict[str, tuple[Fault, Story]] = {}
"""Kind → a fault of it in a world of 4 nodes, and what is done to the world: when and what."""


def fault(
    kind: str, *nodes: int, value: float = 0.0, word: str = "", for_s: float = FOR_S
) -> Fault:
    return Fault(number=0, kind=kind, at_s=AT_S, for_s=for_s, nodes=nodes, value=value, word=word)


def does(of: Fault, *done: tuple[float, str]) -> None:
    """``done``: seconds after the fault began, and what the history says then."""
    PAST[of.kind] = of, [(AT_S + after_s, text) for after_s, text in done]


does(fault("blip", 1, 2), (0, "cut 1 2"), (5, "heal 1 2"))
does(fault("cut", 1, 2), (0, "cut 1 2"), (5, "heal 1 2"))
does(fault("cut one way", 2, 1), (0, "cut 2>1"), (5, "heal 2 1"))
does(fault("clog", 1, 2), (0, "clog 1 2"), (5, "unclog 1 2"))
does(fault("clog one way", 2, 1), (0, "clog 2>1"), (5, "unclog 2>1"))
does(fault("slow", 1, 2, value=0.2), (0, "slow 1 2 by 0.2+0.1 s"), (5, "slow 1 2 by 0+0 s"))
does(fault("lose", 1, 2, value=0.2), (0, "lose 1 2 0.2"), (5, "lose 1 2 0"))
does(fault("block", 2, 1), (0, "block 1 at 2"), (5, "unblock 1 at 2"))
does(fault("reset", 1, 2, for_s=0.0), (0, "reset 1 2"))
does(fault("dial", 1, 2, for_s=0.0), (0, "reset 1 2"), (0, "dial 1 2"))
does(fault("replay", 1, 2, for_s=0.0), (0, "replay 1>2: 0 messages"))
does(
    fault("database", 2, word="lost"),
    (0, "the database is lost for 2"),
    (5, "the database is ok for 2"),
)
does(
    fault("partition", 1, 4),
    *((0.0, f"cut {pair}") for pair in ("1 2", "1 3", "2 4", "3 4")),
    *((5.0, f"heal {pair}") for pair in ("1 2", "1 3", "2 4", "3 4")),
)
does(
    fault("bridge", 2),
    *((0.0, f"cut {pair}") for pair in ("1 3", "1 4", "3 4")),
    *((5.0, f"heal {pair}") for pair in ("1 3", "1 4", "3 4")),
)
does(
    fault("swizzle", 3, 1),
    *((0.0, f"clog 3 {n}") for n in (1, 2, 4)),
    *((1.25, f"clog 1 {n}") for n in (2, 3, 4)),
    *((3.75, f"unclog 3 {n}") for n in (1, 2, 4)),
    *((3.75, f"unclog 1 {n}") for n in (2, 3, 4)),
)
does(fault("clock", 3, value=-600.0, for_s=0.0), (0, "clock of 3 -600 s"))
does(fault("crash", 3, word="lost"), (0, "crash 3, disk lost"), (5, "boot 3"))
does(fault("stop", 3), (0, "stop 3"), (5, "boot 3"))
does(fault("pause", 3), (0, "pause 3"), (5, "resume 3"))
does(fault("slow reader", 3), (0, "3 reads nothing"), (5, "3 reads again"))
does(fault("storage", word="stale"), (0, "storage stale"), (5, "storage ok"))
does(fault("remove", 3), (0, "remove 3"), (5, "provision 3"))
does(fault("disable", 3), (0, "disable 3"), (5, "enable 3"))
does(fault("stranger", 5), (0, "boot 5, not provisioned"), (5, "crash 5"))
does(
    fault("impostor", 3, 1),
    (0, "crash 3"), (0, "boot 3 with the certificate of 1"), (5, "crash 3"), (5, "boot 3"),
)  # fmt: skip
does(
    fault("certificate", 3, 1),
    (0, "the certificate of 3 ends"), (0, "reset 3 1"),
    (5, "3 has a new certificate"), (5, "stop 3"), (6, "boot 3"),
)  # fmt: skip
does(
    fault("software", 3, word="2-2"),
    (0, "the software of 3 speaks protocol 2 … 2"), (0, "stop 3"), (1, "boot 3"),
    (5, "the software of 3 speaks protocol 1 … 1"), (5, "stop 3"), (6, "boot 3"),
)  # fmt: skip

NODE_FAULTS = (
    "block", "crash", "stop", "pause", "slow reader", "certificate", "software", "replay",
)  # fmt: skip
"""Faults of a process; the other ones do not need it."""


def play(world: World, player: Player, faults: Sequence[Fault], until_s: float) -> None:
    for at_s, action in player.timeline(faults):
        if at_s < until_s:
            world.run_for(at_s - world.now)
            action()
    world.run_for(until_s - world.now)


def done(world: World) -> Story:
    """What was done to the world since its nodes agreed."""
    return [(e.at_s, e.text) for e in world.history.entries if e.node is None and e.at_s >= AT_S]


def heal(world: World, player: Player) -> None:
    player.heal()
    world.until(world.converged, within_s=CONVERGE_S)


def assert_whole(world: World) -> None:
    """Nothing ails anybody."""
    assert world.members() == [1, 2, 3, 4]
    assert sorted(world.processes) == world.members()
    assert world.storage.mode == "ok"
    assert world.outdated() == []
    assert world.path._held == {}
    for faults in (world.path._cut, world.path._slow, world.path._loss, world.path._clogged):
        assert not faults
    for node, process in world.processes.items():
        assert not process.runtime.paused
        assert not process.transport._stalled
        assert not process.transport._blocked
        assert all(world.link(node, peer) is State.UP for peer in world.ids if peer != node)


def test_every_kind_is_here() -> None:
    assert set(PAST) == set(KINDS)


@pytest.mark.parametrize("kind", PAST)
def test_a_fault_does_what_its_name_says_and_ends(kind: str) -> None:
    of, story = PAST[kind]
    world = agreed(nodes=4)
    play(world, Player(world), [of], AT_S + 2 * FOR_S)
    assert done(world) == story
    world.until(world.converged, within_s=CONVERGE_S)
    assert_whole(world)


@pytest.mark.parametrize("kind", PAST)
def test_healing_ends_what_has_not_ended(kind: str) -> None:
    of, story = PAST[kind]
    world = agreed(nodes=4)
    player = Player(world)
    play(world, player, [of], AT_S + FOR_S / 2)
    assert done(world) == [entry for entry in story if entry[0] < AT_S + FOR_S / 2]
    heal(world, player)
    assert_whole(world)


@pytest.mark.parametrize("kind", PAST)
def test_a_fault_of_whom_nothing_can_happen_to_does_nothing(kind: str) -> None:
    """Node 3 is down already, removed and kept from starting; whatever it is, the world goes on."""
    of, _story = PAST[kind]
    world = agreed(nodes=4)
    player = Player(world)
    for node in of.nodes:
        if node in world.processes:
            world.crash(node)
            world.remove(node)
    play(world, player, [of], AT_S + 2 * FOR_S)
    if kind in NODE_FAULTS:
        assert not [text for _, text in done(world) if text.startswith(("boot", "crash", "stop"))]
    heal(world, player)
    assert_whole(world)


def test_all_kinds_at_once_are_undone() -> None:
    world = agreed(nodes=4)
    player = Player(world)
    kinds = [of for of, _ in PAST.values() if of.kind not in ("stranger", "impostor")]
    play(world, player, kinds, AT_S + FOR_S / 2)
    heal(world, player)
    assert_whole(world)


def test_who_does_not_start_is_told_and_starts_at_healing() -> None:
    world = agreed(nodes=4)
    player = Player(world)
    expired, crash = PAST["certificate"][0], fault("crash", 3, word="kept", for_s=2.0)
    play(world, player, [expired, crash], AT_S + 3.0)
    refused = "node 3 does not start: the certificate of node 3 expired. Renew it"
    assert done(world)[-1] == (AT_S + 2.0, refused)
    assert 3 not in world.processes
    heal(world, player)
    assert_whole(world)


@pytest.mark.parametrize(
    ("storage", "refusal"),
    [("failing", "the simulated database does not answer"), ("hanging", "database hangs")],
)
def test_who_cannot_ask_the_database_starts_at_healing(storage: str, refusal: str) -> None:
    world = agreed(nodes=4)
    player = Player(world)
    faults = [fault("storage", word=storage), fault("crash", 3, word="kept", for_s=2.0)]
    play(world, player, faults, AT_S + 3.0)
    at_s, text = done(world)[-1]
    assert at_s == AT_S + 2.0
    assert text.startswith("node 3 does not start: ")
    assert refusal in text
    heal(world, player)
    assert_whole(world)


def test_the_end_of_one_fault_leaves_another_of_the_same_node_alone() -> None:
    """A certificate that is renewed does not bring the old software back."""
    world = agreed(nodes=4)
    player = Player(world)
    expired = fault("certificate", 3, 1, for_s=3.0)
    play(world, player, [expired, fault("software", 3, word="2-2", for_s=30.0)], AT_S + 8.0)
    assert world.processes[world.ids[2]].versions == (2, 2)
    assert world.processes[world.ids[2]].transport.identity.not_after_wall_s == float("inf")
    heal(world, player)
    assert_whole(world)


def timeline(faults: Sequence[Fault]) -> list[float]:
    return [at_s for at_s, _ in Player(World(1, 4)).timeline(faults)]


def test_what_happens_is_in_order_of_time() -> None:
    late = Fault(number=1, kind="cut", at_s=12.0, for_s=1.0, nodes=(3, 4))
    assert timeline([late, fault("clog", 1, 2)]) == [10.0, 12.0, 13.0, 15.0]
