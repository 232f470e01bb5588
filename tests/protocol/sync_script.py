"""Messages of a sync session by hand, for the tests of one side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from tagmesh.protocol.effects import Count, Effect
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import (
    Routed,
    Section,
    SyncAck,
    SyncAnswer,
    SyncChunk,
    SyncEnd,
    SyncId,
    SyncRequest,
    SyncStop,
    TagTerm,
)
from tagmesh.protocol.sync_pieces import checksum, digest_of, encode_chunk, encode_piece, sum_of
from tagmesh.protocol.sync_sections import SectionKey, TagTotal, Totals
from tagmesh.protocol.sync_words import Candidate, Here, SendRouted

T0 = 1000.0
JOINER, DONOR, OTHER = NodeId(1), NodeId(2), NodeId(3)
JOINER_LIFE, DONOR_LIFE = 7, 5
Sections = dict[SectionKey, list[bytes]]


def here(node: int, incarnation: int) -> Here:
    return Here(cluster_id=1, node_id=node, incarnation=incarnation, capability="calls", ttl=8)


AT_JOINER, AT_DONOR = here(JOINER, JOINER_LIFE), here(DONOR, DONOR_LIFE)
CANDIDATE = Candidate(DONOR, DONOR_LIFE)


def session(counter: int = 1) -> SyncId:
    return SyncId(JOINER, JOINER_LIFE, counter)


def request(
    counter: int = 1,
    *,
    tags: Sequence[str] = (),
    have: Sequence[Section] = (),
    only: Sequence[SectionKey] = (),
    versions: tuple[int, int] = (1, 1),
    joiner: Here = AT_JOINER,
    terms: Sequence[TagTerm] = (),
    unowned: bool = False,
) -> SyncRequest:
    session = SyncId(joiner.node_id, joiner.incarnation, counter)
    head = joiner.head(DONOR)
    tagged = list(terms), unowned
    return SyncRequest(*head, session, *versions, list(tags), list(have), list(only), [], *tagged)


def ack(
    next_: int, window: int = 8, *, resend: bool = False, counter: int = 1, at: Here = AT_JOINER
) -> SyncAck:
    return SyncAck(*at.head(DONOR), session(counter), next_, window, resend)


def stop(
    reason: str,
    *,
    counter: int = 1,
    at: Here = AT_JOINER,
    to: int = DONOR,
    moved: Sequence[tuple[str, int]] = (),
) -> SyncStop:
    return SyncStop(*at.head(to), session(counter), reason, list(moved))


def answer(
    refusal: str = "",
    *,
    total: int = 0,
    version: int = 1,
    tags: Sequence[str] = (),
    counter: int = 1,
    at: Here = AT_DONOR,
    unserved: Sequence[tuple[str, int]] = (),
    held: Sequence[TagTotal] = (),
) -> SyncAnswer:
    head, served = at.head(JOINER), list(tags)
    told = list(unserved), list(held)
    return SyncAnswer(*head, session(counter), refusal, total, version, served, 0, *told)


def section(key: SectionKey, records: Sequence[bytes]) -> Section:
    return Section(*key, len(records), digest_of(sum_of(records)))


def pieces(sections: Sections, *, lie: Iterable[SectionKey] = ()) -> bytes:
    """Whole sections; of those in ``lie`` the digest is wrong."""
    wrong = list(lie)
    return encode_chunk(
        [
            encode_piece(*key, records, (len(records), digest_of(sum_of(records) + (key in wrong))))
            for key, records in sections.items()
        ]
    )


def chunk(
    number: int, data: bytes | Sections, *, counter: int = 1, at: Here = AT_DONOR
) -> SyncChunk:
    if isinstance(data, dict):
        data = pieces(data)
    return SyncChunk(*at.head(JOINER), session(counter), number, checksum(data), data)


def end(
    chunks: int,
    sections: Sections,
    *,
    lie: Iterable[SectionKey] = (),
    counter: int = 1,
    at: Here = AT_DONOR,
) -> SyncEnd:
    """Totals that fit what `pieces` says."""
    wrong = list(lie)
    totals = Totals()
    for key, records in sections.items():
        totals.add(key[0], len(records), sum_of(records) + (key in wrong))
    return SyncEnd(*at.head(JOINER), session(counter), chunks, totals.listed())


M = TypeVar("M", bound=Routed)


def sent(effects: Iterable[Effect], kind: type[M]) -> list[M]:
    """The messages of this kind among the effects."""
    messages = [effect.message for effect in effects if isinstance(effect, SendRouted)]
    return [message for message in messages if isinstance(message, kind)]


E = TypeVar("E", bound=Effect)


def those(effects: Iterable[Effect], kind: type[E]) -> list[E]:
    """The effects of this kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def counts(effects: Iterable[Effect]) -> list[str]:
    return [effect.rule for effect in those(effects, Count)]
