"""Explanations: trees of causes."""

from __future__ import annotations

from tagmesh.protocol.because import About, Cause, because, following
from tagmesh.protocol.decisions import Decisions
from tagmesh.protocol.explaining import past, present
from tagmesh.protocol.identity import ClusterId

ONE = ClusterId(1)
LINK, NODE = About("link", "3"), About("node", "3")
SILENT = because("4 pings unanswered", Cause.SILENT)


def book() -> Decisions:
    made = Decisions()
    made.note(ONE, LINK, SILENT, 60.0, before="Probe", after="Down")
    made.note(ONE, NODE, following(SILENT, LINK), 61.0, after="unreachable")
    return made


def test_the_past_is_one_branch_from_the_last_decision_to_its_root() -> None:
    (found,) = past(book(), ONE, NODE)
    (root,) = found.roots()
    assert (found.kind, root.kind, root.code, root.number) == ("node", "link", "silent", 1)
    assert past(book(), ONE, About("node", "4")) == []


def test_how_it_stands_is_told_with_the_decision_that_made_it_so() -> None:
    found = present(book(), ONE, LINK, "Down", SILENT)
    assert (found.number, found.wall_s, found.because) == (1, 60.0, [])
    other = present(book(), ONE, LINK, "Up", because("answers", Cause.ANSWERS))
    assert (other.number, other.code) == (None, "answers")


def test_what_else_matters_is_told_below_and_nothing_twice() -> None:
    known = past(book(), ONE, NODE)
    cause = because("no path", Cause.PATH, NODE)
    found = present(book(), ONE, About("donor", "3"), "no donor", cause, known)
    assert found.because == known


def test_an_explanation_for_people_has_a_line_per_step() -> None:
    (found,) = past(book(), ONE, NODE)
    assert list(found.lines()) == [
        "node 3 is unreachable since 00:01:01Z: 4 pings unanswered [L-3 silent]",
        "  because link 3 is Down since 00:01:00Z: 4 pings unanswered [L-3 silent]",
    ]


def test_repetitions_are_told_with_their_number() -> None:
    made = Decisions()
    for _ in range(3):
        made.note(None, About("dial", "3"), because("refused", Cause.NOBODY_LISTENS), 0.0)
    (found,) = past(made, ONE, About("dial", "3"))
    assert list(found.lines()) == ["dial 3 at 00:00:00Z, 3 times: refused [L-5 nobody_listens]"]


def test_the_same_of_the_same_thing() -> None:
    (found,) = past(book(), ONE, NODE)
    assert found.same(present(book(), ONE, NODE, None, SILENT))
    assert not found.same(found.because[0])


def test_how_it_stood_before_is_told_too_and_is_no_root() -> None:
    made = book()
    made.note(ONE, LINK, because("answers", Cause.ANSWERS), 70.0, before="Down", after="Up")
    found = present(made, ONE, LINK, "Up", because("answers", Cause.ANSWERS))
    assert [root.code for root in found.roots()] == ["answers"]
    assert list(found.lines()) == [
        "link 3 is Up since 00:01:10Z: answers [L-1 answers]",
        "  before that link 3 is Down since 00:01:00Z: 4 pings unanswered [L-3 silent]",
    ]
