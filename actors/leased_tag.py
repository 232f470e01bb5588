"""The tag actor in mode lease: the shell of `protocol.leased_tags` and `protocol.lease`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

from ..protocol.because import About
from ..protocol.effects import Effect
from ..protocol.errors import Misuse, NotProvisioned
from ..protocol.identity import NodeId
from ..protocol.lease import LeaseRules
from ..protocol.lease_causes import of_the_store
from ..protocol.lease_words import (
    Acquire,
    GiveUp,
    LeaseExtended,
    LeaseOver,
    LeaseStanding,
    LeaseView,
    LeaseWon,
    ReadRow,
    Renew,
)
from ..protocol.leased_tags import LeasedTag
from ..protocol.tag_words import Activated, LeaveLease, LookAtLease, StoreRelease, TagRow
from ..storage.base import LeaseStore, TagAnswer
from .actor import soonest
from .context import Context
from .tag import LEFT, TagActor
from .tag_entry import TagEntry
from .tag_mail import StoreAnswered, VowTold
from .view import fit_nodes, lease_view

logger = logging.getLogger("tagmesh.tags")


class LeasedTagActor(TagActor):
    """Owns one `LeasedTag` and the `LeaseRules` of it."""

    rules: LeasedTag

    def __init__(self, context: Context, entry: TagEntry) -> None:
        self._until_s = 0.0
        super().__init__(context, entry)
        self.lease = LeaseRules(
            cluster_id=entry.cluster,
            tag=entry.name,
            me=self.me,
            settings=entry.settings.lease,
            view=self._lease_view(),
            now=self.now,
        )

    def make_rules(self) -> LeasedTag:
        """See `TagActor.make_rules`."""
        return LeasedTag(**self.words())

    @property
    def deadline(self) -> float | None:
        """See `ClusterActor.deadline`."""
        return soonest(self.rules.deadline, self.lease.deadline)

    def resume(self) -> None:
        """The lease decides."""

    def on_stop(self) -> None:
        """This node is no longer in the cluster."""
        self.leave(LEFT)
        super().on_stop()

    def leave(self, reason: str) -> None:
        """Let another node have the tag before this one is missed."""
        self.apply(self.rules.stop(reason, self.now))

    def on_tick(self, now: float) -> None:
        """See `ClusterActor.on_tick`."""
        self.apply(self.lease.tick(now))
        super().on_tick(now)

    def look(self) -> None:
        """See `TagActor.look`."""
        super().look()
        self.apply(self.lease.view_changed(self._lease_view(), self.now))

    def fit(self) -> frozenset[NodeId]:
        """Without me where the nodes cannot share the store."""
        return super().fit() - self._barred()

    def _lease_view(self) -> LeaseView:
        view, barred = self.context.views[self.entry.cluster], self._barred()
        fit = fit_nodes(view, self.context.registered(self.entry.cluster))
        return lease_view(view, fit - barred, super().fit() - barred)

    def _barred(self) -> frozenset[NodeId]:
        """Me, where I can never have the lease."""
        view, me = self.context.views[self.entry.cluster], self.context.me
        if me not in view.members:
            return frozenset({me})
        others = [record for node, record in sorted(view.members.items()) if node != me]
        barred = ""
        try:
            self._store.check_shared(view.members[me], others)
        except Misuse as misuse:
            barred = str(misuse)
        if barred and barred != self.rules.barred:
            logger.error("this node does not take tag %a: %s", self.entry.name, barred)
        self.rules.barred = barred
        return frozenset({me}) if barred else frozenset()

    def standing(self) -> LeaseStanding:
        """See `TagActor.standing`."""
        found, me = self.lease.standing, self.context.me
        if not self.rules.barred:
            return found
        return LeaseStanding(found.row, {**found.barriers, me: self.rules.barred})

    def vow(self, told: VowTold) -> None:
        """See `TagActor.vow`."""
        self.apply(self.lease.receive(told.peer, told.message, self.now))

    @property
    def _store(self) -> LeaseStore:
        # the configuration allows mode lease with a database only
        return cast("LeaseStore", self.context.tag_store)

    def _ask(self, effect: Effect) -> None:
        store, cluster, name, me = self._store, self.entry.cluster, self.entry.name, self.me
        ttl_s = self.entry.settings.ttl_s
        words: dict[str, Any] = {"ttl_s": ttl_s, "electors": self.lease.electors}
        call: Callable[[], Any]
        match effect:
            case Acquire(seen=seen):
                call = lambda: store.acquire(cluster, name, me, seen=seen, **words)  # noqa: E731 - one of four
            case Renew(number=number):
                call = lambda: store.renew(cluster, name, me, number=number, **words)  # noqa: E731 - one of four
            case GiveUp(number=number):
                call = lambda: store.release(cluster, name, me, number=number)  # noqa: E731 - one of four
            case _:
                call = lambda: store.read(cluster, name)  # noqa: E731 - one of four
        self.ask_store(effect, call)

    def store_answered(self, mail: StoreAnswered) -> None:
        """See `TagActor.store_answered`."""
        lease, now = self.lease, self.now
        told = mail.answer.row if isinstance(mail.answer, TagAnswer) else mail.answer
        said = of_the_store(told, mail.error)
        self.context.events.note(self.entry.cluster, About("lease", self.entry.name), said)
        if isinstance(mail.error, NotProvisioned):
            self.apply(lease.dismissed(str(mail.error), now))
            return
        if mail.error is not None:
            self.apply(lease.failed(str(mail.error), now))
            return
        match mail.question:
            case ReadRow():
                row: TagRow | None = mail.answer
                self.apply(lease.row_read(row, now))
            case GiveUp():
                self.apply(lease.given_up(now))
            case Acquire() | Renew():
                answer: TagAnswer = mail.answer
                if not answer.done:
                    self.apply(lease.refused(answer.row, now))
                    return
                assert answer.row is not None
                took = lease.acquired if isinstance(mail.question, Acquire) else lease.renewed
                self.apply(took(answer.row, now))

    def perform(self, effect: Effect) -> None:
        """See `ClusterActor.perform`."""
        match effect:
            case ReadRow() | Acquire() | Renew() | GiveUp():
                self._ask(effect)
            case LeaseWon():
                self._until_s = effect.until_s
                self.apply(self.rules.leased(effect.number, effect.until_s, self.now))
            case LeaseExtended():
                self.entry.extend(effect.until_s)
                self.apply(self.rules.lease_extended(effect.until_s))
            case LeaseOver():
                over = self.rules.lease_over(effect.reason, effect.successor, self.now)
                self.apply(over)
            case LeaveLease():
                self.apply(self.lease.give_up(effect.reason, effect.successor, self.now))
            case LookAtLease():
                self.apply(self.lease.look(effect.number, effect.successor, self.now))
            case Activated():
                self.entry.hold(effect.token, self._until_s)
            case StoreRelease():
                pass  # `GiveUp` does it, where the row is mine
            case _:
                super().perform(effect)


def start_tag(context: Context, entry: TagEntry) -> None:
    """Begin with a tag of a cluster that this node is in; `Misuse` when there are too many."""
    context.claims[entry.cluster].declare(entry.name)
    kind = LeasedTagActor if entry.settings.mode == "lease" else TagActor
    context.supervisor.start_child(
        ("tag", entry.cluster, entry.name), lambda: kind.start(context, entry)
    )
