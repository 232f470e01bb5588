"""The short way of one capability's messages: one at a time, while nothing else goes on.

Batches are what makes many messages fast. A single message, such as a request that somebody waits
for, has nobody to share their costs with: a callback of the hub, mail from actor to actor, and the
places where messages wait. So it may skip them, when each of these is empty. What counts and what
decides is not skipped, and is the same code: the stream's numbers, the lane's credit, the limits of
the connection, and the application's mistakes.

All that has to hold stands in `send` and `take`, and in `Flows.straight` and `deliver_single`, to
whom the rest is known. Whenever something does not hold, nothing has happened, and the message goes
the usual way. So the ways may alternate as they like: a message has either nothing before it, or it
waits behind that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .hubcalls import current_thread_id
from .lane import size_of

if TYPE_CHECKING:
    from ..protocol.messages import Packets
    from .actor import ClusterActor
    from .flows import Flows
    from .intake import Intake
    from .lane import Lane


class Straight:
    """Of one capability actor, for as long as that one lives. Made in the hub's thread."""

    __slots__ = ("_actor", "_alone", "_flows", "_intake", "_thread")

    def __init__(self, actor: ClusterActor, flows: Flows, intake: Intake) -> None:
        self._actor = actor
        self._flows = flows
        self._intake = intake
        self._thread = current_thread_id()
        self._alone = False
        """A single message is being handed to the application, and nothing else is under way: what
        it sends now need not wait for the end of the actor's turn."""

    def send(self, node: int, payload: bytes) -> bool:
        """Send a packed message of at most `outbox.LOOSE_BYTES`, if it need not wait: nothing does
        in the port, this is the hub's thread, and the actor rests. Else it may be in the middle of
        its streams, or other messages follow in the same turn and share a frame with this one.
        """
        if current_thread_id() != self._thread:
            return False
        actor = self._actor
        if (actor.awake and not self._alone) or actor.over:
            return False
        try:
            return self._flows.straight(node, payload)
        except BaseException as error:
            actor.failed(error)  # the stream may be half way: it begins anew
            raise

    def take(self, lane: Lane, packets: Packets) -> bool:
        """Deal with a batch for this node that came alone on ``lane``, if nothing is before it; the
        peer actor rests, or it would come out of order there.

        Nothing that the actor's deadline depends on changes.
        """
        actor = self._actor
        size = size_of(packets)
        if actor.awake or actor.over or self._intake.holding or not lane.takes(packets, size):
            return False
        actor.awake = True
        self._alone = packets.count == 1
        try:
            skip = self._flows.received(packets)
            if skip is None:
                lane.consumed(packets.cluster_id, packets.capability, size)
            else:
                self._intake.take_one(lane, packets, skip, size)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a crash of the actor, as in its turn (H1)
            actor.failed(error)
        finally:
            self._alone = False
        if actor.inbox.waiting or actor.over:
            actor.rest()
        else:
            actor.awake = False
        return True
