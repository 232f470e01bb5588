"""Why something changed: words for people that carry what a program can check (B14).

Rules give the cause of a change as a short phrase. A phrase of the class `Because` says besides
under which code of `Cause` (or `Reason`, or `Why`) it was decided, by which rule of the
specification, and what else it followed from. It goes wherever a phrase goes; what is made of it by
formatting or cutting is an ordinary string, and so is what is encoded: `str` before that.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Self

from .errors import Reason


class About(NamedTuple):
    """What a decision is about, or followed from, within one cluster."""

    kind: str
    """``node`` | ``link`` | ``row`` | ``join`` | ``storage`` | ``cap`` | ``tag``"""
    name: str
    """A node id, or the name of a capability or tag; empty for the storage."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()


_OF_THE_ROW = (Reason.UNKNOWN_NODE, Reason.DISABLED, Reason.INVALID_ROW, Reason.TOMBSTONED)
STORAGE = About("storage", "")


class Cause(StrEnum):
    """The codes of causes, each with the label of its rule. `Reason` and `Why` have theirs."""

    rule: str

    def __new__(cls, code: str, rule: str) -> Self:
        """One cause."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.rule = rule
        return member

    UNSTATED = "unstated", "-"
    """Nobody said more than the words."""

    NOT_TRIED = "not_tried", "L-1"
    """The link has only begun."""
    CONNECTED = "connected", "L-5"
    """There is a connection; its first ping is not answered yet."""
    ANSWERS = "answers", "L-1"
    """A ping was answered in time."""
    FLAPPING = "flapping", "L-4"
    """The link went down too often; it is watched before it is up again."""
    NO_ANSWER = "no_answer", "L-1"
    """The last ping was not answered in time; it is repeated."""
    SILENT = "silent", "L-3"
    """No ping was answered, and no neighbour said that it reaches the node: it stands still or is
    dead, or every path to it is cut."""
    PATH_BROKEN = "path_broken", "L-3"
    """No ping was answered, but a neighbour reaches the node: the path between is broken."""
    CONNECTION_LOST = "connection_lost", "L-1"
    """The connection ended."""
    NOBODY_LISTENS = "nobody_listens", "L-5"
    """The host answers that no process listens there, or the test switch blocks it."""
    DIAL_FAILED = "dial_failed", "L-5"
    """No connection could be made."""
    LEFT = "left", "E-2"
    """The node said goodbye."""
    GREETING_LATE = "greeting_late", "J-1"
    """The peer did not say HELLO or WELCOME in time."""
    REPLACED = "replaced", "J-2"
    """Another connection, or a newer process of that id, took its place."""

    PATH = "path", "R-1"
    """There is a way to the node, or none."""
    LINK_UP = "link_up", "N-1"
    """A direct link came up."""
    RESTARTED = "restarted", "N-2"
    """The node is another process now."""
    LINKS_TOLD = "links_told", "T-11"
    """Another node told that its links changed."""
    ROSTER_CHANGED = "roster_changed", "D-8"
    """The provisioned nodes changed."""
    ROW_ADDED = "row_added", "D-8"
    """The node was provisioned."""
    ROW_CHANGED = "row_changed", "D-8"
    """Its row has other contents."""
    ROW_REMOVED = "row_removed", "X-2"
    """It is not provisioned any more."""
    REMOVED = "removed", "X-1"
    """Somebody removed the node from the cluster, and it stays removed."""
    ROW_DISABLED = "row_disabled", "E-1"
    """Its row says that it is disabled."""
    NO_ROW = "no_row", "J-1"
    """The node is not provisioned."""
    ROW_INVALID = "row_invalid", "D-5"
    """Its row cannot be used."""
    STORAGE_FAILED = "storage_failed", "J-3"
    """The database refused or failed; the last snapshot goes on deciding."""
    STORAGE_SILENT = "storage_silent", "J-3"
    """The database does not answer; the last snapshot goes on deciding."""
    STORAGE_BACK = "storage_back", "J-3"
    """The database answers again."""
    NOT_PROVISIONED = "not_provisioned", "D-4"
    """The database has no row of this node."""

    SWITCHED_ON = "switched_on", "C-2"
    """The capability was switched on, or the node began."""
    SWITCHED_OFF = "switched_off", "C-1"
    """An operator switched the capability off."""
    NOT_ASKED = "not_asked", "S-1"
    """The capability begins without data, and nobody asked for a sync yet."""
    NEEDS_NO_SYNC = "needs_no_sync", "S-1"
    """The capability is complete without a sync."""
    SYNC_ASKED = "sync_asked", "S-1"
    """The application or an operator asked for a sync."""
    SYNCING = "syncing", "S-21"
    """A donor was found."""
    SYNCED = "synced", "S-25"
    """The data was compared with the donor's."""
    SYNCED_TAGS = "synced_tags", "K-3"
    """Only the records of some tags were asked for."""
    SEED = "seed", "S-27"
    """A seed that found no donor."""
    NEWEST = "newest", "S-28"
    """Nobody was synced, and this node has the newest data."""
    NO_DONOR = "no_donor", "S-22"
    """No other node can be the donor."""
    DONOR = "donor", "S-22"
    """The node may be asked for a sync."""
    LACKING = "lacking", "K-4"
    """The records of a tag are not complete here."""
    SLOW_READER = "slow_reader", "R-10"
    """A node takes what is sent to it more slowly than it comes."""

    NEVER_CLAIMED = "never_claimed", "H-20"
    """Nobody has had the tag."""
    CLAIMED = "claimed", "H-21"
    """A node has the tag by the highest claim."""
    TAG_ASKED = "tag_asked", "H-2"
    """A person or a program wanted the tag here."""
    TAG_CONFIGURED = "tag_configured", "H-23"
    """It is configured to be active here."""
    TAG_HANDED_OVER = "tag_handed_over", "H-25"
    """The owner before gave it to this node."""
    TAG_RELEASED = "tag_released", "H-25"
    """Its owner gave it up."""
    TAG_TAKEN_BACK = "tag_taken_back", "H-25"
    """The node that was to have it did not take it."""
    TAG_DEFENDED = "tag_defended", "H-21"
    """Something else was claimed in this node's name."""
    TAG_OUTRANKED = "tag_outranked", "H-21"
    """Another node has a higher epoch."""
    TAG_OWNER_UNREACHABLE = "tag_owner_unreachable", "H-22"
    """The last owner cannot be reached."""
    TAG_OWNER_RESTARTED = "tag_owner_restarted", "H-23"
    """The last owner is another process now."""
    NODE_STOPS = "node_stops", "E-2"
    """This node leaves the cluster or ends."""
    LEASE_WON = "lease_won", "B4"
    """This node got the lease."""
    LEASE_RAN_OUT = "lease_ran_out", "B4"
    """The lease could not be renewed in time."""
    LEASE_LOST = "lease_lost", "B4"
    """The store says that the lease is another's."""
    LEASE_PREFERRED = "lease_preferred", "B4"
    """A preferred node has been fit for long enough."""
    LEASE_HELD = "lease_held", "B4"
    """The store says who has the lease."""
    LEASE_FREE = "lease_free", "B4"
    """The store says that nobody has the lease."""
    LEASE_BARRED = "lease_barred", "B4"
    """This node cannot share the store with the others."""
    LEASE_PAUSED = "lease_paused", "B4"
    """An operator paused the take-over of the tag."""


