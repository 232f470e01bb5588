"""Keeping a map's records somewhere that outlives the node: a little later, some at a time.

A record written a hundred times within `FLUSH_S` is written once. What could not be written stays
noted and is tried again, so a store that is away for a while misses nothing. What was noted and
not yet written is lost with the process; the other nodes have it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Protocol

from ..protocol.contract import Capability
from .background import Background, Run
from .timer import Timer

FLUSH_S = 1.0
"""After a change until it is written."""
MAX_BATCH_RECORDS = 1000
"""Written at once."""
MAX_PAUSE_S = 60.0
"""Between two attempts; the first pause is `FLUSH_S`, each further one twice as long."""

_log = logging.getLogger("tagmesh.capabilities")


class Store(Protocol):
    """Where records outlive the node. Its methods may block; they are called one at a time."""

    def load(self) -> Iterable[bytes]:
        """Every packed record that was written and not removed."""

    def write(self, records: Mapping[bytes, bytes | None]) -> None:
        """Keep these packed records by their packed keys, None = remove that key; all of them, or
        raise."""


class WriteBehind:
    """Tells a store what changed. `changed` may be called from any thread."""

    def __init__(
        self,
        store: Store,
        read: Callable[[Sequence[bytes]], Mapping[bytes, bytes | None]],
        owner: Capability,
        run: Run | None = None,
    ) -> None:
        """``read`` gives the records that keys have now; ``owner`` has a port when they change."""
        self._store = store
        self._read = read
        self._background = Background(self._step, run)
        self._timer = Timer(owner, self._background.wake)
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._keys: dict[bytes, None] = {}
        self._pause_s = FLUSH_S
        self.written = 0
        """Records."""
        self.failures = 0
        """Attempts that raised."""

    @property
    def waiting(self) -> int:
        """Keys that changed and are not written."""
        return len(self._keys)

    def changed(self, keys: Sequence[bytes]) -> None:
        """These keys have other records now, or none."""
        with self._lock:
            self._keys.update(dict.fromkeys(keys))
        if self._keys and not self._timer.armed():
            self._timer.arm(self._pause_s)

    def resume(self) -> None:
        """There is another port; what waits is written all the same."""
        self.changed(())

    def flush(self) -> None:
        """Write everything now, in this thread. Raises what the store raises."""
        with self._writing:
            while keys := self._take():
                try:
                    self._store.write(self._read(keys))
                except BaseException:
                    with self._lock:
                        self._keys.update(dict.fromkeys(keys))
                    raise
                self.written += len(keys)

    def _take(self) -> list[bytes]:
        with self._lock:
            keys = list(islice(self._keys, MAX_BATCH_RECORDS))
            for key in keys:
                del self._keys[key]
            return keys

    def _step(self) -> bool:
        try:
            self.flush()
            self._pause_s = FLUSH_S
        except Exception as error:  # noqa: BLE001 - a store is somebody else's code
            self.failures += 1
            self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)
            _log.warning("%d records wait for their store", self.waiting, exc_info=error)
            self._timer.arm(self._pause_s)
        return False
