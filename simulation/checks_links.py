"""I13: configuration never changes; a link goes down for trouble, for all of it, and in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..actors.link import LinkActor
from ..protocol.config import Config
from ..protocol.events import Event, EventRecord
from ..protocol.identity import NodeId
from ..protocol.link import State, Timing
from .check import Check
from .inside import Cast, Seen
from .trouble import Trouble

if TYPE_CHECKING:
    from .world import World

DEAD_MARGIN_S = 0.5
"""Beyond the detection time, as D of reliability, section 2, has it: a dead path is not in use."""
NOTICED_S = 0.2
"""A process that ended is noticed within this: its kernel says so (design, section 7)."""
STALL = 1.5
"""Ping timeouts. A timer runs for one of them at most: in a process that was stopped for longer,
all are late by more than half of one, and prove nothing (L-3)."""
_IN_USE = (State.UP, State.RETRYING, State.PROVING)


class LinkChecks(Check):
    """The links of a world against the trouble it was given."""

    def __init__(self, world: World, trouble: Trouble, seen: Seen | None = None) -> None:
        super().__init__(world, trouble, seen)
        self._configs: dict[NodeId, Config] = {}
        self._timings: dict[LinkActor, Timing] = {}
        self._first_seen: dict[LinkActor, float] = {}
        self._casts: dict[NodeId, Cast] = {}

    def booted(self, node: NodeId) -> None:
        """Remember what this life was configured with."""
        self._configs[node] = self.world.processes[node].system.context.config
        self._casts.pop(node, None)

    def event(self, node: NodeId, record: EventRecord) -> None:
        """A link left Up."""
        peer = record.node_id
        if record.kind is not Event.LINK_CHANGED or peer is None:
            return
        if record.before == State.UP.shown:
            self._needs_trouble(node, peer, record.cause)
        if record.after == State.DOWN.shown and "unanswered" in record.cause:
            self._was_awake(node, peer)

    def _needs_trouble(self, node: NodeId, peer: NodeId, cause: str) -> None:
        """There was some, at most so long ago that it is still being noticed."""
        edited = self.trouble.edited_until(node, peer, by=(node, peer))
        quiet_s = self.world.now - max(self.trouble.until(node, peer), edited)
        if quiet_s > self._over_s(node, peer):
            told = f"for {quiet_s:.1f} s" if quiet_s < self.world.now else "ever"
            self.fail("I13", f"link {node}-{peer} left Up ({cause}); no trouble there {told}")

    def _was_awake(self, node: NodeId, peer: NodeId) -> None:
        """L-3, B20: who was stopped himself has no verdict over others yet."""
        resumed = self.trouble.resumed.get(node)
        if resumed is None:
            return
        at, stopped_s = resumed
        process = self.world.processes[node]
        timeout_s = self.settings(process).ping_timeout_s / process.runtime.rate
        if stopped_s > STALL * timeout_s and self.world.now - at < 0.99 * timeout_s:
            text = f"node {node}, stopped for {stopped_s:.1f} s, calls node {peer} silent at once"
            self.fail("I13", text)

    def look(self) -> None:
        """What never changes, and the ends of processes, which their peers hear at once."""
        ended = dict(self.trouble.nodes_in("crash"))
        for node, process in self.running():
            cast = self.seen.cast(process)
            if process.system.context.config is not self._configs.get(node):
                self.fail("I13", f"the configuration of node {node} was replaced at run time")
            if cast is not self._casts.get(node):
                self._undisturbed(node, self._casts.get(node), cast)
                self._casts[node] = cast
            for peer, actor in cast.links.items():
                timing = actor.rules.timing
                if self._timings[actor] != timing:
                    self.fail("I13", f"the times of link {node}-{peer} changed to {timing}")
            for peer in ended.keys() & cast.links.keys():
                self._ended_noticed(node, peer, cast.links[peer], ended[peer])

    def _undisturbed(self, node: NodeId, before: Cast | None, cast: Cast) -> None:
        """D-8: the link actor of a pair lives on, unless a row of the two was edited."""
        for actor in cast.links.values():
            self._timings.setdefault(actor, actor.rules.timing)
            self._first_seen.setdefault(actor, self.world.now)
        for peer, actor in before.links.items() if before is not None else ():
            if cast.links.get(peer) is not actor:
                self._needs_trouble(node, peer, "its actor was stopped")

    def _ended_noticed(self, node: NodeId, peer: NodeId, actor: LinkActor, ended: float) -> None:
        """Unless other trouble of the two is not over yet; a link just made has to dial first."""
        asked = max(ended, self._first_seen[actor])
        if actor.rules.state is State.DOWN or self.world.now - asked < NOTICED_S:
            return
        begun = max(self.trouble.path_until(node, peer), self.trouble.until(node))
        begun = max(begun, self.trouble.booted.get(peer, 0.0))
        if ended - begun > self._over_s(node, peer):
            text = f"node {peer} ended {self.world.now - ended:.1f} s ago"
            self.fail("I13", f"{text}, link {node}-{peer} is {actor.rules.state.value}")

    def survey(self) -> None:
        """Who hears nothing gives the link up; if nothing but that ails the path, the other end
        hears of it at once (F4), else it knows when that one has fallen silent.
        """
        for (source, target), since in sorted(self.trouble.silent.items()):
            for node, peer in ((NodeId(source), NodeId(target)), (NodeId(target), NodeId(source))):
                process = self.world.processes.get(node)
                if process is None or not process.member or process.runtime.paused:
                    continue
                actor = self.seen.cast(process).links.get(peer)
                if actor is not None and actor.rules.state is not State.DOWN:
                    self._given_up(node, actor, since, deaf=node == target)

    def _given_up(self, node: NodeId, actor: LinkActor, since: float, *, deaf: bool) -> None:
        """The link is not in use any more; a little later it is DOWN. ``deaf``: at its end nothing
        is heard; else it is at the other one.
        """
        peer, state, timing = actor.rules.peer, actor.rules.state, actor.rules.timing
        begun = max(since, self.trouble.until(node), self._first_seen[actor])
        allowed_s = self._detection_s(node, peer)
        if not deaf:
            begun = max(begun, self.trouble.until(peer))
            allowed_s *= 1 if self.trouble.only_silent(node, peer) else 2
        if state not in _IN_USE:
            allowed_s += timing.retries * timing.ping_timeout_s
        dead_s = self.world.now - begun
        if dead_s > allowed_s + DEAD_MARGIN_S + self.trouble.late_s(node, peer):
            text = f"nothing gets through for {dead_s:.1f} s"
            self.fail("I13", f"{text}, link {node}-{peer} is {state.value}")

    def _over_s(self, node: NodeId, peer: NodeId) -> float:
        """After so long all that trouble leaves behind is over: silence is noticed, and who lost
        the connection has dialled again (L-5).
        """
        settings = self.settings(self.world.processes[node])
        return self._detection_s(node, peer) + settings.reconnect_cap_s

    def _detection_s(self, node: NodeId, peer: NodeId) -> float:
        settings = self.settings(self.world.processes[node])
        record = self.world.storage.records.get(peer)
        retries = record.ping_retries if record is not None else settings.ping_retries
        detection_s = settings.ping_interval_s + (retries + 1) * settings.ping_timeout_s
        return detection_s / (1 - self.world.drift)
