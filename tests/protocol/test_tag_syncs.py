"""K-2 … K-4, K-7, M-4: which tags are synced, from whom and when. This is node 1."""

from __future__ import annotations

import pytest

from tagmesh.protocol.contract import SyncReport, TagEvidence
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import MAX_LACKING, MAX_TAGS
from tagmesh.protocol.sync_words import Why
from tagmesh.protocol.tag_syncs import AUTO_JITTER_S, Asked, Part, TagSyncs
from tagmesh.protocol.tag_words import TagHere
from tests.protocol.capability_bench import peer, said
from tests.protocol.tag_sync_bench import here, term

DONORS = [peer(2), peer(3)]
NOW = 100.0


def syncs(
    *tags: TagHere, auto: bool = True, newest: bool = False, needs_data: bool = True
) -> TagSyncs:
    made = TagSyncs(auto=auto, needs_data=needs_data, newest=newest, draw=lambda: 1.0)
    made.see(tags, NOW, complete=False)
    return made


def later(made: TagSyncs) -> TagSyncs:
    made.tick(NOW + AUTO_JITTER_S)
    return made


def due(made: TagSyncs) -> Part:
    part = made.due(DONORS)
    assert part is not None
    return part


def report(part: Part, *tags: str) -> SyncReport:
    """It ended well, for these tags, or all."""
    found = [
        TagEvidence(tag=t.tag, donor=part.donor, epoch=t.number, at_s=NOW)
        for t in part.terms
        if t.tag in (tags or part.tags)
    ]
    return SyncReport(ok=True, evidence=tuple(found))


def done(made: TagSyncs, *tags: str) -> Part:
    part = due(made)
    made.done(part, report(part, *tags), NOW)
    return part


def test_tags_of_one_owner_are_one_part_and_owners_come_one_after_the_other() -> None:
    """K-2."""
    made = later(syncs(here("a", 2), here("b", 3), here("c", 2)))
    first = done(made)
    assert (first.donor, first.terms) == (2, (term("a"), term("c")))
    second = done(made)
    assert (second.donor, second.tags) == (3, ("b",))
    assert made.due(DONORS) is None
    assert made.deadline is None


def test_what_is_wanted_by_itself_waits_a_jittered_moment() -> None:
    """M-4: what comes together is fetched together."""
    made = syncs(here("a", 2))
    assert made.deadline == NOW + AUTO_JITTER_S
    made.see([here("a", 2), here("b", 2)], NOW + 0.1, complete=True)
    assert made.deadline == NOW + AUTO_JITTER_S
    assert made.due(DONORS) is None
    assert due(later(made)).tags == ("a", "b")


def test_nothing_is_fetched_by_itself_when_that_is_switched_off() -> None:
    made = later(syncs(here("a", 2), auto=False))
    assert made.due(DONORS) is None
    made.ask(Asked(frozenset({"a"})))
    assert due(made).tags == ("a",)


@pytest.mark.parametrize(
    "after", [here("a", 3, 6), here("a", 2, 6, life=2)], ids=["another owner", "another life"]
)
def test_a_tag_is_synced_again_with_another_life_of_its_owner(after: TagHere) -> None:
    made = later(syncs(here("a", 2)))
    done(made)
    made.see([after], NOW, complete=True)
    made.tick(NOW + 1)
    part = made.due([peer(2, life=2), peer(3)])
    assert part is not None
    assert part.terms == (after.term,)


def test_a_tag_is_synced_again_when_its_owner_has_it_back() -> None:
    """Another node had it meanwhile, and may have written what is not here."""
    made = later(syncs(here("a", 2)))
    done(made)
    made.see([here("a", 3, 6)], NOW, complete=True)
    made.see([here("a", 2, 7)], NOW, complete=True)
    made.tick(NOW + 1)
    assert due(made).terms == (term("a", 2, 7),)


def test_an_owner_that_is_not_ok_is_not_asked() -> None:
    made = later(syncs(here("a", 2)))
    assert made.due([peer(3)]) is None
    assert made.lacking == ["a"]


def test_what_is_active_here_is_not_fetched() -> None:
    """K-7."""
    made = later(syncs(here("a", 1, active=True)))
    assert made.due(DONORS) is None
    made.ask(Asked(frozenset({"a"})))
    assert made.due(DONORS) is None
    assert (made.active("a"), made.lacking, made.backups()) == (True, [], frozenset())


