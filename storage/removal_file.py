"""Removed nodes of a cluster without a database: a file of this node alone (db_mode 0)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from ..protocol.errors import StorageUnavailable
from ..protocol.identity import ClusterId, NodeId
from ..protocol.removal_messages import Removal
from ..protocol.tombstones import MAX_TOMBSTONES, Stone
from .failures import MAX_SHOWN_CHARS, printable
from .kept_file import replace_file


class RemovalMemory:
    """See `RemovalShelf`: kept as long as this object."""

    def __init__(self) -> None:
        self._stones: tuple[Stone, ...] = ()

    def read(self) -> tuple[Stone, ...]:
        """See `RemovalShelf`."""
        return self._stones

    def write(self, stones: Iterable[Stone]) -> None:
        """See `RemovalShelf`."""
        self._stones = tuple(stones)


class RemovalFile:
    """See `RemovalShelf`. A file that cannot be read is `StorageUnavailable`, not an empty one: the
    nodes in it would be let in again."""

    def __init__(self, state_dir: str, node_id: NodeId) -> None:
        """Nothing is read or written yet."""
        self._path = Path(state_dir) / f"node-{node_id}.removals"

    def read(self) -> tuple[Stone, ...]:
        """See `RemovalShelf`."""
        try:
            content = self._path.read_bytes()
            return tuple(msgspec.json.decode(content, type=list[tuple[ClusterId, Removal]]))
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            raise self._unavailable("cannot be read", error) from error

    def write(self, stones: Iterable[Stone]) -> None:
        """See `RemovalShelf`."""
        try:
            replace_file(self._path, msgspec.json.encode([*stones]))
        except OSError as error:
            raise self._unavailable("cannot be written", error) from error

    def _unavailable(self, what: str, error: Exception) -> StorageUnavailable:
        said = error.strerror if isinstance(error, OSError) else str(error)
        return StorageUnavailable(
            f"{self._path} {what}: {printable(str(said), MAX_SHOWN_CHARS)}; it holds which nodes"
            f" were removed. Without the file all are let in that other nodes let in",
            may_pass=isinstance(error, OSError),
        )


def newest_of_each(stones: Iterable[Stone]) -> list[Stone]:
    """The last one about each node, the oldest left out where there are too many."""
    last = {(cluster, removal.node_id): (cluster, removal) for cluster, removal in stones}
    return sorted(last.values(), key=lambda stone: stone[1].removed_ms)[-MAX_TOMBSTONES:]
