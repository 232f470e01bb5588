"""Streams over a network that loses, repeats and reorders, between nodes that restart (R-9).

Connections do none of it, so this is worse than what several routes together can do.
"""

from __future__ import annotations

import random
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.messages import Packets, Taken
from tagmesh.protocol.payloads import unpack_payloads
from tagmesh.protocol.streams import Acknowledge, Deliver, Ends, InStream, OutStream

pack = msgspec.msgpack.encode

MOVES = (
    "offer", "offer", "send", "send", "arrive", "arrive", "answer", "answer", "lose", "lose answer",
    "repeat", "repeat answer", "time", "route", "sender state lost", "sender restarts",
    "receiver restarts", "news", "give up",
)  # fmt: skip
moves = st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 7)), max_size=120)


class Network:
    """Node 1 sends to node 2. A message says (life of 1, stream, its own number there)."""

    def __init__(self, *, reliable: bool, several: bool = True) -> None:
        self.reliable = reliable
        self.most = 3 if several else 1
        """Messages offered at once."""
        self.now = 0.0
        self.lives = {1: 1, 2: 1}
        self.streams = 0
        self.way: list[Packets] = []
        self.back: list[Taken] = []
        self.delivered: dict[int, list[tuple[int, int, int]]] = {1: []}
        """What each life of node 2 was given."""
        self.out = self.new_sender()
        self.into = self.new_receiver()

    def new_sender(self) -> OutStream:
        self.streams += 1
        self.offered = self.given_up = 0
        ends = self.ends(1, 2)
        return OutStream(ends, self.streams, reliable=self.reliable)

    def new_receiver(self) -> InStream:
        return InStream(self.ends(2, 1))

    def ends(self, me: int, peer: int) -> Ends:
        return Ends(
            cluster_id=ClusterId(1),
            capability="calls",
            me=NodeId(me),
            incarnation=self.lives[me],
            peer=NodeId(peer),
        )

    def move(self, what: str, choice: int) -> None:
        """One thing happens; ``choice`` says to which message, or how much."""
        match what:
            case "offer":
                for _ in range(1 + choice % self.most):
                    assert self.out.offer(pack((self.lives[1], self.streams, self.offered)))
                    self.offered += 1
            case "send":
                batch = self.out.next_batch()
                if batch is not None:
                    self.way.append(batch)
                    self.out.sent(self.now)
            case "arrive" | "repeat" if self.way:
                at = choice % len(self.way)
                self.arrive(self.way[at] if what == "repeat" else self.way.pop(at))
            case "answer" | "repeat answer" if self.back:
                at = choice % len(self.back)
                answer = self.back[at] if what == "repeat answer" else self.back.pop(at)
                self.out.receive(answer, self.now)
            case "lose" if self.way:
                del self.way[choice % len(self.way)]
            case "lose answer" if self.back:
                del self.back[choice % len(self.back)]
            case "time":
                self.now += 0.5 * choice
                self.out.tick(self.now)
            case "route":
                self.out.route_changed()
            case "news":
                self.out.restarted(self.lives[2])
            case "give up":
                self.out.clear()
                self.given_up = self.offered
            case "sender state lost":
                self.out = self.new_sender()
            case "sender restarts":
                self.lives[1] += 1
                self.streams = 0  # it knows nothing of its former life
                self.out = self.new_sender()
            case "receiver restarts":
                self.lives[2] += 1
                self.delivered[self.lives[2]] = []
                self.into = self.new_receiver()

    def arrive(self, batch: Packets) -> None:
        messages = unpack_payloads(batch.payloads, batch.count)
        for effect in self.into.receive(batch):
            match effect:
                case Deliver():
                    taken = [tuple(message) for message in messages[effect.skip :]]
                    assert taken, "something to deliver"
                    self.delivered[self.lives[2]] += taken
                case Acknowledge():
                    self.back.append(effect.message)

    def heal(self, *, lose_all: bool = False) -> None:
        """The receiver's life is known, and everything arrives that is sent from now on.

        ``lose_all``: nothing arrives of what is under way.
        """
        self.move("news", 0)
        if lose_all:
            self.way.clear()
            self.back.clear()
        for _ in range(50):
            while self.out.next_batch() is not None:
                self.move("send", 0)
            while self.way or self.back:
                self.move("arrive", 0)
                self.move("answer", 0)
            if self.out.deadline is None:
                assert self.out.waiting_bytes == 0
                return
            self.now = self.out.deadline
            self.out.tick(self.now)
        raise AssertionError("something is never acknowledged")

    def check_order(self) -> None:
        """Never twice, never out of order, for any life of the receiver."""
        for given_to_one_life in self.delivered.values():
            assert all(before < after for before, after in pairwise(given_to_one_life))

    def missing(self) -> set[int]:
        """What the present stream was offered, not told to give up, and nobody was given."""
        present = (self.lives[1], self.streams)
        everybody = [m for messages in self.delivered.values() for m in messages]
        return set(range(self.given_up, self.offered)) - {
            n for *of, n in everybody if tuple(of) == present
        }


