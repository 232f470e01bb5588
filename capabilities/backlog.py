"""What a node was not told because it was busy or unreachable: keys, not messages.

Of a key written a thousand times meanwhile only the last record is sent, so what waits is bounded
by the map and not by the writes. Above `MAX_MISSED_KEYS` buckets are noted instead of keys.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from itertools import islice

from ..protocol.identity import NodeId
from .records import bucket_of

MAX_MISSED_KEYS = 10_000
"""Per node."""
MAX_PORTION_KEYS = 256
"""Given out at once."""


class _Missed:
    """Of one node."""

    def __init__(self, since_wall_s: float) -> None:
        self.since_wall_s = since_wall_s
        self.keys: dict[bytes, None] = {}
        self.buckets: set[int] = set()

    def add(self, key: bytes) -> None:
        if len(self.keys) < MAX_MISSED_KEYS:
            self.keys[key] = None
        else:
            self.buckets.update(map(bucket_of, (*self.keys, key)))
            self.keys = {}


class Backlog:
    """What every node missed. May be used from any thread."""

    def __init__(self, keys_in: Callable[[int], list[bytes]]) -> None:
        """``keys_in`` lists the keys in a bucket."""
        self._keys_in = keys_in
        self._lock = threading.Lock()
        self._nodes: dict[NodeId, _Missed] = {}

    def missed(self, node: NodeId, keys: Iterable[bytes], wall_s: float) -> bool:
        """Note keys; True when they are the node's first, so that nobody sees to it yet."""
        with self._lock:
            known = self._nodes.get(node)
            first = known is None
            if known is None:
                known = self._nodes[node] = _Missed(wall_s)
            for key in keys:
                known.add(key)
            return first

    def take(self, node: NodeId) -> list[bytes]:
        """Some of the keys, which are no longer noted; none = that was all."""
        with self._lock:
            known = self._nodes.get(node)
            if known is None:
                return []
            while known.buckets and not known.keys:
                known.keys = dict.fromkeys(self._keys_in(known.buckets.pop()))
            keys = list(islice(known.keys, MAX_PORTION_KEYS))
            for key in keys:
                del known.keys[key]
            if not keys:
                del self._nodes[node]
            return keys

    def is_long(self, node: NodeId) -> bool:
        """More than `MAX_MISSED_KEYS` keys."""
        with self._lock:
            known = self._nodes.get(node)
            return known is not None and bool(known.buckets)

    def forget(self, node: NodeId) -> None:
        """It need not be told any more."""
        with self._lock:
            self._nodes.pop(node, None)

    def node_up(self, node: NodeId, incarnation: int) -> None:
        """Much is forgotten for a node that began its life after it began to miss things: it
        asks for a sync at its start, and that brings it everything (B2: microseconds)."""
        with self._lock:
            known = self._nodes.get(node)
            if known is not None and known.buckets and incarnation > known.since_wall_s * 1e6:
                del self._nodes[node]
