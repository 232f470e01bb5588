"""Random histories of a replicated map: whatever happens, in the end all copies are the same.

Nodes write, patch, delete and let things expire, with clocks that differ; they are cut off, busy,
and started again; messages are lost, repeated and overtake each other. When all of that is over,
everything is delivered and everybody has had a sync, then (I5)

* all copies have the same content and the same digests;
* every key has the newest record that a node wrote which did not die with it, or one that a node
  wrote which died later: nothing acknowledged is lost, nothing deleted comes back;
* the functions told of changes have heard the last value of every key.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tagmesh.capabilities.records import Version, pack_key, read_head
from tagmesh.capabilities.replicated_map import ReplicatedMap
from tagmesh.protocol.errors import NotTagOwner
from tagmesh.protocol.identity import NodeId
from tests.capabilities.fake_cluster import FakeCluster
from tests.capabilities.map_bench import AT_ONCE, contents, same_everywhere

Order = tuple[Version, bool, bytes]
NODES = (1, 2, 3, 4)
OWNER = 1
"""Of tag vip1, in all its lives."""
KEYS = ("a", "b", 7, ("c", 1))
nodes = st.sampled_from(NODES)
keys = st.sampled_from(KEYS)
tags = st.sampled_from([None, "", "vip1"])
pairs = st.tuples(nodes, nodes).filter(lambda pair: pair[0] < pair[1])


def version(item: bytes) -> Order:
    head = read_head(item)
    return head.version, head.deleted, item


class Histories(RuleBasedStateMachine):
    """Four nodes; what they wrote stands beside them."""

    cluster: FakeCluster[ReplicatedMap]

    @initialize(seed=st.integers(0, 2**32), skews=st.lists(st.integers(-90, 90), min_size=4))
    def begin(self, seed: int, skews: list[int]) -> None:
        self.cluster = FakeCluster(lambda: ReplicatedMap("users", run=AT_ONCE), len(NODES), seed)
        for node, skew_s in zip(NODES, skews, strict=False):
            self.cluster.ports[NodeId(node)].skew_s = float(skew_s)
        self.wrote: dict[int, dict[Any, Order]] = {node: {} for node in NODES}
        """The last write of each node alive; how they compare is what the map promises."""
        self.heard: dict[int, dict[Any, Any]] = {}
        self.cuts: set[tuple[int, int]] = set()
        self.values = 0
        for node in NODES:
            self.listen(node)
        self.cluster.activate(OWNER, "vip1")

    def listen(self, node: int) -> None:
        heard = self.heard[node] = {}
        self.cluster[node].on_change(lambda key, value, _source: heard.update({key: value}))

    def note(self, node: int, key: Any) -> None:
        item = self.cluster[node]._table.get(pack_key(key))
        assert item is not None
        assert read_head(item).node == node
        self.wrote[node][key] = version(item)

    def refused(self, node: int, key: Any, tag: str | None) -> bool:
        """Only the owner writes a record that has the tag here, or is to have it."""
        item = self.cluster[node]._table.get(pack_key(key))
        has = item is not None and read_head(item).tag == "vip1"
        return node != OWNER and (has or tag == "vip1")

    # Writes

    @rule(node=nodes, key=keys, tag=tags, ttl_s=st.sampled_from([None, None, 1, 30]))
    def put(self, node: int, key: Any, tag: str | None, ttl_s: float | None) -> None:
        if self.refused(node, key, tag):
            with pytest.raises(NotTagOwner):
                self.cluster[node].put(key, 0, tag=tag)
            return
        self.values += 1
        self.cluster[node].put(key, {"n": self.values}, tag=tag, ttl_s=ttl_s)
        assert self.cluster[node].fetch(key) == {"n": self.values}
        self.note(node, key)

    @rule(node=nodes, key=keys)
    def patch(self, node: int, key: Any) -> None:
        if self.refused(node, key, None):
            return
        self.values += 1
        self.cluster[node].patch(key, {f"by {node}": self.values})
        self.note(node, key)

    @rule(node=nodes, key=keys)
    def delete(self, node: int, key: Any) -> None:
        if self.cluster[node].has(key) and not self.refused(node, key, None):
            self.cluster[node].delete(key)
            assert not self.cluster[node].has(key)
            self.note(node, key)

    # Troubles

    @rule(count=st.integers(1, 20))
    def deliver(self, count: int) -> None:
        for _ in range(count):
            self.cluster.step()

    @rule(seconds=st.sampled_from([0.01, 1.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.cluster.advance(seconds)

    @rule(
        loss=st.sampled_from([0.0, 0.3]), duplicates=st.sampled_from([0.0, 0.3]), mix=st.booleans()
    )
    def weather(self, loss: float, duplicates: float, mix: bool) -> None:
        self.cluster.loss, self.cluster.duplicates, self.cluster.reorders = loss, duplicates, mix

    @rule(pair=pairs)
    def cut_or_heal(self, pair: tuple[int, int]) -> None:
        if pair in self.cuts:
            self.cuts.discard(pair)
            self.cluster.heal(*pair)
        else:
            self.cuts.add(pair)
            self.cluster.cut(*pair)

    @rule(source=nodes, destination=nodes)
    def busy_or_not(self, source: int, destination: int) -> None:
        if (source, destination) in self.cluster.busy:
            self.cluster.room(source, destination)
        elif source != destination:
            self.cluster.busy.add((source, destination))

    @rule(node=nodes, donor=nodes)
    def restart(self, node: int, donor: int) -> None:
        self.cluster.restart(node)
        self.wrote[node] = {}
        self.listen(node)
        if node == OWNER:  # it has all data of the tag before it has the tag again
            for other in NODES[1:]:
                self.cluster.sync(node, other)
            self.cluster.activate(OWNER, "vip1")
        elif self.cluster.reaches(node, donor):
            self.cluster.sync(node, donor)

    @rule(joiner=nodes, donor=nodes)
    def sync(self, joiner: int, donor: int) -> None:
        if self.cluster.reaches(joiner, donor):
            self.cluster.sync(joiner, donor)

    # The end

    def teardown(self) -> None:
        if not hasattr(self, "cluster"):
            return
        cluster = self.cluster
        cluster.loss = 0.0
        for pair in self.cuts:
            cluster.heal(*pair)
        for source, destination in sorted(cluster.busy):
            cluster.room(source, destination)
        cluster.advance(300.0)  # whatever expires has expired for every clock
        for _ in range(2):
            for joiner in NODES:
                for donor in NODES:
                    cluster.sync(joiner, donor)
        cluster.settle()
        final = same_everywhere(cluster)
        for wrote in self.wrote.values():
            for key, written in wrote.items():
                kept = cluster[1]._table.get(pack_key(key))
                assert kept is not None, f"{key} is lost"
                assert version(kept) >= written, f"{key} is older than what was acknowledged"
        for node in NODES:
            told = {key: value for key, value in self.heard[node].items() if value is not None}
            assert told == final == contents(cluster[node])


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestHistories = Histories.TestCase
