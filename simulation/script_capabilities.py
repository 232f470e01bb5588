"""Commands of scenarios about capabilities: those of `records`, on every node that boots."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..protocol.identity import NodeId
from .records import LETTERS, NAMES, NOTES, RECORDS, REGISTERED, Ledger, Notes, Post, Records
from .script_player import Player, command
from .script_words import ScenarioError, Words


def _make(name: str, ledger: Ledger) -> Callable[[NodeId], Post | Notes | Records]:
    if name == NOTES:
        return partial(Notes, ledger=ledger)
    if name == RECORDS:
        return partial(Records, ledger=ledger)
    return partial(Post, ledger=ledger, reliable=name == REGISTERED)


@command(f"capabilities NAME …   ({' '.join(NAMES)})")
def capabilities(player: Player, words: Words) -> None:
    """Every node that boots from now on has these capabilities."""
    world = player.world
    ledger = Ledger(lambda: world.now)
    names = [words.choice("capability", NAMES)]
    while words:
        names.append(words.choice("capability", NAMES))
    for name in names:
        world.provide(_make(name, ledger))


@command("states NAME NODES")
def states(player: Player, words: Words) -> list[str]:
    """What each node says of its capability."""
    name = words.choice("capability", NAMES)
    return [
        f"{node}: {player.world.state(node, name).name.lower()}" for node in words.nodes()
    ]  # fmt: skip


@command("switch NAME on|off NODES")
def switch(player: Player, words: Words) -> None:
    """An operator switches a capability on or off."""
    name = words.choice("capability", NAMES)
    on = words.choice("position", ["on", "off"]) == "on"
    for node in words.nodes():
        player.world.switch(node, name, on=on)


@command("put KEY VALUE at NODE")
def put(player: Player, words: Words) -> None:
    """Write into the records of a node."""
    key, value = words.take("a key"), words.take("a value")
    words.demand("at")
    _records(player, words.node()).put(key, value)


@command("values NODES")
def values(player: Player, words: Words) -> list[str]:
    """The records of each node."""
    lines = []
    for node in words.nodes():
        held = [(str(key), value) for key, value in _records(player, node).items()]
        shown = " ".join(f"{key}={value}" for key, value in sorted(held))
        lines.append(f"{node}: {shown or 'nothing'}")
    return lines


@command("post NAME A B [COUNT]")
def post(player: Player, words: Words) -> list[str]:
    """Send letters from A to B; what became of the first one (R-8)."""
    found = _post(player, words)
    to = words.node()
    count = words.number() if words else 1
    result = found.send(to, [found.life, found.posted.get(to, 0) + 1, b""])
    found.posted[to] = found.posted.get(to, 0) + bool(result)
    for _ in range(count - 1):
        found.post(to)
    way = f" by way of {' '.join(map(str, result.route[:-1]))}" if result.route[1:] else ""
    return [f"{result.outcome.name.lower()}{way}" + (f": {result.detail}" if result.detail else "")]


@command("heard NAME NODE")
def heard(player: Player, words: Words) -> list[str]:
    """The number of the last letter from each node, and how many before it are missing."""
    found = _post(player, words)
    lines = [
        f"from {source}: up to number {last}, {found.gaps.get((source, life), 0)} missing"
        for (source, life), last in sorted(found.heard.items())
    ]
    return [*(lines or ["nothing"]), *(text for _, text in found.ledger.wrong)]


def _post(player: Player, words: Words) -> Post:
    name = words.choice("capability", [LETTERS, REGISTERED])
    found = player.world.capability(words.node(), name)
    assert isinstance(found, Post), found
    return found


def _records(player: Player, node: NodeId) -> Records:
    found = player.world.capability(node, RECORDS)
    if not isinstance(found, Records):
        raise ScenarioError(f"{RECORDS} of node {node} are none")
    return found
