"""Whether a cluster is well, judged from what its nodes tell: PASS, WARN or FAIL with a reason.

FAIL: somebody is cut off, or two nodes hold what one may. WARN: it works, and somebody should look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from ..protocol.status import ClusterStatus, PeerStatus, Status

CERTIFICATE_WARN_S = 14 * 86_400.0
CERTIFICATE_FAIL_S = 86_400.0
"""A certificate that ends sooner is a warning, or a failure."""
REFUSALS_RECENT_S = 600.0
"""Joins refused within this time are a warning."""


class Verdict(StrEnum):
    """How bad."""

    PASS = "PASS"  # noqa: S105 - no password
    WARN = "WARN"
    FAIL = "FAIL"


class Finding(NamedTuple):
    """One line."""

    verdict: Verdict
    text: str


def judge(answers: Mapping[str, Status | str]) -> list[Finding]:
    """By instance (its URL): its status, or why it gave none. The worst findings first."""
    statuses = [answer for answer in answers.values() if isinstance(answer, Status)]
    silent = [f"{url}: {answer}" for url, answer in answers.items() if isinstance(answer, str)]
    found = [
        *_each(Verdict.FAIL, silent, f"{_nodes(len(answers))} asked, all answer"),
        *_each(Verdict.FAIL, list(_broken(statuses)), "actors run"),
        *_each(Verdict.WARN, list(_late(statuses)), "ready, and the provisioning can be read"),
        *_each(Verdict.FAIL, list(_cut_off(statuses)), "all enabled nodes can be reached"),
        *_each(Verdict.WARN, list(_detours(statuses)), "all links are up"),
        *_each(Verdict.FAIL, list(_views(statuses)), "all nodes asked see the same topology"),
        *_each(Verdict.FAIL, list(_twice(statuses)), "no sharing tag is active twice"),
        *_each(Verdict.WARN, list(_unowned(statuses)), "each sharing tag has a holder"),
        *_each(Verdict.WARN, list(_unsynced(statuses)), "all capabilities are synced"),
        *_each(Verdict.WARN, list(_refused(statuses)), "no join was refused lately"),
        *_certificates(statuses),
    ]
    return sorted(found, key=lambda finding: list(Verdict).index(finding.verdict), reverse=True)


def worst(findings: Sequence[Finding]) -> Verdict:
    """The verdict on the whole."""
    return max((f.verdict for f in findings), key=list(Verdict).index, default=Verdict.PASS)


def _each(verdict: Verdict, troubles: list[str], fine: str) -> list[Finding]:
    return [Finding(verdict, text) for text in troubles] or [Finding(Verdict.PASS, fine)]


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _broken(statuses: list[Status]) -> Iterator[str]:
    for status in statuses:
        if not status.healthy:
            yield f"node {status.node_id}: its actors crash again and again; its log tells why"


def _late(statuses: list[Status]) -> Iterator[str]:
    for status in statuses:
        if not status.ready:
            missing = "; ".join(status.waits_for) or "no reason told"
            yield f"node {status.node_id} is not ready: {missing}"
        if status.roster_error is not None:
            yield f"node {status.node_id} cannot read the provisioning: {status.roster_error}"
        for row in status.invalid_rows:
            yield f"invalid {row}"


def _members(statuses: list[Status]) -> Iterator[tuple[Status, ClusterStatus, PeerStatus]]:
    for status in statuses:
        for cluster in status.clusters:
            for peer in cluster.peers:
                if cluster.enabled and peer.state == "enabled":
                    yield status, cluster, peer


def _cut_off(statuses: list[Status]) -> Iterator[str]:
    for status, cluster, peer in _members(statuses):
        if not peer.route:
            yield (
                f"node {status.node_id} cannot reach node {peer.node_id} "
                f"in cluster {cluster.cluster_id}: {peer.why or peer.link_state}"
            )


def _detours(statuses: list[Status]) -> Iterator[str]:
    for status, cluster, peer in _members(statuses):
        if peer.route and peer.link != "Up":
            yield (
                f"link {status.node_id}-{peer.node_id} in cluster {cluster.cluster_id} is "
                f"{peer.link}, reached through {peer.next_hop}: {peer.why or peer.link_state}"
            )


def _views(statuses: list[Status]) -> Iterator[str]:
    seen: dict[int, dict[str, list[int]]] = {}
    for status in statuses:
        for cluster in status.clusters:
            view = str(sorted((node, sorted(near)) for node, near in cluster.topology))
            seen.setdefault(cluster.cluster_id, {}).setdefault(view, []).append(status.node_id)
    for cluster_id, views in sorted(seen.items()):
        if len(views) > 1:
            groups = " and ".join(", ".join(map(str, nodes)) for nodes in views.values())
            yield f"cluster {cluster_id}: nodes {groups} see different topologies"


def _twice(statuses: list[Status]) -> Iterator[str]:
    active: dict[str, list[int]] = {}
    for status in statuses:
        for cluster in status.clusters:
            for tag in cluster.tags:
                if tag.state in ("active", "handing_over"):
                    name = f"{tag.name}/{cluster.cluster_id}"
                    active.setdefault(name, []).append(status.node_id)
    for name, nodes in sorted(active.items()):
        if len(nodes) > 1:
            yield (
                f"tag {name} is active on nodes {', '.join(map(str, nodes))}; on the right one: "
                f"tagmesh ctl tag activate {name}"
            )


def _unowned(statuses: list[Status]) -> Iterator[str]:
    for status in statuses:
        for cluster in status.clusters:
            for tag in cluster.tags:
                if tag.declared and tag.holder is None:
                    name = f"{tag.name}/{cluster.cluster_id}"
                    yield f"tag {name} has no holder, says node {status.node_id}: {tag.why}"


def _unsynced(statuses: list[Status]) -> Iterator[str]:
    for status in statuses:
        for cluster in status.clusters:
            for one in cluster.capabilities:
                if one.enabled and one.state != "ok":
                    yield (
                        f"{one.name} on node {status.node_id} is {one.state}"
                        f"{': ' + one.reason if one.reason else ''}"
                    )


def _refused(statuses: list[Status]) -> Iterator[str]:
    for status in statuses:
        for refusal in status.refusals:
            if _now(status) - refusal.last_wall_s <= REFUSALS_RECENT_S:
                who = "somebody" if refusal.node_id is None else f"node {refusal.node_id}"
                yield (
                    f"node {status.node_id}: join with {who} refused by {refusal.by}, "
                    f"{refusal.reason}: {refusal.detail}"
                )


def _certificates(statuses: list[Status]) -> list[Finding]:
    found = []
    for status in statuses:
        if status.certificate_ends_wall_s is None:
            continue
        left_s = status.certificate_ends_wall_s - _now(status)
        when = f"in {left_s / 86_400:.0f} days" if left_s > 0 else "already"
        if left_s < CERTIFICATE_WARN_S:
            verdict = Verdict.FAIL if left_s < CERTIFICATE_FAIL_S else Verdict.WARN
            found.append(Finding(verdict, f"certificate of node {status.node_id} ends {when}"))
    return found or [Finding(Verdict.PASS, "no certificate ends soon")]


def _now(status: Status) -> float:
    """The wall clock of that node when it told its status."""
    return status.started_wall_s + status.uptime_s
