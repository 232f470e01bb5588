"""The face of a replicated map that applications use: a dict."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, MutableMapping, ValuesView
from typing import Any

from .records import Key
from .replicated_map import ReplicatedMap


class ReplicatedDict(MutableMapping[Key, Any]):
    """A dict that all nodes of the cluster share.

    What was stored comes back as msgpack brings it: tuples as lists, sets too. To change a value in
    place changes nothing; store it again, or `patch` it. Any thread may use it, and several dicts
    may use one map.
    """

    def __init__(self, records: ReplicatedMap, tag: str | None = None) -> None:
        """What is written through this dict has ``tag``; without one, records keep theirs. Reading
        sees the whole map."""
        self.map = records
        self.tag = tag

    def put(self, key: Key, value: Any, *, ttl_s: float | None = None) -> None:
        """As ``self[key] = value``, for so many seconds."""
        self.map.put(key, value, tag=self.tag, ttl_s=ttl_s)

    def patch(self, key: Key, fields: Mapping[str, Any]) -> None:
        """Set some fields of a value that is a dict, or begin one."""
        self.map.patch(key, fields, tag=self.tag)

    def __getitem__(self, key: Key) -> Any:
        return self.map.fetch(key)

    def __setitem__(self, key: Key, value: Any) -> None:
        self.map.put(key, value, tag=self.tag)

    def __delitem__(self, key: Key) -> None:
        self.map.delete(key)

    def __contains__(self, key: object) -> bool:
        return self.map.has(key)  # type: ignore[arg-type]  # it says itself what it may be

    def __iter__(self) -> Iterator[Key]:
        return self.map.keys()

    def __len__(self) -> int:
        return len(self.map)

    def items(self) -> ItemsView[Key, Any]:
        """Keys and values; what is deleted while they are gone through does not disturb."""
        return _Items(self)

    def values(self) -> ValuesView[Any]:
        """Values; what is deleted while they are gone through does not disturb."""
        return _Values(self)

    def __repr__(self) -> str:
        return f"<ReplicatedDict {self.map.name!r} of {len(self)}>"


class _Items(ItemsView[Key, Any]):
    _mapping: ReplicatedDict

    def __iter__(self) -> Iterator[tuple[Key, Any]]:
        return self._mapping.map.items()


class _Values(ValuesView[Any]):
    _mapping: ReplicatedDict

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in self._mapping.map.items())
