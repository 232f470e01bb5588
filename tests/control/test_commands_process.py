"""Commands about the process: its log, its actors, its settings."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tagmesh.control.command import CommandError
from tagmesh.control.commands import COMMANDS
from tests.control.fake_node import FakeNode


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("tagmesh")
    before = found.level
    yield found
    found.setLevel(before)


def run(name: str, **arguments: Any) -> Any:
    return COMMANDS[name].run(FakeNode(), **arguments)


def test_there_is_one_process() -> None:
    assert run("ps") == {"Processes": [{"ID": 0, "PID": os.getpid(), "Type": "tagmesh node 1"}]}


@pytest.mark.parametrize(
    ("level", "means"),
    [(4, logging.DEBUG), (3, logging.INFO), (1, logging.WARNING), (-1, logging.ERROR)],
)
def test_the_log_level_is_set_and_told(logger: logging.Logger, level: int, means: int) -> None:
    assert run("log_level", level=level) == {"New global log level": level}
    assert logger.level == means
    (process,) = run("log_level")["Processes"]
    assert process == {"PID": os.getpid(), "Log level": level, "Type": "tagmesh node 1"}


def test_the_log_level_of_a_process(logger: logging.Logger) -> None:
    assert run("log_level", level=4, pid=os.getpid()) == {"Log level": 4}
    with pytest.raises(CommandError, match="Bad PID"):
        run("log_level", level=3, pid=0)
    with pytest.raises(CommandError, match="Bad value for 'level'"):
        run("log_level", level=5)
    assert logger.level == logging.DEBUG


def test_actors_by_kind_with_what_waits_for_them() -> None:
    assert run("tagmesh_actors") == {
        "actors": [
            {"kind": "gate", "count": 1, "inbox": 0},
            {"kind": "link", "count": 2, "inbox": 5},
        ],
        "restarted": 0,
    }


def test_settings_are_told_without_secrets() -> None:
    tables = run("tagmesh_config")
    assert tables["node"]["id"] == 1
    assert tables["provisioning"]["url"] == "postgresql://ops:***@db/opensips"
    assert "secret" not in str(tables)
