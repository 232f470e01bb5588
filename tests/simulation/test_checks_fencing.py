"""What the checks of fenced records let pass, and what not; each can fail."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.capabilities.record_fence import RecordFence
from tagmesh.capabilities.records import (
    Era,
    pack_key,
    pack_record,
    pack_value,
    read_head,
    tombstone,
)
from tagmesh.protocol.errors import NotTagOwner
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.tag_words import Epoch
from tagmesh.simulation import Checkers, Violation, World
from tagmesh.simulation.checks_fencing import FencingChecks
from tagmesh.simulation.mutants import MUTANTS
from tagmesh.simulation.tagged_records import TAGGED, TaggedRecords, provide_tagged


class Begun:
    """Node 1 has the tag, and wrote a record under it."""

    def __init__(self) -> None:
        self.world = World(1, 3, settings={"sharing_tags": ["vip"]})
        self.ledger = provide_tagged(self.world, ["vip"])
        checkers = Checkers(self.world)
        self.checks = FencingChecks(self.world, checkers.trouble, self.ledger)
        self.world.boot_all()
        checkers.settle(30)
        self.activate(1)
        self.map(1).put("k", 1, tag="vip")
        self.map(1).wrote("k", "vip")
        self.world.run_for(1)

    def activate(self, node: int) -> None:
        self.world.activate(node, "vip")
        self.world.run_for(1)

    def map(self, node: int) -> TaggedRecords:
        found = self.world.capability(node, TAGGED)
        assert isinstance(found, TaggedRecords)
        return found

    def item(self, node: int) -> bytes:
        found = self.map(node)._item(pack_key("k"))
        assert found is not None
        return found


def test_what_the_owner_writes_passes() -> None:
    begun = Begun()
    begun.activate(2)
    begun.map(2).put("k", 2)
    begun.map(2).wrote("k", "vip")
    begun.world.run_for(1)
    with pytest.raises(NotTagOwner):
        begun.map(1).put("k", 3)
    begun.checks.healed()


def test_a_write_without_the_tag() -> None:
    begun = Begun()
    begun.activate(2)
    begun.map(1).wrote("k", "vip")
    with pytest.raises(Violation, match="M-2: tagged of node 1: writes 'k' under"):
        begun.checks.look()


def test_a_write_that_was_fenced_is_let_in() -> None:
    begun = Begun()
    begun.activate(2)
    head = msgspec.structs.replace(read_head(begun.item(1)), counter=2**60)
    begun.map(1)._accept([(head, pack_record(head, pack_value(2)))], None)
    begun.map(1).wrote("k", "vip")
    begun.ledger.wrong.clear()
    with MUTANTS["nofence"].active():
        begun.map(3).on_batch([begun.item(1)], NodeId(1))
    with pytest.raises(Violation, match="I3: tagged of node 3: takes from 1"):
        begun.checks.look()


def test_a_sync_replaces_what_is_active(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Begun()
    head = msgspec.structs.replace(read_head(begun.item(1)), counter=2**60)
    item = msgspec.Raw(pack_record(head, pack_value(2)))
    begun.map(1).take_items("vip", [item])
    begun.checks.look()
    monkeypatch.setattr(
        RecordFence, "synced", lambda _self, _tag, heads, items, *_, **__: (heads, items)
    )
    begun.map(1).take_items("vip", [item])
    with pytest.raises(Violation, match="I4: tagged of node 1: a sync replaces"):
        begun.checks.look()


def test_a_record_of_somebody_else_and_a_record_that_expired_by_itself() -> None:
    begun = Begun()
    begun.checks.survey()
    head = read_head(begun.item(3))
    dead = tombstone(head, 2**60)
    begun.map(3)._accept([(read_head(dead), dead)], None)
    with pytest.raises(Violation, match="M-5: node 3 let expire"):
        begun.checks.survey()
    forged = msgspec.structs.replace(head, era=Era(0, Epoch(9, NodeId(2), 50)))
    begun.map(3)._accept([(forged, pack_record(forged, pack_value(1)))], None)
    with pytest.raises(Violation, match="M-2: node 3 has Head"):
        begun.checks.survey()
