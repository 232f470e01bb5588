"""Mutants of records with sharing tags: who writes them, what is let in, who lets them expire."""
# ruff: noqa: SLF001 - a defect is put in where the rule is

from __future__ import annotations

from ..capabilities import table
from ..capabilities.map_writes import Writes
from ..capabilities.record_fence import RecordFence, Records
from ..capabilities.records import Head, read_head, tombstone
from ..capabilities.table import TOMBSTONE_MS, Table
from ..protocol.contract import Port
from ..protocol.identity import NodeId
from ..protocol.tag_words import Epoch
from .defect import Replace, mutant


@mutant(
    "nofence",
    rule="nofence (H-24, I3)",
    defect="what a former owner writes is taken by those who know of a later epoch",
    history="tagged records",
    dies="I3",
)
def nofence(replace: Replace) -> None:
    """Whoever tells it."""

    def told(_self: RecordFence, heads: list[Head], items: list[bytes], _source: NodeId) -> Records:
        return heads, items

    replace(RecordFence, "told", told)


@mutant(
    "backupwrites",
    rule="M-2",
    defect="a node writes records of a tag that is not active there, under the epoch it knows",
    history="tagged records",
    dies="M-2",
)
def backupwrites(replace: Replace) -> None:
    """As OpenSIPS does."""
    inner = Writes._epoch_to_write

    def any_epoch(self: Writes, port: Port, tag: str) -> Epoch | None:
        return (port.tag(tag).epoch if tag else None) or inner(self, port, tag)

    replace(Writes, "_epoch_to_write", any_epoch)


@mutant(
    "backupexpires",
    rule="M-5",
    defect="records with a tag become tombstones on every node by themselves",
    history="tagged records",
    dies="M-5",
)
def backupexpires(replace: Replace) -> None:
    """As those without a tag do."""

    def expire(self: Table, now_ms: int, limit: int) -> tuple[list[bytes], bool]:
        due = self.deadlines.due(now_ms, limit)
        for key in due:
            item = self.get(key)
            assert item is not None
            head = read_head(item)
            if head.deleted:
                self.remove(head, item)
            else:
                dead = tombstone(head, head.expires_ms + TOMBSTONE_MS)
                self.take(((read_head(dead), dead),))
        return due, len(due) == limit

    replace(table.Table, "expire", expire)
