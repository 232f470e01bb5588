"""What the storage actor asks of a roster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from ..protocol.identity import (
    ClusterId,
    IdentityPolicy,
    InvalidRow,
    NodeId,
    NodeRecord,
)


class RosterSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All provisioned nodes of the clusters this node is in, at one moment."""

    records: tuple[NodeRecord, ...]
    """Sorted by (cluster id, node id)."""
    invalid: tuple[InvalidRow, ...] = ()
    identities: Mapping[tuple[ClusterId, NodeId], IdentityPolicy] = msgspec.field(
        default_factory=dict
    )
    dynamic: bool = False
    """db_mode 0: ids that are in no row may join when TLS vouches for them (J-4)."""
    warnings: tuple[str, ...] = ()
    """Sentences for the log about rows that are allowed but look wrong (D-6), one line each."""


class Roster(Protocol):
    """Reads the provisioned nodes. Methods may block: they are called in a worker thread only."""

    name: str
    """Where the rows come from, without secrets, e.g. ``sqlite:///nodes.db (clusterer)``."""

    def load(self, me: NodeId) -> RosterSnapshot:
        """Rows of every cluster that has a row of ``me`` (D-1), bad rows set apart (D-2, D-5).

        Raises `StorageUnavailable` with a sentence for people when the database cannot be asked,
        and `NotProvisioned` when there is no row of ``me`` (D-4).
        """

    def close(self) -> None:
        """Give connections back."""
