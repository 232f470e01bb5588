"""Mutants of syncs: who asks whom, who serves, what is checked, and that it ends."""
# ruff: noqa: SLF001 - a defect is put in where the rule is

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..actors import joining
from ..actors.application import Application, Delivery
from ..actors.intake import Intake
from ..actors.joining import JoinerActor
from ..actors.mirroring import Mirroring
from ..protocol import sync_try
from ..protocol.capability import CapabilityRules
from ..protocol.contract import KeyedCapability, SyncReport
from ..protocol.effects import Effect
from ..protocol.fallback import Fallback
from ..protocol.identity import NodeId
from ..protocol.messages import CapabilityState, CapState, SyncRequest
from ..protocol.mirror import Drop
from ..protocol.rounds import Rounds
from ..protocol.sync_admission import Admission, Offer
from ..protocol.sync_donor import Donor
from ..protocol.sync_pieces import Piece
from ..protocol.sync_tenure import Tenure
from ..protocol.sync_try import Try
from ..protocol.sync_words import Wish
from ..protocol.topology import Topology
from ..protocol.verifying import Verifying
from .defect import Replace, mutant


@mutant(
    "stucksync",
    rule="row 8 (S-21)",
    defect="a joiner whose request or donor is lost waits for ever",
    history="busy",
    dies="I6",
)
def stucksync(replace: Replace) -> None:
    """Its clock and what it is told of nodes do nothing."""
    replace(JoinerActor, "on_tick", lambda _self, _now: None)
    replace(JoinerActor, "deadline", None)
    replace(JoinerActor, "_look_at_nodes", lambda _self: None)


@mutant(
    "noretry",
    rule="row 9 (S-21, S-24)",
    defect="a sync that failed is never tried again",
    history="unanswered",
    dies="I6",
)
def noretry(replace: Replace) -> None:
    """Every donor stays tried, whatever time passes."""

    def failed(self: Rounds, reason: str, _now: float) -> None:
        for peer in self.view.peers:
            if peer.state is not None:
                self._tried[peer.node_id] = (peer.stint, reason)

    replace(Rounds, "failed", failed)
    untried = Rounds.untried

    def never_again(self: Rounds) -> Any:
        return [peer for peer in untried(self) if peer.node_id not in self._tried]

    replace(Rounds, "untried", never_again)


@mutant(
    "livefirst",
    rule="row 11 (S-23)",
    defect="messages that come before the first record of a sync are handed over at once",
    history="busy",
    dies="S-23",
)
def livefirst(replace: Replace) -> None:
    """Nothing is ever held."""
    take = Intake.take

    def at_once(self: Intake, lane: Any, batches: Sequence[Delivery]) -> bool:
        self.holding = False
        return take(self, lane, batches)

    replace(Intake, "take", at_once)


@mutant(
    "allwait",
    rule="row 16 (S-28)",
    defect="where nobody is OK all wait for somebody who is",
    history="busy",
    dies="I6",
)
def allwait(replace: Replace) -> None:
    """Nobody ever decides."""
    replace(Fallback, "consider", lambda _self, _own, _view, _now: None)


@mutant(
    "lastchunklost",
    rule="lastchunklost (S-25)",
    defect="the end of what a donor sent never reaches the records",
    history="busy",
    dies="I5",
)
def lastchunklost(replace: Replace) -> None:
    """The last piece of each chunk is checked, and then forgotten."""
    take = Application.take

    def shorter(self: Application, pieces: Sequence[Piece], donor: NodeId, **how: bool) -> int:
        return take(self, pieces[:-1], donor, **how)

    replace(Application, "take", shorter)


@mutant(
    "anydonor",
    rule="row 12, anydonor in part (S-21, I4)",
    defect="a donor does not look whether it is OK itself",
    history="both ask",
    dies="I4",
)
def anydonor(replace: Replace) -> None:
    """It is asked by whoever believes that it is."""
    refusal = Admission._refusal

    def never(self: Admission, request: SyncRequest, offer: Offer) -> str:
        ok = msgspec.structs.replace(offer, state=CapState.OK)
        return refusal(self, request, ok)

    replace(Admission, "_refusal", never)


@mutant(
    "backupserves",
    rule="row 13 (K-1, I4)",
    defect="a donor sends all records that are asked for, also of tags that are backup there",
    history="tagged records",
    dies="I4",
)
def backupserves(replace: Replace) -> None:
    """The joiner leaves them out; whoever relies on the donor does not."""
    replace(Tenure, "serves", lambda _self, _tag: True)


