"""Commands of scenarios about capabilities: those of `records`, on every node that boots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from ..capabilities.records import pack_key
from ..protocol.errors import NotTagOwner
from ..protocol.identity import NodeId
from .records import LETTERS, NAMES, NOTES, RECORDS, REGISTERED, Ledger, Notes, Post, Records
from .script_player import Player, command
from .script_words import ScenarioError, Words, read_value


def _make(name: str, ledger: Ledger) -> Callable[[NodeId], Post | Notes | Records]:
    if name == NOTES:
        return partial(Notes, ledger=ledger)
    if name == RECORDS:
        return partial(Records, ledger=ledger)
    return partial(Post, ledger=ledger, reliable=name == REGISTERED)


@command(f"capabilities NAME … [SETTING=VALUE …]   ({' '.join(NAMES)})")
def capabilities(player: Player, words: Words) -> None:
    """Every node that boots from now on has these capabilities; settings as in `[capability]`."""
    world = player.world
    settings = {key: read_value(value) for key, value in words.options().items()}
    ledger = Ledger(lambda: world.now)
    names = [words.choice("capability", NAMES)]
    while words:
        names.append(words.choice("capability", NAMES))
    for name in names:
        world.provide(_make(name, ledger))
        world.capability_settings[name] = settings


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


@command("put KEY VALUE at NODE [tag=NAME] [ttl=SECONDS]")
def put(player: Player, words: Words) -> list[str]:
    """Write into the records of a node; what came of it when it is refused."""
    key, value = words.take("a key"), words.take("a value")
    words.demand("at")
    node = words.node()
    tag, ttl_s = words.option("tag", str, ""), words.option("ttl", float, 0.0)
    try:
        _records(player, node).put(key, value, tag=tag or None, ttl_s=ttl_s or None)
    except NotTagOwner as refused:
        return [f"refused: {refused}"]
    return []


@command("delete KEY at NODE")
def delete(player: Player, words: Words) -> list[str]:
    """Delete one of the records of a node; what came of it when it is refused."""
    key = words.take("a key")
    words.demand("at")
    try:
        _records(player, words.node()).delete(key)
    except NotTagOwner as refused:
        return [f"refused: {refused}"]
    return []


@command("kept KEY NODES")
def kept(player: Player, words: Words) -> list[str]:
    """What each node has under a key, seen by readers or not: under which tag and epoch."""
    packed = pack_key(words.take("a key"))
    lines = []
    for node in words.nodes():
        head = _records(player, node).head(packed)
        what = "nothing" if head is None else "a tombstone" if head.deleted else "a record"
        under = f" of epoch {head.epoch}" if head is not None and head.epoch else ""
        lines.append(f"{node}: {what}{under}")
    return lines


@command("standing TAG NODES")
def standing(player: Player, words: Words) -> list[str]:
    """How a sharing tag stands at each node, declared there or not."""
    name, lines = words.take("a tag"), []
    for node in words.nodes():
        stands = _records(player, node).port.tag(name)
        who = stands.why if stands.holder is None else f"node {stands.holder} has it"
        lines.append(f"{node}: {stands.state}, epoch {stands.epoch or 'none'}, {who}")
    return lines


@command("values NODES")
def values(player: Player, words: Words) -> list[str]:
    """The records of each node."""
    lines = []
    for node in words.nodes():
        held = [(str(key), value) for key, value in _records(player, node).items()]
        shown = " ".join(f"{key}={value}" for key, value in sorted(held))
        lines.append(f"{node}: {shown or 'nothing'}")
    return lines


@command("fill COUNT at NODE [size=BYTES] [tag=NAME]")
def fill(player: Player, words: Words) -> None:
    """Write so many new records at a node, each with a value of that size."""
    value = "x" * words.option("size", int, 100)
    tag = words.option("tag", str, "")
    count = words.number()
    words.demand("at")
    found = _records(player, words.node())
    begin = len(found)
    for number in range(begin, begin + count):
        found.put(f"key-{number}", value, tag=tag or None)


@command("count NODES")
def count(player: Player, words: Words) -> list[str]:
    """How many records each node has; equal letters: the same records of the same versions."""
    letters: dict[bytes, str] = {}
    lines = []
    for node in words.nodes():
        found = _records(player, node)
        same = repr(sorted(found.versions().items())).encode()
        letter = letters.setdefault(same, chr(ord("A") + len(letters)))
        lines.append(f"{node}: {len(found)} records, {letter}")
    return lines


@command("note COUNT at NODE")
def note(player: Player, words: Words) -> None:
    """Add notes at a node and tell all others."""
    number = words.number()
    words.demand("at")
    found = _notes(player, words.node())
    for _ in range(number):
        found.add()


@command("notes NODES")
def notes(player: Player, words: Words) -> list[str]:
    """How many notes each node has."""
    return [f"{node}: {len(_notes(player, node).notes)} notes" for node in words.nodes()]


@command("post NAME A B [COUNT] [size=BYTES]")
def post(player: Player, words: Words) -> list[str]:
    """Send letters from A to B; what became of the first one, and how many were refused (R-8)."""
    found = _post(player, words)
    size_bytes = words.option("size", int, 0)
    to = words.node()
    count = words.number() if words else 1
    results = [found.try_to_post(to, size_bytes) for _ in range(count)]
    first = results[0]
    way = f" by way of {' '.join(map(str, first.route[:-1]))}" if first.route[1:] else ""
    text = first.outcome.name.lower() + way + (f": {first.detail}" if first.detail else "")
    refused = Counter(r.outcome.name.lower() for r in results[1:] if not r and first)
    return [", ".join([text, *(f"then {n} {outcome}" for outcome, n in refused.items())])]


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


def _notes(player: Player, node: NodeId) -> Notes:
    found = player.world.capability(node, NOTES)
    if not isinstance(found, Notes):
        raise ScenarioError(f"{NOTES} of node {node} are none")
    return found


def _records(player: Player, node: NodeId) -> Records:
    found = player.world.capability(node, RECORDS)
    if not isinstance(found, Records):
        raise ScenarioError(f"{RECORDS} of node {node} are none")
    return found
