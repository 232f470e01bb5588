"""Commands of scenarios that make a world and do something to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from ..protocol.config import read_config
from ..protocol.errors import NotProvisioned, StorageUnavailable
from ..protocol.greeting import OUR_VERSIONS, Versions
from ..protocol.identity import IdentityPolicy, InvalidRow, NodeId, NodeRecord
from ..transport.loopback import CertificateEnded
from .rows import CLUSTER, MODES, Mode
from .runtime import Disk
from .script_player import Player, command
from .script_words import ScenarioError, Words, read_seconds, read_share, read_value, wrong
from .world import World

CONVERGE_S = 60.0
SETTLE_S = 5.0
"""What `start` waits for links to give up that cannot be (`shape`)."""
SHAPES: dict[str, Callable[[int, int, int], bool]] = {
    "mesh": lambda _a, _b, _n: True,
    "line": lambda a, b, _n: b == a + 1,
    "ring": lambda a, b, n: b == a + 1 or (a, b) == (1, n),
    "star": lambda a, _b, _n: a == 1,
}
"""Whether nodes a < b of n can talk to each other directly."""
DISKS: tuple[Disk, ...] = ("kept", "lost", "rolled_back")
ROW = {"priority": "priority", "retries": "ping_retries"}
"""What a scenario may change in a row: its word, and the field."""


@command("world nodes=N [seed=S] [shape=mesh|line|ring|star] [dynamic] [booted] [SETTING=VALUE …]")
def world(player: Player, words: Words) -> list[str]:
    """A new cluster; settings as in `[[cluster]]`; `booted` starts it and waits until it agrees."""
    booted, dynamic = words.flag("booted"), words.flag("dynamic")
    nodes, seed = words.option("nodes", int, 3), words.option("seed", int, 1)
    shape = words.option("shape", str, "mesh")
    if nodes < 1:
        raise ScenarioError("a world has at least one node")
    if shape not in SHAPES:
        raise ScenarioError(f"there is no shape {shape!r}; allowed: {', '.join(SHAPES)}")
    settings = {key: read_value(value) for key, value in words.options().items()}
    read_config({"node": {"id": 1}, "cluster": [{"id": CLUSTER, **settings}]})  # or ConfigError
    made = World(seed, nodes, settings=settings, dynamic=dynamic)
    player.begin(made)
    for a, b in itertools.combinations(made.ids, 2):
        if not SHAPES[shape](a, b, nodes):
            made.cut(a, b)
    return _start(player, list(made.ids)) if booted else []


@command("start NODES")
def start(player: Player, words: Words) -> list[str]:
    """Boot processes and wait until all agree; what happens meanwhile is not printed."""
    return _start(player, words.nodes())


def _start(player: Player, nodes: Sequence[NodeId]) -> list[str]:
    made = player.world
    for node in nodes:
        made.boot(node)
        player.booted(node)
    took_s = made.until(made.converged, within_s=CONVERGE_S)
    made.run_for(SETTLE_S)
    player.forget_events()
    return [f"{len(made.members())} nodes agree after {took_s:.1f} s"]


# Processes ------------------------------------------------------------------------------------


@command("boot NODES [SETTING=VALUE …] [unprovisioned] [certificate-of=NODE]")
def boot(player: Player, words: Words) -> list[str]:
    """Start processes; `unprovisioned`: without a row; `certificate-of`: shows another's."""
    provisioned = not words.flag("unprovisioned")
    other = words.option("certificate-of", int, 0)
    settings = {key: read_value(value) for key, value in words.options().items()}
    refused = []
    for node in words.nodes() if provisioned else words.new_nodes():
        try:
            player.world.boot(
                node,
                provisioned=provisioned,
                certificate_of=other or None,
                settings=settings,
            )
        except (NotProvisioned, StorageUnavailable, CertificateEnded) as error:
            refused.append(f"node {node} does not start: {error}")
        else:
            player.booted(node)
    return refused


