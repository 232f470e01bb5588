"""Commands of scenarios about syncs: asking for one, its donor, how far it is, how it ended."""

from __future__ import annotations

from ..actors.capability import CapabilityActor
from ..actors.mail import SyncWanted
from ..protocol.capability_words import SyncWish
from ..protocol.identity import NodeId
from . import inside
from .damage import damage_next_chunk
from .records import NAMES
from .rows import CLUSTER
from .script_player import Player, command
from .script_views import columns
from .script_words import ScenarioError, Words


@command("sync NAME NODE [tags=A,B…] [force=A,B…] [mirror]")
def sync(player: Player, words: Words) -> list[str]:
    """Ask for a sync, as an operator does; what is said to that (S-1, K-3)."""
    name, node = words.choice("capability", NAMES), words.node()
    none: tuple[str, ...] = ()
    tags, force = words.option("tags", _names, none), words.option("force", _names, none)
    wish = SyncWish(tags=tags, force=force, mirror=words.flag("mirror"))
    answer = _actor(player, node, name).on_receive(SyncWanted(wish))
    return [str(answer.value).replace("_", " ")]


@command("donors NAME NODE")
def donors(player: Player, words: Words) -> list[str]:
    """Every other node: its place as a donor for this one, or why it is none (S-22)."""
    name, node = words.choice("capability", NAMES), words.node()
    rows = [
        (
            f"node {verdict.node_id}",
            f"place {verdict.place}" if verdict.accepted else str(verdict.rejection),
            _without_position(verdict.detail),
        )
        for verdict in _actor(player, node, name).rules.explain()
    ]
    return columns(rows)


@command("seen NAME NODE")
def seen(player: Player, words: Words) -> list[str]:
    """What a node knows of the state of a capability on the others (C-3)."""
    name, node = words.choice("capability", NAMES), words.node()
    view = player.world.processes[node].system.context.views[CLUSTER]
    lines = []
    for other in sorted(view.members.keys() - {node}):
        said = view.capabilities.get(other, {}).get(name)
        lines.append(f"{other}: {said.state.name.lower() if said is not None else 'unknown'}")
    return lines


@command("progress NAME NODE")
def progress(player: Player, words: Words) -> list[str]:
    """How far the sync under way is (S-29)."""
    name, node = words.choice("capability", NAMES), words.node()
    found = player.world.registration(node, name).progress
    if found is None:
        return ["no sync is under way"]
    share = f"{found.done} of about {found.total} records"
    return [f"{found.state} from node {found.donor}: {share}, {found.bytes} bytes"]


@command("report NAME NODE")
def report(player: Player, words: Words) -> list[str]:
    """How the last sync ended (S-25)."""
    name, node = words.choice("capability", NAMES), words.node()
    found = player.world.registration(node, name).last_report
    if found is None:
        return ["no sync has ended"]
    donor = f" from node {found.donor}" if found.donor is not None else ""
    if not found.ok:
        return [f"failed{donor}: {found.reason}"]
    return [f"done{donor}: {found.items} records, {found.bytes} bytes"]


@command("evidence NAME NODE")
def evidence(player: Player, words: Words) -> list[str]:
    """What the last report has of each tag and from whom; which tags are lacking here (K-4)."""
    name, node = words.choice("capability", NAMES), words.node()
    registration = player.world.registration(node, name)
    found = registration.last_report
    lines = [
        f"{e.tag}: {e.count} records of epoch {e.epoch}, from node {e.donor}"
        + ("" if e.confirmed else ", unconfirmed")
        for e in (found.evidence if found is not None else ())
    ]
    lacking = registration.said.lacking
    return [*lines, f"lacking: {' '.join(lacking) or 'nothing'}"]


@command("damage NODE")
def damage(player: Player, words: Words) -> None:
    """A byte of the next sync chunk that passes through a node is another one behind it."""
    damage_next_chunk(player.world, words.node(), b"xx", b"xy")


def _actor(player: Player, node: NodeId, name: str) -> CapabilityActor:
    process = player.world.processes[node]
    for actor in inside.capabilities(process):
        if actor.registration.name == name:
            return actor
    raise ScenarioError(f"{name} of node {node} is in no cluster now")


def _names(word: str) -> tuple[str, ...]:
    return tuple(word.split(","))


def _without_position(detail: str) -> str:
    """The position of a map is a time in microseconds."""
    parts = [part for part in detail.split(", ") if not part.startswith("position ")]
    return ", ".join(parts)
