"""The donor's session: what it asks for and what it sends."""

from __future__ import annotations

import msgspec

from tagmesh.protocol.messages import (
    MAX_PAYLOAD_BYTES,
    MAX_TAGS,
    SyncAnswer,
    SyncChunk,
    SyncEnd,
    SyncStop,
)
from tagmesh.protocol.sync_pieces import checksum, decode_chunk
from tagmesh.protocol.sync_sections import MAX_ASKED_RECORDS, Tally
from tagmesh.protocol.sync_words import (
    AskItems,
    AskSections,
)
from tests.protocol.sync_donor_bench import DATA, LONG, A, B, Bench, C
from tests.protocol.sync_script import (
    AT_DONOR,
    JOINER,
    T0,
    ack,
    answer,
    counts,
    request,
    section,
    sent,
    stop,
    those,
)


def count_of(chunk: SyncChunk) -> int:
    return sum(len(piece.records) for piece in decode_chunk(chunk.pieces))


def test_it_accepts_at_once_and_tells_the_estimate_when_it_is_known() -> None:
    bench = Bench(asked=request(tags=["", "vip"]))
    (first,) = sent(bench.effects, SyncAnswer)
    told = msgspec.structs.replace(answer(version=3, tags=["", "vip"]), position=99)
    assert first == told
    assert bench.effects[1:] == [AskSections(("", "vip"))]
    assert sent(bench.sections(), SyncAnswer) == [msgspec.structs.replace(told, total=4)]


def test_no_chunk_before_the_first_ack_and_all_is_sent_after_it() -> None:
    bench = Bench().sending()
    assert sent(bench.effects, SyncChunk) == []
    (chunk,) = sent(bench.get(ack(0)), SyncChunk)
    assert (chunk.number, chunk.checksum) == (0, checksum(chunk.pieces))
    came = {(p.tag, p.bucket): list(map(bytes, p.records)) for p in decode_chunk(chunk.pieces)}
    assert came == DATA
    (end,) = sent(bench.effects, SyncEnd)
    assert end.chunks == 1
    tally = Tally()
    assert all(tally.take(piece) for piece in decode_chunk(chunk.pieces))
    assert tally.complete(end.tags)


def test_an_ack_may_come_before_the_sections_are_known() -> None:
    bench = Bench()
    assert bench.get(ack(0)) == []
    bench.sending()
    assert len(sent(bench.effects, SyncChunk)) == 1


def test_the_window_is_kept_and_acks_move_it() -> None:
    bench = Bench({A: LONG}).sending()
    assert [c.number for c in sent(bench.get(ack(0, 2)), SyncChunk)] == [0, 1]
    assert bench.get(ack(0, 2)) == []
    assert [c.number for c in sent(bench.get(ack(1, 2)), SyncChunk)] == [2]
    assert [c.number for c in sent(bench.get(ack(3, 4)), SyncChunk)] == [3, 4, 5, 6]
    assert sent(bench.effects, SyncEnd)[0].chunks == 7
    assert bench.get(ack(7, 0)) == []


def test_what_is_not_acknowledged_is_sent_again_when_asked_for() -> None:
    bench = Bench({A: LONG}).sending()
    first = sent(bench.get(ack(0, 3)), SyncChunk)
    again = sent(bench.get(ack(1, 3, resend=True)), SyncChunk)
    assert again[:2] == first[1:]
    assert [chunk.number for chunk in again] == [1, 2, 3]


def test_the_end_is_repeated_with_the_rest() -> None:
    bench = Bench().sending()
    bench.get(ack(0))
    effects = bench.get(ack(1, resend=True))
    assert sent(effects, SyncChunk) == []
    assert sent(effects, SyncEnd) == sent(bench.effects, SyncEnd)[:1]


def test_acks_that_are_late_or_of_chunks_that_there_are_not_change_nothing() -> None:
    bench = Bench({A: LONG}).sending()
    bench.get(ack(0, 3))
    bench.get(ack(2, 3))
    for wrong in (ack(1, 8, resend=True), ack(6, 8)):
        assert counts(bench.get(wrong)) == ["S-24 ack"]
    assert [c.number for c in sent(bench.get(ack(3, 3)), SyncChunk)] == [5]


def test_only_sections_that_differ_are_asked_for_and_sent() -> None:
    have = [section(A, DATA[A]), section(B, [b"\x02"]), section(("", 9), [b"\x09"])]
    bench = Bench(asked=request(have=have)).sending()
    assert bench.asked == [B, ("", 9), C], "in order; the one that is not here as well"
    assert sent(bench.effects, SyncAnswer)[-1].total == 3
    (chunk,) = sent(bench.get(ack(0)), SyncChunk)
    assert [(p.tag, p.bucket, len(p.records)) for p in decode_chunk(chunk.pieces)] == [
        ("", 2, 2),
        ("", 9, 0),
        ("vip", 0, 1),
    ]


def test_equal_data_is_an_end_without_chunks() -> None:
    bench = Bench(asked=request(have=[section(key, r) for key, r in DATA.items()]))
    (end,) = sent(bench.sections(), SyncEnd)
    assert (end.chunks, end.tags) == (0, [])
    assert bench.asked == []


