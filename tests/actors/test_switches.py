"""What operators switched is still so after a restart (C-4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagmesh import Misuse, Node
from tagmesh.actors.switches import Switches
from tagmesh.control.workspace import Workspace
from tagmesh.protocol.identity import ClusterId, NodeId

ONE, CLUSTER = NodeId(1), ClusterId(1)


def loaded(folder: Path) -> Switches:
    switches = Switches(str(folder), ONE)
    switches.load()
    return switches


def test_what_was_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    switches = loaded(tmp_path)
    assert switches.enabled(CLUSTER, "users") is None
    switches.keep(CLUSTER, "users", enabled=False)
    switches.keep(ClusterId(2), "users", enabled=True)
    again = loaded(tmp_path)
    assert again.enabled(CLUSTER, "users") is False
    assert again.enabled(ClusterId(2), "users") is True
    assert again.enabled(CLUSTER, "others") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"1": {"users": "no"}}', b"\xff"])
def test_a_file_that_is_broken_counts_as_empty(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "node-1.capabilities").write_bytes(content)
    assert loaded(tmp_path).enabled(CLUSTER, "users") is None
    assert "capabilities start as configured" in caplog.text


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    switches = Switches(str(tmp_path / "gone"), ONE)
    with pytest.raises(Misuse, match="switched off until the next start only: cannot write"):
        switches.keep(CLUSTER, "users", enabled=False)
    assert switches.enabled(CLUSTER, "users") is False


def test_a_capability_stays_off_over_restarts_until_it_is_switched_on(tmp_path: Path) -> None:
    config = Workspace(tmp_path, 1, admin=False).config(1)
    with Node.from_config(config) as node:
        node.replicated_dict("users")
        node.cluster(1).disable("users")
    with Node.from_config(config) as node:
        node.replicated_dict("users")
        node.wait_ready()
        status = node.cluster(1).status("users")
        assert (status.state, status.enabled) == ("disabled", False)
        assert status.reason == "switched off before the start"
        node.cluster(1).enable("users")
    node = Node.from_config(config)
    node.replicated_dict("users")  # before the start, this time
    with node:
        node.wait_ready()
        assert node.cluster(1).status("users").state == "ok"
