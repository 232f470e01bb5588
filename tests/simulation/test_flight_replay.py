"""A recording of a node under faults leads, fed to the rules again, to what the node had."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.protocol.effects import Announce
from tagmesh.protocol.events import Event
from tagmesh.protocol.flight_recorder import from_bytes, to_bytes
from tagmesh.simulation import World, script  # noqa: F401 - declares the commands
from tagmesh.simulation.flight_replay import replay
from tagmesh.simulation.script_player import Player

TOPOLOGY = (Event.NODE_UP, Event.NODE_DOWN, Event.ROUTE_CHANGED)
FAULTS = [
    "world nodes=4 seed=1 booted; cut 1 3; run 30s",
    "world nodes=4 seed=2 booted; crash 3; run 5s; boot 3; run 9s",
    "world nodes=5 seed=3 booted; cut 1,2 3,4,5; run 30s; heal all; run 40s; pause 4; run 20s",
    "world nodes=3 seed=4 booted; disable 3; run 90s; enable 3; run 90s",
    "world nodes=4 seed=5 shape=line booted; cut 2 3; run 20s; heal 2 3; run 1s",
]

TAGGED = [
    "world nodes=3 seed=6; tag vip manual; tag old manual; start all; run 5s; activate vip 2;"
    " activate old 1; run 1s; hand-over vip 2 to 1; run 1s; activate old 3; run 9s",
    "world nodes=3 seed=7; tag vip lease; start 1; start 2,3; run 5s; crash 2; run 30s; boot 2;"
    " run 9s",
]


def after(commands: str) -> World:
    player = Player()
    for number, text in enumerate(commands.split(";"), 1):
        player.play([(number, text.strip())])
    return player.world


def told(announces: list[Announce]) -> list[tuple[Event, int | None, int | None, str]]:
    return [(a.kind, a.node_id, a.via, str(a.cause)) for a in announces if a.kind in TOPOLOGY]


@pytest.mark.parametrize("commands", FAULTS)
def test_a_recording_leads_to_the_same_end_by_the_same_events(commands: str) -> None:
    flight = from_bytes(to_bytes(after(commands).recording(1)))
    assert flight.lost == 0
    (story,) = replay(flight)
    assert story.same is True
    heard = [(e.kind, e.node_id, e.via, e.cause) for e in flight.events if e.kind in TOPOLOGY]
    assert told([one.announce for one in story.heard]) == heard


@pytest.mark.parametrize("commands", TAGGED)
@pytest.mark.parametrize("node", [1, 3])
def test_the_claims_on_tags_are_the_same_too(commands: str, node: int) -> None:
    flight = from_bytes(to_bytes(after(commands).recording(node)))
    (story,) = replay(flight)
    assert story.same is True
    assert [claim.tag for claim in story.claims] == sorted({"vip", "old"} & set(commands.split()))


def test_a_message_that_is_missing_is_noticed_at_the_end() -> None:
    flight = after(FAULTS[4] + "; cut 2 3; run 20s").recording(1)
    last = max(i for i, f in enumerate(flight.frames) if f.kind == "LinkState" and not f.out)
    frames = [frame for i, frame in enumerate(flight.frames) if i != last]
    (story,) = replay(msgspec.structs.replace(flight, frames=frames))
    assert story.same is False


def test_a_recording_after_a_fault_does_not_say_how_it_ended() -> None:
    flight = after("world nodes=2 seed=1 booted").recording(1)
    clusters = [msgspec.structs.replace(c, adjacency=[], routes={}) for c in flight.clusters]
    (story,) = replay(msgspec.structs.replace(flight, clusters=clusters))
    assert story.same is None
    assert story.adjacency == [(1, [2]), (2, [1])]
