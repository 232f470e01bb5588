"""Functions of an application that hear what changed in a map, away from the hub.

Changes of one key in quick succession may be told once, with the last value. So what waits for a
slow function is bounded by the number of keys, and the last change of every key is always told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from ..protocol.identity import NodeId
from .background import Background, Run
from .records import Key, unpack_key

OnChange: TypeAlias = Callable[[Key, Any, NodeId | None], None]
"""Gets the key, its value (None when it has none any more), and the node that wrote; None = the
record expired, or a sync brought or dropped it."""


class Observers:
    """Functions, and the keys whose change they have not heard of."""

    def __init__(self, value_of: Callable[[bytes], Any], run: Run | None = None) -> None:
        """``value_of`` gives the value that a packed key has now, or None."""
        self._value_of = value_of
        self._background = Background(self._step, run)
        self.functions: tuple[OnChange, ...] = ()
        """Without any there is nothing to tell."""
        self._lock = threading.Lock()
        self._changed: dict[bytes, NodeId | None] = {}
        self._telling: Iterator[tuple[bytes, NodeId | None]] = iter(())
        """What changed before, being told."""

    @property
    def failures(self) -> int:
        """Calls that raised."""
        return self._background.failures

    def add(self, function: OnChange) -> None:
        """It hears every change from now on, one at a time, after those added before."""
        self.functions += (function,)

    def changed(self, keys: Sequence[bytes], source: NodeId | None) -> None:
        """These keys have other values now."""
        with self._lock:
            self._changed.update(dict.fromkeys(keys, source))
        self._background.wake()

    def _step(self) -> bool:
        told = next(self._telling, None)
        if told is None:
            with self._lock:
                batch, self._changed = self._changed, {}
            self._telling = iter(batch.items())
            return bool(batch)
        packed, source = told
        key = unpack_key(packed)
        value = self._value_of(packed)
        for function in self.functions:
            self._background.attempt(function, key, value, source)
        return True
