"""Defects of links and of the connections they use."""
# ruff: noqa: SLF001 - a defect is put in where the rule is

from __future__ import annotations

from typing import Any

import msgspec

from ..actors import peer
from ..actors.actor import ClusterActor
from ..actors.link import LinkActor
from ..protocol import damping
from ..protocol.damping import Backoff, Flaps
from ..protocol.effects import Effect
from ..protocol.errors import PeerViolation
from ..protocol.greeting import Greeting, Identity
from ..protocol.identity import NodeId
from ..protocol.link import DropConnection, Link, Trigger
from ..protocol.messages import Hello
from ..protocol.peering import Peering
from ..transport.frames import FrameReader
from .defect import Replace, mutant


@mutant(
    "canary",
    rule="reliability 3",
    defect="every tick of a link crashes its actor",
    history="quiet",
    dies="I11",
)
def canary(replace: Replace) -> None:
    """A run that misses this one is void."""

    def on_tick(self: LinkActor, now: float) -> None:
        raise AssertionError(f"canary of {self.name} at {now}")

    replace(LinkActor, "on_tick", on_tick)


@mutant(
    "decay",
    rule="row 2, decay; L-1, I13",
    defect="each lost reply wears out the configured number of retries",
    history="swarm",
    dies="I13",
)
def decay(replace: Replace) -> None:
    """OpenSIPS 3.2: ``--node->no_ping_retries``."""
    inner = Link._retry

    def retry(self: Link, now: float) -> None:
        left = max(self.timing.retries - 1, 0)
        self.timing = msgspec.structs.replace(self.timing, retries=left)
        inner(self, now)

    replace(Link, "_retry", retry)


@mutant(
    "wallclock",
    rule="row 36, wallclock; L-1, P18",
    defect="links, dials and digests are timed by the wall clock",
    history="clocks",
    dies="I13",
)
def wallclock(replace: Replace) -> None:
    """OpenSIPS: ``gettimeofday``."""
    replace(ClusterActor, "now", property(lambda self: self.context.runtime.wall()))


@mutant(
    "late tick counts",
    rule="L-3, B20",
    defect="a tick that comes late counts as a round in which the others were silent",
    history="stalls",
    dies="I13",
)
def late_tick(replace: Replace) -> None:
    """Who was stopped himself declares the others dead."""

    def tick(self: Link, now: float) -> list[Effect]:
        if self.deadline is None or now < self.deadline:
            return []
        return self._fire(Trigger.TICK, now, self.cause)

    replace(Link, "tick", tick)


@mutant(
    "refused counts retries",
    rule="1.7 Ours, design 7",
    defect="a host that says nobody listens is asked again and again before its node is DOWN",
    history="crashes",
    dies="I13",
)
def gone_ignored(replace: Replace) -> None:
    """The proof that a process ended is not taken."""
    replace(Link, "gone", lambda *_: [])


@mutant(
    "dead connection kept",
    rule="H22, L-5",
    defect="a link that is DOWN for silence keeps its connection",
    history="swarm",
    dies="I2, I13",
)
def connection_kept(replace: Replace) -> None:
    """The path heals, and nobody dials."""
    inner = LinkActor.perform

    def perform(self: LinkActor, effect: Effect) -> None:
        if not isinstance(effect, DropConnection):
            inner(self, effect)

    replace(LinkActor, "perform", perform)


@mutant(
    "only pongs are life signs",
    rule="row 31, L-2",
    defect="what arrives late, or is no pong, is no sign of life",
    history="slow path",
    dies="L-2",
)
def no_life_sign(replace: Replace) -> None:
    """A link with long delays goes DOWN although it carries everything."""
    replace(Link, "_unanswered", lambda self: self._pinged_at is not None)


@mutant(
    "no flap damping",
    rule="L-4",
    defect="a link that comes and goes is UP at the first answer each time",
    history="flaps",
    dies="L-4",
)
def no_damping(replace: Replace) -> None:
    """No time in Probe."""
    replace(Flaps, "hold_s", lambda *_: 0.0)


@mutant(
    "no back-off",
    rule="L-5",
    defect="a node that refuses connections is dialled without a pause",
    history="crashes",
    dies="I16",
)
def no_backoff(replace: Replace) -> None:
    """3 500 failed connects."""
    replace(Backoff, "pause_s", lambda *_: 0.0)


@mutant(
    "slow retry",
    rule="slowretry; L-5, P3",
    defect="a failed dial is repeated after a minute",
    history="swarm",
    dies="I2",
)
def slow_retry(replace: Replace) -> None:
    """Node_timeout as the pause between dials."""
    replace(damping, "FIRST_BACKOFF_S", 60.0)
    inner = Backoff.pause_s

    def pause_s(self: Backoff) -> float:
        self._cap_s = 60.0
        return inner(self)

    replace(Backoff, "pause_s", pause_s)


