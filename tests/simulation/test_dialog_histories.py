"""Dialogs on virtual time: their tag moves, nodes die, and each ends once, where its tag is."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tagmesh.capabilities.dialog_records import Dialog
from tagmesh.capabilities.dialogs import LOOK_S, Dialogs
from tagmesh.protocol.errors import NotTagOwner
from tagmesh.protocol.messages import CapState
from tagmesh.protocol.tag_words import Epoch, Token
from tagmesh.simulation import World
from tests.capabilities.dialog_samples import dialog

NAME, TAGS = "dialog-dlg-repl", ("vip1", "vip2")
LIFE_S = 120.0
LONG_S = 10_000.0


class Calls:
    """The dialogs of a world, and who ended which."""

    def __init__(self, nodes: int, seed: int = 3) -> None:
        settings = {"ping_interval": "1s", "ping_timeout": "250ms", "sharing_tags": list(TAGS)}
        self.world = World(seed, nodes, settings=settings)
        self.ended: list[tuple[str, int, str]] = []
        """(Call-ID, node, tag of the token)."""
        self.under: Counter[tuple[str, Epoch]] = Counter()
        """How often each ended, by epoch."""
        self.world.provide(self._make)
        self.world.boot_all()
        ids = self.world.ids
        self.world.until(lambda: all(self.ok(node) for node in ids), within_s=60)

    def _make(self, node: int) -> Dialogs:
        made = Dialogs(run=lambda function: function())

        @made.on_expired
        def over(call: Dialog, token: Token | None) -> None:
            assert token is not None
            held = self.world.active(token.tag)
            assert held.get(self.world.ids[node - 1]) == token, "no token, no side effect"
            self.ended.append((call.callid, node, token.tag))
            self.under[call.callid, token.epoch] += 1

        return made

    def ok(self, node: int) -> bool:
        return self.world.state(node, NAME) is CapState.OK

    def of(self, node: int) -> Dialogs:
        found = self.world.capability(node, NAME)
        assert isinstance(found, Dialogs)
        return found

    def activate(self, node: int, tag: str) -> None:
        self.world.activate(node, tag)
        number = self.world.ids[node - 1]
        self.world.until(lambda: number in self.world.active(tag), within_s=30)

    def create(self, node: int, tag: str, *numbers: int, life_s: float = LIFE_S) -> None:
        timeout = int(self.of(node).port.wall() + life_s)
        for number in numbers:
            call = dialog(number, timeout=timeout, profiles=(("trunk", tag),))
            assert self.of(node).create(call, tag)

    def everywhere(self, count: int) -> bool:
        return all(len(self.of(node)) == count for node in self.world.processes)

    def sizes(self) -> list[list[int]]:
        """Of the profile, by node and tag."""
        profiles = [self.of(node).profiles for node in self.world.processes]
        return [[each.size("trunk", tag) for tag in TAGS] for each in profiles]


def test_a_dialog_ends_once_whichever_node_has_its_tag() -> None:
    calls = Calls(3)
    calls.activate(1, "vip1")
    calls.activate(2, "vip2")
    calls.create(1, "vip1", *range(10))
    calls.create(2, "vip2", *range(10, 15))
    calls.world.until(lambda: calls.everywhere(15), within_s=5)
    calls.activate(3, "vip1")
    calls.world.run_for(LIFE_S + 5 * LOOK_S)
    assert calls.everywhere(0)
    assert Counter(callid for callid, _, _ in calls.ended) == {
        dialog(number).callid: 1 for number in range(15)
    }
    assert Counter((node, tag) for _, node, tag in calls.ended) == {(3, "vip1"): 10, (2, "vip2"): 5}


def test_while_nobody_has_the_tag_nothing_ends_and_then_everything_does() -> None:
    calls = Calls(3)
    calls.activate(1, "vip1")
    calls.create(1, "vip1", *range(5))
    calls.world.until(lambda: calls.everywhere(5), within_s=5)
    calls.world.crash(1)
    calls.world.run_for(LIFE_S + 60)
    assert (calls.ended, calls.everywhere(5)) == ([], True)
    calls.activate(2, "vip1")
    calls.world.run_for(5 * LOOK_S)
    assert sorted(calls.ended) == [(dialog(n).callid, 2, "vip1") for n in range(5)]
    assert calls.everywhere(0)


def test_a_node_that_is_cut_off_with_the_tag_elsewhere_ends_nothing_when_it_is_back() -> None:
    """The tag moved while it was away, and the dialogs ended there."""
    calls = Calls(3)
    calls.activate(1, "vip1")
    calls.create(1, "vip1", *range(5), life_s=60)
    calls.world.until(lambda: calls.everywhere(5), within_s=5)
    calls.world.pause(1)
    calls.world.run_for(20)
    calls.activate(2, "vip1")
    calls.world.run_for(60)
    calls.world.resume(1)
    calls.world.run_for(60)
    ended = [(callid, node) for callid, node, _ in calls.ended if node == 2]
    assert sorted(ended) == [(dialog(n).callid, 2) for n in range(5)]
    calls.world.until(lambda: calls.everywhere(0), within_s=150)


def test_a_restarted_node_without_dialogs_takes_none_from_the_others() -> None:
    calls = Calls(2)
    calls.activate(1, "vip1")
    calls.create(1, "vip1", *range(30), life_s=LONG_S)
    calls.world.until(lambda: calls.everywhere(30), within_s=5)
    calls.world.crash(1)
    calls.world.run_for(1)
    calls.world.boot(1)
    calls.world.run_for(90)
    assert len(calls.of(2)) == 30
    calls.activate(2, "vip1")
    calls.of(1).port.request_sync(tags=["vip1"])
    calls.world.until(lambda: calls.everywhere(30), within_s=60)
    assert calls.of(1).digest() == calls.of(2).digest()
    assert calls.ended == []


@pytest.mark.parametrize("seed", range(8))
def test_profiles_count_each_dialog_once_after_any_history(seed: int) -> None:
    """Tags move, nodes die and come back: in the end the sum is the number of dialogs."""
    luck = random.Random(seed)
    calls = Calls(3, seed)
    for tag in TAGS:
        calls.activate(1, tag)
    for round_number in range(8):
        for place, tag in enumerate(TAGS):
            first = 100 * round_number + 50 * place
            for owner in calls.world.active(tag):
                calls.create(owner, tag, *range(first, first + 5), life_s=LONG_S)
        calls.world.run_for(3)
        alive = sorted(calls.world.processes)
        for tag in TAGS:
            if luck.random() < 0.5:
                calls.activate(luck.choice(alive), tag)
        if len(alive) == 3 and luck.random() < 0.5:
            calls.world.crash(luck.choice(alive))
        elif len(alive) < 3:
            calls.world.boot(next(node for node in (1, 2, 3) if node not in alive))
        calls.world.run_for(30)
    for node in {1, 2, 3} - set(calls.world.processes):
        calls.world.boot(node)
    calls.world.run_for(60)
    for tag in TAGS:
        calls.activate(2, tag)
    calls.world.run_for(60)
    count = len(calls.of(2))
    assert count >= 10, "the history left too few"
    expected = [len([d for d in calls.of(2).listed() if d.profiles[0][1] == tag]) for tag in TAGS]
    assert sum(expected) == count
    assert calls.sizes() == [expected] * 3


def test_who_has_not_the_tag_any_more_changes_nothing() -> None:
    calls = Calls(2)
    calls.activate(1, "vip1")
    calls.create(1, "vip1", 1, life_s=LONG_S)
    calls.world.until(lambda: calls.everywhere(1), within_s=5)
    calls.activate(2, "vip1")
    calls.world.run_for(5)
    with pytest.raises(NotTagOwner, match="node 2"):
        calls.of(1).update(dialog(1).key, flags=7)
    assert [calls.of(node).get(dialog(1).key).flags for node in (1, 2)] == [0, 0]


@pytest.mark.parametrize("seed", range(8))
def test_in_any_history_no_dialog_stays_and_none_ends_twice_under_one_epoch(seed: int) -> None:
    """Tags move and nodes are cut off, die and come back while dialogs expire."""
    luck = random.Random(f"ends {seed}")
    calls = Calls(3, seed)
    world = calls.world
    calls.activate(1, "vip1")
    for number in range(40):
        for owner in world.active("vip1"):
            calls.create(owner, "vip1", 10 * number + owner, life_s=luck.uniform(5, 120))
        alive = sorted(world.processes)
        match luck.choice(("move", "cut", "heal", "heal", "crash", "wait")):
            case "move":
                world.activate(luck.choice(alive), "vip1")
            case "cut":
                world.cut(*luck.sample(world.ids, 2))
            case "heal":
                world.heal_all()
                for node in set(world.ids) - set(alive):
                    world.boot(node)
            case "crash" if len(alive) == 3:
                world.crash(luck.choice(alive))
        world.run_for(luck.uniform(0.5, 8))
    world.heal_all()
    for node in set(world.ids) - set(world.processes):
        world.boot(node)
    world.run_for(200)
    calls.activate(2, "vip1")
    world.until(lambda: calls.everywhere(0), within_s=400)
    assert len(calls.ended) >= 5, "the history had nothing to end"
    assert max(calls.under.values()) == 1
