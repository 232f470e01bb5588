"""Who may join: decided from the last roster snapshot, never waiting for a database (J-1 … J-4).

The snapshot is replaced whole; the difference to the one before tells what to start and stop
(D-8), so a node that did not change is not disturbed.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .cluster_settings import MAX_NODES
from .errors import Reason
from .identity import ClusterId, IdentityPolicy, InvalidRow, NodeId, NodeRecord, PeerIdentity
from .tombstones import Tombstones

Key = tuple[ClusterId, NodeId]

_ANY = IdentityPolicy()


class Admitted(msgspec.Struct, frozen=True):
    """The peer may enter these clusters."""

    clusters: tuple[ClusterId, ...]


class Denied(msgspec.Struct, frozen=True):
    """The peer may enter no cluster; the code goes to it, the detail into both logs."""

    reason: Reason
    detail: str


class RosterDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What a new snapshot changes, each list sorted by (cluster, node)."""

    added: tuple[NodeRecord, ...] = ()
    removed: tuple[NodeRecord, ...] = ()
    changed: tuple[NodeRecord, ...] = ()
    """The rows of nodes whose row, or what is demanded of their certificates, differs."""

    @property
    def empty(self) -> bool:
        """Nothing changed."""
        return not (self.added or self.removed or self.changed)


class Membership:
    """The roster as known now and the decisions that follow from it."""

    def __init__(self, me: NodeId, tombstones: Tombstones) -> None:
        """``tombstones``: who was removed; the caller lets them expire."""
        self.me = me
        self._tombstones = tombstones
        self.records: dict[Key, NodeRecord] = {}
        self.invalid: tuple[InvalidRow, ...] = ()
        self.dynamic = False
        self.storage_error: str | None = None
        """Why the roster could not be read the last time; None = it could (J-3)."""
        self._identities: dict[Key, IdentityPolicy] = {}
        self._rows: tuple[tuple[NodeRecord, ...], tuple[InvalidRow, ...]] = (), ()
        self._learned: dict[Key, NodeRecord] = {}
        """Nodes that joined dynamically and have no row (J-4); they are in ``records`` too."""

    def update(
        self,
        records: tuple[NodeRecord, ...],
        invalid: tuple[InvalidRow, ...],
        identities: Mapping[Key, IdentityPolicy],
        *,
        dynamic: bool,
    ) -> RosterDiff:
        """Take a new snapshot. Nodes learned dynamically stay while the mode is dynamic.

        In that mode nobody is here who was removed, this node neither (X-3, X-4); a row in a
        database provisions the node, whatever was before (X-5).
        """
        rows = {(r.cluster_id, r.node_id): r for r in records}
        taken = rows.keys() | {(i.cluster_id, i.node_id) for i in invalid}
        self._learned = {k: r for k, r in self._learned.items() if dynamic and k not in taken}
        if dynamic:
            rows = {k: r for k, r in rows.items() if self._tombstones.standing(*k) is None}
            learned = self._learned.items()
            self._learned = {k: r for k, r in learned if self._tombstones.standing(*k) is None}
        before, self.records = self.records, dict(sorted({**self._learned, **rows}.items()))
        demanded, self._identities = self._identities, dict(identities)
        self.invalid, self.dynamic = invalid, dynamic
        self.storage_error, self._rows = None, (records, invalid)
        same = {k for k, r in self.records.items() if before.get(k) == r}
        same -= {k for k in same if demanded.get(k, _ANY) != self._identities.get(k, _ANY)}
        return RosterDiff(
            added=tuple(r for k, r in self.records.items() if k not in before),
            removed=tuple(r for k, r in before.items() if k not in self.records),
            changed=tuple(r for k, r in self.records.items() if k in before and k not in same),
        )

    def review(self) -> RosterDiff:
        """Decide anew about the last snapshot: nodes were removed, or that was taken back."""
        return self.update(*self._rows, self._identities, dynamic=self.dynamic)

    def learn(self, record: NodeRecord) -> RosterDiff:
        """A node that joined dynamically (J-4); its first description stands."""
        if self._unlearnable(record.cluster_id, record.node_id) is not None:
            return RosterDiff()
        key = (record.cluster_id, record.node_id)
        if key in self.records or record.cluster_id not in self.clusters():
            return RosterDiff()
        self._learned[key] = record
        self.records = dict(sorted({**self.records, key: record}.items()))
        return RosterDiff(added=(record,))

    def clusters(self) -> tuple[ClusterId, ...]:
        """The clusters in which I am provisioned and enabled."""
        return tuple(c for (c, n), r in self.records.items() if n == self.me and r.enabled)

    def admit(self, peer: PeerIdentity) -> Admitted | Denied:
        """May this peer, whose certificate TLS has verified, join? (J-1)"""
        if peer.node_id == self.me:
            return Denied(Reason.DUPLICATE_ID, f"node id {self.me} is mine")
        verdicts = {c: self._verdict(c, peer) for c in self.clusters()}
        good = tuple(c for c, denied in verdicts.items() if denied is None)
        if good:
            return Admitted(good)
        denials = [denied for denied in verdicts.values() if denied is not None]
        telling = [d for d in denials if d.reason is not Reason.UNKNOWN_NODE]
        if telling:
            return telling[0]
        if denials:
            return denials[0]
        return Denied(Reason.NO_COMMON_CLUSTER, f"node {self.me} is enabled in no cluster")

    def _verdict(self, cluster: ClusterId, peer: PeerIdentity) -> Denied | None:
        key = (cluster, peer.node_id)
        record = self.records.get(key)
        if record is None:
            unknown = self._unlearnable(cluster, peer.node_id)
            if unknown is not None:
                return unknown
        elif not record.enabled:
            return Denied(Reason.DISABLED, f"node {peer.node_id} is disabled in cluster {cluster}")
        policy = self._identities.get(key, _ANY)
        if policy.revoked:
            return Denied(Reason.CERT_REVOKED, f"certificates of node {peer.node_id} are revoked")
        if policy.fingerprints and peer.fingerprint not in policy.fingerprints:
            detail = (
                f"certificate {peer.fingerprint[:16]}... is not one pinned for node {peer.node_id}"
            )
            return Denied(Reason.CERT_FINGERPRINT, detail)
        return None

    def _unlearnable(self, cluster: ClusterId, node: NodeId) -> Denied | None:
        """Why a node without a row may not join; None = it may, the mode is dynamic (J-4)."""
        bad = [i for i in self.invalid if (i.cluster_id, i.node_id) == (cluster, node)]
        if bad:
            return Denied(Reason.INVALID_ROW, f"the row of node {node} is invalid: {bad[0].reason}")
        removed = self._tombstones.standing(cluster, node)
        if removed is not None:
            by = f" by {removed.by}" if removed.by else ""
            said = f"node {node} was removed from cluster {cluster}{by}"
            return Denied(Reason.TOMBSTONED, said)
        if self.dynamic:
            if sum(c == cluster for c, _ in self.records) < MAX_NODES:
                return None
            return Denied(Reason.CLUSTER_FULL, f"cluster {cluster} has {MAX_NODES} nodes already")
        if self.storage_error is not None:
            return Denied(Reason.STORAGE_UNAVAILABLE, f"node {node} is not in the last snapshot")
        return Denied(Reason.UNKNOWN_NODE, f"node {node} is not provisioned in cluster {cluster}")
