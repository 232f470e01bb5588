"""What operators do with the capabilities of one cluster of a node. Thread-safe."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..protocol.capability_words import Answer, wish_of
from ..protocol.contract import Capability, KeyedCapability, Quarantined, SyncReport
from ..protocol.diffing import DEFAULT_LISTED_KEYS, MAX_LISTED_KEYS, NodeDiff
from ..protocol.donors import Verdict
from ..protocol.errors import Busy, CapabilityDisabled, Misuse, TimedOut, Unknown
from ..protocol.identity import NodeId
from ..protocol.status import CapabilityStatus
from .capability import CapabilityActor
from .hubcalls import POLL_S
from .mail import Describe, DiffWanted, PlanDecision, Switch, SyncWanted

if TYPE_CHECKING:
    from ..protocol.identity import ClusterId
    from .actor import ReplyFuture
    from .life import NodeLife
    from .system import NodeSystem

DECISION_TIMEOUT_S = 10.0

T = TypeVar("T")


class Operations:
    """Every call needs a node that runs; `Unknown` for a capability that is not registered."""

    def __init__(self, node: NodeLife, cluster_id: ClusterId) -> None:
        self.node = node
        self.cluster_id = cluster_id
        self._capabilities: dict[str, Capability] = {}

    def names(self) -> list[str]:
        """The capabilities registered here, sorted."""
        return sorted(self._capabilities)

    def capability(self, name: str) -> Capability:
        """The object that was registered."""
        if name not in self._capabilities:
            known = ", ".join(self.names()) or "none"
            raise Unknown(
                f"cluster {self.cluster_id} has no capability {name!r} on this node;"
                f" registered: {known}"
            )
        return self._capabilities[name]

    def status(self, name: str) -> CapabilityStatus:
        """How a capability is."""
        return self._of(name, lambda system: system.capability_status(self.cluster_id, name))

    def sync(
        self,
        name: str,
        *,
        tags: Sequence[str] = (),
        mirror: bool = False,
        dry_run: bool = False,
        state: str = "",
        force: Sequence[str] = (),
    ) -> Answer:
        """Ask for a sync; how it ends is heard by ``sync_done`` and in events (M-3).

        ``mirror``: drop what the donor does not have; `Misuse` when the records have no keys.
        ``dry_run``: only tell what that would be. ``state="backup"``: the sharing tags that are
        backup here, and nothing else (K-3). A tag that is active here is fetched only when
        ``force`` names it: else `Misuse` (K-7).
        """
        keyed = isinstance(self.capability(name), KeyedCapability)
        wish = wish_of(tags, keyed=keyed, mirror=mirror, dry_run=dry_run, state=state, force=force)
        answer = self._ask(name, SyncWanted(wish))
        assert isinstance(answer, Answer), "the reply to such mail"
        if answer is Answer.ACTIVE_HERE:
            raise Misuse(
                f"{', '.join(tags)}: a tag that is active on this node gives its records and takes"
                " none; name it in force to fetch what another node has of it all the same"
            )
        return answer

    def sync_now(
        self,
        name: str,
        *,
        tags: Sequence[str] = (),
        mirror: bool = False,
        dry_run: bool = False,
        state: str = "",
        force: Sequence[str] = (),
        timeout: float = 60.0,
    ) -> SyncReport:
        """Ask for a sync and wait until one has ended; ``ok`` of its report says how (M-3).

        One that failed is tried again without being asked. Raises `CapabilityDisabled`, `Busy`
        when another sync is under way, `TimedOut` when none has ended in time; it goes on then.
        """
        before = self.status(name).last_report
        answer = self.sync(
            name, tags=tags, mirror=mirror, dry_run=dry_run, state=state, force=force
        )
        if answer is Answer.DISABLED:
            raise CapabilityDisabled(f"{name} is switched off on this node: enable it first")
        if answer is Answer.IN_PROGRESS:
            raise Busy(f"another sync of {name} is under way: wait for its end")
        deadline = time.monotonic() + timeout
        while (report := self.status(name).last_report) is None or report is before:
            if time.monotonic() >= deadline:
                why = self.status(name).reason or "it is under way"
                raise TimedOut(f"no sync of {name} has ended in {timeout:g} s: {why}")
            self.node.sleep(POLL_S)
        return report

    def enable(self, name: str) -> None:
        """Switch a capability on, now and at later starts (C-2, C-4)."""
        self._switch(name, Switch(enabled=True, reason=""))

    def disable(self, name: str, reason: str = "switched off by an operator") -> None:
        """Switch a capability off, also at later starts: it neither sends nor delivers (C-1)."""
        self._switch(name, Switch(enabled=False, reason=reason))

    def _switch(self, name: str, switch: Switch) -> None:
        self._ask(name, switch)
        self.node.switches.keep(self.cluster_id, name, enabled=switch.enabled)

    def explain_donor(self, name: str, tag: str = "") -> list[Verdict]:
        """Every other node with its place as a donor, of a sharing tag, or why it is none."""
        actor: CapabilityActor = self._ask(name, Describe())
        return actor.rules.explain(tag)

    def diff(
        self,
        name: str,
        tag: str = "",
        nodes: Sequence[int] = (),
        *,
        limit: int = DEFAULT_LISTED_KEYS,
        timeout: float = 60.0,
    ) -> list[NodeDiff]:
        """Which records with a tag, or without one, other nodes do not have as they are here (B7).

        Nothing is changed. Of a tag that another node has, records are compared with that node's:
        ask there for more. ``nodes``: none = all that can be compared. ``limit``: keys listed for
        each, 0 … 10,000; the counts are of all. ``timeout``: seconds for each node. A node that
        cannot be compared has a `reason`. A sync that is under way here is waited for. `Misuse`
        when the records have no keys, `TimedOut`.
        """
        capability = self.capability(name)
        if not isinstance(capability, KeyedCapability):
            raise Misuse(f"the records of {name} have no keys, so none can be named: sync it")
        if not 0 <= limit <= MAX_LISTED_KEYS:
            raise Misuse(f"limit={limit}: at most {MAX_LISTED_KEYS} keys are listed per node")
        verdicts = {verdict.node_id: verdict for verdict in self.explain_donor(name)}
        stands = capability.port.tag(tag) if tag else None
        others = sorted(verdicts)
        if stands is not None and not stands.active and stands.holder is not None:
            others = [stands.holder]
        return [
            self._diff(name, tag, node, verdicts.get(NodeId(node)), limit, timeout)
            for node in nodes or others
        ]

    def _diff(
        self,
        name: str,
        tag: str,
        node: int,
        verdict: Verdict | None,
        limit: int,
        timeout_s: float,
    ) -> NodeDiff:
        if verdict is None:
            raise Unknown(f"cluster {self.cluster_id} has no other node {node}")
        if not verdict.accepted:
            why = f"{verdict.rejection}: {verdict.detail}".removesuffix(": ")
            return NodeDiff(node_id=verdict.node_id, compared=False, reason=why)
        mail = DiffWanted(verdict.node_id, tag, limit)

        deadline = time.monotonic() + timeout_s
        future: ReplyFuture = self._ask(name, mail)
        while True:
            found: NodeDiff | None = future.get() if future.ready else None
            if found is not None and found.reason != Answer.IN_PROGRESS:
                return found
            if time.monotonic() >= deadline:
                raise TimedOut(
                    f"the records of {name} were not compared with node {node} in {timeout_s:g} s:"
                    f" {'a sync is under way here' if found is not None else 'no answer'}"
                )
            self.node.sleep(POLL_S)
            if found is not None:
                future = self._ask(name, mail)

    def quarantine(self, name: str) -> list[Quarantined]:
        """The newest messages and records that their handlers refused by raising."""
        where = self.cluster_id, name
        return self._of(
            name, lambda system: list(system.context.registrations[where].application.quarantine)
        )

    def confirm(self, name: str, plan_id: int) -> int:
        """Carry a mirror plan out that waits; how many records were dropped (B8).

        `Unknown` when no such plan waits.
        """
        return self._decide(name, plan_id, "confirm")

    def discard(self, name: str, plan_id: int) -> None:
        """Forget a mirror plan that waits."""
        self._decide(name, plan_id, "discard")

    def undo(self, name: str, plan_id: int) -> int:
        """Restore what a mirror step dropped and nobody has written since; how many."""
        return self._decide(name, plan_id, "undo")

    def _decide(self, name: str, plan_id: int, what: str) -> int:
        def decide(system: NodeSystem) -> int:
            mail = PlanDecision(plan_id, what)
            future: ReplyFuture = system.ask_capability(self.cluster_id, name, mail)
            return int(future.get(timeout=DECISION_TIMEOUT_S))

        return self._of(name, decide)

    def _ask(self, name: str, mail: object) -> Any:
        return self._of(name, lambda system: system.ask_capability(self.cluster_id, name, mail))

    def _of(self, name: str, function: Callable[[NodeSystem], T]) -> T:
        self.capability(name)
        return self.node.run_in_hub(function)
