"""A replicated dict is a dict."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest

from tagmesh.capabilities.replicated_dict import ReplicatedDict
from tests.capabilities.fake_cluster import FakeCluster
from tests.capabilities.map_bench import users


def dicts(tag: str | None = None) -> tuple[FakeCluster[Any], ReplicatedDict, ReplicatedDict]:
    cluster = users(nodes=2)
    return cluster, ReplicatedDict(cluster[1], tag), ReplicatedDict(cluster[2])


def test_it_is_used_as_a_dict() -> None:
    cluster, here, there = dicts()
    assert isinstance(here, MutableMapping)
    here["alice"] = {"ip": "10.0.0.7"}
    here.update({"bob": 2, "carol": 3}, dave=4)
    cluster.settle()
    assert there["alice"] == {"ip": "10.0.0.7"}
    assert sorted(there) == ["alice", "bob", "carol", "dave"]
    assert sorted(there.items(), key=lambda item: item[0])[1:3] == [("bob", 2), ("carol", 3)]
    assert 4 in there.values()
    assert ("bob", 2) in there.items()
    assert "bob" in there
    assert "eve" not in there
    assert there.get("eve", "nobody") == "nobody"
    assert there.pop("bob") == 2
    assert there.pop("bob", None) is None
    del there["carol"]
    assert there.setdefault("dave", 5) == 4
    cluster.settle()
    assert dict(here) == dict(there) == {"alice": {"ip": "10.0.0.7"}, "dave": 4}
    assert here == there == {"alice": {"ip": "10.0.0.7"}, "dave": 4}
    assert len(here) == 2
    here.clear()
    cluster.settle()
    assert not there
    assert repr(here) == "<ReplicatedDict 'users' of 0>"


def test_what_is_missing_is_a_key_error() -> None:
    _, here, _ = dicts()
    with pytest.raises(KeyError, match="eve"):
        here["eve"]
    with pytest.raises(KeyError, match="eve"):
        del here["eve"]


def test_going_through_it_while_it_changes_is_allowed() -> None:
    _, here, _ = dicts()
    for number in range(1000):
        here[number] = number
    for key in here:
        del here[key]
    assert len(here) == 0
    for number in range(100):
        here[number] = number
    seen = [(key, here.pop(key)) for key, _ in here.items()]
    assert sorted(seen) == [(n, n) for n in range(100)]


def test_a_tag_is_that_of_what_is_written_and_all_dicts_see_the_same() -> None:
    cluster, tagged, plain = dicts("vip1")
    cluster.activate(1, "vip1")
    tagged["x"] = 1
    tagged.patch("y", {"a": 1})
    tagged.put("z", 1, ttl_s=10)
    cluster.settle()
    assert sorted(plain) == ["x", "y", "z"]
    ReplicatedDict(cluster[1])["x"] = 2
    plain["w"] = 3
    cluster.settle()
    assert tagged["x"] == 2
    tags = {section.tag: section.count for section in cluster[1].sections([])}
    assert sum(s.count for s in cluster[1].sections(["vip1"])) == 3, "x keeps its tag"
    assert set(tags) == {"", "vip1"}
    cluster.advance(12)
    assert sorted(plain) == ["w", "x", "y"]


def test_values_come_back_as_they_travel() -> None:
    _, here, _ = dicts()
    value: dict[str, Any] = {"t": (1, 2)}
    here["k"] = value
    value["t"] = "changed later"
    here["k"]["t"] = "changed in a copy"
    assert here["k"] == {"t": [1, 2]}
