"""The tag actor: one sharing tag of one cluster here, the shell of `protocol.tags`.

The store is asked in the runtime's pool, never in the hub. What the application sees of the tag
stands in its `TagEntry`, which outlives this actor: after a crash the application is told that the
tag is not active, and the actor that is started anew claims it again, under another epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..protocol.effects import Announce, Count, Effect, SendTo
from ..protocol.errors import Misuse, TagmeshError, TagRefused
from ..protocol.events import Event
from ..protocol.lease_words import LeaseStanding
from ..protocol.tag_base import Tag
from ..protocol.tag_words import (
    Activated,
    Answered,
    Deactivated,
    KeepClaim,
    Owner,
    Spread,
    StoreEpoch,
    StoreRelease,
    TagState,
)
from ..protocol.tags import TagRules
from ..storage.base import TagAnswer
from .actor import ClusterActor, ReplyFuture
from .context import Context, Name
from .mail import Describe, ViewChanged
from .tag_entry import TagEntry
from .tag_mail import (
    ActivateTag,
    ClaimMade,
    ClaimTold,
    DescribeLease,
    HandOverTag,
    KeepThis,
    LeaveTag,
    NumberTold,
    ReleaseTag,
    ReportClaim,
    StoreAnswered,
    TagsWanted,
    VowTold,
)
from .tag_standing import tell_of_tags
from .view import fit_nodes, tag_view

CRASHED = "its actor crashed"
LEFT = "this node leaves the cluster"


class TagActor(ClusterActor):
    """Owns one `Tag`, in mode manual."""

    rules: Tag

    def __init__(self, context: Context, entry: TagEntry) -> None:
        super().__init__(context, ("tag", entry.cluster, entry.name))
        self.entry = entry
        self.me = Owner(context.me, context.incarnation)
        self._node: Name = ("node", entry.cluster)
        self._start = next(entry.starts)
        self._waiting: list[ReplyFuture] = []
        """Of those who asked for an activation or a hand-over."""
        self.rules = self.make_rules()

    def make_rules(self) -> Tag:
        """The machine of this tag."""
        return TagRules(**self.words())

    def words(self) -> dict[str, Any]:
        """What every machine of a tag is told at its beginning."""
        view = self.context.views[self.entry.cluster]
        return {
            "cluster_id": self.entry.cluster,
            "tag": self.entry.name,
            "me": self.me,
            "priority": view.members[self.context.me].priority,
            "wall": self.context.runtime.wall,
            "known": self.context.claims[self.entry.cluster].of(self.entry.name),
        }

    @property
    def deadline(self) -> float | None:
        """See `ClusterActor.deadline`."""
        return self.rules.deadline

    # Its life ----------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Claim what is to be active here."""
        self.context.supervisor.tell(self._node, TagsWanted())
        resumes, self.entry.resumes = self.entry.resumes, False
        if self.entry.starts_active and self._start == 0:
            view = self.context.views[self.entry.cluster]
            self.rules.begin(
                tag_view(view, self.fit()),
                self.now,
                ping_interval_s=self.context.config.cluster(self.entry.cluster).ping_interval_s,
                steal=self.entry.settings.steal,
            )
        self.look()
        if resumes:
            self.resume()

    def resume(self) -> None:
        """The tag was active here when the actor before this one crashed."""
        self.apply(self.rules.activate(CRASHED, self.now))

    def on_stop(self) -> None:
        """This node is no longer in the cluster."""
        self.apply(self.rules.stop(LEFT, self.now))
        self._reply(Misuse(f"tag {self.entry.name!a}: {LEFT}"))

    def on_failure(self, *_exc_info: Any) -> None:
        """The application must not go on under an epoch that nobody watches."""
        if self.entry.drop() is not None:
            self.entry.resumes = True
            self.perform(
                Announce(
                    kind=Event.TAG_CHANGED,
                    node_id=self.context.me,
                    before="active",
                    after="backup",
                    cause=CRASHED,
                    tag=self.entry.name,
                )
            )
        self._reply(TagRefused(f"tag {self.entry.name!a}: {CRASHED}; look where it is now"))

    def on_tick(self, now: float) -> None:
        """See `ClusterActor.on_tick`."""
        self.apply(self.rules.tick(now))

    # Mail --------------------------------------------------------------------------------------

    def on_receive(self, message: object) -> Any:
        """One case per mail."""
        match message:
            case ViewChanged():
                self.look()
            case ClaimTold():
                self.apply(self.rules.claim_heard(message.claim, self.now))
            case NumberTold():
                self.apply(self.rules.number_heard(message.number, self.now))
            case StoreAnswered():
                if message.start == self._start:
                    self.store_answered(message)
            case ReportClaim():
                if self.rules.known is not None:
                    self.context.supervisor.tell(self._node, ClaimMade(self.rules.known))
            case VowTold():
                self.vow(message)
            case ActivateTag():
                return self._activate(message)
            case HandOverTag():
                return self._hand_over(message)
            case ReleaseTag():
                return self._release(message)
            case LeaveTag():
                self.leave(message.reason)
            case Describe():
                return self.rules
            case DescribeLease():
                return self.standing()
            case _:
                raise AssertionError(f"no such mail: {message!r}")
        return None

    def look(self) -> None:
        """The view of the cluster may be another one."""
        view = self.context.views[self.entry.cluster]
        if self.context.me in view.members:
            self.rules.priority = view.members[self.context.me].priority
        self.apply(self.rules.view_changed(tag_view(view, self.fit()), self.now))

    def fit(self) -> frozenset[Any]:
        """The nodes that can have the tag."""
        cluster = self.entry.cluster
        registered = self.context.registered(cluster)
        return fit_nodes(self.context.views[cluster], registered, self.entry.name)

    def vow(self, _told: VowTold) -> None:
        """Somebody believes that there is a lease on this tag."""
        self.context.drops["B4"] += 1

    def standing(self) -> LeaseStanding | None:
        """How the lease stands; None = there is none."""
        return None

    def leave(self, reason: str) -> None:
        """This node is about to stop. In mode manual the epoch stays mine (H-4)."""

    def _activate(self, wanted: ActivateTag) -> ReplyFuture:
        future = ReplyFuture()
        later = self.rules.state is TagState.HANDING_OVER  # its end is told to others first
        if not later:
            self._waiting.append(future)
        try:
            self.apply(self.rules.activate(wanted.reason, self.now, force=wanted.force))
        except Misuse as misuse:
            self._waiting = [f for f in self._waiting if f is not future]
            future.set(misuse)
            return future
        if later:
            self._waiting.append(future)
        return future

    def _hand_over(self, wanted: HandOverTag) -> ReplyFuture:
        future = ReplyFuture()
        try:
            effects = self.rules.hand_over(wanted.to, wanted.reason, self.now)
        except Misuse as misuse:
            future.set(misuse)
        else:
            self._waiting.append(future)
            self.apply(effects)
        return future

    def _release(self, wanted: ReleaseTag) -> Misuse | None:
        try:
            self.apply(self.rules.release(wanted.reason, self.now))
        except Misuse as misuse:
            return misuse
        return None

    def _reply(self, error: TagmeshError | None) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.set(error)

    # The store ---------------------------------------------------------------------------------

    def ask_store(self, question: Effect, call: Callable[[], Any]) -> None:
        """Run a blocking ``call`` in the pool; its end comes as mail."""
        if self.context.silent:
            return
        name, start, tell = self.name, self._start, self.context.supervisor.tell

        def answered(answer: Any, error: Exception | None) -> None:
            if self.context.supervisor.has(name):
                tell(name, StoreAnswered(start, question, answer, error))

        self.context.runtime.call_in_pool(call, answered)

    def store_answered(self, mail: StoreAnswered) -> None:
        """What the store said to an effect of the rules."""
        rules, asked = self.rules, mail.question
        if not isinstance(asked, StoreEpoch):
            return
        assert isinstance(rules, TagRules)
        answer: TagAnswer | None = mail.answer
        if answer is None or answer.row is None or answer.row.owner is None:
            error = str(mail.error) if mail.error is not None else "the store has no row of it"
            self.apply(rules.store_failed(asked.attempt, error, self.now))
        elif answer.done:
            self.apply(rules.stored(asked.attempt, answer.row.number, self.now))
        else:
            owner = answer.row.owner.node_id
            self.apply(rules.store_lost(asked.attempt, answer.row.number, owner, self.now))

    # Effects -----------------------------------------------------------------------------------

    def perform(self, effect: Effect) -> None:
        """See `ClusterActor.perform`."""
        tell = self.context.supervisor.tell
        cluster, name, store = self.entry.cluster, self.entry.name, self.context.tag_store
        match effect:
            case Spread():
                tell(self._node, ClaimMade(effect.claim))
            case KeepClaim():
                tell(self._node, KeepThis(effect.claim))
            case StoreEpoch(seen=seen):
                self.ask_store(effect, lambda: store.claim(cluster, name, self.me, seen=seen))
            case StoreRelease(number=number):
                self.ask_store(effect, lambda: store.release(cluster, name, self.me, number=number))
            case Activated():
                self.entry.hold(effect.token)
                tell_of_tags(self.context, cluster)
            case Deactivated():
                self.entry.drop()
                tell_of_tags(self.context, cluster)
            case Answered():
                self._reply(TagRefused(effect.refusal) if effect.refusal else None)
            case Announce():
                self.context.events.publish(effect, cluster)
            case SendTo():
                self.context.send(effect.node_id, effect.message)
            case Count():
                self.context.drops[effect.rule] += 1
            case _:
                raise AssertionError(f"no such effect: {effect!r}")