def test_forced_it_is_fetched_from_the_newest_that_has_it() -> None:
    made = syncs(here("a", 1, active=True))
    made.ask(Asked(frozenset({"a"}), force=frozenset({"a"})))
    donors = [peer(2, said(position=5)), peer(3, said(position=9, lacking=["a"]))]
    part = made.due(donors)
    assert part is not None
    assert (part.donor, part.owned, part.forced, part.mirror) == (2, False, True, False)


def test_a_tag_without_an_owner_is_pending_alone() -> None:
    """K-4."""
    made = later(syncs(here("a", None), here("b", 2)))
    assert done(made).tags == ("b",)
    assert made.due(DONORS) is None
    assert made.pending() == {"a": "a test says so"}


def test_by_policy_the_newest_backup_gives_what_has_no_owner_unconfirmed() -> None:
    """K-4: once, and again when there is an owner."""
    made = later(syncs(here("a", None), newest=True))
    donors = [peer(2, said(position=5)), peer(3, said(position=9)), peer(4, said(lacking=[""]))]
    part = made.due(donors)
    assert part is not None
    assert (part.donor, part.owned, part.mirror) == (3, False, False)
    made.done(part, report(part), NOW)
    assert not made.evidence["a"].confirmed
    assert made.due(donors) is None
    made.see([here("a", 2, 6)], NOW, complete=True)
    made.tick(NOW + 1)
    done(made)
    assert made.evidence["a"].confirmed


def test_an_owner_that_failed_is_asked_again_after_a_pause_and_others_meanwhile() -> None:
    made = later(syncs(here("a", 2), here("b", 3)))
    first = due(made)
    made.failed_with(first, first.tags, "busy", NOW)
    assert due(made).donor == 3
    assert made.pending()["a"] == "busy"
    assert made.deadline is not None
    made.tick(made.deadline)
    assert due(made).donor == 2


def test_a_tag_that_was_not_served_stays_wanted() -> None:
    made = later(syncs(here("a", 2), here("b", 2)))
    done(made, "a")
    assert made.lacking == ["b"]
    assert made.failed == {"b": Why.NOT_TAG_OWNER}
    assert made.due(DONORS) is None, "that node is left alone for a while"


def test_a_tag_whose_beginning_was_seen_is_not_lacking() -> None:
    made = syncs()
    made.see([here("new", 2, 1), here("old", 2, 2)], NOW, complete=True)
    assert made.lacking == ["old"]


def test_a_tag_that_was_active_here_is_not_lacking() -> None:
    made = syncs(here("a", 1, active=True))
    made.see([here("a", 2, 6)], NOW, complete=True)
    assert made.lacking == []


def test_the_node_with_the_newest_data_lacks_nothing() -> None:
    made = syncs(here("a", None))
    made.vouch()
    assert made.lacking == []


def test_a_capability_that_needs_no_data_lacks_nothing() -> None:
    assert syncs(here("a", None), needs_data=False).lacking == []


def test_of_very_many_tags_all_are_told_to_be_lacking() -> None:
    tags = [here(f"{n:02}", 2) for n in range(MAX_LACKING + 1)]
    assert syncs(*tags).told == [""]
    assert len(syncs(*tags[1:]).told) == MAX_LACKING


def test_a_session_names_so_many_tags_at_most() -> None:
    made = later(syncs(*[here(f"{n:03}", 2) for n in range(MAX_TAGS + 1)]))
    assert [len(done(made).tags) for _ in range(2)] == [MAX_TAGS, 1]


def test_switched_off_and_on_nothing_vouches_for_anything() -> None:
    made = later(syncs(here("a", 2)))
    done(made)
    made.reset()
    assert (made.lacking, made.evidence) == (["a"], {})
    assert due(made).tags == ("a",)


def test_a_comparison_is_of_what_no_third_node_has() -> None:
    """B7: what the other one has; what nobody has; and what an owner may lack itself."""
    made = syncs(here("a", 2), here("b", 3), here("c", 1, active=True), here("d", None))
    assert [found.tag for found in made.comparable(NodeId(2))] == ["a", "c", "d"]
    assert made.foreign() == {"a", "b", "c", "d"}


def test_nobody_waits_for_what_cannot_be_had() -> None:
    made = syncs(here("a", None))
    made.ask(Asked(frozenset({"a", "unclaimed"})))
    made.give_up()
    assert (made.failed, made.asked.tags) == ({"a": Why.NO_OWNER}, frozenset())
