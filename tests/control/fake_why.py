"""What a hand-made node answers to ``why``, and what it has recorded of its links."""

from __future__ import annotations

from tagmesh.protocol.because import About, Cause, because
from tagmesh.protocol.decisions import Decisions
from tagmesh.protocol.errors import Misuse, Unknown
from tagmesh.protocol.explaining import Explanation, present
from tagmesh.protocol.flight_recorder import Began, Flight, FlightRecorder, to_bytes
from tagmesh.protocol.identity import BinsUrl, ClusterId, NodeId, NodeRecord
from tagmesh.protocol.messages import LinkState, Ping

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


def recorded() -> bytes:
    """The recording of a node that heard a ping and a link state, and whose link came up."""
    recorder, one = FlightRecorder(), ClusterId(1)
    rows = [NodeRecord(cluster_id=one, node_id=NodeId(n), url=BinsUrl(f"n{n}")) for n in (1, 2)]
    recorder.began(one, Began(epoch=7, rerouting=True, digest_interval_s=5.0))
    recorder.members(one, rows, 1.0)
    recorder.link(one, NodeId(2), 2.0, "answers", incarnation=9)
    recorder.came(NodeId(2), [Ping(1, 4), LinkState(1, 2, 9, 9, 0, [(1, 7)])], 2.5)
    flight = Flight(
        node_id=1,
        incarnation=7,
        software="tagmesh",
        reason="asked for",
        wall_s=DECIDED_WALL_S,
        at_s=3.0,
        frames=recorder.frames(),
        lost=0,
        clusters=recorder.clusters(),
        events=[],
    )
    return to_bytes(flight)
