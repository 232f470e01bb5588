"""What our actors tell each other. Nothing here ever comes from the wire (S16)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..protocol.errors import Reason
from ..protocol.identity import ClusterId, Incarnation, NodeId, NodeRecord, PeerIdentity
from ..protocol.link import State
from ..protocol.membership import Admitted, Denied, RosterDiff
from ..protocol.messages import Message
from ..storage.base import RosterSnapshot
from ..transport.base import Connection, Ending
from .supervisor import Name

if TYPE_CHECKING:
    from ..protocol.capability_words import SyncWish
    from ..protocol.contract import SyncReport
    from ..protocol.messages import Routed, SyncId
    from ..protocol.sync_words import MirrorStep
    from .lane import Bulk, Lane


class Mail(msgspec.Struct, frozen=True):
    """Base of all mail."""


class Describe(Mail, frozen=True):
    """Asked from outside: reply with what you know of yourself."""


# storage actor -----------------------------------------------------------------------------


class RosterLoaded(Mail, frozen=True):
    """A worker came back from the database."""

    snapshot: RosterSnapshot | None
    error: Exception | None


class AskAdmission(Mail, frozen=True):
    """May this peer join? The `Verdict` goes to ``reply_to``."""

    identity: PeerIdentity
    key: int
    reply_to: Name


class Verdict(Mail, frozen=True):
    """The storage actor's answer about the connection ``key``."""

    key: int
    verdict: Admitted | Denied


class RosterWanted(Mail, frozen=True):
    """Read the rows again soon."""

    cause: str


class ReloadWanted(Mail, frozen=True):
    """Read the rows now, in a read that has not begun yet; the reply is why that failed, or
    empty."""


class Learned(Mail, frozen=True):
    """A node was learned dynamically (J-4)."""

    record: NodeRecord


class RosterAsked(Mail, frozen=True):
    """The gate started anew: send it the roster."""


# gate ----------------------------------------------------------------------------------------


class RosterUpdate(Mail, frozen=True):
    """What changed in the roster, and all of it."""

    diff: RosterDiff
    records: tuple[NodeRecord, ...]


class Incoming(Mail, frozen=True):
    """The listener has a connection whose identity TLS has proved."""

    connection: Connection


class Greeted(Mail, frozen=True):
    """A node without a row said something, ended, or took too long (then nothing)."""

    key: int
    messages: Sequence[Message]


class RefusedOnTheWay(Mail, frozen=True):
    """An incoming attempt ended before it was a connection."""

    address: str
    ending: Ending


class RefusalNoted(Mail, frozen=True, kw_only=True):
    """A connection was refused, here or there."""

    node_id: NodeId | None
    incoming: bool
    by_us: bool
    address: str
    reason: Reason
    detail: str


# peer ----------------------------------------------------------------------------------------


class Connected(Mail, frozen=True):
    """A connection with this peer, not yet admitted."""

    connection: Connection


class DialFailed(Mail, frozen=True):
    """The attempt to connect ended."""

    ending: Ending


class Received(Mail, frozen=True):
    """One batch of messages of one connection."""

    key: int
    messages: Sequence[Message]


class Ended(Mail, frozen=True):
    """A connection is over."""

    key: int
    ending: Ending


class PeerChanged(Mail, frozen=True):
    """The rows of this peer: one record per cluster it shares with us."""

    records: tuple[NodeRecord, ...]
    offers: dict[ClusterId, str]


class PeerBarred(Mail, frozen=True):
    """The roster no longer admits this peer."""

    reason: Reason
    detail: str


class Attach(Mail, frozen=True):
    """A link started and wants to know whether there is a connection."""

    cluster_id: ClusterId


class DropPath(Mail, frozen=True):
    """The link machine says the path is dead."""

    cause: str


class DialNow(Mail, frozen=True):
    """Try at once."""


# link ----------------------------------------------------------------------------------------


class Attached(Mail, frozen=True):
    """There is a connection for this link."""

    incarnation: Incarnation


