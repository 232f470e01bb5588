"""Functions told of changes: always the last one of every key, whatever they do themselves."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tagmesh.capabilities.background import Run
from tagmesh.capabilities.observers import Observers
from tagmesh.capabilities.records import pack_key
from tagmesh.protocol.identity import NodeId

A, B = pack_key("a"), pack_key("b")
ONE, TWO = NodeId(1), NodeId(2)
AT_ONCE: Run = lambda job: job()  # noqa: E731 - a function like any other


def test_every_function_hears_key_value_and_writer() -> None:
    values = {A: 5}
    heard: list[tuple[Any, ...]] = []
    observers = Observers(values.get, AT_ONCE)
    observers.changed([A], ONE)
    observers.add(lambda *change: heard.append(("first", *change)))
    observers.add(lambda *change: heard.append(("second", *change)))
    observers.changed([A], TWO)
    observers.changed([B], None)
    assert heard == [
        ("first", "a", 5, TWO), ("second", "a", 5, TWO),
        ("first", "b", None, None), ("second", "b", None, None),
    ]  # fmt: skip


def test_a_slow_function_hears_the_last_value_of_every_key() -> None:
    values: dict[bytes, int] = {}
    heard: dict[object, Any] = {}
    jobs: list[Any] = []
    observers = Observers(values.get, jobs.append)
    observers.add(lambda key, value, source: heard.update({key: (value, source)}))
    for number in range(1000):
        values[A] = values[B] = number
        observers.changed([A, B], NodeId(number + 1))
    (job,) = jobs
    job()
    assert heard == {"a": (999, 1000), "b": (999, 1000)}


def test_keys_are_told_in_the_order_in_which_they_changed_and_none_starves() -> None:
    heard: list[object] = []
    observers = Observers(lambda _key: 1, AT_ONCE)

    def changes_more(key: object, value: object, source: object) -> None:
        heard.append(key)
        if len(heard) < 100:
            observers.changed([pack_key(f"more {len(heard)}")], ONE)

    observers.add(changes_more)
    observers.changed([A, B, pack_key("c")], ONE)
    assert heard[:5] == ["a", "b", "c", "more 1", "more 2"]


def test_a_function_that_raises_is_counted_and_logged_and_called_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[Any] = []

    def breaks(key: Any, value: object, source: object) -> None:
        calls.append(key)
        raise ZeroDivisionError

    observers = Observers({A: 1}.get, AT_ONCE)
    observers.add(breaks)
    with caplog.at_level(logging.ERROR):
        observers.changed([A, B], ONE)
    assert sorted(calls) == ["a", "b"]
    assert observers.failures == 2
    assert "ZeroDivisionError" in caplog.text


def test_a_value_that_cannot_be_read_does_not_stop_the_telling() -> None:
    def value_of(key: bytes) -> Any:
        if key == A:
            raise ValueError("broken")
        return 1

    heard: list[object] = []
    observers = Observers(value_of, AT_ONCE)
    observers.add(lambda key, _value, _source: heard.append(key))
    observers.changed([A, B], ONE)
    assert heard == ["b"]
    assert observers.failures == 1
