"""OpenSIPS's commands about statistics."""

from __future__ import annotations

from typing import Any

import pytest

from tagmesh.control.command import CommandError
from tagmesh.control.commands import COMMANDS
from tests.control.fake_node import FakeNode


def run(name: str, **arguments: Any) -> Any:
    return COMMANDS[name].run(FakeNode(), **arguments)


def test_values_are_numbers_and_lists_are_kinds() -> None:
    wanted = ["clusterer:"]
    values = run("get_statistics", statistics=wanted)
    assert values["clusterer:clusterer_nodes"] == 2
    assert run("list_statistics", statistics=wanted) == dict.fromkeys(values, "non-incremental")
    assert list(run("list_statistics")) == list(run("get_statistics", statistics=["all"]))


@pytest.mark.parametrize("name", ["get_statistics", "list_statistics"])
def test_none_that_is_known(name: str) -> None:
    with pytest.raises(CommandError) as caught:
        run(name, statistics=["rcv_requests"])
    assert (caught.value.code, caught.value.message) == (404, "Statistics Not Found")
