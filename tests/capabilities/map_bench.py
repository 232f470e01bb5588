"""Replicated maps on a cluster in memory, for the tests of maps."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, TypeVar

from tagmesh.capabilities.background import Run
from tagmesh.capabilities.records import Key, read_head, unpack_key
from tagmesh.capabilities.replicated_map import ReplicatedMap
from tests.capabilities.fake_cluster import FakeCluster

M = TypeVar("M", bound=ReplicatedMap)
AT_ONCE: Run = lambda job: job()  # noqa: E731 - a function like any other


def users(nodes: int = 3, seed: int = 0) -> FakeCluster[ReplicatedMap]:
    """A map on several nodes; functions given to it are called at once."""
    return FakeCluster(lambda: ReplicatedMap("users", run=AT_ONCE), nodes, seed)


def contents(some: ReplicatedMap) -> dict[Key, Any]:
    """What a reader sees; the ways of reading agree."""
    found = dict(some.items())
    assert sorted(map(repr, some.keys())) == sorted(map(repr, found))
    assert len(some) == len(found)
    for key, value in found.items():
        assert some.has(key)
        assert some.fetch(key) == value
    return found


def same_everywhere(cluster: FakeCluster[M]) -> dict[Key, Any]:
    """The content of all nodes; their digests are the same as well."""
    maps = list(cluster.capabilities.values())
    assert all(some.sections([]) == maps[0].sections([]) for some in maps)
    assert all(contents(some) == contents(maps[0]) for some in maps)
    return contents(maps[0])


def lose(some: ReplicatedMap, keys: Container[Key]) -> None:
    """Be without these records, as if they had never come."""
    for section in some.sections(()):
        extra = some.extra_keys(section.tag, section.bucket, [])
        chosen = [head for head in extra if unpack_key(read_head(head).key) in keys]
        assert len(some.drop(section.tag, chosen)) == len(chosen)
