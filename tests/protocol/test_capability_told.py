"""What others are told of a capability, and when a position is news."""

from __future__ import annotations

from tagmesh.protocol.capability_told import Told
from tagmesh.protocol.capability_words import POSITION_INTERVAL_S
from tagmesh.protocol.donors import Wants
from tagmesh.protocol.messages import MAX_TEXT_CHARS, CapState

OK, PENDING = CapState.OK, CapState.PENDING


def told(state: CapState, now: float = 10.0) -> Told:
    """Somebody who has said this state."""
    made = Told("dialogs", Wants("any", 2, 3), lambda: 5, generation=7)
    assert say(made, state, now)
    return made


def say(made: Told, state: CapState, now: float, *, without_data: bool = False) -> bool:
    return made.publish(made.said(state, now, without_data=without_data), now)


def test_it_begins_as_disabled() -> None:
    said = Told("dialogs", Wants("any", 2, 3), lambda: 5, generation=7).published
    assert (said.name, said.state, said.position) == ("dialogs", CapState.DISABLED, 5)
    assert (said.version_min, said.version_max) == (2, 3)


def test_whatever_changes_is_news_once() -> None:
    made = told(OK)
    made.because("synced " + "x" * MAX_TEXT_CHARS)
    made.view, made.generation, made.weight = 9, 8, 3
    assert say(made, OK, 11.0, without_data=True)
    assert not say(made, OK, 11.0, without_data=True)
    said = made.published
    assert (said.view, said.generation, said.weight, said.without_data) == (9, 8, 3, True)
    assert len(said.reason) == MAX_TEXT_CHARS


def test_a_position_of_a_node_that_is_ok_waits_for_other_news() -> None:
    made = told(OK)
    made.position = lambda: 6
    assert made.deadline(OK) is None
    assert not say(made, OK, 1e6)
    made.because("asked")
    assert say(made, OK, 1e6)
    assert made.published.position == 6


def test_a_position_of_a_node_that_waits_is_told_now_and_then() -> None:
    made = told(PENDING)
    assert made.deadline(PENDING) is None
    made.position = lambda: 6
    due = made.deadline(PENDING)
    assert due == 10.0 + POSITION_INTERVAL_S
    assert not say(made, PENDING, due - 0.001)
    assert say(made, PENDING, due)
    assert made.published.position == 6
