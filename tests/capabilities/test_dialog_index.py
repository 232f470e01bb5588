"""What is noted of dialogs: whose they are, their profiles, and which have expired."""

from __future__ import annotations

import random
from itertools import chain

from tagmesh.capabilities.dialog_index import DialogIndex, Entry, Group

VIP, OTHER = Group("vip1"), Group("", 3)


def entry(number: int, group: Group = VIP, timeout_s: int = 100, *profiles: str) -> Entry:
    return Entry((f"call {number}", "a"), group, timeout_s, tuple((name, "") for name in profiles))


def index(*entries: Entry) -> DialogIndex:
    made = DialogIndex()
    for number, one in enumerate(entries):
        made.put(bytes([number]), one)
    return made


def test_an_expired_dialog_is_told_once_where_its_group_is_mine() -> None:
    noted = index(entry(0), entry(1, OTHER), entry(2, VIP, 200))
    assert noted.take_due(99, lambda group: True, 10) == []
    assert noted.take_due(101, lambda group: group == VIP, 10) == [b"\0"]
    assert noted.take_due(102, lambda group: group == VIP, 10) == []
    assert noted.overdue == 1


def test_those_of_others_are_told_when_they_become_mine() -> None:
    noted = index(entry(0), entry(1))
    assert noted.take_due(150, lambda group: False, 10) == []
    assert noted.overdue == 2
    assert sorted(noted.take_due(150, lambda group: True, 10)) == [b"\0", b"\1"]
    assert noted.overdue == 0


def test_no_more_than_asked_for_and_the_rest_later() -> None:
    noted = index(*(entry(n) for n in range(7)))
    told = [noted.take_due(150, lambda group: True, 3) for _ in range(4)]
    assert [len(some) for some in told] == [3, 3, 1, 0]
    assert sorted(chain(*told)) == [bytes([n]) for n in range(7)]


def test_one_that_goes_on_or_is_gone_is_not_told() -> None:
    noted = index(entry(0), entry(1), entry(2))
    noted.take_due(150, lambda group: False, 10)
    noted.put(b"\0", entry(0, VIP, 300))
    noted.put(b"\1", None)
    assert noted.take_due(150, lambda group: True, 10) == [b"\2"]
    assert noted.take_due(301, lambda group: True, 10) == [b"\0"]


def test_one_that_was_given_back_is_told_again_if_it_is_there() -> None:
    noted = index(entry(0))
    assert noted.take_due(150, lambda group: True, 10) == [b"\0"]
    noted.give_back(b"\0")
    noted.give_back(b"nobody")
    assert noted.take_due(150, lambda group: True, 10) == [b"\0"]


def test_counts_are_those_of_the_dialogs_that_are_there() -> None:
    """Against a plain count, after many random changes."""
    dice = random.Random(4)
    noted, model = DialogIndex(), dict[bytes, Entry]()
    for _ in range(2000):
        packed = bytes([dice.randrange(30)])
        if dice.random() < 0.3:
            noted.put(packed, None)
            model.pop(packed, None)
        else:
            names = dice.sample(["calls", "trunk", "account"], dice.randrange(4))
            model[packed] = entry(0, dice.choice((VIP, OTHER)), dice.randrange(99), *names)
            noted.put(packed, model[packed])
        noted.take_due(dice.randrange(99), lambda group: group == VIP, 2)
    for groups in ([VIP], [OTHER], [VIP, OTHER]):
        counted = noted.counted(groups)
        for name in ("calls", "trunk", "account"):
            expected = sum((name, "") in e.profiles for e in model.values() if e.group in groups)
            assert counted[name, ""] == expected
    assert noted.groups() == {e.group for e in model.values() if e.profiles}
    assert noted.entries == model
