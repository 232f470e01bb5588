"""The table: which record stays, and sections with the counts and digests of their records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.capabilities.records import (
    TOMBSTONE_S,
    Era,
    Head,
    bucket_of,
    pack_key,
    pack_record,
    pack_value,
    read_head,
    tombstone,
)
from tagmesh.capabilities.table import MAX_UNSUMMED, Table, read_items
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import Section
from tagmesh.protocol.sync_pieces import digest_of, sum_of
from tagmesh.protocol.tag_words import Epoch

NOW_MS = 1_000_000


def made(
    key: str = "k",
    counter: int = 1,
    *,
    node: int = 1,
    epoch: int = 0,
    tag: str = "",
    moves: int = 0,
    expires_ms: int = 0,
    value: object = "v",
) -> bytes:
    """With a tag also with an epoch, of node 1."""
    under = Era(moves, Epoch(epoch, NodeId(1), 50) if tag else None) if tag or moves else None
    return pack_record(
        Head(pack_key(key), tag, under, counter, node, expires_ms, False), pack_value(value)
    )


def dead(item: bytes, expires_ms: int = 10**12) -> bytes:
    return tombstone(read_head(item), expires_ms)


def everything(table: Table) -> list[bytes]:
    return sorted(item for number in range(256) for item in table.bucket(number))


def reckoned(table: Table) -> list[Section]:
    """The sections, by adding up all records."""
    groups: dict[tuple[str, int], list[bytes]] = {}
    for item in everything(table):
        head = read_head(item)
        groups.setdefault((head.tag, bucket_of(head.key)), []).append(item)
    return [
        Section(tag, bucket, len(items), digest_of(sum_of(items)))
        for (tag, bucket), items in sorted(groups.items())
    ]


ORDERED = [
    made(counter=1, node=1),
    made(counter=1, node=2),
    made(counter=1, node=2, value="w"),
    dead(made(counter=1, node=2)),
    made(counter=2, node=1),
    made(counter=1, node=1, epoch=1, tag="a"),
    dead(made(counter=2, node=1, epoch=1, tag="a"), 10**12),
    dead(made(counter=2, node=1, epoch=1, tag="a"), 10**12 + 1),
    made(counter=1, node=1, epoch=2, tag="a"),
    made(counter=1, node=1, epoch=1, tag="b", moves=1),
    made(counter=2, node=1, moves=2),
]
"""Of any two the later one stays: moves, epoch, counter, node, deletion, bytes."""


@pytest.mark.parametrize("newer", range(1, len(ORDERED)))
def test_of_two_records_the_newer_stays_whichever_comes_first(newer: int) -> None:
    for older in range(newer):
        for order in ([older, newer], [newer, older], [newer, older, newer]):
            table = Table()
            for number in order:
                table.merge([ORDERED[number]])
            assert everything(table) == [ORDERED[newer]], order


def test_merging_says_which_keys_changed() -> None:
    table = Table()
    a, b = made("a", 5), made("b", 5)
    assert table.merge([a, b]) == ([pack_key("a"), pack_key("b")], [])
    assert table.merge([a, made("b", 4), made("a", 6)]) == ([pack_key("a")], [])
    assert (table.size, table.dead, table.newest) == (2, 0, 6)


def test_a_newer_record_with_another_tag_moves_the_key() -> None:
    table = Table()
    table.merge([made(counter=1, tag="vip1")])
    table.merge([made(counter=2, tag="vip2", moves=1)])
    table.merge([made(counter=3, tag="vip1", epoch=9)])
    assert [section.tag for section in table.sections([])] == ["vip2"]
    assert table.section("vip1", bucket_of(pack_key("k"))) == []
    assert table.size == 1


def test_sections_are_listed_in_order_and_by_tag() -> None:
    table = Table()
    table.merge([made(f"k{number}", tag=f"t{number % 3}") for number in range(100)])
    listed = table.sections([])
    assert listed == reckoned(table)
    assert [(s.tag, s.bucket) for s in listed] == sorted((s.tag, s.bucket) for s in listed)
    assert table.sections(["t1", "t2"]) == [s for s in listed if s.tag in ("t1", "t2")]
    assert table.sections(["t9"]) == []


@pytest.mark.parametrize("pause", [1, 2, MAX_UNSUMMED, MAX_UNSUMMED + 1])
def test_what_is_told_of_a_section_is_what_it_has_now(pause: int) -> None:
    table = Table()
    table.merge([made("still")])
    for counter in range(1, 3 * MAX_UNSUMMED + 4):
        table.merge([made("often", counter=counter)])
        if counter % pause == 0:
            assert table.sections([]) == reckoned(table)
    item = table.get(pack_key("often"))
    assert item is not None
    table.remove(read_head(item), item)
    assert table.sections([]) == reckoned(table)
    assert sum(section.count for section in table.sections([])) == 1


BROKEN = {
    "no record": b"\xc0",
    "nothing": b"",
    "not whole": made()[:-1],
    "a key that is none": made().replace(pack_key("k"), b"\xa1\xff"),
    "node 0": made(node=1).replace(b"\xc0\x01\x01\x00\xc2", b"\xc0\x01\x00\x00\xc2"),
    "a counter without successors": made(counter=2**62 + 1),
    "another tag": made(tag="vip2"),
    "a tag and no epoch": pack_record(
        Head(pack_key("k"), "vip1", None, 1, 1, 0, False), pack_value("v")
    ),
    "deeper than anybody reads": made()[:-2] + b"\x91" * 60_000 + b"\xc0",
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_handed_back_and_the_rest_taken(what: str) -> None:
    good = made("good", tag="vip1")
    heads, items, broken = read_items([BROKEN[what], good], tag="vip1")
    assert (heads, items) == ([read_head(good)], [good])
    assert [item for item, _ in broken] == [BROKEN[what]]
    assert broken[0][1]


def test_an_epoch_without_a_tag_is_broken() -> None:
    odd = pack_record(
        Head(pack_key("k"), "", Era(0, Epoch(1, NodeId(1), 50)), 1, 1, 0, False), pack_value("v")
    )
    table = Table()
    changed, broken = table.merge([odd, made("good")])
    assert changed == [pack_key("good")]
    assert broken == [(odd, "a record of tag '' under epoch 1 of node 1")]
    assert everything(table) == [made("good")]


def test_expired_records_become_tombstones_and_those_are_forgotten_later() -> None:
    table = Table()
    item = made(expires_ms=NOW_MS, value="secret")
    table.merge([item, made("other")])
    assert table.expire(NOW_MS - 1, 10) == ([], False)
    assert table.expire(NOW_MS + 1000, 10) == ([pack_key("k")], False)
    kept = table.get(pack_key("k"))
    assert kept == dead(item, NOW_MS + TOMBSTONE_S * 1000)
    assert (table.size, table.dead) == (2, 1)
    assert table.merge([item]) == ([], []), "the record itself cannot come back"
    assert table.expire(NOW_MS + TOMBSTONE_S * 1000 + 1000, 10) == ([pack_key("k")], False)
    assert (table.size, table.dead) == (1, 0)
    assert table.sections([]) == reckoned(table)


def test_what_expired_long_ago_leaves_no_tombstone() -> None:
    table = Table()
    table.merge([made(expires_ms=1)])
    assert table.expire(10**12, 10) == ([pack_key("k")], False)
    assert table.size == 0


def test_expiring_is_done_in_portions() -> None:
    table = Table()
    table.merge([made(str(number), expires_ms=NOW_MS) for number in range(10)])
    told = [table.expire(NOW_MS + 1000, 4) for _ in range(4)]
    assert [(len(keys), more) for keys, more in told] == [
        (4, True),
        (4, True),
        (2, False),
        (0, False),
    ]


def test_a_record_written_again_lives_as_long_as_it_says_now() -> None:
    table = Table()
    table.merge([made(expires_ms=NOW_MS)])
    table.merge([made(counter=2, expires_ms=NOW_MS + 60_000)])
    table.merge([made(counter=3)])
    assert table.expire(10**12, 10) == ([], False)
    assert table.size == 1


ITEMS = st.builds(
    made,
    st.sampled_from("abc"),
    st.integers(0, 5),
    node=st.integers(1, 2),
    tag=st.sampled_from(["", "vip1"]),
    epoch=st.integers(1, 2),
    moves=st.integers(0, 1),
    expires_ms=st.sampled_from([0, NOW_MS]),
)


@given(st.lists(ITEMS | ITEMS.map(dead), max_size=40), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(items: list[bytes], random: object) -> None:
    one, other = Table(), Table()
    one.merge(items)
    random.shuffle(items)  # type: ignore[attr-defined]  # a random.Random
    other.merge(items)
    other.merge(items)
    assert everything(one) == everything(other)
    assert one.sections([]) == other.sections([]) == reckoned(one)
    assert (one.size, one.dead, one.newest) == (other.size, other.dead, other.newest)
    assert one.size == len(everything(one))


@pytest.mark.parametrize("writes", [MAX_UNSUMMED - 1, MAX_UNSUMMED, MAX_UNSUMMED + 1, 500])
def test_digests_are_right_however_many_changes_are_not_added_up_yet(writes: int) -> None:
    table = Table()
    for counter in range(writes):
        table.merge([made(counter=counter)])
    assert table.sections([]) == reckoned(table)
    noted = [section for home in table._buckets for section in home.values()]
    assert all(len(s.new) <= MAX_UNSUMMED and len(s.gone) <= MAX_UNSUMMED for s in noted)


def test_removing_and_storing_again_restores_the_digest() -> None:
    table = Table()
    items = [made(str(number)) for number in range(300)]
    table.merge(items)
    before = table.sections([])
    for item in items[::2]:
        table.remove(read_head(item), item)
    assert table.size == 150
    for item in items[::2]:
        table.take([(read_head(item), item)])
    assert table.sections([]) == before
