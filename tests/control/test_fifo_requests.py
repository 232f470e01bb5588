"""The stream of a management fifo, cut into requests."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagmesh.control.fifo_requests import (
    MAX_NAME_BYTES,
    FifoRequest,
    FifoRequests,
    end_of_value,
)
from tagmesh.control.mi import MAX_REQUEST_BYTES

TRICKY = b'{"a":"}]\\"{","b":[{}],"c":"\\\\"}'


def test_a_request_ends_with_its_object_line_end_or_not() -> None:
    requests = FifoRequests()
    assert requests.feed(b':one:{"id":1}') == [FifoRequest("one", b'{"id":1}')]
    assert not requests.unfinished
    assert requests.feed(b':two:{"id":2}\n\n:three:[]\n') == [
        FifoRequest("two", b'{"id":2}'),
        FifoRequest("three", b"[]"),
    ]
    assert not requests.unfinished


def test_no_reply_wanted() -> None:
    assert FifoRequests().feed(b"::{}") == [FifoRequest("", b"{}")]


@given(st.lists(st.integers(0, 40), max_size=6))
def test_pieces_of_any_length_make_the_same_requests(cuts: list[int]) -> None:
    stream = b":a:" + TRICKY + b"\n:b: {}\n"
    places = [0, *sorted(cuts), len(stream)]
    requests = FifoRequests()
    came = [
        request
        for start, end in itertools.pairwise(places)
        for request in requests.feed(stream[start:end])
    ]
    assert came == [FifoRequest("a", TRICKY), FifoRequest("b", b"{}")]


def test_what_is_no_object_ends_with_its_line() -> None:
    requests = FifoRequests()
    assert requests.feed(b":a:nonsense\n:b:{}") == [
        FifoRequest("a", b"nonsense"),
        FifoRequest("b", b"{}"),
    ]


def test_lines_that_begin_no_request_are_dropped() -> None:
    requests = FifoRequests()
    assert requests.feed(b"GET / HTTP/1.1\n\0\xff\n:b:{}") == [FifoRequest("b", b"{}")]
    assert requests.feed(b"x" * (MAX_NAME_BYTES + 1)) == []
    assert requests.feed(b"rest of it\n:c:{}") == [FifoRequest("c", b"{}")]


def test_what_never_ends_is_told_when_the_writer_is_silent() -> None:
    requests = FifoRequests()
    assert requests.feed(b':a:{"id":') == []
    assert requests.unfinished
    assert requests.give_up() == [FifoRequest("a", b'{"id":')]
    assert not requests.unfinished
    assert requests.feed(b"half a na") == []
    assert requests.give_up() == []
    assert requests.feed(b":b:{}") == [FifoRequest("b", b"{}")]


def test_what_is_too_long_is_told_once_and_dropped_up_to_its_line_end() -> None:
    requests = FifoRequests()
    assert requests.feed(b':a:{"' + b"x" * (MAX_REQUEST_BYTES - 2)) == []
    (told,) = requests.feed(b"yy")
    assert told.reply_name == "a"
    assert len(told.body) == MAX_REQUEST_BYTES + 1
    assert requests.feed(b"z" * 100_000) == []
    assert requests.unfinished
    assert requests.feed(b'"}\n:b:{}') == [FifoRequest("b", b"{}")]


@pytest.mark.parametrize("text", [b"{", b'{"}', b"[[]", b'{"a":"\\"}', b'{"\\'])
def test_a_value_without_its_end_has_none(text: bytes) -> None:
    assert end_of_value(text, 0) is None


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_are_cut_without_a_word(pieces: list[bytes]) -> None:
    requests = FifoRequests()
    for piece in pieces:
        requests.feed(piece)
    requests.give_up()
    assert not requests.unfinished
    assert requests.feed(b"\n:a:{}") == [FifoRequest("a", b"{}")]