@settings(max_examples=400)
@given(moves, st.booleans(), st.booleans(), st.booleans())
def test_nothing_comes_twice_or_out_of_order(
    history: list[tuple[str, int]], reliable: bool, several: bool, lose_all: bool
) -> None:
    network = Network(reliable=reliable, several=several)
    for what, choice in history:
        network.move(what, choice)
        network.check_order()
    network.heal(lose_all=lose_all)
    network.check_order()
    if reliable:
        assert network.missing() == set()


UPSETS = ("sender state lost", "sender restarts", "receiver restarts", "news", "give up")
calm = st.lists(
    st.tuples(st.sampled_from([m for m in MOVES if m not in UPSETS]), st.integers(0, 7)),
    max_size=120,
)


@settings(max_examples=300)
@given(calm, st.booleans())
def test_while_both_live_a_reliable_stream_delivers_everything_once(
    history: list[tuple[str, int]], lose_all: bool
) -> None:
    network = Network(reliable=True)
    for what, choice in history:
        network.move(what, choice)
        got = [number for *_, number in network.delivered[1]]
        assert got == list(range(len(got))), "a beginning of what was offered, nothing left out"
    network.heal(lose_all=lose_all)
    assert [number for *_, number in network.delivered[1]] == list(range(network.offered))
    assert network.into.lost == 0


@pytest.mark.parametrize("seed", range(5))
def test_while_both_live_what_at_most_once_misses_is_counted(seed: int) -> None:
    """Everything sent before the last one delivered is delivered or counted as lost."""
    draw = random.Random(seed)
    network = Network(reliable=False)
    for _ in range(1000):
        network.move(draw.choice(MOVES[:14]), draw.randrange(8))
    assert network.into.lost > 0
    got = network.delivered[1]
    assert len(got) + network.into.lost == (got[-1][2] + 1 if got else 0)


def test_at_most_once_delivers_everything_where_nothing_is_lost() -> None:
    network = Network(reliable=False)
    for round_ in range(20):
        network.move("offer", round_)
        network.move("send", 0)
    network.heal()
    assert [number for *_, number in network.delivered[1]] == list(range(network.offered))
    assert (network.into.lost, network.into.dropped) == (0, 0)


@pytest.mark.parametrize("reliable", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_a_long_history(seed: int, reliable: bool) -> None:
    """Hundreds of messages; much is lost or repeated, and now and then a node restarts."""
    draw = random.Random(seed)
    network = Network(reliable=reliable)
    for _ in range(3000):
        usual = draw.random() < 0.98
        network.move(draw.choice(MOVES[:14] if usual else UPSETS), draw.randrange(8))
    network.heal(lose_all=seed % 2 == 1)
    network.check_order()
    assert sum(map(len, network.delivered.values())) > 100
    if reliable:
        assert network.missing() == set()


def test_an_old_acknowledgement_does_not_deliver_twice() -> None:
    """It comes after newer ones, as if the receiver had forgotten what it took."""
    network = Network(reliable=True, several=False)
    for _ in range(3):
        for what in ("offer", "send", "arrive"):
            network.move(what, 0)
    network.move("answer", 1)
    network.move("offer", 0)
    network.move("send", 0)
    network.move("arrive", 0)
    network.move("answer", 0)
    network.heal()
    assert [number for *_, number in network.delivered[1]] == [0, 1, 2, 3]


def test_a_receiver_that_lives_anew_is_given_no_old_messages() -> None:
    """What the old life acknowledged is not repeated to the new one."""
    network = Network(reliable=True, several=False)
    for what in ("offer", "send", "arrive", "answer", "offer", "send", "lose", "receiver restarts"):
        network.move(what, 0)
    network.heal()
    assert [number for *_, number in network.delivered[2]] == [1]
    assert network.into.lost == 0


def test_an_acknowledgement_for_an_earlier_life_of_the_source_counts_for_no_other() -> None:
    """Both lives call their first stream 1."""
    network = Network(reliable=True, several=False)
    for what in ("offer", "send", "arrive", "sender restarts", "offer", "send", "lose", "answer"):
        network.move(what, 0)
    network.heal()
    assert network.delivered[1] == [(1, 1, 0), (2, 1, 0)]
