"""What a hand-made node answers to ``why``: the link with a node is down, as it was told."""

from __future__ import annotations

from tagmesh.protocol.because import About, Cause, because
from tagmesh.protocol.decisions import Decisions
from tagmesh.protocol.errors import Misuse, Unknown
from tagmesh.protocol.explaining import Explanation, present
from tagmesh.protocol.identity import ClusterId

DECIDED_WALL_S = 1_790_000_000.0


def explanation(kind: str, name: str | int, cluster: int | None = None) -> Explanation:
    """`Unknown` for another kind; `Misuse` for the name 0."""
    if kind not in ("node", "link", "cap", "tag"):
        raise Unknown(f"{kind} cannot be explained")
    if name == "0":
        raise Misuse("the link restarts; ask again")
    book, link = Decisions(), About("link", "3")
    cause = because("4 pings unanswered", Cause.SILENT)
    where = ClusterId(cluster or 1)
    book.note(where, link, cause, DECIDED_WALL_S, before="Probe", after="Down")
    text = because("no path leads to it", Cause.PATH, link)
    return present(book, where, About(kind, str(name)), "unreachable", text)
