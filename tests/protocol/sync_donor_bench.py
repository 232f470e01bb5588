"""A donor with an application by hand, for its tests."""

from __future__ import annotations

from collections.abc import Sequence

from tagmesh.protocol.effects import Effect
from tagmesh.protocol.messages import (
    Routed,
    SyncRequest,
)
from tagmesh.protocol.sync_donor import Donor
from tagmesh.protocol.sync_sections import SectionKey
from tagmesh.protocol.sync_words import (
    AskItems,
    Ended,
    SyncSettings,
)
from tagmesh.protocol.tag_words import TagHere
from tests.protocol.sync_script import (
    AT_DONOR,
    JOINER,
    JOINER_LIFE,
    T0,
    Sections,
    request,
    section,
    those,
)

U, P = 5.0, 15.0
A, B, C = ("", 1), ("", 2), ("vip", 0)
DATA: Sections = {A: [b"\x01"], B: [b"\x02", b"\x03"], C: [b"\x04"]}
LONG = [bytes([0xC5, 1, 0]) + bytes([n]) * 256 for n in range(20)]
"""259 bytes each: three fill a chunk of 1024."""


class Bench:
    """A donor, its application and what came of it."""

    def __init__(
        self,
        data: Sections | None = None,
        asked: SyncRequest | None = None,
        *,
        keyed: bool = True,
        start: bool = True,
        tags: Sequence[TagHere] = (),
    ) -> None:
        self.data = DATA if data is None else data
        settings = SyncSettings(packet_bytes=1024, window_chunks=4)
        self.rules = Donor(
            AT_DONOR, asked or request(), settings, keyed=keyed, version=3, position=99, tags=tags
        )
        self.now = T0
        self.effects: list[Effect] = []
        if start:
            self.do(self.rules.start(self.now))

    def do(self, effects: Sequence[Effect]) -> list[Effect]:
        self.effects += effects
        return list(effects)

    def get(self, message: Routed) -> list[Effect]:
        return self.do(self.rules.receive(message, self.now))

    def sections(self) -> list[Effect]:
        held = [section(key, records) for key, records in self.data.items()]
        return self.do(self.rules.sections(held, self.now))

    def items(self, effects: Sequence[Effect]) -> list[Effect]:
        """Answer what was asked of the application."""
        (ask,) = those(effects, AskItems)
        records = [self.data.get(key, []) for key in ask.sections]
        return self.do(self.rules.items(records, self.now))

    def sending(self) -> Bench:
        """Everything given, nothing sent yet."""
        self.items(self.sections())
        return self

    def tick(self) -> list[Effect]:
        assert self.rules.deadline is not None
        self.now = self.rules.deadline
        return self.do(self.rules.tick(self.now))

    def node(self, reachable: bool, incarnation: int | None = JOINER_LIFE) -> list[Effect]:
        return self.do(
            self.rules.joiner_changed(
                JOINER, reachable=reachable, incarnation=incarnation, now=self.now
            )
        )

    @property
    def asked(self) -> list[SectionKey]:
        return [key for ask in those(self.effects, AskItems) for key in ask.sections]

    @property
    def ended(self) -> tuple[bool, str]:
        (ended,) = those(self.effects, Ended)
        return ended.ok, ended.reason
