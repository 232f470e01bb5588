"""The short way of single messages: it makes them faster, and nothing else."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from tagmesh.actors.actor import ClusterActor
from tagmesh.actors.context import Context
from tagmesh.actors.lane import Lane
from tagmesh.actors.straight import Straight
from tagmesh.protocol import wire
from tagmesh.protocol.contract import Capability, Outcome
from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.messages import CapState, Message, Packets
from tagmesh.protocol.streams import InStream, OutStream
from tagmesh.simulation import World
from tagmesh.simulation.runtime import SimulatedRuntime
from tagmesh.transport.loopback_connection import Endpoint

NAME = "echo"
CLUSTER = ClusterId(1)
FLOW = (1, NAME)
LONG_BYTES = 2_000
"""Longer than what may take the short way."""


class Echo(Capability):
    """Remembers what it hears and answers what asks for it, in the hub."""

    name = NAME
    inline = True

    def __init__(self) -> None:
        self.heard: list[tuple[int, Any]] = []

    def on_message(self, message: Any, source: NodeId) -> None:
        self.heard.append((source, message))
        if message[0] == "ask":
            for number in range(message[1]):
                self.send(source, ["answer", number, message[2]])
        if message[0] == "bad":
            raise ValueError("a bad message")


class InThread(Echo):
    """In its worker."""

    inline = False


class Reliable(Echo):
    """Everything is acknowledged."""

    delivery = "at_least_once"


class Bench:
    """Two nodes at peace, and which messages took the short way."""

    def __init__(self, make: type[Capability], *, straight: bool, seed: int = 1) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(SimulatedRuntime, "straight", straight)
        self.world = World(seed, 2, settings={"ping_interval": "1s", "ping_timeout": "250ms"})
        self.world.provide(lambda _: make())
        self.world.boot_all()
        self.world.until(self.world.converged, within_s=30)
        self.world.until(lambda: self.world.state(1, NAME) is CapState.OK, within_s=60)
        self.world.until(lambda: self.world.state(2, NAME) is CapState.OK, within_s=60)
        self.world.run_for(0.2)
        self.taken: list[Packets] = []
        self.sent: list[Packets] = []
        """Data, by either node, in the order in which it was sent."""
        for node, peer in ((1, 2), (2, 1)):
            self.connection(node, peer)._on_sent = self._note
        self._watch()

    def close(self) -> None:
        self.patch.undo()

    def _note(self, _end: Endpoint, messages: Sequence[Message]) -> None:
        self.sent += [message for message in messages if isinstance(message, Packets)]

    def _watch(self) -> None:
        take = Straight.take

        def noted(straight: Straight, lane: Lane, packets: Packets) -> bool:
            taken = take(straight, lane, packets)
            self.taken += [packets] * taken
            return taken

        self.patch.setattr(Straight, "take", noted)

    def echo(self, node: int) -> Echo:
        echo = self.world.capability(node, NAME)
        assert isinstance(echo, Echo)
        return echo

    def context(self, node: int) -> Context:
        return self.world.processes[NodeId(node)].system.context

    def lane(self, node: int, peer: int) -> Lane:
        return self.context(node).lanes[NodeId(peer)]

    def connection(self, node: int, peer: int) -> Endpoint:
        connection = self.lane(node, peer)._connection
        assert isinstance(connection, Endpoint)
        return connection

    def actor(self, node: int) -> ClusterActor:
        actor = self.context(node).supervisor.actor(("capability", CLUSTER, NAME))
        assert actor is not None
        return actor

    def close_way(self, node: int, *, sending: bool, taking: bool) -> None:
        """What the node sends from now on, and what comes, goes the usual way (or not)."""
        registration = self.world.registration(node, NAME)
        straight = getattr(registration, "kept", registration.straight)
        registration.kept = straight  # type: ignore[attr-defined]  # a place of this test's own
        registration.straight = None if taking else straight
        registration.port.straight = None if sending or straight is None else straight.send

    def accounts(self) -> list[tuple[int, int]]:
        """Bytes sent and dealt with, there and back: the same when nothing is under way."""
        one, two = self.lane(1, 2), self.lane(2, 1)
        return [
            (one.sent_bytes().get(FLOW, 0), two.handled_bytes().get(FLOW, 0)),
            (two.sent_bytes().get(FLOW, 0), one.handled_bytes().get(FLOW, 0)),
        ]


Make = Callable[..., Bench]


@pytest.fixture
def make() -> Iterator[Make]:
    """Benches, one at a time: how a runtime is, is a matter of its class."""
    made: list[Bench] = []

    def new(kind: type[Capability] = Echo, *, straight: bool = True) -> Bench:
        while made:
            made.pop().close()
        made.append(Bench(kind, straight=straight))
        return made[-1]

    yield new
    while made:
        made.pop().close()


Step = tuple[str, int, int]


def steps_of(seed: int, *, paused: bool) -> list[Step]:
    """What happens: (what, node, size or number); ``paused``: one message at a time."""
    chance = random.Random(seed)
    steps: list[Step] = []
    for _ in range(60):
        node = chance.choice([1, 2])
        what = chance.choice(["send", "send", "many", "ask", "bad", "pause"])
        size = chance.choice([1, 3, LONG_BYTES])
        steps.append((what, node, 1 if paused and what == "ask" else size))
        if paused:
            steps.append(("pause", node, 50))
    return steps


def played(bench: Bench, steps: Sequence[Step], ways: random.Random | None) -> None:
    """``ways`` closes and opens the short ways in between."""
    bench.echo(1).send(2, ["first"])  # streams begin the usual way, at one moment
    bench.echo(2).send(1, ["first"])
    bench.world.run_for(0.05)
    for number, (what, node, size) in enumerate(steps):
        if ways is not None:
            for which in (1, 2):
                bench.close_way(which, sending=ways.random() < 0.4, taking=ways.random() < 0.4)
        echo, other = bench.echo(node), 3 - node
        if what == "send":
            echo.send(other, ["plain", number, "x" * size])
        elif what == "many":
            echo.send_many(other, [["plain", number, n] for n in range(size % 7)])
        elif what == "ask":
            echo.send(other, ["ask", size % 7, number])
        elif what == "bad":
            echo.send(other, ["bad", number])
        else:
            bench.world.run_for(size % 100 / 1000)
    bench.world.run_for(1.0)


@pytest.mark.parametrize("kind", [Echo, InThread, Reliable])
@pytest.mark.parametrize("seed", range(4))
def test_however_the_ways_alternate_all_comes_in_order_and_credit_is_right(
    make: Make, kind: type[Echo], seed: int
) -> None:
    heard = []
    for straight in (False, True):
        bench = make(kind, straight=straight)
        played(bench, steps_of(seed, paused=False), random.Random(seed) if straight else None)
        # who answers at the same moment as it sends may do so before or after: of each alone
        heard.append([_apart(bench.echo(node).heard) for node in (1, 2)])
        for sent, handled in bench.accounts():
            assert sent == handled > 0
        for source in (1, 2):
            following = [packets for packets in bench.sent if packets.source == source]
            for before, after in pairwise(following):
                assert after.number == before.number + before.count
        assert all(actor.context.supervisor.crashes == 0 for actor in map(bench.actor, (1, 2)))
    assert heard[0] == heard[1]
    assert bool(bench.taken)


def _apart(heard: Sequence[tuple[int, Any]]) -> dict[str, list[Any]]:
    """By who began it: what the node that sent was asked, and what it answered."""
    apart: dict[str, list[Any]] = {"answer": [], "other": []}
    for _, message in heard:
        apart["answer" if message[0] == "answer" else "other"].append(message)
    return apart


@pytest.mark.parametrize("seed", range(4))
def test_one_at_a_time_every_byte_is_that_of_the_usual_way(make: Make, seed: int) -> None:
    sent, accounts = [], []
    for straight in (False, True):
        bench = make(straight=straight)
        played(bench, steps_of(seed, paused=True), None)
        sent.append([wire.encode([packets]) for packets in bench.sent])
        accounts.append(bench.accounts())
    assert sent[0] == sent[1]
    assert accounts[0] == accounts[1]
    assert len(bench.taken) > len(bench.sent) / 2, "most took the short way"


def asked(bench: Bench) -> None:
    """A stream is there and nothing is under way."""
    bench.echo(1).send(2, ["first"])
    bench.world.run_for(0.1)
    bench.sent.clear()


def test_a_message_leaves_in_the_call_that_sends_it(make: Make) -> None:
    bench = make()
    asked(bench)
    result = bench.echo(1).send(2, ["now"])
    assert (result.outcome, result.route) == (Outcome.SENT, (2,))
    assert [packets.count for packets in bench.sent] == [1]


def test_a_single_question_is_answered_in_the_turn_that_brought_it(make: Make) -> None:
    bench = make()
    asked(bench)
    bench.echo(2).send(1, ["first"])
    bench.world.run_for(0.1)
    in_turn: list[bool] = []
    bench.connection(2, 1)._on_sent = lambda *_: in_turn.append(bench.actor(2).awake)
    bench.echo(1).send(2, ["ask", 1, "why"])
    bench.world.run_for(0.1)
    assert in_turn == [True]
    assert bench.echo(1).heard[-1] == (2, ["answer", 0, "why"])


def refuse(bench: Bench, how: str) -> Callable[[], None]:
    """Let something be in the way at node 1; call the result to undo it."""
    connection, actor = bench.connection(1, 2), bench.actor(1)
    if how == "something waits on the connection":
        connection._window_bytes += 10**6

        def undo() -> None:
            connection._window_bytes -= 10**6
            connection._flush()

        return undo
    if how == "no credit":
        spent = bench.lane(1, 2)._spent[FLOW]
        left = spent.left_bytes
        assert spent.spend(left)
        return lambda: spent.take_back(left)
    actor.awake = True
    return lambda: setattr(actor, "awake", False)


@pytest.mark.parametrize(
    "how", ["something waits on the connection", "no credit", "the actor is in its turn"]
)
def test_what_cannot_leave_at_once_changes_nothing_and_goes_the_usual_way(
    make: Make, how: str
) -> None:
    bench = make()
    asked(bench)
    before = bench.lane(1, 2).sent_bytes()
    undo = refuse(bench, how)
    bench.echo(1).send(2, ["one"])
    assert bench.sent == []
    bench.echo(1).send(2, ["two"])
    undo()
    assert bench.lane(1, 2).sent_bytes() == before
    bench.world.registration(1, NAME).port._commands.flush()
    bench.echo(1).send(2, ["three"])
    bench.world.run_for(0.1)
    assert bench.echo(2).heard == [(1, [word]) for word in ("first", "one", "two", "three")]


def test_from_another_thread_nothing_is_sent_but_by_the_hub(make: Make) -> None:
    bench = make()
    asked(bench)
    thread = threading.Thread(target=bench.echo(1).send, args=(2, ["from afar"]))
    thread.start()
    thread.join()
    assert bench.sent == []
    bench.world.run_for(0.1)
    assert bench.echo(2).heard[-1] == (1, ["from afar"])


def test_more_than_credit_allows_is_a_violation_on_the_short_way_too(make: Make) -> None:
    bench = make()
    asked(bench)
    granted = bench.lane(2, 1)._granted[FLOW]
    granted._limit_bytes = granted._received_bytes
    bench.echo(1).send(2, ["too much"])
    bench.world.run_for(0.1)
    assert bench.echo(2).heard == [(1, ["first"])]
    assert any("violation: " in line for line in bench.world.log)


def test_a_failure_on_the_way_is_a_crash_of_the_actor_and_the_next_message_comes(
    make: Make,
) -> None:
    bench = make()
    asked(bench)
    patch = pytest.MonkeyPatch()
    for way, failing in ((OutStream, "single"), (InStream, "receive")):
        crashes = [bench.context(node).supervisor.crashes for node in (1, 2)]

        def fails(*_: object) -> None:
            raise RuntimeError("a bug")

        patch.setattr(way, failing, fails)
        with suppress(RuntimeError):
            bench.echo(1).send(2, ["lost"])
        bench.world.run_for(0.05)
        patch.undo()
        bench.world.run_for(1.0)
        assert sum(bench.context(n).supervisor.crashes for n in (1, 2)) == sum(crashes) + 1
        bench.echo(1).send(2, ["again", failing])
        bench.world.run_for(0.1)
        assert bench.echo(2).heard[-1] == (1, ["again", failing])


def test_while_a_sync_is_under_way_messages_are_held_as_ever(make: Make) -> None:
    bench = make()
    asked(bench)
    intake = bench.actor(2)._intake  # type: ignore[attr-defined]  # a capability actor has one
    intake.holding = True
    bench.echo(1).send(2, ["later"])
    bench.world.run_for(0.1)
    assert bench.echo(2).heard == [(1, ["first"])]
    intake.holding = False
    intake.release()
    assert bench.echo(2).heard[-1] == (1, ["later"])
