"""Which keys a joiner has and its donor does not; nothing is named for a doubt (S-26)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tagmesh.protocol.messages import Section
from tagmesh.protocol.sync_extras import Extras
from tagmesh.protocol.sync_pieces import Piece
from tagmesh.protocol.sync_words import TagExtras
from tests.protocol.sync_script import section

LOCAL = [
    section(("", 1), [b"\x01", b"\x02"]),
    section(("", 2), [b"\x03"]),
    section(("vip", 1), [b"\x04"]),
]


def everything(_tag: str) -> bool:
    return True


def piece(tag: str, bucket: int, records: Sequence[bytes], closed: bool = True) -> Piece:
    raw = [msgspec.Raw(record) for record in records]
    return Piece(tag, bucket, raw, (len(records), bytes(16)) if closed else None)


def test_a_section_is_asked_for_with_all_its_records_when_it_is_right() -> None:
    extras = Extras(LOCAL, LOCAL)
    assert extras.came(7, [(piece("", 1, [b"\x01"], closed=False), False)]) == []
    (ask,) = extras.came(7, [(piece("", 1, [b"\x09"]), True), (piece("", 2, [b"\x03"]), False)])
    assert (ask.session, ask.tag, ask.bucket) == (7, "", 1)
    assert list(map(bytes, ask.items)) == [b"\x01", b"\x09"]
    assert extras.waiting
    (ask,) = extras.came(7, [(piece("vip", 1, [b"\x05"]), True)])
    assert list(map(bytes, ask.items)) == [b"\x05"], "the section that was wrong is forgotten"


def test_what_is_found_stands_by_tag_with_what_was_here() -> None:
    extras = Extras(LOCAL, LOCAL)
    extras.came(1, [(piece(tag, n, []), True) for tag, n in [("", 1), ("", 2), ("vip", 1)]])
    assert extras.answered(("vip", 1), [b"d"])
    assert extras.answered(("", 2), [b"c"])
    assert extras.waiting
    assert extras.answered(("", 1), [b"a", b"b"])
    assert not extras.waiting
    assert extras.found(everything) == (
        TagExtras("", (b"a", b"b", b"c"), 3),
        TagExtras("vip", (b"d",), 1),
    )


def test_answers_that_nobody_waits_for_do_nothing() -> None:
    extras = Extras(LOCAL, LOCAL)
    assert not extras.answered(("", 1), [b"a"])
    extras.came(1, [(piece("", 1, []), True)])
    assert extras.answered(("", 1), [])
    assert not extras.answered(("", 1), [b"a"])
    assert extras.found(everything) == ()


def test_sections_with_a_refused_record_are_left_out() -> None:
    """The refused one may be a newer copy of a record that is here."""
    extras = Extras(LOCAL, LOCAL)
    extras.came(1, [(piece("", 1, [], closed=False), False)])
    extras.came(1, [(piece("", 1, []), True), (piece("", 2, []), True)])
    extras.came(1, [(piece("vip", 1, []), True)])
    extras.taken(1)
    extras.taken(0)
    extras.taken(0)
    for where in [("", 1), ("", 2), ("vip", 1)]:
        extras.answered(where, [b"k"])
    assert [(e.tag, e.keys) for e in extras.found(everything)] == [
        ("", (b"k",)),
        ("vip", (b"k",)),
    ]


def test_tags_that_the_donor_does_not_serve_are_left_out() -> None:
    extras = Extras(LOCAL, [])
    asks = extras.rest(1, lambda tag: tag == "vip")
    assert [(ask.tag, ask.bucket) for ask in asks] == [("vip", 1)]
    extras.came(1, [(piece("", 1, []), True)])
    extras.answered(("", 1), [b"a"])
    extras.answered(("vip", 1), [b"d"])
    assert [e.tag for e in extras.found(lambda tag: tag == "vip")] == ["vip"]


def test_sections_that_were_not_named_and_did_not_come_are_not_at_the_donor() -> None:
    extras = Extras(LOCAL, LOCAL[:1])
    extras.came(1, [(piece("vip", 1, []), True)])
    (ask,) = extras.rest(1, everything)
    assert (ask.tag, ask.bucket, ask.items) == ("", 2, [])
    assert extras.waiting
    extras.answered(("", 2), [b"c"])
    assert extras.rest(1, everything) == []


def test_a_second_try_adds_to_what_is_known() -> None:
    extras = Extras(LOCAL, LOCAL)
    extras.came(1, [(piece("", 1, []), True), (piece("", 2, [b"\x07"]), False)])
    extras.answered(("", 1), [b"a"])
    extras.taken(0)
    (ask,) = extras.came(2, [(piece("", 2, [b"\x03"]), True)])
    assert list(map(bytes, ask.items)) == [b"\x03"]
    extras.answered(("", 2), [b"c"])
    (found,) = extras.found(everything)
    assert found.keys == (b"a", b"c")


def test_local_records_are_counted_per_tag() -> None:
    many = [Section("", bucket, 10, bytes(16)) for bucket in range(5)]
    extras = Extras(many, [])
    for ask in extras.rest(1, everything):
        extras.answered((ask.tag, ask.bucket), [b"k"])
    (found,) = extras.found(everything)
    assert (len(found.keys), found.local) == (5, 50)
