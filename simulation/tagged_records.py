"""Maps whose records have sharing tags, which note what applications wrote and what was let in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..capabilities.records import Key, Version, pack_key, read_head
from ..capabilities.replicated_map import ReplicatedMap
from ..protocol.tag_words import Epoch, epoch_of
from .rows import CLUSTER

if TYPE_CHECKING:
    from ..protocol.identity import NodeId
    from .world import World

TAGGED = "tagged"


class Written(NamedTuple):
    """A write that an application was told is done."""

    at_s: float
    node: NodeId
    tag: str
    epoch: Epoch
    deleted: bool


class TagLedger:
    """What happened to records with tags in one world; it outlives its processes."""

    def __init__(self, world: World, tags: Sequence[str]) -> None:
        self.world = world
        self.tags = tuple(tags)
        self.wrong: list[tuple[str, str]] = []
        """(invariant, what happened), in order."""
        self.written: dict[tuple[bytes, Version], Written] = {}
        self.begun: dict[tuple[str, Epoch], float] = {}
        """When each epoch was first seen active."""
        world.on_step.append(self.step)

    def step(self, _world: World) -> None:
        """Who has the tags, at this moment."""
        for tag in self.tags:
            for token in self.world.active(tag).values():
                self.begun.setdefault((tag, token.epoch), self.world.now)

    def fenced(self, write: Written, known: Epoch | None) -> bool:
        """Was something written after the epoch ``known`` began, under an earlier one?"""
        if known is None or write.epoch.rank >= known.rank:
            return False
        begun_s = self.begun.get((write.tag, known))
        return begun_s is not None and write.at_s > begun_s


class TaggedRecords(ReplicatedMap):
    """A map that checks who writes, and what is let in (M-2, M-5, H-24, I4)."""

    def __init__(self, node: NodeId, ledger: TagLedger) -> None:
        super().__init__(TAGGED, run=lambda function: function())
        self.node = node
        self.ledger = ledger

    def says(self, invariant: str, text: str) -> None:
        """Something is wrong."""
        self.ledger.wrong.append((invariant, f"{self.name} of node {self.node}: {text}"))

    def wrote(self, key: Key, tag: str) -> None:
        """An application wrote a key here, and was told that it is done."""
        item = self._item(pack_key(key))
        assert item is not None, "a delete leaves a tombstone"
        head = read_head(item)
        token = self.ledger.world.active(tag).get(self.node)
        if token is None or head.epoch != token.epoch:
            self.says("M-2", f"writes {key!r} under {head.epoch}, and holds {token}")
        if head.epoch is not None:
            now = self.ledger.world.now
            made = Written(now, self.node, head.tag, head.epoch, head.deleted)
            self.ledger.written[head.key, head.version] = made

    def known(self) -> dict[str, Epoch | None]:
        """The highest epoch of each tag that was heard of here."""
        table = self.ledger.world.processes[self.node].system.context.claims[CLUSTER]
        claims = {tag: table.of(tag) for tag in self.ledger.tags}
        return {tag: epoch_of(c) if c is not None else None for tag, c in claims.items()}

    def on_batch(self, messages: Sequence[Any], source: NodeId) -> None:
        """See `Capability.on_batch`: nothing that was written after its epoch was over, as far as
        is known here, is let in (I3)."""
        known, before = self.known(), self.versions()
        super().on_batch(messages, source)
        after = self.versions()
        for message in messages:
            if type(message) is not bytes:
                continue
            head = read_head(message)
            write = self.ledger.written.get((head.key, head.version))
            came = after.get(head.key) == head.version != before.get(head.key)
            if came and write is not None and self.ledger.fenced(write, known[head.tag]):
                self.says("I3", f"takes from {source} {write}, and knows {known[head.tag]}")

    def take_items(
        self,
        tag: str,
        items: Sequence[msgspec.Raw],
        *,
        epoch: Epoch | None = None,
        forced: bool = False,
    ) -> list[tuple[bytes, str]]:
        """See `KeyedCapability.take_items`: of a tag that is active here nothing is replaced."""
        active = self.node in self.ledger.world.active(tag) if tag else False
        before = self.versions()
        broken = super().take_items(tag, items, epoch=epoch, forced=forced)
        after = self.versions()
        changed = [key for key, version in before.items() if after.get(key) != version]
        if active and changed and not forced:
            self.says("I4", f"a sync replaces {changed} of {tag}, which is active here (K-7)")
        return broken

    def drop(self, tag: str, keys: Sequence[bytes]) -> list[bytes]:
        """See `KeyedCapability.drop`: nothing of a tag that is active here."""
        active = self.node in self.ledger.world.active(tag) if tag else False
        dropped = super().drop(tag, keys)
        if active and dropped:
            text = f"a mirror drops {len(dropped)} records of {tag}, which is active here (K-7)"
            self.says("I4", text)
        return dropped

    def versions(self) -> dict[bytes, Version]:
        """The version of each record by packed key."""
        return {head.key: head.version for head in map(read_head, self._all())}


def provide_tagged(world: World, tags: Sequence[str]) -> TagLedger:
    """Every process that boots from now on has such a map."""
    ledger = TagLedger(world, tags)
    world.provide(lambda node: TaggedRecords(node, ledger))
    return ledger
