"""I13: configuration never changes; a link goes down for trouble, for all of it, and in time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..actors.link import LinkActor
from ..protocol.config import Config
from ..protocol.events import Event, EventRecord
from ..protocol.identity import NodeId, NodeRecord
from ..protocol.link import State, Timing
from . import inside
from .check import Check
from .trouble import Trouble

if TYPE_CHECKING:
    from .world import World

AFTER_TROUBLE_S = 10.0
"""Beyond the detection time: what trouble left behind (resent bytes, dials, contests) is over."""
DEAD_MARGIN_S = 1.0
"""Beyond the detection time: a dead path is DOWN at both ends."""
NOTICED_S = 0.5
"""A process that ended is noticed within this: its kernel says so."""
READ_S = 3.0
"""Rows are read this often, with a margin: what was edited just before an outage is not known."""
STALL = 1.6
"""Ping timeouts; a process stopped this long finds every timer too late to judge by (L-3)."""
_TOLD = (State.UP, State.RETRYING, State.PROVING)


class LinkChecks(Check):
    """The links of a world against the trouble it was given."""

    def __init__(self, world: World, trouble: Trouble) -> None:
        super().__init__(world, trouble)
        self._configs: dict[NodeId, Config] = {}
        self._timings: dict[LinkActor, Timing] = {}
        self._actors: dict[NodeId, dict[NodeId, LinkActor]] = {}
        self._rows: dict[NodeId, NodeRecord] = {}
        self._edited: dict[NodeId, float] = {}
        """Node → when its row was edited; the present as long as nobody could read that."""

    def booted(self, node: NodeId) -> None:
        """Remember what this life was configured with."""
        self._configs[node] = self.world.processes[node].system.context.config
        self._actors[node] = {}

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
        edited = max(self._edited.get(n, -math.inf) for n in (node, peer))
        quiet_s = self.world.now - max(self.trouble.until(node, peer), edited)
        allowed_s = self._detection_s(node, peer) + AFTER_TROUBLE_S
        if quiet_s > allowed_s:
            told = f"for {quiet_s:.1f} s" if quiet_s < self.world.now else "ever"
            self.fail("I13", f"link {node}-{peer} left Up ({cause}); no trouble there {told}")

    def _was_awake(self, node: NodeId, peer: NodeId) -> None:
        """L-3, B20: who was stopped himself has no verdict over others yet."""
        resumed = self.trouble.resumed.get(node)
        if resumed is None:
            return
        at, stopped_s = resumed
        timeout_s = self.settings(self.world.processes[node]).ping_timeout_s
        if stopped_s >= STALL * timeout_s and self.world.now - at < 0.99 * timeout_s:
            text = f"node {node}, stopped for {stopped_s:.1f} s, calls node {peer} silent at once"
            self.fail("I13", text)

    def look(self) -> None:
        """What never changes, and the ends of processes, which their peers hear at once."""
        self._rows_edited()
        for node, process in self.running():
            if process.system.context.config is not self._configs.get(node):
                self.fail("I13", f"the configuration of node {node} was replaced at run time")
            actors = {actor.rules.peer: actor for actor in inside.links(process)}
            self._undisturbed(node, actors)
            for actor in actors.values():
                timing = actor.rules.timing
                if self._timings.setdefault(actor, timing) != timing:
                    text = f"the times of link {node}-{actor.rules.peer} changed to {timing}"
                    self.fail("I13", text)
                self._ended_noticed(node, actor)

    def _rows_edited(self) -> None:
        rows, now = self.world.storage.records, self.world.now
        if rows != self._rows:
            edited = [
                n for n in rows.keys() | self._rows.keys() if rows.get(n) != self._rows.get(n)
            ]
            self._edited.update(dict.fromkeys(edited, now))
            self._rows = dict(rows)
        if self.storage_troubled():
            unread = [n for n, at in self._edited.items() if now - at <= READ_S]
            self._edited.update(dict.fromkeys(unread, now))

    def _undisturbed(self, node: NodeId, actors: dict[NodeId, LinkActor]) -> None:
        """D-8: the link actor of a pair lives on, unless a row of the two was edited."""
        before, self._actors[node] = self._actors[node], actors
        for peer, actor in before.items():
            if actors.get(peer) is not actor:
                self._needs_trouble(node, peer, "its actor was stopped")

    def _ended_noticed(self, node: NodeId, actor: LinkActor) -> None:
        peer = actor.rules.peer
        ended = self.trouble.since("crash", peer)
        if ended is None or self.world.now - max(ended, actor.rules.since) < NOTICED_S:
            return
        begun = max(self.trouble.path_until(node, peer), self.trouble.until(node))
        begun = max(begun, self.trouble.booted.get(peer, 0.0))
        settled = ended - begun > AFTER_TROUBLE_S + self._detection_s(node, peer)
        if settled and actor.rules.state is not State.DOWN:
            text = f"node {peer} ended {self.world.now - ended:.1f} s ago"
            self.fail("I13", f"{text}, link {node}-{peer} is {actor.rules.state.value}")

    def survey(self) -> None:
        """Dead paths are DOWN.

        On a path that is dead in one direction, the end that still hears the other one knows only
        when that one has fallen silent.
        """
        for node, process in self.running():
            for actor in inside.links(process):
                peer = actor.rules.peer
                if actor.rules.state not in _TOLD:
                    continue
                detection_s = self._detection_s(node, peer)
                for dead, allowed_s in (
                    (self.trouble.dead_both_ways_since(node, peer), detection_s),
                    (self.trouble.dead_since(node, peer), 2 * detection_s),
                ):
                    begun = max(dead, self.trouble.until(node)) if dead is not None else None
                    if begun is None or self.world.now - begun <= allowed_s + DEAD_MARGIN_S:
                        continue
                    text = f"nothing gets through for {self.world.now - begun:.1f} s"
                    self.fail("I13", f"{text}, link {node}-{peer} is {actor.rules.state.value}")

    def _detection_s(self, node: NodeId, peer: NodeId) -> float:
        settings = self.settings(self.world.processes[node])
        record = self.world.roster.records.get(peer)
        retries = record.ping_retries if record is not None else settings.ping_retries
        return settings.ping_interval_s + (retries + 1) * settings.ping_timeout_s