class Detached(Mail, frozen=True):
    """The connection is gone."""

    cause: str


class PeerGone(Mail, frozen=True):
    """There is proof that the peer cannot be had now."""

    cause: str


class FromPeer(Mail, frozen=True):
    """Messages of the peer for this link or this cluster."""

    peer: NodeId
    messages: Sequence[Message]


class ReportState(Mail, frozen=True):
    """The node actor started anew: tell it the state of the link."""


class Question(Mail, frozen=True):
    """A neighbour asks whether we reach this peer (L-3)."""

    asker: NodeId
    number: int


# node ----------------------------------------------------------------------------------------


class LinkReport(Mail, frozen=True, kw_only=True):
    """A link changed its state, or repeats it."""

    peer: NodeId
    before: State
    after: State
    incarnation: Incarnation | None
    cause: str


class HelpWanted(Mail, frozen=True):
    """A link is about to go down: ask other nodes about its peer (L-3)."""

    peer: NodeId
    number: int


class MembersChanged(Mail, frozen=True):
    """The enabled nodes of the cluster, me included."""

    records: tuple[NodeRecord, ...]


class TraceRoute(Mail, frozen=True):
    """Asked from outside: find the way to a node. The reply is a `Pending` trace."""

    destination: NodeId
    number: int


# capabilities ----------------------------------------------------------------------------------


class LaneOpen(Mail, frozen=True):
    """There may be room again for data on the connection with this peer."""

    peer: NodeId


class ViewChanged(Mail, frozen=True):
    """`Context.views` holds something new about the cluster."""


class BulkArrived(Mail, frozen=True):
    """Data for this node: to be accounted for on ``lane`` when it has been dealt with."""

    lane: Lane
    messages: Sequence[Bulk]


class RoutedArrived(Mail, frozen=True):
    """Control messages of sessions and streams for this node, from the neighbour ``peer``."""

    peer: NodeId
    messages: Sequence[Routed]


class PassingThrough(Mail, frozen=True):
    """Data on its way to another node."""

    lane: Lane
    messages: Sequence[Bulk]


class Flush(Mail, frozen=True):
    """The application has sent something: take it over."""


class CapabilitiesChanged(Mail, frozen=True):
    """The states of my capabilities are others now; see `Context.registrations`."""


class SyncWanted(Mail, frozen=True):
    """A sync is asked for; the reply is an `Answer`."""

    wish: SyncWish


class Switch(Mail, frozen=True):
    """An operator switches the capability on or off."""

    enabled: bool
    reason: str


class Followed(Mail, frozen=True):
    """This partition view is followed now: what was lost by it has been let go (P-3)."""

    view: int
    weight: int
    """My own."""


class PositionMoved(Mail, frozen=True):
    """The application says that its data has another position."""


# sync sessions ---------------------------------------------------------------------------------


class Answered(Mail, frozen=True):
    """The application's code was called for a session: what it returned, or raised."""

    question: object
    """The effect that asked."""
    result: Any
    error: BaseException | None


class EndSession(Mail, frozen=True):
    """The session is not wanted any more."""

    reason: str


class SessionOver(Mail, frozen=True):
    """A session of ours has ended."""

    session: int
    report: SyncReport


class MirrorWanted(Mail, frozen=True):
    """A verified sync found records that the donor does not have."""

    step: MirrorStep


class Mirrored(Mail, frozen=True):
    """The mirror step is over, or waits."""

    dropped: int
    plan_id: int | None


class PlanDecision(Mail, frozen=True):
    """Somebody decides about a mirror plan: ``confirm``, ``discard`` or ``undo``."""

    plan_id: int
    what: str


class DiffWanted(Mail, frozen=True):
    """Somebody wants to know which records another node has not as they are here."""

    node_id: NodeId
    tag: str
    limit: int
    """Keys that are listed."""


class DonorOver(Mail, frozen=True):
    """A session in which I was the donor has ended."""

    session: SyncId
