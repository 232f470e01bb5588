"""The joiner of a sync: the shell of `protocol.sync_joiner`, one per sync."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from ..protocol.contract import KeyedCapability
from ..protocol.effects import Announce, Count, Effect
from ..protocol.events import Event
from ..protocol.identity import NodeId
from ..protocol.messages import SyncChunk
from ..protocol.sync_joiner import Joiner
from ..protocol.sync_words import (
    Apply,
    AskExtraKeys,
    AskSections,
    Choose,
    Finished,
    Here,
    MirrorStep,
    Progressed,
    SendRouted,
    SyncSettings,
    Why,
    Wish,
)
from .actor import ClusterActor
from .context import Context
from .mail import (
    Answered,
    Describe,
    EndSession,
    Mirrored,
    MirrorWanted,
    RoutedArrived,
    SessionOver,
    ViewChanged,
)
from .mirroring import ask
from .tag_standing import tags_of

if TYPE_CHECKING:
    from ..protocol.capability_words import SyncWish
    from ..protocol.cluster_settings import ClusterSettings
    from ..protocol.diffing import Differences
    from ..protocol.sync_pieces import Piece
    from .registration import Registration
    from .view import View

CRASHED = "internal error"


class JoinerActor(ClusterActor):
    """Owns one `Joiner`."""

    def __init__(
        self,
        context: Context,
        registration: Registration,
        session: int,
        wish: SyncWish,
        choose: Choose,
        differences: Differences | None = None,
    ) -> None:
        """``session``: its number in the rules of the capability, whose ``choose`` finds donors.

        ``differences`` get the records that come, instead of the application.
        """
        super().__init__(context, ("joiner", registration.cluster, registration.name))
        self._registration = registration
        self._session = session
        self._capability = registration.capability
        self._differences = differences
        self._sections_asked: AskSections | None = None
        self._told = wish.compare is None
        """Somebody wants to hear of it."""
        part = wish.part
        self.rules = Joiner(
            here(context.views[registration.cluster], registration.name),
            Wish(
                keyed=isinstance(self._capability, KeyedCapability),
                version_min=self._capability.version_min,
                version_max=self._capability.version_max,
                tags=part.tags if part is not None else wish.tags,
                mirror=part.mirror if part is not None else wish.mirror,
                dry_run=part.dry_run if part is not None else wish.dry_run,
                unowned=not part.owned if part is not None else bool(wish.terms),
                forced=part is not None and part.forced,
                first_bucket=wish.compare.first_bucket if wish.compare is not None else None,
                terms=part.terms if part is not None else wish.terms,
                foreign=wish.foreign,
            ),
            sync_settings(context.config.cluster(registration.cluster)),
            choose,
            registration.sessions,
        )

    @property
    def deadline(self) -> float | None:
        """See `ClusterActor.deadline`."""
        return self.rules.deadline

    def on_start(self) -> None:
        """Look for a donor."""
        self.apply(self.rules.start(self.now))

    def on_stop(self) -> None:
        """Not wanted any more: the donor is told; the capability's rules know."""
        for effect in self.rules.cancel(Why.DISABLED, self.now):
            if isinstance(effect, SendRouted):
                self.perform(effect)

    def on_failure(self, *_exc_info: Any) -> None:
        """A crash fails the sync; it is tried again, not taken up again."""
        for effect in self.rules.cancel(CRASHED, self.now):
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
            case ViewChanged():
                self._look_at_nodes()
            case Mirrored():
                self.apply(self.rules.mirrored(message.dropped, message.plan_id, self.now))
            case EndSession():
                self.apply(self.rules.cancel(message.reason, self.now))
            case Describe():
                return self.rules
            case _:
                raise AssertionError(f"no such mail: {message!r}")
        return None

    def _look_at_nodes(self) -> None:
        tags = tags_of(self.context, self._registration.cluster)
        self.apply(self.rules.tags_changed(tags, self.now))
        view = self.context.views[self._registration.cluster]
        for node in sorted(view.members):
            incarnation = view.incarnations.get(node)
            changed = self.rules.donor_changed(
                node, reachable=incarnation is not None, incarnation=incarnation, now=self.now
            )
            self.apply(changed)

    def _answered(self, answer: Answered) -> None:
        question, now = answer.question, self.now
        if answer.error is not None:
            self.apply(self.rules.cancel(Why.APPLICATION, now))
            return
        match question:
            case AskSections():
                if question is self._sections_asked:  # else by the sync before this one
                    self.apply(self.rules.sections(answer.result, now))
            case Apply():
                done = (question.session, question.number, answer.result)
                self.apply(self.rules.applied(*done, now))
            case AskExtraKeys():
                where = (question.session, question.tag, question.bucket)
                self.apply(self.rules.extra_keys(*where, answer.result, now))
            case _:
                raise AssertionError(f"nobody asked {question!r}")

    def perform(self, effect: Effect) -> None:
        """See `ClusterActor.perform`."""
        keyed = cast("KeyedCapability", self._capability)
        match effect:
            case SendRouted():
                assert not isinstance(effect.message, SyncChunk), "a joiner sends no data"
                self.context.send_routed(effect.message)
            case AskSections():
                self._sections_asked = effect
                self._ask(effect, lambda: keyed.sections(effect.tags))
            case Apply():
                self._ask(effect, lambda: self._take(effect.pieces))
            case AskExtraKeys():
                call = lambda: keyed.extra_keys(effect.tag, effect.bucket, effect.items)  # noqa: E731
                self._ask(effect, call)
            case MirrorStep():
                self.context.supervisor.tell(self._owner, MirrorWanted(effect))
            case Progressed():
                self._progressed(effect)
            case Finished():
                self.context.supervisor.tell(self._owner, SessionOver(self._session, effect.report))
            case Count():
                self.context.drops[effect.rule] += 1
            case _:
                raise AssertionError(f"no such effect: {effect!r}")

    @property
    def _owner(self) -> tuple[str | int, ...]:
        return ("capability", self._registration.cluster, self._registration.name)

    def _ask(self, question: Effect, call: Callable[[], Any]) -> None:
        tell, name = self.context.supervisor.tell, self.name
        ask(self._registration, question, call, lambda mail: _ignore(tell(name, mail)))

    def _take(self, pieces: list[Piece]) -> int:
        """In the worker: hand the records over; how many were refused."""
        if self._differences is not None:
            keyed = cast("KeyedCapability", self._capability)
            self._differences.take(pieces, keyed.section_items, keyed.key_of)
            return 0
        assert self._registration.progress is not None, "records come from a donor"
        donor, forced = self._registration.progress.donor, self.rules.wish.forced
        return self._registration.application.take(pieces, donor, forced=forced)

    def _progressed(self, effect: Progressed) -> None:
        progress = self._registration.progress = effect.progress
        if not self._told:
            return
        self.context.events.publish(
            Announce(
                kind=Event.SYNC_PROGRESS,
                node_id=NodeId(progress.donor),
                cause=f"{progress.state}: {progress.done} of about {progress.total} records,"
                f" {progress.bytes} bytes",
                capability=self._registration.name,
            ),
            self._registration.cluster,
        )


def here(view: View, name: str) -> Here:
    """Whose sessions these are."""
    return Here(
        cluster_id=view.cluster_id,
        node_id=view.me,
        incarnation=view.incarnation,
        capability=name,
        ttl=view.ttl,
    )


def sync_settings(cluster: ClusterSettings) -> SyncSettings:
    """Times and sizes of the cluster's sessions."""
    return SyncSettings(
        request_timeout_s=cluster.sync_request_timeout_s,
        resume_timeout_s=cluster.resume_timeout_s,
        sync_timeout_s=cluster.sync_timeout_s,
        packet_bytes=cluster.sync_packet_size_bytes,
        window_chunks=cluster.sync_window,
    )


def _ignore(_taken: bool) -> None:
    """A mail to a session that is over is lost, and counted there."""
