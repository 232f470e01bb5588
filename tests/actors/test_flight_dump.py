"""The recording of a node as a file: asked for, and by itself after a fault."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from tagmesh import LocalCluster, Node
from tagmesh.actors.application import Application
from tagmesh.actors.flight_dump import FAULT_PAUSE_S, MAX_FAULT_FILES, FaultFiles, write_private
from tagmesh.capabilities import ReplicatedMap
from tagmesh.protocol.errors import Reason
from tagmesh.protocol.flight_recorder import from_bytes
from tagmesh.protocol.identity import NodeId
from tagmesh.simulation import World
from tagmesh.simulation.flight_replay import Replayed, replay
from tests.badinput.puppet import Puppet

TRIES = 50


def context_of(world: World) -> Any:
    return world.processes[world.ids[0]].system.context


@pytest.fixture
def context(tmp_path: Path) -> Any:
    world = World(1, 2)
    world.boot_all()
    world.until(world.converged, within_s=30.0)
    made = context_of(world)
    made.runtime.call_in_pool = lambda call, done: done(call(), None)
    made.runtime.call_soon = lambda call: call()
    FaultFiles(made, str(tmp_path))
    return made


def broken(context: Any, at_s: float) -> None:
    context.runtime.monotonic = lambda: at_s
    context.recorder.refused(Reason.VIOLATION, "node 2: nonsense")


def test_a_fault_leaves_a_file_that_only_its_owner_can_read(context: Any, tmp_path: Path) -> None:
    broken(context, 100.0)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    flight = from_bytes(file.read_bytes())
    assert (flight.node_id, flight.reason) == (1, "violation: node 2: nonsense")
    assert {frame.peer for frame in flight.frames} == {2}


def test_files_are_limited_in_number_and_in_how_often(context: Any, tmp_path: Path) -> None:
    broken(context, 100.0)
    broken(context, 100.0 + FAULT_PAUSE_S / 2)
    assert len(list(tmp_path.iterdir())) == 1
    for number in range(MAX_FAULT_FILES + 3):
        broken(context, 1000.0 + number * FAULT_PAUSE_S)
    assert len(list(tmp_path.iterdir())) == MAX_FAULT_FILES


def test_bytes_of_a_peer_that_are_no_message_leave_one(tmp_path: Path) -> None:
    world = World(seed=1, nodes=2)
    world.boot(1)
    world.run_for(1.0)
    made = context_of(world)
    made.runtime.call_in_pool = lambda call, done: done(call(), None)
    FaultFiles(made, str(tmp_path))
    puppet = Puppet(world, 2)
    puppet.greet(1)
    puppet.say_bytes(b"\xff\xff\xff\xff")
    world.run_for(1.0)
    (file,) = tmp_path.iterdir()
    assert from_bytes(file.read_bytes()).reason.startswith("violation: node 2: ")


def test_what_an_application_set_aside_leaves_one(context: Any, tmp_path: Path) -> None:
    application = Application(ReplicatedMap("notes"), context.recorder.fault)
    application.set_aside(NodeId(2), "message", b"content", "ValueError: nonsense")
    (file,) = tmp_path.iterdir()
    flight = from_bytes(file.read_bytes())
    assert flight.reason == "quarantine: notes: a message of node 2"
    assert b"content" not in file.read_bytes()


def test_what_lies_there_already_is_not_written_through(tmp_path: Path) -> None:
    kept, there = tmp_path / "kept", tmp_path / "there"
    kept.write_bytes(b"mine")
    there.symlink_to(kept)
    write_private(there, b"new")
    assert (kept.read_bytes(), there.read_bytes()) == (b"mine", b"new")


def ended(node: Node) -> Replayed:
    """The replay of its recording; once more when something came while it was made."""
    for _ in range(TRIES):
        (story,) = replay(from_bytes(node.recording()))
        if story.same:
            break
        node.sleep(0.1)
    return story


def test_a_recording_of_a_real_run_leads_to_the_same_end() -> None:
    with LocalCluster(3) as lab:
        lab.cut(1, 3)
        lab.wait_route(1, 3, via=2)
        story = ended(lab[1])
    assert story.same is True
    assert story.routes["3"] == [2, 3]
