"""Histories of rows, strangers, impostors, and of peers that do what they must not."""

from __future__ import annotations

import tempfile

from tagmesh.actors.mail import TraceRoute
from tagmesh.actors.storage import StorageActor
from tagmesh.protocol.config import ProvisioningSettings
from tagmesh.protocol.errors import NotProvisioned
from tagmesh.protocol.greeting import Versions
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import LinkState, Message, Welcome
from tagmesh.simulation.check import Violation
from tagmesh.simulation.checkers import Checkers
from tagmesh.simulation.removal import remove_by_command
from tagmesh.simulation.rows import record_of
from tagmesh.simulation.world import CLUSTER, World
from tagmesh.storage import FixedRoster, Provisioning, SqlRoster
from tagmesh.transport.loopback_connection import Item, ItemKind
from tests.simulation.histories import SETTLE_S, begin, unless

SOON_S = 10.0
"""P3."""


def rows(seed: int) -> World:
    """Rows are removed, disabled, enabled and written again while the cluster runs."""
    world, checkers = begin(seed, nodes=5)
    for _ in range(4):
        world.run_for(world.random.uniform(15.0, 25.0))
        node = world.random.choice(world.ids)
        if world.random.random() < 0.5:
            world.remove(node)
            world.run_for(world.random.uniform(4.0, 12.0))
            world.provision(node)
        else:
            world.disable(node)
            world.run_for(world.random.uniform(4.0, 12.0))
            world.enable(node)
    world.run_for(5.0)
    checkers.after_healing()
    return world


def removed_by_command(seed: int) -> World:
    """Without rows: a node is removed while the one it knows is away, and knocks there (X-3)."""
    world = World(seed, 5, dynamic=True)
    Checkers(world)
    world.boot_all()
    world.until(world.converged, within_s=SETTLE_S)
    by, gone = world.random.sample(world.ids[1:], 2)
    world.crash(1)
    world.run_for(world.random.uniform(1.0, 10.0))
    remove_by_command(world, by, gone)
    world.run_for(world.random.uniform(1.0, 5.0))
    world.crash(gone, "lost")
    world.boot(1)
    world.run_for(world.random.uniform(1.0, 5.0))
    world.boot(gone)
    for _ in range(30):
        world.run_for(1.0)
        _is_gone(world, gone)
    return world


def _is_gone(world: World, gone: NodeId) -> None:
    """Nobody has it any more."""
    for node in sorted(world.processes):
        if node == gone:
            continue
        actor = world.processes[node].system.context.supervisor.actor(("storage",))
        assert isinstance(actor, StorageActor), "it runs"
        back = (CLUSTER, gone) in actor.rules.records
        unless(not back, "X-3", f"node {node} takes in node {gone}, which was removed", world)


def storage(seed: int) -> World:
    """The database goes away, in all its ways, and comes back (J-3)."""
    world, checkers = begin(seed, nodes=3)
    world.run_for(20.0)
    for mode in ("failing", "hanging", "stale", "ok"):
        world.storage.mode = mode
        world.run_for(world.random.uniform(5.0, 15.0))
    checkers.after_healing()
    return world


def no_own_row(seed: int) -> World:
    """The rows of a database and of a configuration have another node, not the one that starts."""
    world, checkers = begin(seed, nodes=2)
    with tempfile.TemporaryDirectory() as folder:
        settings = ProvisioningSettings(url=f"sqlite:///{folder}/rows.db")
        rows_of = Provisioning(settings)
        rows_of.init()
        rows_of.add(record_of(world.ids[1]))
        rows_of.close()
        for roster in (SqlRoster(settings), FixedRoster([record_of(world.ids[1])])):
            try:
                snapshot = roster.load(world.ids[0])
            except NotProvisioned:
                continue
            finally:
                roster.close()
            text = f"node 1 starts with {len(snapshot.records)} rows from {type(roster).__name__}"
            raise Violation("D-4", text, world)
    checkers.after_healing()
    return world


def stranger(seed: int) -> World:
    """A process without a row knocks."""
    world, checkers = begin(seed, nodes=3)
    world.boot(9, provisioned=False)
    world.run_for(10.0)
    checkers.after_healing()
    return world


def impostor(seed: int) -> World:
    """Node 3 shows the certificate of node 2, which is away."""
    world, checkers = begin(seed, nodes=3)
    world.crash(2)
    world.crash(3)
    world.boot(3, certificate_of=2)
    world.run_for(10.0)
    world.crash(3)
    world.boot_all()
    checkers.after_healing()
    return world


def upgrade(seed: int) -> World:
    """New software comes to one node after the other, which work together all the time (F27); one
    that is left behind is refused.
    """
    world, checkers = begin(seed)
    for versions in ((1, 2), (2, 2)):
        for node in world.random.sample(world.ids, len(world.ids)):
            _restart(world, node, versions)
            checkers.settle(SOON_S)
    behind = world.random.choice(world.ids)
    for versions in ((1, 1), (2, 2)):
        _restart(world, behind, versions)
        world.run_for(5.0)
    checkers.after_healing()
    return world


def _restart(world: World, node: NodeId, versions: Versions) -> None:
    world.install(node, versions)
    world.stop(node)
    world.run_for(world.random.uniform(0.1, 2.0))
    world.boot(node)


def flood(seed: int) -> World:
    """A process is stopped while a peer sends thousands of messages (H3)."""
    world, checkers = begin(seed, nodes=2)
    world.pause(2)
    supervisor = world.processes[world.ids[0]].system.context.supervisor
    for number in range(1, 2001):
        supervisor.tell(("node", CLUSTER), TraceRoute(world.ids[1], number))
        if number % 100 == 0:
            world.run_for(0.02)
    world.run_for(0.5)
    world.resume(2)
    world.run_for(2.0)
    checkers.after_healing()
    return world


def hostile_bytes(seed: int) -> World:
    """A peer announces a frame of 4 GiB and sends on (I11)."""
    world, checkers = begin(seed, nodes=2)
    _reconnect(world, checkers)
    (end,) = world.processes[world.ids[0]].transport.endpoints()
    for _ in range(40):
        end.emit(Item(ItemKind.DATA, b"\xff" * 65_536))
        world.run_for(0.05)
    checkers.after_healing()
    return world


def hostile_messages(seed: int) -> World:
    """A member says what it must not: a link state about strangers, a WELCOME out of turn."""
    world, checkers = begin(seed, nodes=3)
    _reconnect(world, checkers)
    life = world.processes[world.ids[1]].system.context.incarnation
    strange = LinkState(CLUSTER, 2, life, life, 1000, [(1, life), (99, life)])
    for message in (strange, Welcome(1, b"12345678", [CLUSTER])):
        _say(world, message)
        world.run_for(3.0)
    checkers.after_healing()
    return world


def _reconnect(world: World, checkers: Checkers) -> None:
    """What follows is trouble."""
    world.reset(1, 2)
    world.run_for(1.0)
    checkers.settle(SETTLE_S)


def _say(world: World, message: Message) -> None:
    world.processes[world.ids[1]].system.context.send(world.ids[0], message)