@command("crash NODES [disk=kept|lost|rolled_back]")
def crash(player: Player, words: Words) -> None:
    """End processes as kill -9 does; `disk`: what is left of the incarnation at the next boot."""
    disk: Disk = words.option("disk", _disk, DISKS[0])
    for node in words.nodes():
        player.world.crash(node, disk=disk)


def _disk(word: str) -> Disk:
    for disk in DISKS:
        if word == disk:
            return disk
    raise wrong("disk", word, DISKS)


@command("stop NODES")
def stop(player: Player, words: Words) -> None:
    """End processes in good order, as SIGTERM does."""
    for node in words.nodes():
        player.world.stop(node)


@command("pause NODES")
def pause(player: Player, words: Words) -> None:
    """Stop processes as SIGSTOP does; their kernels go on acknowledging."""
    for node in words.nodes():
        player.world.pause(node)


@command("resume NODES")
def resume(player: Player, words: Words) -> None:
    """Let paused processes go on."""
    for node in words.nodes():
        player.world.resume(node)


@command("clock NODE ±DURATION")
def clock(player: Player, words: Words) -> None:
    """Step the wall clock of a node."""
    node = words.node()
    player.world.step_clock(node, read_seconds(words.take("a duration")))


@command("expire NODES")
def expire(player: Player, words: Words) -> None:
    """Let the certificates of nodes end now; connections stay."""
    for node in words.nodes():
        player.world.expire(node)


@command("renew NODES")
def renew(player: Player, words: Words) -> None:
    """Put new certificates into the files of nodes; the next processes show them."""
    for node in words.nodes():
        player.world.renew(node)


@command("install NODES speaks=LOWEST-HIGHEST")
def install(player: Player, words: Words) -> None:
    """Install software that speaks these protocol versions; the next processes are of it."""
    lowest, highest = words.option("speaks", _versions, OUR_VERSIONS)
    for node in words.nodes():
        player.world.install(node, (lowest, highest))


def _versions(word: str) -> Versions:
    lowest, _, highest = word.partition("-")
    return int(lowest), int(highest)


# The network ----------------------------------------------------------------------------------


def _pairs(words: Words) -> Iterator[tuple[NodeId, NodeId]]:
    """Every pair of two groups."""
    first, second = words.group(), words.group()
    both = sorted(set(first) & set(second))
    if both:
        raise ScenarioError(f"node {both[0]} is on both sides")
    yield from itertools.product(first, second)


@command("cut A B")
def cut(player: Player, words: Words) -> None:
    """Lose everything between two nodes, or two groups as in `cut 1,2 3`; nobody is told."""
    for a, b in _pairs(words):
        player.world.cut(a, b)


@command("cut-one-way A B")
def cut_one_way(player: Player, words: Words) -> None:
    """Lose what A sends to B; B's words still reach A."""
    for a, b in _pairs(words):
        player.world.cut_one_way(a, b)


@command("heal A B | heal all")
def heal(player: Player, words: Words) -> None:
    """Undo every fault of these paths."""
    if words.skip("all"):
        player.world.heal_all()
        return
    for a, b in _pairs(words):
        player.world.heal(a, b)


@command("slow A B by=DURATION [jitter=DURATION]")
def slow(player: Player, words: Words) -> None:
    """Delay what passes between two nodes, each way."""
    by_s = words.option("by", read_seconds, 0.0)
    jitter_s = words.option("jitter", read_seconds, 0.0)
    for a, b in _pairs(words):
        player.world.slow(a, b, by_s, jitter_s)


@command("lose A B SHARE%")
def lose(player: Player, words: Words) -> None:
    """Lose a share of the packets between two nodes; TCP sends them again."""
    pairs = list(_pairs(words))
    share = read_share(words.take("a share such as 10%"))
    for a, b in pairs:
        player.world.lose(a, b, share)


