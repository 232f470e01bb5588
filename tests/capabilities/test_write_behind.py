"""Writing behind: the last record of every key reaches the store, whatever the store does."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import pytest

from tagmesh.capabilities.write_behind import (
    FLUSH_S,
    MAX_BATCH_RECORDS,
    MAX_PAUSE_S,
    WriteBehind,
)
from tagmesh.protocol.contract import Capability
from tests.capabilities.fake_cluster import FakeCluster


class FakeStore:
    """A store that fails when told to."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.batches: list[int] = []
        self.fails = False
        self.calls = 0

    def load(self) -> Iterable[bytes]:
        return list(self.kept.values())

    def write(self, records: Mapping[bytes, bytes | None]) -> None:
        self.calls += 1
        if self.fails:
            raise OSError("the disk is full")
        self.batches.append(len(records))
        for key, item in records.items():
            if item is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = item


class Nobody(Capability):
    """Has a port."""

    name = "nobody"


class Bench:
    """A store behind some records; time passes when told."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.records: dict[bytes, bytes] = {}
        self.cluster = FakeCluster(Nobody, nodes=1)
        self.behind = WriteBehind(self.store, self.read, self.cluster[1], lambda job: job())

    def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes | None]:
        return {key: self.records.get(key) for key in keys}

    def write(self, key: bytes, item: bytes | None) -> None:
        if item is None:
            del self.records[key]
        else:
            self.records[key] = item
        self.behind.changed([key])

    def time_passes(self) -> float:
        """Until the next attempt; how long it was."""
        assert self.cluster.timers == 1
        begin_s, calls = self.cluster.now_s, self.store.calls
        while self.store.calls == calls:
            self.cluster.advance(0.5)
        return self.cluster.now_s - begin_s


def test_changes_are_written_a_little_later_and_once() -> None:
    bench = Bench()
    for number in range(100):
        bench.write(b"a", b"%d" % number)
    bench.write(b"b", b"x")
    assert bench.store.kept == {}
    assert bench.time_passes() == FLUSH_S
    assert bench.store.kept == bench.records == {b"a": b"99", b"b": b"x"}
    assert bench.store.batches == [2]
    bench.write(b"a", None)
    bench.time_passes()
    assert bench.store.kept == {b"b": b"x"}
    assert bench.cluster.timers == 0
    assert (bench.behind.waiting, bench.behind.written) == (0, 3)


def test_much_is_written_in_portions() -> None:
    bench = Bench()
    for number in range(2 * MAX_BATCH_RECORDS + 1):
        bench.write(b"%d" % number, b"x")
    bench.time_passes()
    assert bench.store.batches == [MAX_BATCH_RECORDS, MAX_BATCH_RECORDS, 1]


def test_a_store_that_fails_is_tried_again_ever_more_rarely_and_misses_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.store.fails = True
    bench.write(b"a", b"1")
    with caplog.at_level(logging.WARNING):
        pauses = [bench.time_passes() for _ in range(9)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert pauses[-1] == MAX_PAUSE_S
    assert "1 records wait for their store" in caplog.text
    bench.write(b"a", b"2")
    bench.write(b"b", b"1")
    assert bench.behind.waiting == 2
    bench.store.fails = False
    bench.time_passes()
    assert bench.store.kept == {b"a": b"2", b"b": b"1"}
    bench.write(b"a", b"3")
    assert bench.time_passes() == FLUSH_S, "it is well again"
    assert bench.behind.failures == 9


def test_flushing_writes_at_once_and_says_what_went_wrong() -> None:
    bench = Bench()
    bench.write(b"a", b"1")
    bench.store.fails = True
    with pytest.raises(OSError, match="disk is full"):
        bench.behind.flush()
    bench.store.fails = False
    bench.behind.flush()
    assert bench.store.kept == {b"a": b"1"}
    bench.cluster.advance(2 * FLUSH_S)
    assert bench.store.batches == [1]


def test_after_the_node_was_stopped_and_started_it_goes_on() -> None:
    bench = Bench()
    bench.write(b"a", b"1")
    bench.cluster.stop_and_start(1)
    bench.behind.resume()
    bench.cluster.advance(FLUSH_S)
    assert bench.store.kept == {b"a": b"1"}
    bench.behind.resume()
    assert bench.cluster.timers == 0, "nothing waits"
