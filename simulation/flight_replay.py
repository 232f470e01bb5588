"""A recorded flight fed to the rules again: what the node saw, and where that leads (B14).

The topology of each cluster is made as the node made it and told what the node was told, at the
times of the recording: its members, its links, and the messages of its neighbours. What comes out
has to be what the node had at the end; where it is not, the recording begins too late, or a defect
was found.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from ..protocol.effects import Announce, Effect
from ..protocol.flight_recorder import ClusterDump, Flight, Frame, Input, state_of
from ..protocol.identity import ClusterId, Incarnation, NodeId
from ..protocol.messages import Digest, LinkState, Want
from ..protocol.topology import Topology
from ..protocol.wire import decode


class Heard(NamedTuple):
    """Something that applications are told, again."""

    at_s: float
    announce: Announce


class Replayed(msgspec.Struct, kw_only=True):
    """One cluster after it was fed everything."""

    cluster_id: int
    heard: list[Heard]
    adjacency: list[tuple[int, list[int]]]
    routes: dict[str, list[int]]
    same: bool | None
    """As the node had it at the end; None = the recording does not say."""


def replay(flight: Flight) -> list[Replayed]:
    """Every cluster of a recording."""
    return [_Story(flight, there).run() for there in flight.clusters]


class _Story:
    """One cluster."""

    def __init__(self, flight: Flight, there: ClusterDump) -> None:
        self._flight = flight
        self._there = there
        self._rules: Topology | None = None
        self._heard: list[Heard] = []

    def run(self) -> Replayed:
        frames = [f for f in self._flight.frames if f.cluster_id == self._there.cluster_id]
        steps: list[Input | Frame] = [*self._there.inputs, *frames]
        for step in sorted(steps, key=lambda step: step.order):
            self._tick(step.at_s)
            self._take(step)
        self._tick(self._flight.at_s)
        adjacency, routes = _state(self._rules)
        told = bool(self._there.adjacency)
        same = (adjacency, routes) == (self._there.adjacency, self._there.routes) if told else None
        return Replayed(
            cluster_id=self._there.cluster_id,
            heard=self._heard,
            adjacency=adjacency,
            routes=routes,
            same=same,
        )

    def _tick(self, until_s: float) -> None:
        rules = self._rules
        while rules is not None and rules.deadline is not None and rules.deadline <= until_s:
            now = rules.deadline
            self._keep(rules.tick(now), now)

    def _take(self, step: Input | Frame) -> None:
        now = step.at_s
        if isinstance(step, Input) and step.what == "members":
            self._members(step)
        elif self._rules is None:
            return  # of a time before what is kept
        elif isinstance(step, Frame):
            self._message(step)
        elif step.what == "link_up":
            up = self._rules.link_up(NodeId(step.peer), step.incarnation, now, step.cause)
            self._keep(up, now)
        else:
            self._keep(self._rules.link_down(NodeId(step.peer), now, step.cause), now)

    def _message(self, frame: Frame) -> None:
        assert self._rules is not None, "checked by the caller"
        if frame.out or not frame.body:
            return
        for message in decode(frame.body).messages:
            if isinstance(message, LinkState | Digest | Want):
                effects = self._rules.receive(NodeId(frame.peer), message, frame.at_s)
                self._keep(effects, frame.at_s)

    def _members(self, step: Input) -> None:
        members = {record.node_id: record for record in step.members}
        if self._rules is not None:
            changed = (
                self._rules.set_members(members, step.at_s)
                if self._flight.node_id in members
                else self._rules.leave()
            )
            self._keep(changed, step.at_s)
            return
        began = self._there.began
        self._rules = Topology(
            cluster_id=ClusterId(self._there.cluster_id),
            me=NodeId(self._flight.node_id),
            incarnation=Incarnation(self._flight.incarnation),
            epoch=began.epoch,
            members=members,
            rerouting=began.rerouting,
            digest_interval_s=began.digest_interval_s,
        )

    def _keep(self, effects: list[Effect], now: float) -> None:
        self._heard += [Heard(now, effect) for effect in effects if isinstance(effect, Announce)]


def _state(rules: Topology | None) -> tuple[list[tuple[int, list[int]]], dict[str, list[int]]]:
    return state_of(rules) if rules is not None else ([], {})
