"""What must be true when all is healed: `Traffic.settle` says what is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tagmesh.capabilities.records import pack_key, read_head
from tagmesh.simulation import Violation, World
from tagmesh.simulation.records import NOTES, RECORDS, REGISTERED, Duty, Notes, Post, Records
from tagmesh.simulation.traffic import Traffic


def peace() -> Traffic:
    """Three nodes at peace; node 1 has written a record."""
    world = World(1, 3)
    traffic = Traffic(world)
    world.boot_all()
    world.run_for(30)
    records = traffic.of(1, RECORDS, Records)
    records.put("a", 1)
    records.wrote("a")
    world.run_for(1)
    return traffic


def test_at_peace_everything_is_well() -> None:
    peace().settle()


def lose_record(traffic: Traffic) -> None:
    """Everywhere, so that all are equal."""
    for node in traffic.world.ids:
        records = traffic.of(node, RECORDS, Records)
        (item,) = (i for i in records._all() if read_head(i).key == pack_key("a"))
        records._table.remove(read_head(item), item)


def lose_letter(traffic: Traffic) -> None:
    traffic.of(1, REGISTERED, Post).posted[2] += 1


def lose_notes(traffic: Traffic) -> None:
    notes = traffic.of(3, NOTES, Notes)
    notes.on_message = lambda message, source: None  # type: ignore[method-assign]


def take_work(traffic: Traffic) -> None:
    duty = traffic.world.partition(2, NOTES)
    assert isinstance(duty, Duty)
    duty.slots.clear()


@pytest.mark.parametrize(
    ("mischief", "told"),
    [
        (lose_record, "I5: node 1 has lost what was written"),
        (lose_letter, "I5: 1 registered letters of 1 did not come to 2"),
        (lose_notes, "I5: a last record is missing"),
        (take_work, "P-1: the work is not divided"),
    ],
)
def test_what_is_missing_is_told(mischief: Callable[[Traffic], None], told: str) -> None:
    traffic = peace()
    traffic.of(1, REGISTERED, Post).post(2)
    traffic.world.run_for(1)
    mischief(traffic)
    with pytest.raises(Violation, match=told):
        traffic.settle()


@pytest.mark.parametrize(("wrong_year", "told"), [(True, []), (False, ["I5"])])
def test_who_forgets_deletions_does_not_lack_them(wrong_year: bool, told: list[str]) -> None:
    """Seeds 8010 and 9620: its clock is ten years ahead, so every deletion is old (guarantees)."""
    world = World(1, 2)
    traffic = Traffic(world, wrong_year=wrong_year)
    world.step_clock(2, 10 * 365 * 86_400.0)
    world.boot_all()
    world.run_for(30)
    records = traffic.of(1, RECORDS, Records)
    records.put("a", 1)
    records.delete("a")
    world.run_for(1)
    traffic.of(2, RECORDS, Records).sync()
    world.run_for(5)
    assert [rule for rule, _ in traffic.ledger.wrong] == told
