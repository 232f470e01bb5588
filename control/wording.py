"""Capabilities and syncs in a few words, for tables and lines."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from ..protocol.contract import SyncReport
from ..protocol.events import EventRecord
from ..protocol.status import CapabilityStatus, PeerCapability, PlanStatus, Status
from .cli_output import printable

Told = CapabilityStatus | PeerCapability


def event_line(record: EventRecord, *, date: bool = False) -> str:
    """When and what, on one line; ``date``: with the day."""
    moment = time.strftime(f"{'%Y-%m-%d ' if date else ''}%H:%M:%S", time.localtime(record.wall_s))
    return printable(f"{moment} {record}").replace("\n", "\\n")


def caps(capabilities: Sequence[Told]) -> str:
    """``2/3 Ok``: how many are synced."""
    if not capabilities:
        return "-"
    return f"{sum(c.state == 'ok' for c in capabilities)}/{len(capabilities)} Ok"


def troubles(capabilities: Iterable[Told]) -> str:
    """What is to be said of those that are not simply OK."""
    return "; ".join(f"{c.name} {trouble(c)}" for c in capabilities if trouble(c))


def trouble(capability: Told) -> str:
    """``syncing 61 % from 2``, ``pending: no donor``; empty when all is well."""
    if capability.state == "ok":
        return ""
    said = detail(capability)
    gap = " " if capability.state == "syncing" else ": "
    return f"{capability.state}{gap}{said}" if said else capability.state


def detail(capability: Told) -> str:
    """What is to be said beside its state: ``61 % from 2``, ``no donor``, ``synced from 2``."""
    if capability.without_data:
        return f"{capability.reason}; a donor of last resort"
    progress = capability.progress if isinstance(capability, CapabilityStatus) else None
    if progress is not None:
        return f"{percent(progress.done, progress.total)} from {progress.donor}"
    return capability.reason


def percent(done: int, total: int) -> str:
    """How much of an estimate; it may turn out too low, so never 100 before the end."""
    return f"{min(100 * done // max(total, 1), 99)} %"


def report_line(report: SyncReport) -> str:
    """How a sync ended."""
    if not report.ok:
        return f"failed: {report.reason or 'no reason given'}"
    if report.donor is None:
        return "declared OK without a donor"
    counts = [f"{report.items} records from {report.donor} in {report.seconds:.3g} s"]
    if report.dropped:
        counts.append(f"{report.dropped} dropped")
    if report.quarantined:
        counts.append(f"{report.quarantined} set aside")
    return ", ".join(counts)


def plan_line(plan: PlanStatus) -> str:
    """What a mirror plan wants, or did."""
    if plan.state == "waiting":
        return f"plan {plan.plan_id} would drop {plan.records} records ({plan.reason})"
    return f"plan {plan.plan_id} {plan.state}: {plan.dropped} of {plan.records} records"


def capability_notes(status: Status) -> Iterable[tuple[str, str]]:
    """(line, style) for what somebody should look at, with the command that does."""
    for cluster in status.clusters:
        for capability in cluster.capabilities:
            name = capability.name
            if capability.quarantined:
                yield (
                    f"{name}: {capability.quarantined} set aside:"
                    f" tagmesh ctl cap quarantine {name}",
                    "yellow",
                )
            for plan in capability.plans:
                if plan.state == "waiting":
                    yield (
                        f"{name}: {plan_line(plan)}:"
                        f" tagmesh ctl sync confirm {name} {plan.plan_id}",
                        "yellow",
                    )
