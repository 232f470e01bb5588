"""Clusters of nodes that start, stop and start again, over real TLS."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tagmesh import Misuse, Node, NodeDown, SqlRecordStore, StorageUnavailable
from tagmesh.control.workspace import Workspace
from tests.actors.cluster_bench import Calls
from tests.actors.leftovers import UP_S, nothing_stays, until
from tests.capabilities.dialog_samples import dialog


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, 2, admin=False)


def test_capabilities_named_before_the_start_are_there_at_each(space: Workspace) -> None:
    with nothing_stays():
        node = Node.from_config(space.config(1))
        users = node.replicated_dict("users")
        with pytest.raises(Misuse):
            users["alice"] = 1
        with pytest.raises(Misuse, match="not running"):
            node.request(2, "x")
        for _ in range(2):
            with node:
                users["alice"] = 1
                node.wait_ready()
                assert node.cluster(1).status("users").state == "ok"
                assert node.cluster(1).names() == ["tagmesh-commands", "tagmesh-requests", "users"]


def test_an_object_may_go_over_to_the_next_life_of_its_node(space: Workspace) -> None:
    with nothing_stays():
        calls = Calls("kept", [1, 2, 3])
        for _ in range(2):
            with Node.from_config(space.config(1)) as node:
                node.cluster(1).register(calls)
                node.wait_ready()
        assert calls.records == [1, 2, 3]


def test_waiting_until_ready_waits_for_the_first_sync_and_says_what_is_missing(
    space: Workspace,
) -> None:
    with nothing_stays(), Node.from_config(space.config(2)) as two:
        two.wait_ready()
        users = two.replicated_dict("users")
        with pytest.raises(TimeoutError, match=r"cluster 1: users is pending: "):
            two.wait_ready(timeout=0.2)
        assert not two.status().ready
        with Node.from_config(space.config(1)) as one:
            one.replicated_dict("users")["alice"] = 1
            one.wait_ready()
            two.wait_ready()
            assert users["alice"] == 1


def test_the_first_cluster_is_that_of_the_configuration_or_of_the_rows(space: Workspace) -> None:
    file = space.config(1)
    with nothing_stays(), Node.from_config(file) as named:
        assert named.cluster() is named.cluster(1)
    text = file.read_text()
    begin, end = text.index("[[cluster]]"), text.index("[admin]")
    file.write_text(text[:begin] + text[end:])
    with nothing_stays():
        node = Node.from_config(file)
        with pytest.raises(Misuse, match=r"which cluster.*does not run yet: name one"):
            node.replicated_dict("users")
        with node:
            assert node.cluster() is node.cluster(1)


def test_a_cluster_without_this_node(space: Workspace) -> None:
    with nothing_stays():
        node = Node.from_config(space.config(1))
        node.cluster(7).register(Calls("lost"))
        with (
            node,
            pytest.raises(TimeoutError, match=r"cluster 7: .*no enabled row in that cluster"),
        ):
            node.wait_ready(timeout=0.2)


def test_a_node_that_goes_down_is_told_to_who_asked_it(space: Workspace) -> None:
    gate = threading.Event()
    with (
        nothing_stays(),
        Node.from_config(space.config(1)) as one,
        Node.from_config(space.config(2)) as two,
    ):
        two.on_request(lambda payload, source: gate.wait(UP_S))
        until(lambda: bool(one.cluster(1).requests.port.send(2, (4, "tag", 0, "are you there"))))
        reply = one.cluster(1).requests.request(2, "x", UP_S)
        until(lambda: not one.cluster(1).requests.port.send(9, None))
        two.kill()
        with pytest.raises(NodeDown, match="node 2 went down"):
            reply.result()
        gate.set()


def test_a_dict_with_a_store_outlives_its_node(space: Workspace, tmp_path: Path) -> None:
    """What was written in the last moment before an orderly stop is kept, too."""
    url = f"sqlite:///{tmp_path / 'records.db'}"
    with nothing_stays():
        for life in range(3):
            with Node.from_config(space.config(1)) as node:
                users = node.replicated_dict("users", store=SqlRecordStore(url, "users", node=1))
                assert dict(users) == {f"life {n}": n for n in range(life)}
                node.wait_ready()
                with pytest.raises(Misuse, match="is there already, without this store"):
                    node.replicated_dict("users", store=SqlRecordStore(url, "others"))
                users[f"life {life}"] = life
                users["gone"] = 1
                del users["gone"]


def test_dialogs_with_a_store_outlive_their_node_and_end_in_its_next_life(
    space: Workspace, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'records.db'}"
    stays = dialog(1, timeout=2**32 - 1)
    with nothing_stays():
        with Node.from_config(space.config(1)) as node:
            dialogs = node.cluster(1).dialogs(store=SqlRecordStore(url, "dialogs", node=1))
            node.cluster(1).tag("vip1").activate()
            dialogs.create(stays, "vip1")
            dialogs.create(dialog(2, timeout=int(time.time()) + 2))
        ended: list[str] = []
        with Node.from_config(space.config(1)) as node:
            dialogs = node.cluster(1).dialogs(store=SqlRecordStore(url, "dialogs", node=1))
            dialogs.on_expired(lambda over, _token: ended.append(over.callid))
            assert (dialogs.get(stays.key), dialogs.tag_of(stays.key)) == (stays, "vip1")
            until(lambda: len(dialogs) == 1)
            assert ended == [dialog(2).callid]


def test_a_store_that_fails_stops_neither_the_node_nor_its_end(
    space: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        """Its disk is gone."""

        def load(self) -> Iterable[bytes]:
            return ()

        def write(self, records: Mapping[bytes, bytes | None]) -> None:
            raise OSError("the disk is gone")

    with nothing_stays():
        with Node.from_config(space.config(1)) as node:
            users = node.replicated_dict("users", store=Broken())
            users["alice"] = 1
            assert users["alice"] == 1
        assert "the disk is gone" in caplog.text
        assert "capability users failed" in caplog.text


def test_without_what_its_store_has_a_dict_is_not_there(space: Workspace, tmp_path: Path) -> None:
    with nothing_stays(), Node.from_config(space.config(1)) as node:
        away = SqlRecordStore(f"sqlite:///{tmp_path}/away/records.db", "users")
        with pytest.raises(StorageUnavailable):
            node.replicated_dict("users", store=away)
        assert node.cluster(1).names() == ["tagmesh-commands", "tagmesh-requests"]