@mutant(
    "notowner",
    rule="row 13 (K-1, I4)",
    defect="a donor serves the tags that are thought to be active there, although they are not",
    history="owner moved",
    dies="I4",
)
def notowner(replace: Replace) -> None:
    """It is asked by whoever has not heard of the latest owner."""
    replace(Tenure, "_has", lambda _self, _term: True)


@mutant(
    "staleok",
    rule="row 12 (N-2, C-3)",
    defect="what is OK counts as OK after a restart, until the new life says so itself",
    history="stale donor",
    dies="N-2",
)
def staleok(replace: Replace) -> None:
    """By the word of an earlier life."""
    told = Topology.capabilities_of

    def kept(self: Topology, node: NodeId) -> tuple[CapabilityState, ...]:
        said: dict[tuple[NodeId, str], tuple[int | None, CapabilityState]]
        said = self.__dict__.setdefault("_said_ok", {})
        life, states = self.incarnation_of(node), []
        for state in told(self, node):
            before = said.get((node, state.name))
            if state.state is CapState.OK or before is None:
                said[node, state.name] = (life, state)
            stale = before is not None and before[0] != life and state.state is not CapState.OK
            states.append(before[1] if stale and before is not None else state)
        return tuple(states)

    replace(Topology, "capabilities_of", kept)


@mutant(
    "mirrorall",
    rule="row 14 (S-26, K-5)",
    defect="each sync drops what the donor does not have, whether somebody asked for that or not",
    history="busy",
    dies="S-26",
)
def mirrorall(replace: Replace) -> None:
    """All wishes are for a mirror where one can be made."""

    def wish(*, keyed: bool, first_bucket: int | None, **words: Any) -> Wish:
        mirror = keyed and first_bucket is None
        return Wish(keyed=keyed, first_bucket=first_bucket, **{**words, "mirror": mirror})

    replace(joining, "Wish", wish)


@mutant(
    "dropactive",
    rule="row 14 (K-7, I4)",
    defect="a mirror drops records of a tag that became active here since it was planned",
    history="late mirror",
    dies="I4",
)
def dropactive(replace: Replace) -> None:
    """How the tag stands when the records are dropped is not looked at."""

    def drop(_self: Mirroring, capability: KeyedCapability, step: Drop) -> list[bytes]:
        return capability.drop(step.tag, step.keys)

    replace(Mirroring, "_drop", drop)


@mutant(
    "anysession",
    rule="row 15 (S-20)",
    defect="messages of any session and any node are taken for those of the session under way",
    history="unasked",
    dies="I5",
)
def anysession(replace: Replace) -> None:
    """Nobody looks whose they are."""
    replace(Try, "_owns", lambda _self, _message: True)
    replace(Donor, "_owns", lambda _self, _message: True)


@mutant(
    "stuckflag",
    rule="row 32 (S-20, S-21)",
    defect="a sync that failed counts as under way for ever",
    history="unanswered",
    dies="I6",
)
def stuckflag(replace: Replace) -> None:
    """Its session stays."""
    ended = CapabilityRules.session_ended

    def not_over(
        self: CapabilityRules, session: int, report: SyncReport, now: float
    ) -> list[Effect]:
        effects = ended(self, session, report, now)
        if not report.ok:
            self._session = session
        return effects

    replace(CapabilityRules, "session_ended", not_over)


@mutant(
    "nochunkcheck",
    rule="nochunkcheck (S-24, S-25)",
    defect="neither the checksum of a chunk nor the digests at the end are compared",
    history="damaged",
    dies="I5",
)
def nochunkcheck(replace: Replace) -> None:
    """What came is believed."""

    class Alike:
        """Equal to everything."""

        def __eq__(self, _other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]  # it is compared, and nothing else

    replace(sync_try, "checksum", lambda _pieces: Alike())
    replace(Try, "missing", property(lambda _self: []))


@mutant(
    "nocompare",
    rule="B7",
    defect="copies of a map that differ are never compared",
    history="busy",
    dies="I5",
)
def nocompare(replace: Replace) -> None:
    """It is never time."""
    replace(Verifying, "due", lambda _self, _now: None)
    replace(Verifying, "see", lambda _self, _peers, _now: None)
