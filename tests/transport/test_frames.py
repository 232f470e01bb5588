"""Frames: however the bytes are split, the same bodies; bad lengths are refused at once."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.protocol.errors import PeerViolation
from tagmesh.transport.frames import FrameReader, frame

MAX = 1024 * 1024


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


@given(
    bodies=st.lists(st.binary(min_size=1, max_size=300), max_size=20),
    cuts=st.lists(st.integers(min_value=0, max_value=10_000), max_size=40),
)
def test_any_split_gives_the_same_frames(bodies: list[bytes], cuts: list[int]) -> None:
    reader = FrameReader(300)
    stream = b"".join(map(frame, bodies))
    received = [body for part in split(stream, cuts) for body in reader.receive([part])]
    assert received == bodies
    assert reader.pending_bytes == 0


@given(
    bodies=st.lists(st.binary(min_size=1, max_size=9000), max_size=9),
    cuts=st.lists(st.integers(min_value=0, max_value=81_000), max_size=9),
    at_once=st.integers(min_value=1, max_value=4),
)
def test_pieces_may_come_together(bodies: list[bytes], cuts: list[int], at_once: int) -> None:
    reader = FrameReader(9000)
    parts = split(b"".join(map(frame, bodies)), cuts)
    together = [parts[n : n + at_once] for n in range(0, len(parts), at_once)]
    assert [body for some in together for body in reader.receive(some)] == bodies
    assert reader.pending_bytes == 0


@given(body=st.binary(min_size=1, max_size=50), missing=st.integers(min_value=1, max_value=53))
def test_an_incomplete_frame_waits(body: bytes, missing: int) -> None:
    framed = frame(body)
    kept = framed[: max(0, len(framed) - missing)]
    reader = FrameReader(50)
    assert reader.receive([kept]) == []
    assert reader.pending_bytes == len(kept)
    assert reader.receive([framed[len(kept) :]]) == [body]


@pytest.mark.parametrize("length", [0, 301, 2**31, 2**32 - 1])
@pytest.mark.parametrize("step", [1, 4, 100])
def test_bad_lengths_are_refused_before_the_body(length: int, step: int) -> None:
    reader = FrameReader(300)
    data = frame(b"good") + length.to_bytes(4, "big") + b"x" * 92
    judged_at = len(frame(b"good")) + 4
    parts = [data[start : start + step] for start in range(0, len(data), step)]
    harmless = parts[: (judged_at - 1) // step]
    for part in harmless:
        reader.receive([part])
    with pytest.raises(PeerViolation, match=f"frame of (length )?{length}"):
        reader.receive([parts[len(harmless)]])


def test_the_longest_frame_is_accepted_and_one_byte_more_is_not() -> None:
    assert FrameReader(300).receive([frame(b"x" * 300)]) == [b"x" * 300]
    with pytest.raises(PeerViolation, match=r"transport\.max_frame"):
        FrameReader(300).receive([frame(b"x" * 301)])


def test_an_empty_body_is_our_bug() -> None:
    with pytest.raises(AssertionError):
        frame(b"")


def _seconds(body_bytes: int, step: int) -> float:
    data = frame(b"x" * body_bytes)
    reader = FrameReader(len(data))
    started = time.process_time()
    bodies = [
        body
        for start in range(0, len(data), step)
        for body in reader.receive([data[start : start + step]])
    ]
    assert len(bodies) == 1
    return time.process_time() - started


def test_a_large_frame_in_small_pieces_costs_no_quadratic_copying() -> None:
    small = min(_seconds(MAX, 64) for _ in range(3))
    large = min(_seconds(8 * MAX, 64) for _ in range(3))
    assert large < 8 * small * 3 + 0.01, "eight times the bytes, about eight times the work"
