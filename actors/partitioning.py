"""The work of one capability, divided among the nodes: the shell of `protocol.partition`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..protocol.effects import Effect
from ..protocol.identity import NodeId, NodeRecord
from ..protocol.messages import MAX_WEIGHT
from ..protocol.partition import (
    Adopted,
    Arrival,
    Gained,
    Key,
    Lost,
    Partition,
    PartitionView,
)

if TYPE_CHECKING:
    from ..protocol.donors import CapabilityView
    from .registration import Registration
    from .worker import Job

logger = logging.getLogger("tagmesh.capabilities")

Slots = tuple[int, ...]
OnSlots = Callable[[Slots], None]
NOBODY = PartitionView(0, (), ())


class WorkPartition:
    """Whose work a key is. The nodes that have one and are OK for the capability share all keys.

    Two nodes that can reach each other never work on the same key at the same time: a node takes
    what it gained when the one that lost it has let it go (P-3). One that starts takes part when it
    has seen every enabled node, or has waited for them as long as a link takes to be DOWN. One that
    reaches nobody believes to be alone; see ``quorum_share``. Reading is for any thread, and never
    waits.
    """

    def __init__(
        self,
        on_gained: OnSlots | None = None,
        on_lost: OnSlots | None = None,
        two_phase: bool = True,
        quorum_share: float = 0.0,
        weigh: Callable[[NodeRecord], int] | None = None,
        *,
        takes_part: bool = True,
    ) -> None:
        """See `Cluster.partition`. ``takes_part`` False: it only consents to what others do."""
        self.takes_part = takes_part
        self.weight = 0
        """As it is published."""
        self._on_gained = on_gained
        self._on_lost = on_lost
        self._two_phase = two_phase
        self._quorum_share = quorum_share
        self._weigh = weigh or _alike
        self._rules: Partition | None = None
        """While the node runs."""
        self._arrival: Arrival | None = None
        self._registration: Registration | None = None
        self._adopt: Callable[[int, int], None] = _ignored

    # For applications ----------------------------------------------------------------------------

    @property
    def view(self) -> PartitionView:
        """The division that this node follows: equal where ``view.id`` is (P-1)."""
        return self._rules.view if self._rules is not None else NOBODY

    def owner(self, key: Key) -> NodeId | None:
        """Whose work the key is, or will be in a moment; None = there is no member (P-2)."""
        return self.view.owner(key)

    def works_on(self, key: Key) -> bool:
        """Is the key this node's work, now?"""
        return self._rules is not None and self._rules.works_on(key)

    def my_index(self) -> tuple[int | None, int]:
        """(my place among the members, their number) as ``get_my_index`` of OpenSIPS; None = I am
        not synced, so no member (P-4)."""
        return self._rules.my_index() if self._rules is not None else (None, 0)

    # For the node, in its hub --------------------------------------------------------------------

    def begin(
        self,
        registration: Registration,
        incarnation: int,
        ping_timeout_s: float,
        adopt: Callable[[int, int], None],
    ) -> None:
        """The capability is registered in a life of the node; ``adopt(view, weight)`` publishes."""
        self._registration = registration
        self._arrival = Arrival(ping_timeout_s) if self.takes_part else None
        self._adopt = adopt
        self.weight = 0
        self._rules = Partition(
            registration.port.node_id,
            incarnation,
            two_phase=self._two_phase,
            quorum_share=self._quorum_share,
            observes=not self.takes_part,
        )

    def end(self) -> None:
        """The node has stopped."""
        self._rules = self._arrival = None

    @property
    def adopted(self) -> int:
        """What `adopt` was called with last: an actor that starts anew has to say it again."""
        return self._rules.adopted if self._rules is not None else 0

    @property
    def deadline(self) -> float | None:
        """When it wants to `see` again, if nothing changes before."""
        return self._arrival.deadline if self._arrival is not None else None

    def see(self, around: CapabilityView, now: float) -> None:
        """My state, or what is known of the others, changed, or the deadline passed."""
        if self._rules is None or self._registration is None:
            return
        arrived = self._arrival is not None and self._arrival.look(around, now)
        weight = self._weight(around.me.record) if arrived else 0
        if weight != self.weight:
            self.weight = weight
            self._adopt(self._rules.adopted, weight)
        self._perform(self._rules.see(self._registration.said, around))

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Lost(slots):
                    self._tell(self._on_lost, slots, self._let_go)
                case Gained(slots):
                    self._tell(self._on_gained, slots, _nothing)
                case Adopted(view):
                    self._adopt(view, self.weight)
                case _:
                    raise AssertionError(f"no such effect: {effect!r}")

    def _tell(self, function: OnSlots | None, slots: Slots, then: Job) -> None:
        """Call the application where it may block; ``then`` in the hub."""
        assert self._registration is not None, "set before anything can be seen"
        application = self._registration.application
        call = (lambda: function(slots)) if function is not None else _nothing
        self._registration.worker.submit(lambda: application.tell(call), lambda _error: then())

    def _let_go(self) -> None:
        if self._rules is not None:
            self._perform(self._rules.let_go())

    def _weight(self, record: NodeRecord) -> int:
        try:
            weight = self._weigh(record)
            if 1 <= weight <= MAX_WEIGHT:
                return weight
            logger.error("weight %r of node %d is not 1 … %d", weight, record.node_id, MAX_WEIGHT)
        except Exception:
            logger.exception("the weight of node %d cannot be told", record.node_id)
        return 1


def _alike(_record: NodeRecord) -> int:
    """Everybody's weight is the same."""
    return 1


def _ignored(_view: int, _weight: int) -> None:
    """Nothing is registered yet."""


def _nothing() -> None:
    """Nobody wants to hear it."""
