"""``why cap``: the state of a capability, what its sync waits for, and who reads slowly (B14)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..protocol.because import About, Because, Cause, because
from ..protocol.donors import Rejection, Verdict
from ..protocol.errors import Unknown
from ..protocol.explaining import Explanation, past, present
from ..protocol.messages import CapState
from .mail import Describe
from .why_node import Here
from .why_tag import why_tag

if TYPE_CHECKING:
    from ..protocol.identity import ClusterId
    from .capability import CapabilityActor
    from .context import Context
    from .registration import Registration
    from .reports import Ask

WAITING = (CapState.UNSYNCED, CapState.PENDING, CapState.DEGRADED)
"""States in which another node's data is missing."""
SLOW_SHARE = 0.5
"""Of what may wait for a node (setting outbox): from here on it reads too slowly."""


def why_capability(context: Context, ask: Ask, cluster: ClusterId, name: str) -> Explanation:
    """Explain one capability of this node; `Unknown` when it has none of that name."""
    registration = context.registrations.get((cluster, name))
    if registration is None:
        known = ", ".join(r.name for r in context.registered(cluster)) or "none"
        raise Unknown(f"no capability {name!a} in cluster {cluster} here; there are: {known}")
    book, subject = context.events.decisions, About("cap", name)
    actor_name = ("capability", cluster, name)
    if not context.supervisor.has(actor_name):
        said = because("this node is not enabled in the cluster", Cause.SWITCHED_OFF)
        below = past(book, cluster, About("row", str(context.me)))
        return present(book, cluster, subject, "disabled", said, below)
    actor: CapabilityActor = ask(actor_name, Describe())  # type: ignore[assignment]  # describes itself
    rules = actor.rules
    below = []
    if rules.state in WAITING:
        below += [_donor(context, ask, cluster, verdict) for verdict in rules.explain()]
        below += past(book, cluster, About("sync", name))
    for tag, why in sorted(rules.tags.pending().items()):
        lacking = because(why, Cause.LACKING)
        about, of_tag = About("records of tag", tag), why_tag(context, ask, cluster, tag)
        below.append(present(book, cluster, about, "lacking", lacking, [of_tag]))
    below += _slow(context, registration, actor)
    return present(book, cluster, subject, rules.state.name.lower(), rules.why, below)


def _donor(context: Context, ask: Ask, cluster: ClusterId, verdict: Verdict) -> Explanation:
    """What another node is as a donor."""
    book, node = context.events.decisions, str(verdict.node_id)
    if verdict.rejection is None:
        said, state = because(verdict.detail, Cause.DONOR), "a donor"
    else:
        said, state = Because(verdict.detail, verdict.rejection.value, "S-22"), "no donor"
    away = verdict.rejection is Rejection.UNREACHABLE
    below = [Here(context, ask, cluster).node(verdict.node_id)] if away else []
    return present(book, cluster, About("donor", node), state, said, below)


def _slow(
    context: Context, registration: Registration, actor: CapabilityActor
) -> Iterator[Explanation]:
    """Nodes for which so much waits that writers are told `Busy`."""
    limit_bytes = actor.settings.outbox_bytes * SLOW_SHARE
    for node in sorted(context.views[registration.cluster].members):
        waiting = registration.port.waiting_bytes(node)
        if waiting > limit_bytes:
            said = because(f"{waiting} bytes wait for it", Cause.SLOW_READER)
            book, about = context.events.decisions, About("node", str(node))
            yield present(book, registration.cluster, about, "slow", said)
