"""The decisions of a node: chains of them, and their bounds."""

from __future__ import annotations

from tagmesh.protocol.because import About, Cause, because, following
from tagmesh.protocol.decisions import MAX_CHAIN, MAX_SUBJECTS, RING_DECISIONS, Decisions
from tagmesh.protocol.identity import ClusterId

ONE = ClusterId(1)
LINK, NODE = About("link", "3"), About("node", "3")


def codes(book: Decisions, subject: About) -> list[str]:
    return [decision.code for decision in book.chain(ONE, subject)]


def test_a_chain_leads_from_what_happened_last_to_its_root() -> None:
    book = Decisions()
    silent = because("4 pings unanswered", Cause.SILENT)
    root = book.note(ONE, LINK, silent, 10.0, before="Probe", after="Down")
    leaf = book.note(ONE, NODE, following(silent, LINK), 10.0, after="unreachable")
    assert leaf.follows == root.number
    assert book.chain(ONE, NODE) == [leaf, root]


def test_a_decision_of_before_is_no_cause_of_what_follows_from_something_else() -> None:
    book = Decisions()
    book.note(ONE, LINK, because("x", Cause.SILENT), 1.0, after="Down")
    book.note(ONE, NODE, because("y", Cause.LINKS_TOLD), 2.0, after="unreachable")
    assert codes(book, NODE) == ["links_told"]


def test_while_a_link_stays_down_the_newest_cause_of_it_counts_and_afterwards_the_old_one() -> None:
    book = Decisions()
    silent = because("4 pings unanswered", Cause.SILENT)
    book.note(ONE, LINK, silent, 1.0, after="Down")
    book.note(ONE, NODE, following(silent, LINK), 1.0, after="unreachable")
    book.note(ONE, LINK, because("refused", Cause.NOBODY_LISTENS), 2.0, after="Down")
    assert codes(book, NODE) == ["silent", "nobody_listens"]
    book.note(ONE, LINK, because("answers", Cause.ANSWERS), 3.0, after="Up")
    assert codes(book, NODE) == ["silent", "silent"]


def test_what_repeats_is_counted_with_the_time_of_the_last() -> None:
    book = Decisions()
    for second in (1.0, 2.0, 5.0):
        book.note(None, LINK, because("refused", Cause.NOBODY_LISTENS), second)
    (kept,) = book.history(ONE, LINK)
    assert (kept.count, kept.wall_s, kept.last_wall_s) == (3, 1.0, 5.0)


def test_the_clusters_are_apart_and_what_is_of_none_is_found_in_each() -> None:
    book = Decisions()
    book.note(ONE, LINK, because("x", Cause.SILENT), 1.0)
    book.note(None, NODE, because("y", Cause.SILENT), 1.0)
    assert book.newest(ClusterId(2), LINK) is None
    assert book.newest(ClusterId(2), NODE) is not None


def test_a_ring_forgets_the_oldest_and_a_chain_ends_there() -> None:
    book = Decisions()
    silent = because("x", Cause.SILENT)
    book.note(ONE, LINK, silent, 0.0, after="Down")
    book.note(ONE, NODE, following(silent, LINK), 0.0, after="unreachable")
    for number in range(RING_DECISIONS):
        book.note(ONE, LINK, because(f"turn {number}"), 1.0, after=str(number))
    assert len(book.history(ONE, LINK)) == RING_DECISIONS
    assert codes(book, NODE) == ["silent"]


def test_of_too_many_subjects_the_one_that_changed_least_recently_goes() -> None:
    book = Decisions()
    for number in range(MAX_SUBJECTS + 1):
        book.note(ONE, About("node", str(number)), "x", 1.0)
    assert book.newest(ONE, About("node", "0")) is None
    assert book.newest(ONE, About("node", str(MAX_SUBJECTS))) is not None


def test_a_chain_is_told_up_to_its_limit() -> None:
    book = Decisions()
    for number in range(MAX_CHAIN + 2):
        about = About("node", str(number - 1)) if number else None
        book.note(ONE, About("node", str(number)), because("x", Cause.SILENT, about), 1.0)
    assert len(book.chain(ONE, About("node", str(MAX_CHAIN + 1)))) == MAX_CHAIN
