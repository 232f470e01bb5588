"""Maps with a store: their records outlive the cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from tagmesh.capabilities.records import TOMBSTONE_S
from tagmesh.capabilities.replicated_map import ReplicatedMap
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.messages import CapState
from tests.capabilities.fake_cluster import FakeCluster
from tests.capabilities.map_bench import AT_ONCE, contents


class Shelf:
    """A store in memory."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}

    def load(self) -> Iterable[bytes]:
        return list(self.kept.values())

    def write(self, records: Mapping[bytes, bytes | None]) -> None:
        for key, item in records.items():
            self.kept.pop(key, None)
            if item is not None:
                self.kept[key] = item


def stored(shelf: Shelf) -> ReplicatedMap:
    return ReplicatedMap("users", store=shelf, run=AT_ONCE)


def test_a_map_with_a_store_outlives_the_cluster() -> None:
    shelf = Shelf()
    cluster = FakeCluster(lambda: stored(shelf), nodes=2)
    cluster[1].put("a", 1)
    cluster[2].put("b", 2, ttl_s=100)
    cluster[1].put("c", 3)
    cluster[1].delete("c")
    cluster.advance(2)
    later = FakeCluster(lambda: stored(shelf), nodes=1)
    assert later[1].load() == 3
    assert contents(later[1]) == {"a": 1, "b": 2}
    later[1].on_state(CapState.OK, "")
    later.advance(102)
    later[1].flush()
    assert contents(later[1]) == {"a": 1}
    later.advance(2 * TOMBSTONE_S)
    assert len(shelf.kept) == 1, "tombstones are forgotten there too"


def test_a_store_with_something_else_in_it_is_said() -> None:
    shelf = Shelf()
    shelf.kept[b"k"] = b"not a record"
    with pytest.raises(Misuse, match="no record of a map"):
        stored(shelf).load()
    with pytest.raises(Misuse, match="no store"):
        ReplicatedMap("users").load()
