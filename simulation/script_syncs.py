"""Commands of scenarios about syncs: asking for one, its donor, how far it is, how it ended."""

from __future__ import annotations

import msgspec

from ..actors.actor import ReplyFuture
from ..actors.capability import CapabilityActor
from ..actors.mail import DiffWanted, SyncWanted
from ..capabilities.records import pack_key
from ..protocol.capability_words import SyncWish
from ..protocol.contract import KeyedCapability
from ..protocol.diffing import DEFAULT_LISTED_KEYS, NodeDiff
from ..protocol.identity import NodeId
from . import inside
from .damage import damage_next_chunk
from .records import NAMES, RECORDS
from .rows import CLUSTER
from .script_player import Player, command
from .script_views import columns
from .script_words import ScenarioError, Words

DIFF_TIMEOUT_S = 30.0
"""How long a scenario waits for a comparison."""


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
    """How each tag was synced last and from whom; which tags are lacking here (K-4)."""
    name, node = words.choice("capability", NAMES), words.node()
    tags = _actor(player, node, name).rules.tags
    lines = [
        f"{e.tag}: {e.count} records of epoch {e.epoch}, from node {e.donor}"
        + ("" if e.confirmed else ", unconfirmed")
        for e in tags.proved()
    ]
    lacking = tags.lacking
    return [*lines, f"lacking: {' '.join(lacking) or 'nothing'}"]


@command("diff NODE with A,B… [tag=NAME] [limit=NUMBER]")
def diff(player: Player, words: Words) -> list[str]:
    """Which records other nodes do not have as a node has them; nothing is changed (B7)."""
    node = words.node()
    words.demand("with")
    tag, limit = words.option("tag", str, ""), words.option("limit", int, DEFAULT_LISTED_KEYS)
    return [
        line
        for other in words.group()
        for line in _diff_lines(player, node, DiffWanted(other, tag, limit))
    ]


def _diff_lines(player: Player, node: NodeId, wanted: DiffWanted) -> list[str]:
    future = _actor(player, node, RECORDS).on_receive(wanted)
    assert isinstance(future, ReplyFuture), "what is compared is waited for"
    try:
        player.world.until(lambda: future.ready, within_s=DIFF_TIMEOUT_S)
    except TimeoutError:
        return [f"{wanted.node_id}: no answer within {DIFF_TIMEOUT_S:g} s"]
    found: NodeDiff = future.get(timeout=0.0)
    if not found.compared:
        return [f"{found.node_id}: not compared, {found.reason}"]
    counts = f"{found.missing} missing, {found.extra} extra, {found.different} different"
    keys = [f"{each.key} {each.unlike}" for each in found.keys]
    return ["; ".join([f"{found.node_id}: {counts}", *keys])]


@command("forget KEY,… at NODE")
def forget(player: Player, words: Words) -> None:
    """A node is without these records, as if they had never come."""
    keys = {pack_key(key) for key in words.take("keys").split(",")}
    words.demand("at")
    records = _actor(player, words.node(), RECORDS).registration.capability
    assert isinstance(records, KeyedCapability), "records have keys"
    for section in records.sections(()):
        items = records.section_items(section.tag, section.bucket)
        others = [msgspec.Raw(item) for item in items if records.key_of(item)[0] not in keys]
        gone = records.extra_keys(section.tag, section.bucket, others)
        records.drop(section.tag, gone)


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