# Connections ---------------------------------------------------------------------------------


@mutant(
    "HELLO is trusted",
    rule="row 3, trusthello; G-11, J-1",
    defect="a process may speak for the id it names, whatever its certificate says",
    history="impostor",
    dies="I1",
)
def trust_hello(replace: Replace) -> None:
    """OpenSIPS: any member can speak in any other node's name."""
    inner = Greeting.take_hello

    def take_hello(self: Greeting, hello: Hello, me: Identity, _peer: NodeId, offers: Any) -> Any:
        return inner(self, hello, me, NodeId(hello.node_id), offers)

    replace(Greeting, "take_hello", take_hello)


@mutant(
    "version not asked",
    rule="J-2, F27",
    defect="a process takes every peer, whatever protocol versions the two speak",
    history="upgrade",
    dies="J-2",
)
def version_not_asked(replace: Replace) -> None:
    """The HELLO is read as if it named the first version alone."""
    inner = Greeting.take_hello

    def take_hello(self: Greeting, hello: Hello, me: Identity, *rest: Any) -> Any:
        first = msgspec.structs.replace(hello, protocol_min=1, protocol_max=1)
        return inner(self, first, msgspec.structs.replace(me, versions=(1, 1)), *rest)

    replace(Greeting, "take_hello", take_hello)


@mutant(
    "own version spoken",
    rule="J-2, F27",
    defect="each end speaks the highest protocol version that it knows itself",
    history="upgrade",
    dies="I2",
)
def own_version(replace: Replace) -> None:
    """Nodes of two versions find each other's WELCOME wrong."""
    inner = Greeting.take_hello

    def take_hello(self: Greeting, hello: Hello, me: Identity, *rest: Any) -> Any:
        refusal = inner(self, hello, me, *rest)
        self.protocol = me.versions[1]
        return refusal

    replace(Greeting, "take_hello", take_hello)


@mutant(
    "both choose",
    rule="design 4, decision 7",
    defect="after a simultaneous dial each side keeps the connection it likes best",
    history="dials",
    dies="decision 7",
)
def both_choose(replace: Replace) -> None:
    """The higher id says WELCOME first as well."""
    inner = Peering.__init__

    def init(self: Peering, *args: Any, **kwargs: Any) -> None:
        inner(self, *args, **kwargs)
        self._chooses = True

    replace(Peering, "__init__", init)


@mutant(
    "restart is a duplicate",
    rule="J-2 duplicate_id",
    defect="a newer process of an id is refused as long as a connection of the older one is held",
    history="silent restart",
    dies="J-2",
)
def newer_refused(replace: Replace) -> None:
    """The end of the old process was not heard of."""

    def contest(self: Peering, candidate: Greeting, _held: Greeting, now: float) -> None:
        self._refuse_duplicate(candidate, "somebody of that id is connected", now)

    replace(Peering, "_contest", contest)


@mutant(
    "no back-pressure",
    rule="noback; H3, I10",
    defect="a node reads on although its actors do not keep up",
    history="flood",
    dies="I10",
)
def no_backpressure(replace: Replace) -> None:
    """The inbox grows."""
    replace(peer, "PAUSE_AT", 10**9)


@mutant(
    "paused for ever",
    rule="H3, L-2",
    defect="a peer whose reading was paused is never read again",
    history="flood",
    dies="I2, I9",
)
def paused_for_ever(replace: Replace) -> None:
    """Its link lives, and nothing of it arrives."""
    replace(peer.PeerActor, "_unpause", lambda _self: None)


@mutant(
    "lengths are trusted",
    rule="row 27; W-rules, I11",
    defect="the length in front of a frame is believed",
    history="hostile bytes",
    dies="I10",
)
def lengths_trusted(replace: Replace) -> None:
    """A peer says 4 GiB, and we keep what comes."""

    def length(_self: FrameReader, data: memoryview, start: int) -> int:
        return int.from_bytes(data[start : start + 4], "big")

    replace(FrameReader, "_length", length)


@mutant(
    "violation is a crash",
    rule="row 27; I11, two kinds of errors",
    defect="a message out of turn ends the actor that reads it",
    history="hostile messages",
    dies="I11",
)
def violation_crashes(replace: Replace) -> None:
    """A peer can restart our actors."""

    def violated(_self: object, _key: int, violation: PeerViolation) -> None:
        raise violation

    replace(peer.PeerActor, "_violated", violated)