@command("clog A B")
def clog(player: Player, words: Words) -> None:
    """Hold back everything between two nodes; nothing is lost."""
    for a, b in _pairs(words):
        player.world.clog(a, b)


@command("unclog A B")
def unclog(player: Player, words: Words) -> None:
    """Let a clogged path go on: what was held back arrives."""
    for a, b in _pairs(words):
        player.world.unclog(a, b)


@command("reset A B")
def reset(player: Player, words: Words) -> None:
    """Break the connections between two nodes; what was not sent is lost."""
    for a, b in _pairs(words):
        player.world.reset(a, b)


@command("block A B")
def block(player: Player, words: Words) -> None:
    """A takes no connection of B and dials none: the transport's test switch."""
    for a, b in _pairs(words):
        player.world.block(a, b)


@command("unblock A B")
def unblock(player: Player, words: Words) -> None:
    """Undo `block`."""
    for a, b in _pairs(words):
        player.world.unblock(a, b)


@command("replay A B")
def replay(player: Player, words: Words) -> None:
    """What A sent to B on an earlier connection arrives at B once more."""
    a, b = words.node(), words.node()
    player.world.replay(a, b)


# The database ---------------------------------------------------------------------------------


@command("storage ok|failing|hanging|stale")
def storage(player: Player, words: Words) -> None:
    """How the database answers everybody."""
    given = words.choice("storage mode", MODES)
    modes: dict[str, Mode] = {mode: mode for mode in MODES}
    player.world.storage.mode = modes[given]


@command("provision NODES")
def provision(player: Player, words: Words) -> None:
    """Add rows."""
    for node in words.new_nodes():
        player.world.provision(node)


@command("remove NODES")
def remove(player: Player, words: Words) -> None:
    """Delete rows."""
    for node in words.nodes():
        player.world.remove(node)


@command("disable NODES")
def disable(player: Player, words: Words) -> None:
    """Set `state` 0 in rows."""
    for node in words.nodes():
        player.world.disable(node)


@command("enable NODES")
def enable(player: Player, words: Words) -> None:
    """Set `state` 1 in rows."""
    for node in words.nodes():
        player.world.enable(node)


@command("row NODES [priority=N] [retries=N] [seed]")
def row(player: Player, words: Words) -> None:
    """Change other columns of rows."""
    values: dict[str, Any] = {"flags": "seed"} if words.flag("seed") else {}
    for key, field in ROW.items():
        value = words.option(key, int, -1)
        if value >= 0:
            values[field] = value
    for node in words.nodes():
        storage = player.world.storage
        storage.write(node, msgspec.structs.replace(_row(player, node), **values))


def _row(player: Player, node: NodeId) -> NodeRecord:
    records = player.world.storage.records
    if node not in records:
        raise ScenarioError(f"node {node} has no row; provision it first")
    return records[node]


@command("break-row NODES")
def break_row(player: Player, words: Words) -> None:
    """Make rows unreadable, as a wrong url does."""
    storage = player.world.storage
    for node in words.nodes():
        record = _row(player, node)
        reason = "url 'node' must have the form bins:host[:port]"
        bad = InvalidRow(db_id=record.db_id, cluster_id=CLUSTER, node_id=node, reason=reason)
        storage.write(node, None)
        storage.invalid = (*storage.invalid, bad)


@command("revoke NODES")
def revoke(player: Player, words: Words) -> None:
    """Mark the certificates of nodes as revoked in `cluster_identity`."""
    _policy(player, words, IdentityPolicy(revoked=True))


@command("pin NODES")
def pin(player: Player, words: Words) -> None:
    """Allow nodes only a certificate that is not the one they have."""
    _policy(player, words, IdentityPolicy(fingerprints=frozenset({"0" * 64})))


def _policy(player: Player, words: Words, policy: IdentityPolicy) -> None:
    for node in words.nodes():
        player.world.storage.identities[CLUSTER, node] = policy
