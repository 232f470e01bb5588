"""Sharing tags of a cluster without a database: a file of this node alone (db_mode 0).

Nobody arbitrates between the nodes, so the same number may be given to two of them; an epoch is
unique all the same, since it names its owner. What the file is for: after a restart the node's next
number is above every one it ever gave or heard, and it knows whether it was the last owner (H-23).
"""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec

from ..protocol.errors import Misuse, StorageUnavailable
from ..protocol.identity import ClusterId, NodeId
from ..protocol.tag_claims import MAX_KNOWN_TAGS
from ..protocol.tag_messages import Claim
from ..protocol.tag_words import Owner, TagRow, check_tag
from .base import TagAnswer, claimant, next_number, too_many
from .failures import MAX_SHOWN_CHARS, printable
from .kept_file import replace_file

_Rows = dict[str, TagRow]
_Kept = dict[str, _Rows]
"""Cluster to tag to row."""


class FileTagStore:
    """See `TagStore`. Any thread may use it.

    A file that cannot be read is `StorageUnavailable`, not an empty one: numbers would be given
    again. It is read at each call, so one that was put right is used at once.
    """

    shared = False

    def __init__(self, state_dir: str, node_id: NodeId) -> None:
        """Nothing is read or written yet."""
        self._path = Path(state_dir) / f"node-{node_id}.tags"
        self._lock = threading.Lock()
        self.name = str(self._path)

    def load(self, cluster: ClusterId) -> tuple[TagRow, ...]:
        """See `TagStore`."""
        with self._lock:
            rows = self._read().get(str(cluster), {})
        return tuple(row for _, row in sorted(rows.items()))

    def claim(self, cluster: ClusterId, tag: str, owner: Owner, *, seen: int) -> TagAnswer:
        """See `TagStore`."""
        fresh = TagRow(tag=check_tag(tag), number=next_number(seen), owner=owner, released=False)
        with self._lock:
            return self._raise_to(cluster, fresh, above=seen)

    def keep(self, cluster: ClusterId, claim: Claim) -> TagAnswer:
        """See `TagStore`."""
        tag, number = check_tag(claim.tag), claim.number
        fresh = TagRow(tag=tag, number=number, owner=claimant(claim), released=claim.released)
        with self._lock:
            return self._raise_to(cluster, fresh, above=number)

    def release(self, cluster: ClusterId, tag: str, owner: Owner, *, number: int) -> TagAnswer:
        """See `TagStore`."""
        with self._lock:
            kept = self._read()
            row = kept.get(str(cluster), {}).get(tag)
            if row is None or (row.owner, row.number) != (owner, number):
                return TagAnswer(done=False, row=row)
            return self._store(kept, cluster, msgspec.structs.replace(row, released=True))

    def close(self) -> None:
        """Nothing is held."""

    def _raise_to(self, cluster: ClusterId, fresh: TagRow, *, above: int) -> TagAnswer:
        kept = self._read()
        rows = kept.get(str(cluster), {})
        row = rows.get(fresh.tag)
        if row is None and len(rows) >= MAX_KNOWN_TAGS:
            raise Misuse(too_many(cluster))
        if row is not None and row.number > above:
            return TagAnswer(done=False, row=row)
        return self._store(kept, cluster, fresh)

    def _read(self) -> _Kept:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise self._unavailable("cannot be read", error) from error

    def _store(self, kept: _Kept, cluster: ClusterId, row: TagRow) -> TagAnswer:
        kept.setdefault(str(cluster), {})[row.tag] = row
        try:
            replace_file(self._path, msgspec.json.encode(kept))
        except OSError as error:
            raise self._unavailable("cannot be written", error) from error
        return TagAnswer(done=True, row=row)

    def _unavailable(self, what: str, error: Exception) -> StorageUnavailable:
        said = error.strerror if isinstance(error, OSError) else str(error)
        return StorageUnavailable(
            f"{self.name} {what}: {printable(str(said), MAX_SHOWN_CHARS)}; sharing tags cannot be"
            f" activated until it is put right. Without the file the numbers begin with those that"
            f" other nodes know",
            may_pass=isinstance(error, OSError),
        )
