"""Defects of admission, removal, and of the roster they depend on."""
# ruff: noqa: SLF001 - a defect is put in where the rule is

from __future__ import annotations

import math
from typing import Any

import msgspec

from ..actors.gate import GateActor
from ..actors.mail import Learned, RosterUpdate
from ..actors.storage import StorageActor
from ..protocol.because import Cause
from ..protocol.errors import NotProvisioned, Reason
from ..protocol.identity import BinsUrl, ClusterId, NodeId, NodeRecord
from ..protocol.linkstates import LinkStates
from ..protocol.membership import Denied, Membership, RosterDiff
from ..protocol.tombstones import Tombstones
from ..storage import FixedRoster, RosterSnapshot, SqlRoster
from ..transport.base import Connection
from .defect import Replace, mutant


@mutant(
    "strangers admitted",
    rule="J-1, G-4, I1",
    defect="a node without a row joins when its certificate is good",
    history="stranger",
    dies="I1",
)
def strangers_admitted(replace: Replace) -> None:
    """OpenSIPS in db_mode 0, complaint 1 (#1198)."""
    replace(Membership, "_unlearnable", lambda *_: None)

    def meet(self: GateActor, _key: int, connection: Connection) -> None:
        node = connection.identity.node_id
        row = NodeRecord(
            cluster_id=ClusterId(self.context.config.clusters[0].id),
            node_id=node,
            url=BinsUrl(f"node-{node}"),
        )
        self.context.supervisor.tell(("storage",), Learned(row))
        connection.start(lambda _messages: None, lambda _ending: None)
        connection.close("dial again")

    replace(GateActor, "_meet", meet)


@mutant(
    "disabled is enabled",
    rule="J-1, E-1, I1",
    defect="the state column of a row is not looked at",
    history="rows",
    dies="I7",
)
def disabled_admitted(replace: Replace) -> None:
    """A node that was taken out goes on as before."""
    inner = Membership.update

    def update(self: Membership, records: tuple[NodeRecord, ...], *args: Any, **kw: Any) -> Any:
        rows = tuple(msgspec.structs.replace(r, enabled=True) for r in records)
        return inner(self, rows, *args, **kw)

    replace(Membership, "update", update)


@mutant(
    "removed keeps its connections",
    rule="row 22; X-2",
    defect="who is removed keeps its connections and their actors",
    history="rows",
    dies="I1",
)
def connections_stay(replace: Replace) -> None:
    """OpenSIPS: at least two per peer stay open."""
    replace(GateActor, "_bar", lambda *_: None)


@mutant(
    "removed keeps its link",
    rule="row 22; X-2",
    defect="the link with a removed node is not stopped",
    history="rows",
    dies="I1",
)
def link_stays(replace: Replace) -> None:
    """It goes on counting retries."""
    inner = GateActor._clusters

    def clusters(self: GateActor, *args: Any) -> None:
        supervisor: Any = self.context.supervisor
        stop = supervisor.stop_child
        supervisor.stop_child = lambda name: None if name[0] == "link" else stop(name)
        try:
            inner(self, *args)
        finally:
            del supervisor.stop_child

    replace(GateActor, "_clusters", clusters)


@mutant(
    "removed stays in the tables",
    rule="row 22; X-2, I7",
    defect="the topology does not forget who was removed",
    history="rows",
    dies="I1, I8",
)
def not_forgotten(replace: Replace) -> None:
    """And whoever hears of it believes it again."""
    replace(LinkStates, "forget", lambda *_: None)


@mutant(
    "removal not heard of",
    rule="noremovegossip in part; D-8, X-3",
    defect="rows are read once, at start",
    history="rows",
    dies="I7",
)
def never_read_again(replace: Replace) -> None:
    """OpenSIPS needs a command on every node."""

    def read(self: StorageActor) -> None:
        self._next_read = math.inf

    replace(StorageActor, "_read", read)


@mutant(
    "reload tears down everything",
    rule="row 24; D-8",
    defect="a changed row restarts the links with all nodes",
    history="rows",
    dies="I13",
)
def reload_all(replace: Replace) -> None:
    """OpenSIPS: all links start again, the topology is lost."""
    inner = GateActor._roster

    def roster(self: GateActor, update: RosterUpdate) -> None:
        supervisor = self.context.supervisor
        if update.diff != RosterDiff():
            for name in [*supervisor.names("link"), *supervisor.names("peer")]:
                supervisor.stop_child(name)
        inner(self, update)

    replace(GateActor, "_roster", roster)


@mutant(
    "no roster, no cluster",
    rule="J-3, P19",
    defect="when the database cannot be asked nobody is provisioned",
    history="storage",
    dies="I13",
)
def storage_is_needed(replace: Replace) -> None:
    """An outage of the database ends a running cluster."""

    def trouble(self: StorageActor, error: str, _code: Cause) -> None:
        self._loaded(RosterSnapshot(records=()))
        self.rules.storage_error = error

    replace(StorageActor, "_trouble", trouble)


@mutant(
    "notombstone",
    rule="row 22; X-3",
    defect="that a node was removed is forgotten at once, so its next knock brings it back",
    history="removed by command",
    dies="X-3",
)
def no_tombstone(replace: Replace) -> None:
    """OpenSIPS in db_mode 0 (PR #4074)."""
    inner = Membership._unlearnable

    def unlearnable(self: Membership, cluster: ClusterId, node: NodeId) -> Denied | None:
        denied = inner(self, cluster, node)
        return denied if denied is None or denied.reason is not Reason.TOMBSTONED else None

    replace(Membership, "_unlearnable", unlearnable)


@mutant(
    "noremovegossip",
    rule="X-3",
    defect="only nodes that are connected at that moment hear of a removal",
    history="removed by command",
    dies="X-3",
)
def no_gossip_of_removals(replace: Replace) -> None:
    """A node that was away does not know, and lets the removed one in."""
    replace(Tombstones, "of", lambda *_: [])


@mutant(
    "own row missing",
    rule="row 34; D-4",
    defect="a node without a row of its own starts, and is in no cluster",
    history="no own row",
    dies="D-4",
)
def runs_without_row(replace: Replace) -> None:
    """OpenSIPS 3.2 warns and runs."""
    for roster, name in ((SqlRoster, "_snapshot"), (FixedRoster, "load")):
        inner = vars(roster)[name]

        def tolerant(self: object, *args: Any, inner: Any = inner) -> RosterSnapshot:
            try:
                snapshot: RosterSnapshot = inner(self, *args)
            except NotProvisioned:
                return RosterSnapshot(records=())
            return snapshot

        replace(roster, name, tolerant)
