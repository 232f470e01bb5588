"""``GET /events`` as a browser uses it, over real sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from tagmesh.control import sse
from tagmesh.control.http import STOP_TIMEOUT_S
from tests.control.fake_node import FakeNode, event, make_status, served

LIFE = make_status().incarnation


@pytest.fixture
def node() -> FakeNode:
    node = FakeNode()
    node.records = [event(1), event(2)]
    return node


@pytest.fixture
def url(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(sse, "POLL_S", 0.01)
    with served(node) as running:
        yield running


Fields = dict[str, str]


class Reader:
    """One open stream, read message by message."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.response = response

    def message(self) -> Fields:
        """The fields of the next message; a comment has the name ``""``."""
        fields: Fields = {}
        while (line := self.response.readline().decode()) != "\n":
            assert line, "the stream ended"
            name, _, value = line.rstrip("\n").partition(":")
            fields[name] = value.removeprefix(" ")
        return fields

    def event(self) -> Any:
        return json.loads(self.message()["data"])


@contextlib.contextmanager
def stream(url: str, path: str = "/events", **headers: str) -> Iterator[Reader]:
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request(
            "GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        response = connection.getresponse()
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        reader = Reader(response)
        assert reader.message() == {"retry": str(sse.RETRY_MS)}
        yield reader
        response.close()
    finally:
        connection.close()


def test_a_stream_tells_what_happens_from_now_on(url: str, node: FakeNode) -> None:
    with stream(url, "/events?after=0") as history:
        assert [history.event()["sequence"] for _ in range(2)] == [1, 2]
        node.records.append(event(3))
        message = history.message()
    assert message["id"] == f"{LIFE}-3"
    assert json.loads(message["data"])["kind"] == "node_down"


def test_without_a_place_it_begins_now(
    url: str, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "QUIET_S", 0.02)
    with stream(url) as reader:
        assert reader.message() == {"": "nothing happened"}
        node.records.append(event(3))
        while (message := reader.message()) == {"": "nothing happened"}:
            pass
        assert message["id"] == f"{LIFE}-3"


def test_a_browser_that_comes_back_gets_what_it_missed(url: str, node: FakeNode) -> None:
    with stream(url, "/events?after=0") as reader:
        last = [reader.message() for _ in range(2)][-1]["id"]
    node.records += [event(3), event(4)]
    with stream(url, Last_Event_ID=last) as reader:
        assert [reader.event()["sequence"] for _ in range(2)] == [3, 4]


def test_what_was_lost_meanwhile_is_told(url: str, node: FakeNode) -> None:
    node.records = [event(12)]
    with stream(url, Last_Event_ID=f"{LIFE}-2") as reader:
        assert reader.message() == {"event": "lost", "data": '{"lost":9}'}
        assert reader.event()["sequence"] == 12


def test_what_peers_wrote_cannot_begin_another_message(url: str, node: FakeNode) -> None:
    node.records.append(event(3, cause="x\n\nid: 9\ndata: {}\n\n"))
    with stream(url, Last_Event_ID=f"{LIFE}-2") as reader:
        assert reader.event()["cause"] == "x\n\nid: 9\ndata: {}\n\n"


def test_there_is_a_limit_and_streams_that_ended_do_not_count(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "MAX_STREAMS", 1)
    monkeypatch.setattr(sse, "QUIET_S", 0.0)  # so that a reader who left is noticed at once
    for _ in range(3):
        with stream(url):
            assert _status(url) == 503
        while _status(url) == 503:
            pass


def _status(url: str) -> int:
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request("HEAD", "/events")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_stream_ends_with_its_node(url: str, node: FakeNode) -> None:
    node.broken = RuntimeError("stopped")
    with stream(url) as reader:
        assert reader.response.read() == b""


def test_a_server_that_stops_does_not_wait_for_its_readers(node: FakeNode) -> None:
    with contextlib.ExitStack() as readers:
        with served(node) as running:
            begin = time.monotonic()
            readers.enter_context(stream(running))
        assert time.monotonic() - begin < STOP_TIMEOUT_S + 5
