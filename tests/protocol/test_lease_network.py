"""Never two owners at one instant, and soon one again (B4's proof, I3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagmesh.protocol.lease import LeaseRules
from tagmesh.protocol.lease_vows import Consent
from tagmesh.protocol.lease_words import MAX_DRIFT, LeaseSettings
from tests.protocol.lease_net import LeaseNet

EXAMPLES = 60
PLAIN = LeaseSettings()
LONGEST_PAUSE_S = 40.0

Step = tuple[Any, ...]
node = st.integers(1, 5)
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("run"), st.floats(0.1, 30)),
    st.tuples(st.just("pause"), node, st.sampled_from((0.5, 5.0, 9.0, 15.0, LONGEST_PAUSE_S))),
    st.tuples(st.just("kill"), node),
    st.tuples(st.just("restart"), node),
    st.tuples(st.just("away"), st.booleans()),
    st.tuples(st.just("cut_off"), node, st.booleans()),
    st.tuples(st.just("link"), node, node, st.booleans()),
    st.tuples(st.just("fit"), node, st.booleans()),
    st.tuples(st.just("enrol"), node, st.booleans()),
    st.tuples(st.just("release"), node),
    st.tuples(st.just("hand_over"), node, node),
    st.tuples(st.just("prefer"), st.sampled_from(((), (1,), (2, 1), (3, 1, 2)))),
    st.tuples(st.just("hold"), st.booleans()),
)


OF_NO_NODE = ("run", "away", "prefer", "hold")


def play(net: LeaseNet, history: Iterable[Step]) -> None:
    """Nodes that there are not are the last one; each step takes a while."""
    for name, *words in history:
        first = min(words[0], net.ids[-1]) if name not in OF_NO_NODE else 0
        match name:
            case "run":
                net.run(words[0])
            case "away":
                net.database.away = words[0]
            case "prefer":
                net.database.prefer(words[0])
            case "hold":
                net.database.pause(paused=words[0])
            case "pause":
                net.pause(first, words[1])
            case "cut_off":
                (net.cut_off.add if words[1] else net.cut_off.discard)(first)
            case "link":
                net.set_link(first, min(words[1], net.ids[-1]), up=words[2])
            case "fit":
                (net.unfit.discard if words[1] else net.unfit.add)(first)
                net.look_around()
            case "enrol":
                net.enrol(first, on=words[1])
            case "release" | "hand_over":
                give_up(net, min(words[-1], net.ids[-1]) if name == "hand_over" else None)
            case _:
                getattr(net, name)(first)
        net.run(net.luck.uniform(0, 2))


def give_up(net: LeaseNet, to: int | None) -> None:
    """Whoever has the tag gives it up, if its process runs."""
    if net.owner is None or net.nodes[net.owner].paused_until > net.now:
        return
    owner = net.nodes[net.owner]
    now = owner.clock.at(net.now)
    if to is None:
        net.at(owner, lambda now: owner.tag.release("asked", now))
    elif to != owner.id and net.linked(int(owner.id), to) and to not in net.unfit:
        net.perform(owner, owner.tag.hand_over(net.nodes[to].id, "asked", now))


def heal(net: LeaseNet) -> None:
    net.database.away = False
    net.database.prefer(())
    net.database.pause(paused=False)
    net.cut_off.clear()
    net.cut.clear()
    net.unfit.clear()
    for n in net.ids:
        net.enrol(n, on=True)
        if net.nodes[n].dead:
            net.restart(n)
    net.look_around()


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(
    st.integers(1, 5),
    st.integers(0, 2**32),
    st.booleans(),
    st.sampled_from((None, 5.0)),
    st.lists(steps, min_size=5, max_size=40),
)
def test_never_two_owners_and_one_at_last(
    size: int, seed: int, failsafe: bool, failback_s: float | None, history: list[Step]
) -> None:
    net = LeaseNet(size, seed, LeaseSettings(failsafe=failsafe, failback_s=failback_s))
    play(net, history)
    heal(net)
    net.run(LONGEST_PAUSE_S + 60)
    assert net.owner is not None
    before = len(net.numbers)
    net.run(60)
    assert len(net.numbers) == before, "it stays where it is"


@pytest.mark.parametrize("seed", range(40))
def test_a_killed_owner_is_followed_within_ttl_and_a_second(seed: int) -> None:
    """Budget: true clocks, a database that answers in up to 0.6 s."""
    net = LeaseNet(3, seed, PLAIN, drift=0.0)
    net.run(5 + seed % 7)
    first = net.owner
    assert first is not None
    net.kill(first)
    killed_at = net.now
    net.run(12)
    found = [at for at, owner in net.changes if at > killed_at and owner is not None]
    assert found[0] - killed_at <= PLAIN.ttl_s + 1


@pytest.mark.parametrize("seed", range(40))
def test_with_wrong_clocks_it_takes_as_much_longer_as_they_are_slow(seed: int) -> None:
    net = LeaseNet(4, seed, PLAIN)
    net.run(20)
    first = net.owner
    assert first is not None
    net.pause(first, 60)
    stopped_at = net.now
    net.run(20)
    found = [at for at, owner in net.changes if at > stopped_at and owner not in (None, first)]
    ranks_s = PLAIN.rank_delay_s * (len(net.ids) - 1)
    most_s = (PLAIN.ttl_s + ranks_s + PLAIN.renew_s) / (1 - MAX_DRIFT)
    assert found[0] - stopped_at <= most_s


def test_a_node_whose_process_stood_still_does_not_act_when_it_goes_on() -> None:
    """F9: its token is invalid before it has looked at anything."""
    net = LeaseNet(2, 1, PLAIN)
    net.run(5)
    first = net.nodes[net.owner or 0]
    token = first.tag.token
    assert token is not None
    net.pause(int(first.id), 30)
    net.run(29.9)
    assert first.tag.token == token, "it has noticed nothing"
    assert not first.tag.valid(token, first.clock.at(net.now))
    net.run(1)
    assert first.tag.token is None
    assert net.owner not in (None, int(first.id))


def test_while_all_others_vow_the_owner_goes_on_without_the_database() -> None:
    """B4, failsafe; and the first that does not vow ends it."""
    net = LeaseNet(3, 2, PLAIN)
    net.run(15)
    first = net.owner
    net.database.away = True
    changes = len(net.changes)
    net.run(60)
    assert (net.owner, len(net.changes)) == (first, changes)
    net.set_link(1, 2, up=False)
    net.set_link(2, 3, up=False)
    net.run(PLAIN.ttl_s / (1 - MAX_DRIFT))
    assert net.owner is None
    heal(net)
    net.run(30)
    assert net.owner is not None


def test_without_failsafe_the_owner_stops_when_the_database_is_away() -> None:
    net = LeaseNet(3, 2, LeaseSettings(failsafe=False))
    net.run(15)
    assert net.owner is not None
    net.database.away = True
    net.run(PLAIN.ttl_s / (1 - MAX_DRIFT))
    assert net.owner is None


def test_who_vowed_leaves_the_lease_alone_though_the_database_would_give_it() -> None:
    """The owner alone has lost the database; the row runs out, and the others can read that."""
    net = LeaseNet(3, 4, PLAIN)
    net.run(15)
    first = net.owner
    assert first is not None
    net.cut_off.add(first)
    net.run(60)
    assert net.owner == first
    assert net.database.read(net.now).left_s == 0


def newcomer(seed: int) -> LeaseNet:
    """Nodes 1 and 2 have lost the database when node 3 is provisioned, which has not."""
    net = LeaseNet(3, seed, PLAIN)
    net.enrol(3, on=False)
    net.run(30)
    assert net.owner in (1, 2)
    net.cut_off |= {1, 2}
    net.enrol(3, on=True)
    net.run(60)
    return net


@pytest.mark.parametrize("seed", range(5))
def test_who_was_not_known_to_the_owner_takes_no_lease_that_ran_out(seed: int) -> None:
    net = newcomer(seed)
    assert net.owner in (1, 2), "it goes on by the word of the other"
    assert net.nodes[3].lease.row is not None
    assert net.nodes[3].lease.row.electors == (1, 2)
    net.cut_off.clear()
    net.run(30)
    net.kill(net.owner)
    net.run(15)
    assert net.owner is not None
    assert net.database.row.electors == (1, 2, 3), "since then it is one of those who may"


def test_who_was_removed_and_does_not_know_it_yet_takes_no_lease() -> None:
    """Its roster is as old as it may be; the database judges."""
    net = LeaseNet(2, 3, PLAIN)
    net.run(15)
    first = net.owner
    assert first is not None
    other = 3 - first
    net.database.enrolled.discard(other)  # nobody reads that
    net.kill(first)
    net.run(60)
    assert net.owner is None
    assert "no row" in net.nodes[other].lease.trouble
    net.database.enrolled.add(other)
    net.run(5)
    assert net.owner == other


class Anybody(Consent):
    """A defect: the row does not say whom the owner knows."""

    electors = ()


def test_a_lease_that_anybody_may_take_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of the test."""
    monkeypatch.setattr("tagmesh.protocol.lease.Consent", Anybody)
    with pytest.raises(AssertionError, match="have the tag at"):
        newcomer(0)


class Forgetful(LeaseRules):
    """A defect: vows bind nobody."""

    def _consider_vow(self, sender, request, now):  # type: ignore[no-untyped-def]  # a defect
        super()._consider_vow(sender, request, now)
        self._vowed_until = 0.0


def test_vows_that_bind_nobody_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of the test."""
    monkeypatch.setattr("tests.protocol.lease_net.LeaseRules", Forgetful)
    net = LeaseNet(3, 4, PLAIN)
    net.run(15)
    net.cut_off.add(net.owner or 0)
    with pytest.raises(AssertionError, match="have the tag at"):
        net.run(60)


def test_a_lease_without_safety_is_found_out() -> None:
    """A test of the test: the clocks are wrong enough to tell."""
    careless = LeaseSettings(failsafe=False)
    msgspec.structs.force_setattr(careless, "safety_s", 0.0)
    found = 0
    for seed in range(20):
        net = LeaseNet(2, seed, careless)
        net.run(20)
        net.cut_off.add(net.owner or 0)
        try:
            net.run(20)
        except AssertionError:
            found += 1
    assert found
