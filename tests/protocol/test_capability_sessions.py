"""K-2 … K-4, K-7: a sync has a session for what has no owner, and one for each owner of tags."""

from __future__ import annotations

from tagmesh.protocol.capability_words import Answer, CancelJoining, Policy, StartSession, SyncOver
from tagmesh.protocol.contract import SyncReport, TagEvidence
from tagmesh.protocol.effects import Announce
from tagmesh.protocol.events import Event
from tagmesh.protocol.messages import CapState
from tagmesh.protocol.sync_words import Why
from tagmesh.protocol.tag_syncs import AUTO_JITTER_S, Part
from tagmesh.protocol.tag_words import TagHere
from tests.protocol.capability_bench import SYNCED_AT_START, Bench, peer, view
from tests.protocol.tag_sync_bench import here

OK, SYNCING, DEGRADED = CapState.OK, CapState.SYNCING, CapState.DEGRADED
VIP, OTHER = here("vip", 2), here("other", 3)


def begun(*tags: TagHere, policy: Policy = SYNCED_AT_START) -> Bench:
    """The first session is under way."""
    return Bench(policy, around=view(peer(2), peer(3), tags=tags)).enable()


def part_of(bench: Bench) -> Part | None:
    return [e.wish.part for e in bench.all if isinstance(e, StartSession)][-1]


def tagged(bench: Bench, *, ok: bool = True, reason: str = "busy") -> Bench:
    """The session for tags that is under way has ended."""
    part = part_of(bench)
    assert part is not None
    found = [
        TagEvidence(tag=t.tag, donor=part.donor, epoch=t.number, at_s=bench.now) for t in part.terms
    ]
    report = SyncReport(
        ok=ok,
        reason="" if ok else reason,
        donor=part.donor,
        items=4 * ok,
        evidence=tuple(found) if ok else (),
    )
    bench.do(bench.rules.session_ended(bench.session, report, bench.now))
    return bench


def over(bench: Bench) -> SyncReport:
    (done,) = bench.of(SyncOver)
    assert isinstance(done.report, SyncReport)
    return done.report


def test_the_first_session_takes_nothing_that_has_an_owner() -> None:
    bench = begun(VIP, OTHER)
    (start,) = bench.of(StartSession)
    assert (start.wish.part, start.wish.foreign) == (None, {"vip", "other"})


def test_it_is_ok_when_what_has_owners_has_come_too() -> None:
    """K-2."""
    bench = begun(VIP, OTHER).ended()
    assert (bench.state, part_of(bench).donor) == (SYNCING, 2)  # type: ignore[union-attr]  # or fails
    tagged(bench)
    assert (bench.state, part_of(bench).donor) == (SYNCING, 3)  # type: ignore[union-attr]  # or fails
    tagged(bench)
    assert bench.state is OK
    report = over(bench)
    assert (report.ok, report.items, report.pending) == (True, 11, ())
    assert [found.tag for found in report.evidence] == ["vip", "other"]
    assert bench.rules.published.lacking == []


def test_each_session_asks_the_owner_and_nobody_else() -> None:
    """K-1."""
    bench = begun(OTHER).ended()
    assert [c.node_id if (c := bench.rules.choose(frozenset())) else None] == [3]
    assert bench.rules.choose(frozenset({peer(3).node_id})) is None


def test_a_tag_without_owner_keeps_nothing_else_from_being_ok() -> None:
    """K-4: what is pending is told to the other nodes, and in the report."""
    bench = begun(here("vip", None)).ended()
    assert (bench.state, bench.rules.published.lacking) == (OK, ["vip"])
    assert over(bench).pending == (("vip", Why.NO_OWNER),)
    bench.see(peer(2), peer(3), tags=[VIP])
    bench.now += AUTO_JITTER_S
    bench.do(bench.rules.tick(bench.now))
    assert part_of(bench) is not None
    assert bench.state is OK
    tagged(bench)
    assert bench.rules.published.lacking == []
    assert bench.events() == [Event.SYNC_DONE]


def test_a_tag_that_moves_in_the_middle_is_told_of_when_it_is_complete() -> None:
    """K-6: one end, with all that came."""
    bench = tagged(begun(VIP).ended())
    bench.see(peer(2), peer(3), tags=[here("vip", 3, 6)])
    bench.now += AUTO_JITTER_S
    bench.do(bench.rules.tick(bench.now))
    stopped = SyncReport(ok=True, donor=peer(3).node_id, items=3)
    bench.do(bench.rules.session_ended(bench.session, stopped, bench.now))
    assert bench.of(Announce) == []
    bench.see(peer(2), peer(3), tags=[here("vip", 2, 7)])
    bench.now += AUTO_JITTER_S
    bench.do(bench.rules.tick(bench.now))
    tagged(bench)
    (told,) = bench.of(Announce)
    assert (told.kind, told.node_id) == (Event.SYNC_DONE, 2)
    assert told.cause == "7 records of vip"


