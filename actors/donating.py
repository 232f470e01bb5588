"""The donor of a sync: the shell of `protocol.sync_donor`, one per joiner that is served."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ..protocol.contract import KeyedCapability
from ..protocol.effects import Count, Effect
from ..protocol.identity import NodeId
from ..protocol.messages import Routed, SyncChunk, SyncRequest
from ..protocol.sync_donor import Donor
from ..protocol.sync_sections import MAX_ASKED_RECORDS
from ..protocol.sync_words import (
    AskItems,
    AskSections,
    Ended,
    SendRouted,
    Why,
)
from .actor import ClusterActor
from .context import Context
from .joining import CRASHED, here, sync_settings
from .mail import (
    Answered,
    Describe,
    DonorOver,
    EndSession,
    LaneOpen,
    RoutedArrived,
    ViewChanged,
)
from .mirroring import ask
from .tag_standing import tags_of

if TYPE_CHECKING:
    from .registration import Registration
    from .supervisor import Name

_pack = msgspec.msgpack.Encoder().encode


class DonorActor(ClusterActor):
    """Owns one `Donor`, and the chunks that wait for room on the way."""

    def __init__(
        self,
        context: Context,
        name: Name,
        registration: Registration,
        request: SyncRequest,
        version: int,
    ) -> None:
        """``version``: of the data, as agreed."""
        super().__init__(context, name)
        self._registration = registration
        self._joiner = NodeId(request.source)
        self._waiting: deque[SyncChunk] = deque()
        self._items: Iterator[Any] | None = None
        """Of a plain capability, begun."""
        capability = registration.capability
        self.rules = Donor(
            here(context.views[registration.cluster], registration.name),
            request,
            sync_settings(context.config.cluster(registration.cluster)),
            keyed=isinstance(capability, KeyedCapability),
            version=version,
            position=registration.application.position(),
            tags=tags_of(context, registration.cluster),
        )

    @property
    def deadline(self) -> float | None:
        """See `ClusterActor.deadline`."""
        return self.rules.deadline

    def on_start(self) -> None:
        """Answer the request."""
        self.apply(self.rules.start(self.now))

    def on_stop(self) -> None:
        """The capability's actor is gone, or the session is over."""
        for effect in self.rules.abort(Why.DISABLED):
            if isinstance(effect, SendRouted):
                self.perform(effect)

    def on_failure(self, *_exc_info: Any) -> None:
        """A crash ends the session; the joiner is told and finds another donor."""
        for effect in self.rules.abort(CRASHED):
            self.perform(effect)

    def on_tick(self, now: float) -> None:
        """Let the rules look at the clock."""
        self.apply(self.rules.tick(now))

    def on_receive(self, message: object) -> Any:
        """One case per mail."""
        match message:
            case RoutedArrived():
                for item in message.messages:
                    self.apply(self.rules.receive(item, self.now))
            case Answered():
                self._answered(message)
            case LaneOpen():
                self._send_waiting()
            case ViewChanged():
                tags = tags_of(self.context, self._registration.cluster)
                self.apply(self.rules.tags_changed(tags))
                self._look_at_joiner()
                self._send_waiting()
            case EndSession():
                self.apply(self.rules.abort(message.reason))
            case Describe():
                return self.rules
            case _:
                raise AssertionError(f"no such mail: {message!r}")
        return None

    def _look_at_joiner(self) -> None:
        view = self.context.views[self._registration.cluster]
        incarnation = view.incarnations.get(self._joiner)
        changed = self.rules.joiner_changed(
            self._joiner,
            reachable=incarnation is not None,
            incarnation=incarnation,
            now=self.now,
        )
        self.apply(changed)

    def _answered(self, answer: Answered) -> None:
        if answer.error is not None:
            self.apply(self.rules.abort(Why.DONOR_APPLICATION))
            return
        match answer.question:
            case AskSections():
                self.apply(self.rules.sections(answer.result, self.now))
            case AskItems():
                records, more = answer.result
                self.apply(self.rules.items(records, self.now, more=more))
            case _:
                raise AssertionError(f"nobody asked {answer.question!r}")

    def perform(self, effect: Effect) -> None:
        """See `ClusterActor.perform`."""
        match effect:
            case SendRouted():
                self._send(effect.message)
            case AskSections():
                keyed = cast("KeyedCapability", self._registration.capability)
                self._ask(effect, lambda: keyed.sections(effect.tags))
            case AskItems():
                self._ask(effect, lambda: self._records(effect))
            case Ended():
                owner = ("capability", self._registration.cluster, self._registration.name)
                self.context.supervisor.tell(owner, DonorOver(self.rules.request.session))
            case Count():
                self.context.drops[effect.rule] += 1
            case _:
                raise AssertionError(f"no such effect: {effect!r}")

    def _send(self, message: Routed) -> None:
        if not isinstance(message, SyncChunk):
            self.context.send_routed(message)
        elif message not in self._waiting:
            self._waiting.append(message)
            self._send_waiting()

    def _send_waiting(self) -> None:
        """Send the chunks that there is room for, in order."""
        view = self.context.views[self._registration.cluster]
        route = view.routes.get(self._joiner)
        lane = self.context.lanes.get(route[0]) if route else None
        while self._waiting and lane is not None:
            if not lane.send(self._waiting[0]):
                lane.wait(self._registration.cluster, self._registration.name, self.name)
                return
            self._waiting.popleft()

    def _ask(self, question: Effect, call: Callable[[], Any]) -> None:
        tell, name = self.context.supervisor.tell, self.name
        ask(self._registration, question, call, lambda mail: _ignore(tell(name, mail)))

    def _records(self, question: AskItems) -> tuple[list[list[bytes]], bool]:
        """In the worker: the records asked for, and whether the last section has more."""
        sections, more = self._read(question)
        self._registration.application.given += sum(map(len, sections))
        return sections, more

    def _read(self, question: AskItems) -> tuple[list[list[bytes]], bool]:
        capability = self._registration.capability
        if isinstance(capability, KeyedCapability):
            return [capability.section_items(*section) for section in question.sections], False
        if self._items is None:
            self._items = iter(capability.sync_items(self.rules.request.tags))
        records = [_pack(item) for item in islice(self._items, MAX_ASKED_RECORDS)]
        return [records], len(records) == MAX_ASKED_RECORDS


def _ignore(_taken: bool) -> None:
    """A mail to a session that is over is lost, and counted there."""