class Because(str):
    """A cause in words, and what a program can check of it."""

    __slots__ = ("about", "code", "rule")

    code: str
    """The value of a `Cause`, `Reason` or `Why`."""
    rule: str
    """Label of the rule that decided."""
    about: About | None
    """What it followed from, if that has a history of its own."""

    def __new__(cls, text: str, code: str, rule: str, about: About | None = None) -> Self:
        """See the fields."""
        phrase = super().__new__(cls, text)
        phrase.code, phrase.rule, phrase.about = str(code), rule, about
        return phrase

    def __deepcopy__(self, _memo: object) -> Self:
        """It never changes."""
        return self


def because(text: str, cause: Cause = Cause.UNSTATED, about: About | None = None) -> Because:
    """``text`` with its cause; what carries a cause already keeps it."""
    if isinstance(text, Because):
        return text if text.about or about is None else _of(text, str(text), about)
    return Because(text, cause.value, cause.rule, about)


def reworded(cause: str, text: str) -> Because:
    """Other words for the same cause."""
    return _of(because(cause), text, because(cause).about)


def following(cause: str, about: About, text: str | None = None) -> Because:
    """The same cause as seen at what followed from ``about``."""
    return _of(because(cause), str(cause) if text is None else text, about)


def refused(reason: Reason, peer: int, *, by_us: bool) -> Because:
    """A connection with ``peer`` was refused; what its row here says is told by the row."""
    about = About("row", str(peer)) if by_us and reason in _OF_THE_ROW else None
    return Because(f"refused: {reason.value}", reason.value, rule_of_refusal(reason), about)


def attempt(text: str, reason: Reason | None, *, nobody_there: bool) -> Because:
    """An attempt to connect ended so."""
    if reason is not None:
        return Because(text, reason.value, rule_of_refusal(reason))
    return because(text, Cause.NOBODY_LISTENS if nobody_there else Cause.DIAL_FAILED)


def rule_of_refusal(reason: Reason) -> str:
    """The label of the rule that refuses for this reason."""
    if reason is Reason.STORAGE_UNAVAILABLE:
        return "J-3"
    if reason is Reason.TOMBSTONED:
        return "X-3"
    if reason.value.startswith(("cert_", "crl_", "tls_")):
        return "G-11"
    return "J-2"


def _of(cause: Because, text: str, about: About | None) -> Because:
    return Because(text, cause.code, cause.rule, about)
