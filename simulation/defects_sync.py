"""Mutants of capabilities and their syncs: what a swarm with applications finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..actors.application import Application, Delivery
from ..actors.flows import Flows
from ..actors.intake import Intake
from ..actors.joining import JoinerActor
from ..protocol.capability import CapabilityRules
from ..protocol.capability_words import Trigger
from ..protocol.fallback import Fallback
from ..protocol.identity import NodeId
from ..protocol.messages import CapState, Packets
from ..protocol.rounds import Rounds
from ..protocol.sync_pieces import Piece
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
    "falseok",
    rule="row 17 (C-2)",
    defect="a capability that is switched on says that it is OK",
    history="busy",
    dies="C-2",
)
def falseok(replace: Replace) -> None:
    """Whether it needs a sync or not."""

    def switch_on(self: CapabilityRules, _now: float) -> None:
        self._become_ok("switched on")

    table = {**CapabilityRules.TABLE, (CapState.DISABLED, Trigger.ENABLE): switch_on}
    replace(CapabilityRules, "TABLE", table)


@mutant(
    "wrongsource",
    rule="row 33 (S-23)",
    defect="messages held during a sync come with the id of another node",
    history="busy",
    dies="G-12",
)
def wrongsource(replace: Replace) -> None:
    """With that of the first one held."""
    release = Intake.release

    def released(self: Intake) -> None:
        held = self._held
        for place, (packets, skip) in enumerate(held):
            other = self._registration.port.node_id
            held[place] = Delivery(msgspec.structs.replace(packets, source=other), skip)
        release(self)

    replace(Intake, "release", released)


@mutant(
    "lateflag",
    rule="row 35, lateflag (C-1, I7)",
    defect="what arrives at a capability that is switched off is delivered",
    history="busy",
    dies="I7",
)
def lateflag(replace: Replace) -> None:
    """Neither the flows nor the application's side look."""
    received, deliver = Flows.received, Application.deliver

    def take(self: Flows, packets: Packets) -> int | None:
        self._enabled = True
        return received(self, packets)

    def hand_over(self: Application, batches: Sequence[Delivery]) -> None:
        self.open = True
        deliver(self, batches)

    replace(Flows, "received", take)
    replace(Application, "deliver", hand_over)


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

    def shorter(self: Application, pieces: Sequence[Piece], donor: NodeId) -> int:
        return take(self, pieces[:-1], donor)

    replace(Application, "take", shorter)
