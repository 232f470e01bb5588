"""What a node tells of its capabilities, for its status (S-29).

Called from outside: it asks actors, so it may wait. What an actor that restarts would tell is left
out for that moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ..protocol.messages import CapabilityState, CapState
from ..protocol.status import CapabilityStatus, DonorSession, PeerCapability, PlanStatus
from .capability import CapabilityActor
from .mail import Describe

if TYPE_CHECKING:
    from ..protocol.identity import ClusterId
    from ..protocol.mirror import Plan
    from ..protocol.sync_donor import Donor
    from .context import Context, Name
    from .registration import Registration

ASKED_AND_NOT_OK = (CapState.PENDING, CapState.SYNCING)


class Ask(Protocol):
    """Asks an actor by its name and waits for the reply."""

    def __call__(self, name: Name, mail: object) -> object: ...


def capabilities_of(context: Context, cluster: ClusterId, ask: Ask) -> list[CapabilityStatus]:
    """This node's capabilities in a cluster, by name."""
    return [_capability(context, r, ask) for r in context.registered(cluster)]


def _capability(context: Context, registration: Registration, ask: Ask) -> CapabilityStatus:
    name: Name = ("capability", registration.cluster, registration.name)
    runs = context.supervisor.has(name)
    said = registration.said
    actor = _actor(context, name, ask) if runs else None
    return CapabilityStatus(
        name=registration.name,
        state=_state(said.state if runs else CapState.DISABLED),
        reason=_reason(registration, runs=runs),
        enabled=registration.enabled,
        without_data=runs and said.without_data,
        progress=registration.progress,
        donating=_donating(context, name, ask) if runs else [],
        last_report=registration.last_report,
        quarantined=registration.application.quarantined,
        records_taken=registration.application.taken,
        records_given=registration.application.given,
        plans=[_plan(plan) for plan in actor.mirroring.plans()] if actor else [],
        evidence=[found for _, found in sorted(dict(actor.rules.tags.evidence).items())]
        if actor
        else [],
        pending=actor.rules.tags.pending() if actor else {},
    )


def _reason(registration: Registration, *, runs: bool) -> str:
    if not runs:
        return f"this node is not enabled in cluster {registration.cluster}"
    if not registration.enabled and not registration.said.reason:
        return "switched off before the start"
    return registration.said.reason


def _actor(context: Context, name: Name, ask: Ask) -> CapabilityActor | None:
    if context.supervisor.ref(name) is None:
        return None
    actor = ask(name, Describe())
    assert isinstance(actor, CapabilityActor), "it describes itself"
    return actor


def _plan(plan: Plan) -> PlanStatus:
    return PlanStatus(
        plan_id=plan.plan_id,
        state=plan.state.value,
        reason=plan.reason,
        records=sum(len(extra.keys) for extra in plan.extras),
        dropped=plan.dropped,
    )


def _donating(context: Context, capability: Name, ask: Ask) -> list[DonorSession]:
    sessions = []
    for name in context.supervisor.names("donor"):
        if name[1:3] == capability[1:] and context.supervisor.ref(name) is not None:
            donor: Donor = ask(name, Describe())  # type: ignore[assignment]  # describes its rules
            done, total, size = donor.progress
            joiner, state = donor.request.source, donor.state.value
            sessions.append(
                DonorSession(joiner=joiner, state=state, done=done, total=total, bytes=size)
            )
    return sessions


def peer_capabilities(states: Mapping[str, CapabilityState]) -> list[PeerCapability]:
    """What another node says of its capabilities."""
    return [
        PeerCapability(
            name=name,
            state=_state(said.state),
            reason=said.reason,
            without_data=said.without_data,
        )
        for name, said in sorted(states.items())
    ]


def waits_for(registrations: Sequence[Registration], clusters: Sequence[ClusterId]) -> list[str]:
    """The syncs that the start asked for and that are not done; ``clusters``: where I am enabled.

    A capability that was OK once has had its sync; what is asked for later is another matter.
    """
    return [text for r in registrations if (text := _waits_for(r, clusters))]


def _waits_for(registration: Registration, clusters: Sequence[ClusterId]) -> str:
    where = f"cluster {registration.cluster}: {registration.name}"
    said = registration.said
    if registration.cluster not in clusters:
        return f"{where}: this node has no enabled row in that cluster"
    if not registration.enabled or said.generation:
        return ""
    if said.state in ASKED_AND_NOT_OK:
        return f"{where} is {_state(said.state)}" + (f": {said.reason}" if said.reason else "")
    return f"{where} begins" if said.state is CapState.DISABLED else ""


def _state(state: CapState) -> str:
    return state.name.lower()
