"""Which records with sharing tags may count here: of what is told, and of what a sync brings.

A node has the tag under an epoch, and all others are backups. What is *told* must come from the
node that wrote it, under an epoch that is not over (H-24). A *sync* brings copies, whoever wrote
them, and it matters who gives them:

* the node that has the tag: its copy is the truth, so it replaces what was written under earlier
  epochs, newer or not;
* anybody else, while somebody has the tag: only records whose keys are not here at all, because
  theirs may be what the owner never had. Nothing is replaced by them, least of all at the owner
  (K-7). A record too many does less harm than one that is lost: an owner that began empty gets
  from the backups what it lacks;
* anybody, while nobody has the tag: the newer record counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import compress
from typing import TypeAlias

from ..protocol.contract import Capability
from ..protocol.identity import NodeId
from ..protocol.tag_words import Epoch
from .records import Head, read_head

Mark: TypeAlias = tuple[str, Epoch | None, int]
"""(tag, epoch, writer) of a record."""
Records: TypeAlias = tuple[list[Head], list[bytes]]
"""Heads, and their items."""


class RecordFence:
    """Of one copy of a map. Its methods are called in the hub."""

    def __init__(
        self, owner: Capability, read: Callable[[Iterable[bytes]], list[bytes | None]]
    ) -> None:
        """``owner`` has a port by then; ``read`` gives the records that keys have."""
        self._owner = owner
        self._read = read

    def told(self, heads: list[Head], items: list[bytes], source: NodeId) -> Records:
        """What may count of what a node tells; records without tags always may."""
        counts = Counter((head.tag, head.epoch, head.node) for head in heads)
        may = {mark: self._may(mark, source, count) for mark, count in counts.items()}
        fine = [may[head.tag, head.epoch, head.node] for head in heads]
        return list(compress(heads, fine)), list(compress(items, fine))

    def _may(self, mark: Mark, source: NodeId, records: int) -> bool:
        tag, epoch, writer = mark
        if epoch is None:
            return True
        if writer == source:
            return self._owner.port.judge(source, tag, epoch, records)
        why = f"node {source} tells what node {writer} wrote"
        self._owner.port.refused("H-24", tag, why, records, source)
        return False

    def synced(
        self, tag: str, heads: list[Head], items: list[bytes], epoch: Epoch | None, *, forced: bool
    ) -> Records:
        """What may count of a tag's records that a sync brings; see `take_items`."""
        stands = self._owner.port.tag(tag)
        if forced or (epoch is not None and epoch == stands.epoch):
            return heads, items
        if epoch is not None and stands.epoch is not None and epoch.rank < stands.epoch.rank:
            why = f"a sync under epoch {epoch}, and {stands.epoch} is known"
            self._owner.port.refused("H-24", tag, why, len(items))
            return [], []
        if stands.holder is None:
            return heads, items
        mine = self._read([head.key for head in heads])
        if stands.active:
            newer = [
                head.version > read_head(old).version
                for head, old in zip(heads, mine, strict=True)
                if old is not None
            ]
            if any(newer):
                why = "a sync brings what is active here"
                self._owner.port.refused("K-7", tag, why, sum(newer))
        lacking = [old is None for old in mine]
        return list(compress(heads, lacking)), list(compress(items, lacking))
