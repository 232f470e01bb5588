"""Commands about the provisioned nodes, with the words of OpenSIPS."""

from __future__ import annotations

import pytest

from tagmesh.control.command import CommandError
from tagmesh.control.commands import COMMANDS
from tagmesh.protocol.errors import Misuse, StorageUnavailable
from tests.control.fake_node import FakeNode

RELOAD = COMMANDS["clusterer_reload"]


def test_reload() -> None:
    node = FakeNode()
    assert RELOAD.run(node) == "OK"
    assert [call[0] for call in node.asked] == ["reload"]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (Misuse("static"), 400, "Non-DB mode"),
        (StorageUnavailable("the server is gone"), 500, "Failed to reload"),
    ],
)
def test_reload_fails(error: Exception, code: int, message: str) -> None:
    node = FakeNode()
    node.broken_rows = error
    with pytest.raises(CommandError) as caught:
        RELOAD.run(node)
    assert (caught.value.code, caught.value.message, caught.value.data) == (
        code,
        message,
        str(error),
    )
