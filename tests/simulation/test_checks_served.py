"""Who may serve the records of a tag (I4), by what is sent; each case can fail."""

from __future__ import annotations

import pytest

from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import Routed, SyncAnswer, SyncChunk, SyncId, SyncRequest, TagTerm
from tagmesh.protocol.sync_pieces import checksum, encode_chunk, encode_piece
from tagmesh.simulation import Checkers, Violation, World
from tagmesh.simulation.checks_served import ServedChecks
from tagmesh.simulation.tagged_records import TAGGED, provide_tagged

JOINER = 3
A_STEP_S = 5.0
"""Something happens by then, and the check tells what it found."""


class Asked:
    """Node 1 has the tag; node 3 asks a donor for records, and the donor sends some."""

    def __init__(self, donor: int, *terms: TagTerm, unowned: bool = False) -> None:
        self.world = World(1, 3, settings={"sharing_tags": ["vip"]})
        provide_tagged(self.world, ["vip"])
        checkers = Checkers(self.world)
        ServedChecks(self.world, checkers.trouble)
        self.world.boot_all()
        checkers.settle(30)
        self.world.activate(1, "vip")
        self.world.run_for(5)
        self.donor = donor
        self.session = SyncId(JOINER, self.life(JOINER), 1000)
        self.sent(
            SyncRequest(
                1, JOINER, self.life(JOINER), donor, 0, TAGGED, self.session, 1, 1,
                tags=[], have=[], only=[], terms=list(terms), unowned=unowned,
            )
        )  # fmt: skip

    def life(self, node: int) -> int:
        return self.world.processes[NodeId(node)].system.context.incarnation

    def sent(self, message: Routed) -> None:
        """As if it were on its way to the first neighbour."""
        end = self.world.processes[NodeId(message.source)].transport.endpoints()[0]
        assert self.world.network.on_sent is not None
        self.world.network.on_sent(end, [message])

    def accepts(self, *tags: str) -> None:
        """The donor says that it serves these, of which it has no record."""
        head = (1, self.donor, self.life(self.donor), JOINER, 0, TAGGED)
        held = [(tag, 0, bytes(16)) for tag in tags]
        self.sent(SyncAnswer(*head, self.session, "", 1, 1, list(tags), held=held))

    def sends(self, tag: str) -> None:
        """The donor sends a record."""
        head = (1, self.donor, self.life(self.donor), JOINER, 0, TAGGED)
        pieces = encode_chunk([encode_piece(tag, 0, [b"\x01"], None)])
        self.sent(SyncChunk(*head, self.session, 0, checksum(pieces), pieces))

    def passes(self) -> None:
        self.world.run_for(A_STEP_S)

    def fails(self) -> None:
        with pytest.raises(Violation, match=f"I4: node {self.donor} serves vip to node {JOINER}"):
            self.world.run_for(A_STEP_S)


TERM = TagTerm("vip", 1, 1, 50)
LATER = TagTerm("vip", 2, 2, 50)


def test_the_owner_serves_its_tag() -> None:
    asked = Asked(1, TERM)
    asked.accepts("vip")
    asked.sends("vip")
    asked.passes()


def test_the_owner_may_send_on_what_waits_when_the_tag_moves() -> None:
    asked = Asked(1, TERM)
    asked.accepts("vip")
    asked.world.activate(2, "vip")
    asked.world.run_for(1)
    asked.sends("vip")
    asked.passes()


def test_who_accepts_a_request_may_lose_the_tag_before_it_says_so() -> None:
    """A slow reader takes at one instant what it was asked, and who has the tag now."""
    asked = Asked(1, TERM)
    asked.world.run_for(A_STEP_S)
    asked.world.activate(2, "vip")
    asked.world.run_for(A_STEP_S)
    asked.accepts("vip")
    asked.passes()


def test_a_backup_says_that_it_serves() -> None:
    """Also when it has no records: the joiner would believe that there are none."""
    asked = Asked(2, TERM)
    asked.accepts("vip")
    asked.fails()


def test_who_begins_has_nothing_to_serve() -> None:
    asked = Asked(2, TERM)
    asked.world.crash(2)
    asked.world.boot(2)
    asked.passes()
    asked.accepts("vip")
    asked.fails()


def test_a_backup_sends_a_record() -> None:
    asked = Asked(2, TERM)
    asked.accepts()
    asked.sends("vip")
    asked.fails()


def test_a_backup_sends_a_record_nobody_named() -> None:
    asked = Asked(2)
    asked.accepts()
    asked.sends("")
    asked.sends("nobody's")
    asked.passes()
    asked.sends("vip")
    asked.fails()


def test_an_owner_serves_who_knows_a_later_one() -> None:
    asked = Asked(1, LATER)
    asked.accepts("vip")
    asked.fails()


def test_whose_owner_is_there_is_not_without_owner() -> None:
    asked = Asked(2, TERM, unowned=True)
    asked.accepts("vip")
    asked.fails()


def test_without_an_owner_who_has_records_serves() -> None:
    asked = Asked(2, TERM, unowned=True)
    asked.world.crash(1)
    asked.world.run_for(30)
    asked.accepts("vip")
    asked.sends("vip")
    asked.passes()
