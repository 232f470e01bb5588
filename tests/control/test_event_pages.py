"""Events are read from where a reader stopped."""

from __future__ import annotations

import msgspec
import pytest

from tagmesh.control import event_pages
from tests.control.fake_node import FakeNode, event, make_status

LIFE = make_status().incarnation


def node_with(first: int, last: int) -> FakeNode:
    node = FakeNode()
    node.records = [event(number) for number in range(first, last + 1)]
    return node


def numbers(page: event_pages.Page) -> list[int]:
    return [event.sequence for event in page.events]


def test_a_reader_misses_none_and_hears_none_twice() -> None:
    node = node_with(1, 3)
    first = event_pages.after(node)
    assert (numbers(first), first.lost, first.next) == ([1, 2, 3], 0, f"{LIFE}-3")
    again = event_pages.after(node, after=first.next)
    assert (numbers(again), again.lost, again.next) == ([], 0, first.next)
    node.records.append(event(4))
    assert numbers(event_pages.after(node, after=again.next)) == [4]
    assert numbers(event_pages.after(node, after=f"{LIFE}-2")) == [3, 4]


def test_what_the_ring_has_no_more_is_counted() -> None:
    node = node_with(51, 60)
    assert event_pages.after(node, after=f"{LIFE}-40").lost == 10
    assert event_pages.after(node, after=f"{LIFE}-50").lost == 0
    assert event_pages.after(node).lost == 50


@pytest.mark.parametrize("place", ["", "0", "x", f"{LIFE + 1}-60", "9" * 30 + "-1", f"{LIFE}-"])
def test_of_another_life_or_nonsense_everything_is_new(place: str) -> None:
    page = event_pages.after(node_with(58, 60), after=place)
    assert (numbers(page), page.next) == ([58, 59, 60], f"{LIFE}-60")


def test_a_place_that_was_not_reached_yet_stays() -> None:
    page = event_pages.after(node_with(1, 2), after=f"{LIFE}-9")
    assert (numbers(page), page.lost, page.next) == ([], 0, f"{LIFE}-9")


def test_a_node_without_events_has_a_place_too() -> None:
    page = event_pages.after(FakeNode())
    assert (numbers(page), page.lost, page.next) == ([], 0, f"{LIFE}-0")
    assert event_pages.newest(node_with(1, 7)) == f"{LIFE}-7"


def test_a_page_is_json() -> None:
    page = msgspec.json.decode(msgspec.json.encode(event_pages.after(node_with(1, 1))))
    assert page["events"][0]["kind"] == "node_down"
    assert page["events"][0]["cause"] == "no pong for 2 s"
