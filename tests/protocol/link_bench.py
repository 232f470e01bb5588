"""A link on virtual time with a scripted peer, for the tests of the link."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tagmesh.protocol.effects import Effect, Send
from tagmesh.protocol.identity import ClusterId, NodeId
from tagmesh.protocol.link import Link, LinkChanged, State, Timing
from tagmesh.protocol.messages import Message, Ping, Pong

P, T, NODE_TIMEOUT, FLAP_WINDOW = 4.0, 1.0, 60.0, 60.0
CLUSTER, PEER, ASKER, HELPER = ClusterId(1), NodeId(2), NodeId(3), NodeId(4)
RTT = 0.125
EPSILON = 1e-6

Reply = Callable[[Ping], float | None]
"""After how many seconds the peer answers a ping; None = never."""


def timing(retries: int) -> Timing:
    return Timing(
        ping_interval_s=P,
        ping_timeout_s=T,
        node_timeout_s=NODE_TIMEOUT,
        flap_window_s=FLAP_WINDOW,
        retries=retries,
    )


class Bench:
    """A link on virtual time, with a scripted peer; keeps every effect and when it came."""

    def __init__(self, retries: int = 3) -> None:
        self.now = 100.0
        self.link = Link(CLUSTER, PEER, timing(retries), self.now)
        self.log: list[tuple[float, Effect]] = []
        self.pongs: list[tuple[float, int]] = []
        """On their way: when they arrive, and their number."""
        self.scheduled = 0

    def do(self, effects: Sequence[Effect]) -> list[Effect]:
        self.log += [(self.now, effect) for effect in effects]
        return list(effects)

    def attach(self, incarnation: int = 1) -> list[Effect]:
        return self.do(self.link.attached(incarnation, self.now))

    def receive(self, message: Message) -> list[Effect]:
        return self.do(self.link.receive(message, self.now))

    def answer(self) -> list[Effect]:
        return self.receive(Pong(CLUSTER, self.last_ping().number))

    def tick_at(self, now: float) -> list[Effect]:
        self.now = now
        return self.do(self.link.tick(now))

    def tick(self, late: float = 0.0) -> list[Effect]:
        assert self.link.deadline is not None
        return self.tick_at(self.link.deadline + late)

    def up(self, incarnation: int = 1) -> Bench:
        self.attach(incarnation)
        self.now += RTT
        self.answer()
        assert self.link.state is State.UP
        return self

    def retrying(self, left: int) -> Bench:
        self.up()
        self.tick()
        for _ in range(self.link.timing.retries - left):
            self.tick()
        assert self.link.state is State.RETRYING
        return self

    def proving(self) -> Bench:
        for _ in range(3):
            self.up()
            self.do(self.link.gone("nobody listens", self.now))
        self.attach()
        self.answer()
        assert self.link.state is State.PROVING
        return self

    def run(self, until: float, reply: Reply) -> None:
        """Let time pass; the peer answers each ping, once, as ``reply`` says."""
        while True:
            self._schedule(reply)
            events = [at for at, _ in self.pongs]
            if self.link.deadline is not None:
                events.append(self.link.deadline)
            if not events or min(events) > until:
                self.now = until
                return
            assert min(events) >= self.now, "time goes forward"
            self.now = min(events)
            due = [pong for pong in self.pongs if pong[0] == self.now]
            if due:
                self.pongs.remove(due[0])
                self.receive(Pong(CLUSTER, due[0][1]))
            else:
                self.tick()

    def _schedule(self, reply: Reply) -> None:
        """The answers to the pings sent since the last call, unless the test gave them itself."""
        for at, effect in self.log[self.scheduled :]:
            if isinstance(effect, Send) and isinstance(effect.message, Ping):
                outstanding = effect.message.number == self.link._number
                delay = reply(effect.message)
                if delay is not None and outstanding and self.link._pinged_at is not None:
                    self.pongs.append((max(at + delay, self.now), effect.message.number))
        self.scheduled = len(self.log)

    def last_ping(self) -> Ping:
        return self.pings()[-1]

    def pings(self) -> list[Ping]:
        sent = [e.message for _, e in self.log if isinstance(e, Send)]
        return [m for m in sent if isinstance(m, Ping)]

    def states(self) -> list[State]:
        return [e.after for _, e in self.log if isinstance(e, LinkChanged)]


def pings_in(effects: Sequence[Effect]) -> int:
    return sum(isinstance(e, Send) and isinstance(e.message, Ping) for e in effects)


def silent(_ping: Ping) -> None:
    return None


def prompt(_ping: Ping) -> float:
    return RTT


INTO: dict[State, Callable[[Bench], object]] = {
    State.RESTART: lambda b: b,
    State.RETRY_SEND_FAIL: Bench.tick,
    State.RESTARTED: Bench.attach,
    State.RETRYING: lambda b: b.retrying(1),
    State.PROVING: Bench.proving,
    State.UP: Bench.up,
    State.DOWN: lambda b: b.do(b.link.gone("first", b.now)),
}
"""How to bring a link with R >= 1 into each state."""
CONNECTED = [s for s in State if s.connected]
UNCONNECTED = [s for s in State if not s.connected]