def test_an_owner_that_failed_is_asked_again_while_it_is_ok() -> None:
    bench = tagged(begun(VIP).ended(), ok=False)
    assert (bench.state, bench.rules.published.lacking) == (OK, ["vip"])
    bench.now += 1
    bench.do(bench.rules.tick(bench.now))
    tagged(bench)
    assert bench.rules.published.lacking == []


def test_a_sync_of_a_tag_leaves_it_ok() -> None:
    """K-3, by name."""
    bench = tagged(begun(VIP, OTHER).ended())
    tagged(bench)
    assert bench.request(tags=("vip",)) is Answer.TAKEN
    part = part_of(bench)
    assert part is not None
    assert (bench.state, part.tags) == (OK, ("vip",))
    assert bench.request(tags=("vip",)) is Answer.IN_PROGRESS
    tagged(bench)
    assert (over(bench).ok, over(bench).donor) == (True, 2)


def test_a_sync_of_a_tag_that_nobody_has_fails_at_once_and_does_no_harm() -> None:
    bench = begun(here("vip", None)).ended()
    bench.request(tags=("vip",))
    assert (over(bench).ok, over(bench).reason) == (False, Why.NO_OWNER)
    assert bench.state is OK


def test_a_sync_of_what_is_backup_here() -> None:
    """K-3, by state."""
    bench = tagged(begun(VIP, here("mine", 1, active=True)).ended())
    bench.request(backups=True)
    part = part_of(bench)
    assert part is not None
    assert part.tags == ("vip",)


def test_a_sync_of_what_is_active_here_is_refused_unless_it_is_forced() -> None:
    """K-7."""
    bench = begun(here("mine", 1, active=True)).ended()
    assert bench.request(tags=("mine",)) is Answer.ACTIVE_HERE
    assert (over(bench).ok, over(bench).reason) == (False, Why.ACTIVE_HERE)
    assert bench.request(tags=("mine",), force=("mine",)) is Answer.TAKEN
    part = part_of(bench)
    assert part is not None
    assert (part.forced, part.owned) == (True, False)


def test_a_request_ends_a_session_for_tags_that_nobody_asked_for() -> None:
    bench = begun(here("vip", None)).ended()
    bench.see(peer(2), tags=[VIP])
    bench.now += AUTO_JITTER_S
    bench.do(bench.rules.tick(bench.now))
    assert bench.request() is Answer.TAKEN
    assert [cancelled.reason for cancelled in bench.of(CancelJoining)] == [Why.SUPERSEDED]
    assert bench.state is SYNCING
    tagged(bench.ended())
    assert bench.state is OK


def test_switched_off_in_a_session_for_tags_it_ends() -> None:
    bench = begun(VIP).ended()
    bench.do(bench.rules.disable("a test", bench.now))
    assert [cancelled.reason for cancelled in bench.of(CancelJoining)] == [Why.DISABLED]
    assert (over(bench).ok, bench.state) == (False, CapState.DISABLED)


def test_without_auto_sync_nothing_is_fetched_unasked() -> None:
    """M-4: the switch."""
    bench = begun(VIP, policy=Policy())
    assert bench.state is OK
    bench.now += 10
    bench.do(bench.rules.tick(bench.now))
    assert bench.of(StartSession) == []


def test_tags_that_are_claimed_after_somebody_asked_for_them_come_from_their_owners() -> None:
    """K-1: nobody else serves them, so the wish would fail again and again."""
    bench = begun().ended()
    assert bench.request(tags=("vip", "mine")) is Answer.TAKEN
    assert [e.wish.tags for e in bench.of(StartSession)] == [("vip", "mine")]
    bench.ended(ok=False, reason=Why.NOT_TAG_OWNER)
    assert bench.state is DEGRADED
    bench.see(peer(2), peer(3), tags=[VIP, here("mine", 1, active=True)])
    while bench.state is DEGRADED:
        bench.tick_at_deadline()
    part = part_of(bench)
    assert part is not None
    assert (bench.state, part.donor, part.tags) == (SYNCING, 2, ("vip",))
    tagged(bench)
    assert bench.state is OK
    assert over(bench).pending == (("mine", Why.ACTIVE_HERE),)
