"""One cluster of an embedded node, as an application sees it: its capabilities. Thread-safe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ..protocol.capability_words import Answer, SyncWish
from ..protocol.contract import Capability, Progress, Quarantined, SyncReport, check_capability
from ..protocol.donors import Verdict
from ..protocol.errors import Misuse
from ..protocol.mirror import Plan
from .capability import CapabilityActor
from .mail import Describe, PlanDecision, Switch, SyncWanted
from .worker import InlineWorker, Worker

if TYPE_CHECKING:
    from ..protocol.identity import ClusterId
    from ..protocol.messages import CapabilityState
    from .actor import ReplyFuture
    from .embedding import EmbeddedNode
    from .registration import Registration
    from .system import NodeSystem

DECISION_TIMEOUT_S = 10.0

C = TypeVar("C", bound=Capability)
T = TypeVar("T")


class CapabilityStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One capability of this node."""

    said: CapabilityState
    """What the other nodes are told."""
    enabled: bool
    progress: Progress | None
    """Of the sync under way."""
    last_report: SyncReport | None
    quarantined: int
    plans: tuple[Plan, ...]
    """Mirror plans that wait or can be undone."""


class Cluster:
    """``node.cluster(1)``. Every call but `register` needs a node that runs."""

    def __init__(self, node: EmbeddedNode, cluster_id: ClusterId) -> None:
        self.node = node
        self.cluster_id = cluster_id
        self._capabilities: dict[str, Capability] = {}
        self._workers: dict[str, Worker] = {}

    def register(self, capability: C) -> C:
        """Offer a capability here, now and at each later start; returns it, for chaining.

        `Misuse` when its name is taken or it cannot be registered as it is.
        """
        check_capability(capability)
        name = capability.name
        if name in self._capabilities:
            raise Misuse(
                f"cluster {self.cluster_id} has a capability {name!r} on this node already"
            )
        self._capabilities[name] = capability
        if self.node.running:
            try:
                worker = self._worker(capability, self.node.run_in_hub(lambda system: system))
                self.node.run_in_hub(
                    lambda system: system.register(self.cluster_id, capability, worker)
                )
            except BaseException:
                del self._capabilities[name]
                raise
        return capability

    def names(self) -> list[str]:
        """The capabilities registered here, sorted."""
        return sorted(self._capabilities)

    def status(self, name: str) -> CapabilityStatus:
        """How a capability is; `Misuse` for one that is not registered."""
        actor = self._ask(name, Describe())
        assert isinstance(actor, CapabilityActor), "it describes itself"
        registration = actor.registration
        return CapabilityStatus(
            said=registration.said,
            enabled=registration.enabled,
            progress=registration.progress,
            last_report=registration.last_report,
            quarantined=registration.application.quarantined,
            plans=tuple(actor.mirroring.plans()),
        )

    def sync(
        self,
        name: str,
        *,
        tags: Sequence[str] = (),
        mirror: bool = False,
        dry_run: bool = False,
    ) -> Answer:
        """Ask for a sync; how it ends is heard by ``sync_done`` and in events (M-3)."""
        answer = self._ask(name, SyncWanted(SyncWish(tuple(tags), mirror, dry_run)))
        assert isinstance(answer, Answer), "the reply to such mail"
        return answer

    def enable(self, name: str) -> None:
        """Switch a capability on (C-2)."""
        self._ask(name, Switch(enabled=True, reason=""))

    def disable(self, name: str, reason: str = "switched off by an operator") -> None:
        """Switch a capability off: it neither sends nor delivers (C-1)."""
        self._ask(name, Switch(enabled=False, reason=reason))

    def explain_donor(self, name: str) -> list[Verdict]:
        """Every other node with its place as a donor, or why it is none."""
        actor: CapabilityActor = self._ask(name, Describe())
        return actor.rules.explain()

    def quarantine(self, name: str) -> list[Quarantined]:
        """The newest messages and records that their handlers refused by raising."""
        return list(self._registration(name).application.quarantine)

    def confirm(self, name: str, plan_id: int) -> int:
        """Carry a mirror plan out that waits; how many records were dropped (B8)."""
        return self._decide(name, plan_id, "confirm")

    def discard(self, name: str, plan_id: int) -> None:
        """Forget a mirror plan that waits."""
        self._decide(name, plan_id, "discard")

    def undo(self, name: str, plan_id: int) -> int:
        """Restore what a mirror step dropped and nobody has written since; how many."""
        return self._decide(name, plan_id, "undo")

    # Called by the node ---------------------------------------------------------------------------

    def begin(self, system: NodeSystem) -> None:
        """The node starts; in its thread, in a greenlet that may wait."""
        for capability in self._capabilities.values():
            system.register(self.cluster_id, capability, self._worker(capability, system))

    def ended(self) -> None:
        """The node has stopped."""
        workers, self._workers = self._workers, {}
        for worker in workers.values():
            worker.stop()

    def _worker(self, capability: Capability, system: NodeSystem) -> Worker:
        worker: Worker = InlineWorker()
        if not capability.inline:
            name = f"tagmesh-{self.node.node_id}-{capability.name}"
            worker = system.context.runtime.worker(name)
        self._workers[capability.name] = worker
        return worker

    def _decide(self, name: str, plan_id: int, what: str) -> int:
        def decide(system: NodeSystem) -> int:
            mail = PlanDecision(plan_id, what)
            future: ReplyFuture = system.ask_capability(self.cluster_id, name, mail)
            return int(future.get(timeout=DECISION_TIMEOUT_S))

        return self._of(name, decide)

    def _ask(self, name: str, mail: object) -> Any:
        return self._of(name, lambda system: system.ask_capability(self.cluster_id, name, mail))

    def _registration(self, name: str) -> Registration:
        return self._of(name, lambda system: system.context.registrations[self.cluster_id, name])

    def _of(self, name: str, function: Callable[[NodeSystem], T]) -> T:
        if name not in self._capabilities:
            known = ", ".join(self.names()) or "none"
            raise Misuse(
                f"cluster {self.cluster_id} has no capability {name!r} on this node;"
                f" registered: {known}"
            )
        return self.node.run_in_hub(function)
