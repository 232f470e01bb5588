"""A joiner with an application by hand, for its tests."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tagmesh.protocol.contract import SyncReport
from tagmesh.protocol.effects import Effect
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import Routed, Section, SyncRequest, TagTerm
from tagmesh.protocol.sync_joiner import Joiner
from tagmesh.protocol.sync_words import (
    AskExtraKeys,
    Candidate,
    Finished,
    JoinerState,
    SyncSettings,
    Wish,
)
from tests.protocol.sync_script import (
    AT_JOINER,
    DONOR,
    DONOR_LIFE,
    OTHER,
    T0,
    Sections,
    answer,
    chunk,
    end,
    here,
    sent,
    those,
)

Q, P = 2.0, 15.0
A, B = {("", 1): [b"\x01"]}, {("", 2): [b"\x02", b"\x03"]}
AT_OTHER = here(OTHER, 8)
LIVES = {DONOR: DONOR_LIFE, OTHER: 8}


class Bench:
    """A joiner and what it did."""

    def __init__(
        self,
        donors: Sequence[NodeId] = (DONOR, OTHER),
        *,
        keyed: bool = True,
        mirror: bool = False,
        dry_run: bool = False,
        tags: tuple[str, ...] = (),
        local: Sequence[Section] = (),
        first_bucket: int | None = None,
        terms: tuple[TagTerm, ...] = (),
        foreign: frozenset[str] = frozenset(),
    ) -> None:
        self.donors = list(donors)
        self.local = list(local)
        wish = Wish(
            keyed=keyed,
            version_min=1,
            version_max=2,
            tags=tags,
            mirror=mirror,
            dry_run=dry_run,
            first_bucket=first_bucket,
            terms=terms,
            foreign=foreign,
        )
        self.now = T0
        self.effects: list[Effect] = []
        self.rules = Joiner(AT_JOINER, wish, SyncSettings(), self.choose, itertools.count(1))
        self.do(self.rules.start(self.now))

    def choose(self, excluded: frozenset[NodeId]) -> Candidate | None:
        left = [node for node in self.donors if node not in excluded]
        return Candidate(left[0], LIVES[left[0]]) if left else None

    def do(self, effects: Sequence[Effect]) -> list[Effect]:
        self.effects += effects
        return list(effects)

    def get(self, message: Routed) -> list[Effect]:
        return self.do(self.rules.receive(message, self.now))

    def sections(self) -> list[Effect]:
        return self.do(self.rules.sections(self.local, self.now))

    def take(self, number: int, *, session: int = 1, refused: int = 0) -> list[Effect]:
        return self.do(self.rules.applied(session, number, refused, self.now))

    def says_extra(self, ask: AskExtraKeys, keys: Sequence[bytes] = ()) -> list[Effect]:
        where = (ask.session, ask.tag, ask.bucket)
        return self.do(self.rules.extra_keys(*where, keys, self.now))

    def tick(self) -> list[Effect]:
        assert self.rules.deadline is not None
        self.now = self.rules.deadline
        return self.do(self.rules.tick(self.now))

    def receiving(self) -> Bench:
        """Sections known, the first donor accepted."""
        self.sections()
        self.get(answer())
        assert self.rules.state is JoinerState.RECEIVING
        return self

    def all_of(self, data: Sections) -> list[Effect]:
        """One chunk with everything, and the end."""
        self.get(chunk(0, data))
        self.get(end(1, data))
        return self.take(0)

    @property
    def requests(self) -> list[SyncRequest]:
        return sent(self.effects, SyncRequest)

    @property
    def asked(self) -> list[int]:
        return [request.destination for request in self.requests]

    @property
    def report(self) -> SyncReport:
        (finished,) = those(self.effects, Finished)
        return finished.report


def outcome(report: SyncReport) -> tuple[bool, str, int | None]:
    return report.ok, report.reason, report.donor
