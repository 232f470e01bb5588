"""A recorded flight fed to the rules again: what the node saw, and where that leads (B14).

The topology of each cluster and its claims on sharing tags are made as the node made them and told
what the node was told, at the times of the recording: its members, its links, what it claimed, and
the messages of its neighbours. What comes out has to be what the node had at the end; where it is
not, the recording begins too late, or a defect was found.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from ..protocol.effects import Announce, Effect
from ..protocol.flight_recorder import ClusterDump, Flight, Frame, Input, state_of
from ..protocol.identity import ClusterId, Incarnation, NodeId
from ..protocol.messages import LinkState, Want
from ..protocol.tag_claims import ClaimTable
from ..protocol.tag_messages import Claim, TagClaims
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
    claims: list[Claim]
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
        self._claims: ClaimTable | None = None
        self._heard: list[Heard] = []

    def run(self) -> Replayed:
        frames = [f for f in self._flight.frames if f.cluster_id == self._there.cluster_id]
        steps: list[Input | Frame] = [*self._there.inputs, *frames]
        for step in sorted(steps, key=lambda step: step.order):
            self._tick(step.at_s)
            self._take(step)
        self._tick(self._flight.at_s)
        adjacency, routes = _state(self._rules)
        claims = self._claims.claims if self._claims is not None else []
        there = self._there
        had = (there.adjacency, there.routes, there.claims)
        same = (adjacency, routes, claims) == had if there.adjacency else None
        return Replayed(
            cluster_id=self._there.cluster_id,
            heard=self._heard,
            adjacency=adjacency,
            routes=routes,
            claims=claims,
            same=same,
        )

    def _tick(self, until_s: float) -> None:
        rules = self._rules
        while rules is not None and rules.deadline is not None and rules.deadline <= until_s:
            now = rules.deadline
            self._keep(rules.tick(now), now)

    def _take(self, step: Input | Frame) -> None:
        if isinstance(step, Input) and step.what == "members":
            self._members(step)
        elif self._rules is None or self._claims is None:
            return  # of a time before what is kept
        elif isinstance(step, Frame):
            self._message(self._rules, self._claims, step)
        elif step.what == "claims":
            self._claims.restore(step.claims)
        else:
            self._link(self._rules, self._claims, step)

    def _link(self, rules: Topology, claims: ClaimTable, step: Input) -> None:
        peer, now = NodeId(step.peer), step.at_s
        if step.what == "link_up":
            self._keep(rules.link_up(peer, step.incarnation, now, step.cause), now)
            claims.link_up(peer)
        else:
            self._keep(rules.link_down(peer, now, step.cause), now)
            claims.link_down(peer)

    def _message(self, rules: Topology, claims: ClaimTable, frame: Frame) -> None:
        if frame.out or not frame.body:
            return
        peer, now = NodeId(frame.peer), frame.at_s
        for message in decode(frame.body).messages:
            if isinstance(message, LinkState | Want):
                self._keep(rules.receive(peer, message, now), now)
            elif isinstance(message, TagClaims):
                claims.receive(peer, message)

    def _members(self, step: Input) -> None:
        members = {record.node_id: record for record in step.members}
        if self._rules is not None:
            changed = (
                self._rules.set_members(members, step.at_s)
                if self._flight.node_id in members
                else self._rules.leave()
            )
            self._keep(changed, step.at_s)
            if self._claims is not None and self._flight.node_id in members:
                self._claims.set_members(members)
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
        self._claims = ClaimTable(
            cluster_id=ClusterId(self._there.cluster_id),
            me=NodeId(self._flight.node_id),
            members=members,
        )

    def _keep(self, effects: list[Effect], now: float) -> None:
        self._heard += [Heard(now, effect) for effect in effects if isinstance(effect, Announce)]


def _state(rules: Topology | None) -> tuple[list[tuple[int, list[int]]], dict[str, list[int]]]:
    return state_of(rules) if rules is not None else ([], {})
