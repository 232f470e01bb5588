"""``why node`` and ``why link``: whether a node is reached, and what prevents it (B14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.because import STORAGE, About, Cause, because
from ..protocol.explaining import Explanation, past, present
from ..protocol.identity import ClusterId, NodeId
from .mail import Describe

if TYPE_CHECKING:
    from ..protocol.identity import NodeRecord
    from ..protocol.link import Link
    from ..protocol.topology import Topology
    from .context import Context
    from .reports import Ask


class Here:
    """One cluster, as this node sees it now."""

    def __init__(self, context: Context, ask: Ask, cluster: ClusterId) -> None:
        self._context = context
        self._ask = ask
        self._cluster = cluster
        self._book = context.events.decisions
        storage: dict[str, object] = ask(("storage",), Describe())  # type: ignore[assignment]  # describes itself so
        self._storage_error = storage["error"]
        records: tuple[NodeRecord, ...] = storage["records"]  # type: ignore[assignment]  # likewise
        self._rows = {r.node_id: r for r in records if r.cluster_id == cluster}
        self._invalid = {i.node_id: i for i in storage["invalid"]}  # type: ignore[attr-defined]  # likewise

    def node(self, node: NodeId) -> Explanation:
        """Whether a node is reached, and why not directly or not at all."""
        subject = About("node", str(node))
        row = self._rows.get(node)
        if row is None or not row.enabled:
            return self._without_row(subject, row)
        if node == self._context.me:
            return self._myself(subject)
        name = ("node", self._cluster)
        if not self._context.supervisor.has(name):
            below = [self._myself(About("node", str(self._context.me)))]
            said = because("this node is not in the cluster", Cause.ROSTER_CHANGED)
            return self._present(subject, "unreachable", said, below)
        topology: Topology = self._ask(name, Describe())  # type: ignore[assignment]  # describes its rules
        route = topology.route(node)
        state = "reachable" if route else "unreachable"
        said = because(_way(route) if route else "no path leads to it", Cause.PATH)
        known = self._book.newest(self._cluster, subject)
        led = past(self._book, self._cluster, subject)
        below = led if known is not None and known.after == state else []
        if len(route) != 1:
            link = self.link(node)
            below = [*below, *(part for part in [link] if not any(map(link.same, _steps(below))))]
        return self._present(subject, state, said, below)

    def link(self, node: NodeId) -> Explanation:
        """The direct link with a node."""
        subject, row = About("link", str(node)), self._rows.get(node)
        name = ("link", self._cluster, node)
        if row is None or not self._context.supervisor.has(name):
            return self._without_row(subject, row)
        link: Link = self._ask(name, Describe())  # type: ignore[assignment]  # describes its rules
        below = []
        if link.cause.code == Cause.NOT_TRIED:  # it never was up: what became of the attempts
            below = past(self._book, None, About("dial", str(node)))
        return self._present(subject, link.state.shown, link.cause, below)

    def _without_row(self, subject: About, row: NodeRecord | None) -> Explanation:
        below = past(self._book, self._cluster, About("row", subject.name))
        bad = self._invalid.get(int(subject.name))
        if bad is not None:
            return self._present(subject, "invalid", because(bad.reason, Cause.ROW_INVALID))
        if row is not None:
            said = because("its row says that it is disabled", Cause.ROW_DISABLED)
            return self._present(subject, "disabled", said, below)
        below += past(self._book, self._cluster, About("join", subject.name))
        said = because("there is no row of it", Cause.NO_ROW)
        return self._present(subject, "not provisioned", said, below or self._storage())

    def _myself(self, subject: About) -> Explanation:
        said = because("its row says so", Cause.ROW_ADDED, About("row", subject.name))
        return self._present(subject, "enabled", said, self._storage())

    def _storage(self) -> list[Explanation]:
        return past(self._book, None, STORAGE) if self._storage_error is not None else []

    def _present(
        self, subject: About, state: str, cause: str, below: list[Explanation] | None = None
    ) -> Explanation:
        return present(self._book, self._cluster, subject, state, cause, below or ())


def _way(route: tuple[NodeId, ...]) -> str:
    if len(route) == 1:
        return "by the direct link"
    return "by way of " + ", ".join(f"node {node}" for node in route[:-1])


def _steps(parts: list[Explanation]) -> list[Explanation]:
    return [step for part in parts for step in (part, *_steps(part.because))]