def test_tags_that_are_not_wanted_are_left_out() -> None:
    have = [section(("other", 3), [b"\x01"])]
    bench = Bench(asked=request(tags=["vip"], have=have)).sending()
    assert bench.asked == [C]


def test_buckets_that_are_not_wanted_are_left_out() -> None:
    asked = msgspec.structs.replace(request(), buckets=[2, 3])
    assert Bench(asked=asked).sending().asked == [B]


def test_a_second_try_gets_what_it_names_and_no_more() -> None:
    only = [C, A, C, ("", 200)]
    bench = Bench(asked=request(only=only, have=[section(A, DATA[A])])).sending()
    assert bench.asked == [A, ("", 200), C]
    bench = Bench(asked=request(only=only, tags=["vip"])).sending()
    assert bench.asked == [C]


def test_more_tags_than_a_session_can_carry_end_it_with_a_reason() -> None:
    bench = Bench({(f"tag-{n:03}", 0): [b"\x01"] for n in range(MAX_TAGS + 1)})
    bench.sections()
    assert sent(bench.effects, SyncStop) == [stop("too_many_tags", at=AT_DONOR, to=JOINER)]
    assert bench.ended == (False, "more than 64 tags differ")
    bench = Bench({(f"tag-{n:03}", 0): [b"\x01"] for n in range(MAX_TAGS)}).sending()
    bench.get(ack(0))
    assert len(sent(bench.effects, SyncEnd)[0].tags) == MAX_TAGS


def test_small_sections_are_asked_for_together_and_large_ones_alone() -> None:
    large = [b"\x01"] * (MAX_ASKED_RECORDS + 1)
    half = [b"\x01"] * (MAX_ASKED_RECORDS // 2)
    data = {("", 0): half, ("", 1): half, ("", 2): [b"\x01"], ("", 3): large, ("", 4): []}
    data |= {("", bucket): [b"\x01"] for bucket in range(5, 250)}
    bench = Bench(data)
    effects = bench.sections()
    bench.get(ack(0))
    while those(effects, AskItems):
        effects = bench.items(effects)
    groups = [ask.sections for ask in those(bench.effects, AskItems)]
    assert groups[:3] == [(("", 0), ("", 1)), (("", 2),), (("", 3),)]
    assert len(groups) == 4
    assert bench.asked == sorted(data)


def test_the_application_is_asked_for_more_when_less_than_a_window_waits() -> None:
    bench = Bench({("", bucket): LONG for bucket in range(100)})
    effects = bench.sections()
    given = 0
    while not sent(bench.effects, SyncEnd):
        for ask in those(effects, AskItems):
            cut = sum(count_of(chunk) for chunk in sent(bench.effects, SyncChunk))
            assert (given - cut) * len(LONG[0]) < 4 * 1024
            given += len(ask.sections) * len(LONG)
        if those(effects, AskItems):
            effects = bench.items(effects)
        else:
            effects = bench.get(ack(len(sent(bench.effects, SyncChunk))))
    assert given == 100 * len(LONG)
    assert len(those(bench.effects, AskItems)) == 4
    sizes = [len(chunk.pieces) for chunk in sent(bench.effects, SyncChunk)]
    assert min(sizes[:-1]) > 700, "while more is to come chunks are full"


def test_a_plain_capability_gives_its_records_batch_by_batch() -> None:
    bench = Bench(keyed=False)
    assert bench.effects[1:] == [AskItems((("", 0),))]
    bench.get(ack(0))
    assert sent(bench.do(bench.rules.items([LONG[:1]], T0, more=True)), SyncChunk), "a slow one"
    bench.do(bench.rules.items([LONG[1:9]], T0, more=True))
    bench.do(bench.rules.items([[]], T0, more=True))
    bench.do(bench.rules.items([LONG[9:]], T0))
    while not sent(bench.effects, SyncEnd) or len(sent(bench.effects, SyncChunk)) < 7:
        bench.get(ack(max(chunk.number for chunk in sent(bench.effects, SyncChunk)) + 1))
    tally = Tally()
    pieces = [p for chunk in sent(bench.effects, SyncChunk) for p in decode_chunk(chunk.pieces)]
    assert [tally.take(piece) for piece in pieces][-1]
    assert [bytes(record) for piece in pieces for record in piece.records] == LONG
    assert tally.complete(sent(bench.effects, SyncEnd)[-1].tags)


def test_a_plain_capability_without_records() -> None:
    bench = Bench(keyed=False)
    bench.get(ack(0))
    effects = bench.do(bench.rules.items([[]], T0))
    (chunk,) = sent(effects, SyncChunk)
    assert len(decode_chunk(chunk.pieces)) == 1
    assert [(tag, count) for tag, count, _ in sent(effects, SyncEnd)[0].tags] == [("", 0)]


def test_one_record_longer_than_a_chunk() -> None:
    giant = b"\xc5\xff\xfc" + bytes(MAX_PAYLOAD_BYTES - 3)
    bench = Bench({A: [b"\x01", giant, b"\x02"]}).sending()
    chunks = sent(bench.get(ack(0)), SyncChunk)
    assert [len(decode_chunk(chunk.pieces)[0].records) for chunk in chunks] == [1, 1, 1]
    assert len(chunks[1].pieces) > MAX_PAYLOAD_BYTES
