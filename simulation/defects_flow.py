"""Mutants of what carries the messages of capabilities: lanes, credit, queues, transit."""
# ruff: noqa: SLF001 - a defect is put in where the rule is

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..actors import delivery
from ..actors.application import Application, Delivery
from ..actors.context import Context, Name
from ..actors.flows import Flows
from ..actors.intake import Intake
from ..actors.lane import Bulk, Lane, size_of
from ..actors.mail import PassingThrough
from ..actors.port import CapabilityPort
from ..actors.transit import Transit
from ..protocol import streams
from ..protocol.credit import Granted, Spent
from ..protocol.messages import CapState, Message, Packets
from ..protocol.streams import OutStream
from ..transport.sendqueue import SendQueue
from .defect import Replace, mutant

WITHOUT_LIMIT = 2**60


@mutant(
    "swallow",
    rule="row 5 (C-6)",
    defect="a node on the way drops the data of a capability that is switched off there",
    history="relayed",
    dies="C-6",
)
def swallow(replace: Replace) -> None:
    """As if it were for this node."""
    addressee = delivery._addressee

    def own_first(context: Context, lane: Lane, item: Any) -> tuple[Name, type] | None:
        where = addressee(context, lane, item)
        if where is not None and where[1] is PassingThrough:
            found = context.registrations.get((item.cluster_id, item.capability))
            if found is None or found.said.state is CapState.DISABLED:
                lane.consumed(item.cluster_id, item.capability, size_of(item))
                return None
        return where

    replace(delivery, "_addressee", own_first)


@mutant(
    "heldforever",
    rule="row 10 (S-23, I10)",
    defect="whatever comes during a sync is held, however much it is",
    history="long sync",
    dies="I10",
)
def heldforever(replace: Replace) -> None:
    """It never overflows."""
    begin = Intake.__init__

    def without_limit(self: Intake, *args: Any, **limits: Any) -> None:
        none = {"max_messages": WITHOUT_LIMIT, "max_bytes": WITHOUT_LIMIT}
        begin(self, *args, **{**limits, **none})

    replace(Intake, "__init__", without_limit)


@mutant(
    "neverbusy",
    rule="noback (R-10, I10)",
    defect="whatever is sent is accepted, however much waits already",
    history="slow reader",
    dies="I10",
)
def neverbusy(replace: Replace) -> None:
    """Nobody is told BUSY."""
    port, stream = CapabilityPort.__init__, OutStream.__init__

    def endless_port(self: CapabilityPort, *args: Any, **words: Any) -> None:
        port(self, *(*args[:-1], WITHOUT_LIMIT), **words)

    def endless_stream(self: OutStream, *args: Any, **limits: Any) -> None:
        stream(self, *args, **{**limits, "limit_bytes": WITHOUT_LIMIT})

    replace(CapabilityPort, "__init__", endless_port)
    replace(OutStream, "__init__", endless_stream)


@mutant(
    "sentforgotten",
    rule="R-9, R-10, I10",
    defect="a reliable stream goes on sending however much is not acknowledged",
    history="far reader",
    dies="I10",
)
def sentforgotten(replace: Replace) -> None:
    """In bytes; the number of batches has its limit still."""
    replace(streams, "UNACKNOWLEDGED_BYTES", WITHOUT_LIMIT)


@mutant(
    "earlycredit",
    rule="R-10, I10",
    defect="a node on the way gives credit back before what it used has left",
    history="slow reader",
    dies="I10",
)
def earlycredit(replace: Replace) -> None:
    """When it comes."""
    forward = Transit.forward

    class Settled:
        """A lane that has its credit back."""

        def consumed(self, *_flow: Any) -> None:
            """Done before."""

    def at_once(self: Transit, lane: Lane, message: Bulk, now: float) -> None:
        lane.consumed(message.cluster_id, message.capability, size_of(message))
        forward(self, Settled(), message, now)  # type: ignore[arg-type]  # all it is used for

    replace(Transit, "forward", at_once)


@mutant(
    "nocredit",
    rule="R-10, B13, I10",
    defect="neither end of a connection looks at credit",
    history="slow reader",
    dies="I10",
)
def nocredit(replace: Replace) -> None:
    """Only the connection's own queue is a limit."""

    def spend(self: Spent, size_bytes: int) -> bool:
        self._spent_bytes += size_bytes
        return True

    def received(self: Granted, size_bytes: int) -> None:
        self._received_bytes += size_bytes

    replace(Spent, "left_bytes", property(lambda _self: WITHOUT_LIMIT))
    replace(Spent, "spend", spend)
    replace(Granted, "received", received)


@mutant(
    "onelane",
    rule="row 31 (L-2, B13)",
    defect="pings queue behind bulk data",
    history="bulk",
    dies="B13",
)
def onelane(replace: Replace) -> None:
    """Everything goes in one lane."""

    def in_order(self: SendQueue, messages: Sequence[Message]) -> Any:
        return self._units(messages), []

    replace(SendQueue, "_encode", in_order)


@mutant(
    "wrongsource",
    rule="row 33 (S-23)",
    defect="messages held during a sync come with the id of another node",
    history="busy",
    dies="G-12",
)
def wrongsource(replace: Replace) -> None:
    """With that of this node."""
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
    rule="lateflag (C-1, I7)",
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
