"""Sections are cut into chunks and tallied; whatever differs is noticed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.protocol import wire
from tagmesh.protocol.errors import Misuse, PeerViolation
from tagmesh.protocol.messages import (
    BUCKETS,
    MAX_BATCH_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_SECTIONS,
    MAX_TAGS,
    MIN_FRAME_BYTES,
    Section,
)
from tagmesh.protocol.sync_pieces import (
    MAX_CHUNK_PIECES,
    MAX_PIECE_RECORDS,
    Piece,
    decode_chunk,
    digest_of,
    sum_of,
)
from tagmesh.protocol.sync_sections import (
    Cutter,
    SectionKey,
    Tally,
    Totals,
    check_sections,
    nameable,
    portion,
)
from tagmesh.protocol.sync_words import MAX_PACKET_BYTES, MIN_PACKET_BYTES
from tests.protocol.sync_script import request


def record(length: int, seed: int = 0) -> bytes:
    """A packed record of this length; where there is none, one byte shorter."""
    head = 2 if length < 258 else 3 if length < 65_539 else 5
    packed = msgspec.msgpack.encode(bytes([seed % 256]) * (length - head))
    assert length - 1 <= len(packed) <= length
    return packed


def chunks_of(
    sections: Sequence[tuple[SectionKey, list[bytes]]], packet_bytes: int = 1024
) -> tuple[Cutter, list[bytes]]:
    """Everything cut, as a donor with an endless window would."""
    cutter = Cutter(packet_bytes)
    chunks = []
    for section, records in sections:
        cutter.add(section, records, closes=True)
        while (chunk := cutter.cut(flush=False)) is not None:
            chunks.append(chunk)
    while (chunk := cutter.cut(flush=True)) is not None:
        chunks.append(chunk)
    return cutter, chunks


def tally_of(chunks: Sequence[bytes]) -> Tally:
    tally = Tally()
    for chunk in chunks:
        for piece in decode_chunk(chunk):
            tally.take(piece)
    return tally


SECTIONS = st.dictionaries(
    st.tuples(st.sampled_from(["", "a", "vip"]), st.integers(0, 255)),
    st.lists(st.integers(3, 2000).map(record), max_size=30),
    max_size=12,
).map(lambda sections: sorted(sections.items()))


@given(SECTIONS, st.integers(MIN_PACKET_BYTES, 8192))
def test_what_is_cut_is_tallied(
    sections: list[tuple[SectionKey, list[bytes]]], packet_bytes: int
) -> None:
    cutter, chunks = chunks_of(sections, packet_bytes)
    came: dict[SectionKey, list[bytes]] = {}
    tally = Tally()
    closed = []
    for chunk in chunks:
        assert len(chunk) <= MAX_BATCH_BYTES
        for piece in decode_chunk(chunk):
            came.setdefault((piece.tag, piece.bucket), []).extend(map(bytes, piece.records))
            if tally.take(piece):
                closed.append((piece.tag, piece.bucket))
    assert came == dict(sections)
    assert closed == [section for section, _ in sections]
    assert tally.complete(cutter.totals.listed())
    everything = sum(len(records) for _, records in sections)
    assert (tally.records, tally.verified, tally.sections) == (everything,) * 2 + (len(sections),)
    assert cutter.records == everything
    assert cutter.waiting_bytes == 0


def test_chunks_are_full_and_small_sections_share_them() -> None:
    sections = [(("", bucket), [record(100, n) for n in range(3)]) for bucket in range(200)]
    _, chunks = chunks_of(sections, 8192)
    assert all(7500 < len(chunk) < 8600 for chunk in chunks[:-1])
    assert len(chunks) < 200 * 300 / 7500 * 1.3


def test_thousands_of_sections_with_hardly_anything_in_them() -> None:
    sections: list[tuple[SectionKey, list[bytes]]] = [
        ((f"t{tag:02}", bucket), [b"\x01"] if bucket % 2 else [])
        for tag in range(MAX_TAGS)
        for bucket in range(256)
    ]
    cutter, chunks = chunks_of(sections, 32 * 1024)
    assert len(chunks) < 40
    assert max(map(len, chunks)) < 34 * 1024
    tally = tally_of(chunks)
    assert tally.complete(cutter.totals.listed())
    assert tally.sections == 16_384


@pytest.mark.parametrize("packet_bytes", [MIN_PACKET_BYTES, 32 * 1024, MAX_PACKET_BYTES])
@pytest.mark.parametrize("before", [0, 1, 300])
def test_the_longest_record_has_a_chunk_of_its_own(packet_bytes: int, before: int) -> None:
    """Also behind others, and with the longest tag."""
    giant = record(MAX_PAYLOAD_BYTES)
    assert len(giant) == MAX_PAYLOAD_BYTES
    records = [record(100)] * before + [giant, giant, record(100)]
    cutter, chunks = chunks_of([(("🦀" * 64, 255), records)], packet_bytes)
    assert max(map(len, chunks)) <= MAX_BATCH_BYTES
    assert tally_of(chunks).complete(cutter.totals.listed())


@pytest.mark.parametrize("broken", [b"", b"\xc4" * (MAX_PAYLOAD_BYTES + 1)])
def test_records_that_no_chunk_can_carry_are_a_mistake(broken: bytes) -> None:
    with pytest.raises(Misuse, match="must have 1 … 65535 bytes"):
        Cutter(1024).add(("", 0), [b"\x01", broken], closes=True)


def test_tiny_records_do_not_make_endless_pieces() -> None:
    records = [b"\x01"] * (3 * MAX_PIECE_RECORDS)
    _, chunks = chunks_of([(("", 0), records)], 32 * 1024)
    pieces = [piece for chunk in chunks for piece in decode_chunk(chunk)]
    assert [len(piece.records) for piece in pieces] == [MAX_PIECE_RECORDS] * 3
    empty: list[tuple[SectionKey, list[bytes]]] = [
        ((f"{tag}", bucket), []) for tag in range(10, 40) for bucket in range(256)
    ]
    _, chunks = chunks_of(empty, MAX_PACKET_BYTES)
    assert max(len(decode_chunk(chunk)) for chunk in chunks) <= MAX_CHUNK_PIECES


def test_a_chunk_waits_until_it_is_full_or_flushed() -> None:
    cutter = Cutter(1024)
    assert cutter.cut(flush=True) is None
    cutter.add(("", 0), [record(500)], closes=False)
    assert cutter.cut(flush=False) is None
    cutter.add(("", 0), [], closes=False)  # nothing: there is no piece without records …
    cutter.add(("", 0), [record(600)], closes=True)
    chunk = cutter.cut(flush=False)
    assert chunk is not None
    assert [len(piece.records) for piece in decode_chunk(chunk)] == [1]
    assert cutter.cut(flush=False) is None
    rest = cutter.cut(flush=True)
    assert rest is not None
    assert tally_of([chunk, rest]).complete(cutter.totals.listed())
    cutter.add(("", 1), [], closes=True)  # … unless it closes the section
    assert cutter.cut(flush=True) is not None


def test_empty_sections_fill_a_chunk_too() -> None:
    cutter = Cutter(1024)
    for bucket in range(100):
        cutter.add(("", bucket), [], closes=True)
    chunk = cutter.cut(flush=False)
    assert chunk is not None
    assert 900 < len(chunk) < 1100


def piece(
    bucket: int, records: Sequence[bytes], closed: bool = True, tag: str = "", wrong: int = 0
) -> Piece:
    digest = (len(records) + wrong, digest_of(sum_of(records)))
    return Piece(tag, bucket, [msgspec.Raw(r) for r in records], digest if closed else None)


def test_sections_come_once_in_order_and_whole() -> None:
    for second in [piece(4, []), piece(5, []), piece(3, [], tag="")]:
        tally = Tally()
        tally.take(piece(5, [b"\x01"]))
        with pytest.raises(PeerViolation, match="comes after"):
            tally.take(second)
    tally = Tally()
    tally.take(piece(5, [b"\x01"], closed=False))
    with pytest.raises(PeerViolation, match="is not closed before"):
        tally.take(piece(6, [b"\x01"]))


def test_a_session_has_a_bounded_number_of_tags() -> None:
    tally = Tally()
    for tag in range(MAX_TAGS):
        tally.take(piece(0, [], tag=f"{tag:03}"))
    with pytest.raises(PeerViolation, match="more than 64 tags"):
        tally.take(piece(0, [], tag="999"))


def test_a_section_that_differs_is_named_and_the_others_count() -> None:
    tally = Tally()
    assert tally.take(piece(1, [b"\x01", b"\x02"]))
    assert not tally.take(piece(2, [b"\x01", b"\x02"], wrong=1))
    assert tally.take(piece(3, [b"\x03"]))
    assert tally.failed == [("", 2)]
    assert (tally.records, tally.verified, tally.sections) == (5, 3, 2)
    said = [
        piece(1, [b"\x01", b"\x02"]),
        piece(2, [b"\x01", b"\x02"], wrong=1),
        piece(3, [b"\x03"]),
    ]
    totals = Totals()
    for closed in [each.closed for each in said]:
        assert closed is not None
        totals.add("", closed[0], int.from_bytes(closed[1], "little"))
    assert tally.complete(totals.listed()), "it came, though it is wrong"
    totals.add("", 1, 1)
    assert not tally.complete(totals.listed())


def test_a_digest_that_differs_is_noticed() -> None:
    other = piece(1, [b"\x02"])
    tally = Tally()
    assert not tally.take(Piece("", 1, [msgspec.Raw(b"\x01")], other.closed))
    assert tally.failed == [("", 1)]


def test_the_whole_must_agree() -> None:
    cutter, chunks = chunks_of([(("", n), [record(50, n)]) for n in range(100)])
    right = cutter.totals.listed()
    assert tally_of(chunks).complete(right)
    assert not tally_of(chunks[:-1]).complete(right), "the last sections are missing"
    assert not tally_of(chunks).complete([]), "more than the donor says"
    assert not tally_of(chunks).complete([*right, ("other", 0, bytes(16))])
    assert not tally_of(chunks).complete([*right, *right])
    ((tag, count, digest),) = right
    assert not tally_of(chunks).complete([(tag, count + 1, digest)])
    assert not tally_of(chunks).complete([(tag, count, bytes(16))])
    still_open = Tally()
    still_open.take(piece(0, [b"\x01"], closed=False))
    assert not still_open.complete([])
    assert Tally().complete([])


def test_totals_are_listed_by_tag() -> None:
    totals = Totals()
    totals.add("b", 1, 5)
    totals.add("a", 2, 7)
    totals.add("b", 3, -1)
    assert totals.listed() == [("a", 2, digest_of(7)), ("b", 4, digest_of(4))]
    assert (len(totals), "a" in totals, "c" in totals) == (2, True, False)


@pytest.mark.parametrize(
    "wrong",
    [
        Section("x" * 65, 0, 0, bytes(16)),
        Section("", -1, 0, bytes(16)),
        Section("", 256, 0, bytes(16)),
        Section("", 0, -1, bytes(16)),
        Section("", 0, 2**63, bytes(16)),
        Section("", 0, 0, bytes(15)),
    ],
)
def test_sections_that_cannot_be_told_are_a_mistake(wrong: Section) -> None:
    right = Section("🦀" * 64, 255, 2**63 - 1, bytes(16))
    check_sections([right, Section("", 0, 0, bytes(16))])
    with pytest.raises(Misuse, match="a section has a tag of at most 64 characters"):
        check_sections([right, wrong])


@pytest.mark.parametrize("tag", ["", "x" * 64, "é" * 64, "🦀" * 64])
def test_as_many_sections_are_named_as_fit_every_nodes_frames(tag: str) -> None:
    count = nameable(tag for _ in range(5000))
    assert count == min(MAX_SECTIONS, 96 * 1024 // (len(tag.encode()) + 40))
    largest = Section(tag, 255, 2**63 - 1, bytes(16))
    asked = request(have=[largest] * count, tags=["🦀" * 64] * MAX_TAGS)
    assert len(wire.encode([asked])) < MIN_FRAME_BYTES
    asked = request(only=[(tag, 255)] * count)
    assert len(wire.encode([asked])) < MIN_FRAME_BYTES


def filled(tags: int, buckets: Sequence[int]) -> list[Section]:
    return [Section(f"tag {t:04}", b, 1, digest_of(1)) for t in range(tags) for b in buckets]


def test_all_buckets_are_compared_at_once_when_they_can_be_named() -> None:
    sections = filled(2, range(BUCKETS))
    assert portion(sections, 77) == (sections, [])
    assert portion([], 77) == ([], [])


def test_of_very_many_sections_those_of_some_buckets_are_compared() -> None:
    sections = filled(100, range(BUCKETS))
    some, buckets = portion(sections, BUCKETS - 2)
    assert {254, 255, 0, 1} <= set(buckets)
    assert buckets == sorted(buckets)
    assert len(some) == 100 * len(buckets) <= nameable(s.tag for s in some)
    assert {s.bucket for s in some} == set(buckets)
    seen = {bucket for first in range(0, BUCKETS, 8) for bucket in portion(sections, first)[1]}
    assert seen == set(range(BUCKETS))


def test_a_bucket_with_more_sections_than_can_be_named_is_compared_alone() -> None:
    sections = filled(MAX_SECTIONS, [3, 4])
    some, buckets = portion(sections, 3)
    assert buckets == [3]
    assert len(some) == MAX_SECTIONS
