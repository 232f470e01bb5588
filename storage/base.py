"""What actors ask of storage: the roster, and who owns the sharing tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from ..protocol.errors import Misuse, NotProvisioned
from ..protocol.identity import (
    ClusterId,
    IdentityPolicy,
    Incarnation,
    InvalidRow,
    NodeId,
    NodeRecord,
)
from ..protocol.tag_claims import MAX_KNOWN_TAGS
from ..protocol.tag_messages import Claim
from ..protocol.tag_words import MAX_EPOCH_NUMBER, Owner, TagRow
from ..protocol.tombstones import Stone


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
    removals: tuple[Stone, ...] = ()
    """Nodes that were removed and are not provisioned again."""
    warnings: tuple[str, ...] = ()
    """Sentences for the log about rows that are allowed but look wrong (D-6), one line each."""


class WasRemoved(NotProvisioned):
    """This node has no row because somebody removed it from its clusters (X-4)."""

    def __init__(self, text: str, removals: tuple[Stone, ...]) -> None:
        by = ", ".join(f"from cluster {cluster} by {removal.by}" for cluster, removal in removals)
        super().__init__(f"{text} (it was removed {by})")
        self.removals = removals
        """Of this node."""


class Roster(Protocol):
    """Reads the provisioned nodes. Methods may block: they are called in a worker thread only."""

    name: str
    """Where the rows come from, without secrets, e.g. ``sqlite:///nodes.db (clusterer)``."""

    def load(self, me: NodeId) -> RosterSnapshot:
        """Rows of every cluster that has a row of ``me`` (D-1), bad rows set apart (D-2, D-5).

        Raises `StorageUnavailable` with a sentence for people when the database cannot be asked,
        and `NotProvisioned` when there is no row of ``me`` (D-4), `WasRemoved` when that is why.
        """

    def note_removal(self, stone: Stone) -> bool:
        """Make a removal last; False = that was done already (X-6).

        With rows the row is deleted in the same transaction; only then others may hear of it (X-1).
        Raises `Unknown` when there is no such row, nor was, and `StorageUnavailable`.
        """

    def close(self) -> None:
        """Give connections back."""


class RemovalShelf(Protocol):
    """Where a node without a database keeps who was removed. Both methods block, and may raise
    `StorageUnavailable`."""

    def read(self) -> tuple[Stone, ...]:
        """What was written last."""

    def write(self, stones: Iterable[Stone]) -> None:
        """Replace it."""


MAX_PREFERRED = 16
"""Nodes in the list of those that should have a tag."""


class TagAnswer(NamedTuple):
    """What became of a change."""

    done: bool
    """Whether it was made; if not, ``row`` tells why not."""
    row: TagRow | None
    """As it stands now; None = there is none, which a database restored from a copy may cause."""


class TagStore(Protocol):
    """Keeps the numbers of epochs. Methods block: they are called in a worker thread only.

    No number is given twice for one tag (P4), whoever asks at the same time, and it is kept when
    the call returns. Every method may raise `StorageUnavailable`; then the change may have been
    made or not, and the row tells. `Misuse` is raised for a name that no tag can have and for one
    tag too many.
    """

    name: str
    """Where it is kept, without secrets."""
    shared: bool
    """All nodes ask this one, so what others claim stands in it already."""

    def load(self, cluster: ClusterId) -> tuple[TagRow, ...]:
        """All tags of the cluster, by name; at most `MAX_KNOWN_TAGS`."""

    def claim(self, cluster: ClusterId, tag: str, owner: Owner, *, seen: int) -> TagAnswer:
        """Take the tag in mode manual under the number ``seen`` + 1.

        ``seen`` is the highest number heard of. Refused when a higher one is stored, so of several
        who saw the same one succeeds, and while a lease lasts.
        """

    def release(self, cluster: ClusterId, tag: str, owner: Owner, *, number: int) -> TagAnswer:
        """Give the tag up, in either mode. Refused unless it is claimed just so."""

    def keep(self, cluster: ClusterId, claim: Claim) -> TagAnswer:
        """Note a claim that was made without this store, by force or on another node.

        Refused when a higher number is stored, and while a lease lasts.
        """

    def close(self) -> None:
        """Give connections back."""


class LeaseStore(TagStore, Protocol):
    """A store that all nodes of a cluster share, and whose clock judges (B4).

    A lease lasts ``ttl_s`` from some moment between call and return. So an owner that stops by
    ``ttl_s`` after its *call* has stopped before anybody else can take over.

    Only nodes with an enabled row are given one: the store judges, not the roster that the node
    read last. `acquire` and `renew` raise `NotProvisioned` when there is no such row; then nothing
    was changed.
    """

    def check_shared(self, me: NodeRecord, others: Iterable[NodeRecord]) -> None:
        """Raises `Misuse` when one of the nodes cannot have this store before it."""

    def read(self, cluster: ClusterId, tag: str) -> TagRow | None:
        """The row; None = there is none."""

    def acquire(
        self,
        cluster: ClusterId,
        tag: str,
        owner: Owner,
        *,
        seen: int,
        ttl_s: float,
        electors: Sequence[NodeId] = (),
    ) -> TagAnswer:
        """Take the tag with a lease under the number ``seen`` + 1.

        Refused when a higher number is stored, while a lease lasts, whosever, while another node
        owns the tag in mode manual, and while it is paused. One that ran out only an elector of it
        gets. ``electors`` are those of the new lease; none = everybody.
        """

    def renew(
        self,
        cluster: ClusterId,
        tag: str,
        owner: Owner,
        *,
        number: int,
        ttl_s: float,
        electors: Sequence[NodeId] = (),
    ) -> TagAnswer:
        """Let the lease last ``ttl_s`` from now, also one that is over, with these ``electors``.

        Refused when the tag has been released or taken over.
        """

    def pause(self, cluster: ClusterId, tag: str, *, paused: bool) -> TagRow:
        """Whether nobody may take the tag over (`acquire`); the owner may go on."""

    def prefer(self, cluster: ClusterId, tag: str, nodes: Sequence[NodeId]) -> TagRow:
        """Store who should have the tag, the best first. `Misuse` above `MAX_PREFERRED` nodes."""

    def free(self, cluster: ClusterId, tag: str, *, stopped: Sequence[NodeId]) -> TagRow:
        """Release a lease that ran out, of which the owner and all electors are gone for good.

        ``stopped``: all of them, as somebody says who made sure. `Misuse` when that may not be so
        (`lease_orphans`).
        """


def claimant(claim: Claim) -> Owner:
    """Whose claim it is."""
    return Owner(NodeId(claim.owner), Incarnation(claim.incarnation))


def next_number(seen: int) -> int:
    """The number after ``seen``; `Misuse` when no higher one can be stored."""
    if seen >= MAX_EPOCH_NUMBER:
        raise Misuse(f"epoch {seen} is the last there is: this tag cannot be activated any more")
    return seen + 1


def not_enabled(cluster: ClusterId, node: NodeId) -> str:
    """The sentence for a lease that is asked for by a node that may not be in the cluster."""
    return f"the database has no enabled row of node {node} in cluster {cluster} (any more)"


def too_many(cluster: ClusterId) -> str:
    """The sentence for one tag more than `MAX_KNOWN_TAGS`."""
    return f"cluster {cluster} has {MAX_KNOWN_TAGS} sharing tags already, the most possible"
