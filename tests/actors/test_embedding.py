"""A node inside an ordinary threaded program: life, calls from threads, callbacks, leftovers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tagmesh import (
    Event,
    EventRecord,
    Misuse,
    Node,
    NodeDown,
    NotProvisioned,
    StorageUnavailable,
    Unknown,
)
from tagmesh.actors import callbacks
from tagmesh.control.workspace import Workspace
from tagmesh.protocol.status import Status
from tests.actors.leftovers import UP_S, leftovers, nothing_stays, only, settled, until


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    with nothing_stays():
        yield


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, 2, admin=False)


@pytest.fixture
def pair(space: Workspace) -> Iterator[tuple[Node, Node]]:
    """Nodes 1 and 2, running and up."""
    with Node.from_config(space.config(1)) as one, Node.from_config(space.config(2)) as two:
        for node in (one, two):
            node.until(all_up, UP_S)
        yield one, two


def all_up(status: Status) -> bool:
    return all(p.link == "Up" and p.next_hop for c in status.clusters for p in c.peers)


def test_two_nodes_in_one_process(pair: tuple[Node, Node]) -> None:
    one, two = pair
    assert one.trace_route(1, 2) == [2]
    assert two.trace_route(1, 1) == [1]
    assert str(one.url) != str(two.url)
    assert repr(one) == "<Node 1 running>"
    assert Event.NODE_UP in {record.kind for record in one.events()}


def test_a_node_tells_what_went_through_it(pair: tuple[Node, Node]) -> None:
    one, two = pair
    one.wait_ready()
    status = one.until(lambda s: sum(s.clusters[0].peers[0].rtts.counts) > 0)  # type: ignore[union-attr]  # there is a link
    traffic = status.traffic
    assert traffic is not None
    assert traffic.messages_sent["Ping"] >= 1
    assert traffic.messages_received["Pong"] >= 1
    assert min(traffic.bytes_sent, traffic.bytes_received) > 0
    shaken = traffic.handshakes + two.status().traffic.handshakes  # type: ignore[union-attr]  # it runs
    assert {(h.role, h.result) for h in shaken} >= {("client", "done"), ("server", "done")}
    assert status.storage_calls is not None
    assert sum(status.storage_calls.counts) >= 1
    assert status.hub_lag_s is not None
    assert 0 <= status.hub_lag_s < 10
    assert status.inboxes.keys() == status.actors.keys()


def test_a_node_removes_another(pair: tuple[Node, Node]) -> None:
    one, two = pair
    with pytest.raises(Misuse, match="node 1 is this one"):
        one.remove_node(1, 1)
    with pytest.raises(Unknown, match="no node 9"):
        one.remove_node(1, 9)
    assert one.remove_node(1, 2, by="a test")
    assert not one.remove_node(1, 2)
    assert one.status().clusters[0].peers == []
    two.until(lambda status: status.clusters == [], UP_S)
    expelled = [record for record in two.events() if record.kind is Event.EXPELLED]
    assert [record.cause.partition(": ")[0] for record in expelled] == ["removed by a test"]
    assert any("removed by a test" in line for line in one.why("node", 2).lines())
    with pytest.raises(Misuse, match="tagmesh db add"):
        one.readmit_node(1, 2)


def test_start_stop_and_start_again(space: Workspace) -> None:
    node = Node.from_config(space.config(1))
    incarnations = []
    for _ in range(3):
        node.start()
        node.wait_ready()
        incarnations.append(node.status().incarnation)
        with pytest.raises(Misuse, match="runs already"):
            node.start()
        node.stop()
        node.stop()
        assert repr(node) == "<Node 1 stopped>"
    assert sorted(set(incarnations)) == incarnations


def test_nothing_happens_before_start(space: Workspace) -> None:
    before = settled()
    node = Node.from_config(space.config(1))
    node.on(Event.NODE_UP)(print)
    assert leftovers() == before
    node.stop()
    for call in (
        node.status,
        lambda: node.trace_route(1, 2),
        lambda: node.until(bool),
        node.wait_ready,
        lambda: node.cut(2),
        lambda: node.heal(2),
        node.events,
        lambda: node.url,
    ):
        with pytest.raises(Misuse, match=r"not running; call start\(\) first"):
            call()


def test_eight_threads_call_at_once(pair: tuple[Node, Node]) -> None:
    one, two = pair
    barrier = threading.Barrier(8)

    def work(number: int) -> int:
        barrier.wait(UP_S)
        for _ in range(20):
            node, other = (one, 2) if number % 2 else (two, 1)
            assert node.status().node_id == node.node_id
            assert node.trace_route(1, other) == [other]
            assert list(node.events())
        return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == list(range(8))


def test_calls_while_the_node_stops_end_at_once(space: Workspace) -> None:
    """They get an answer or `Misuse`, whatever the moment; nobody waits for a hub that is gone."""
    node = Node.from_config(space.config(1))
    outcomes: list[str] = []

    def work() -> None:
        while True:
            begin = time.monotonic()
            try:
                node.status()
            except Misuse as error:
                outcomes.append(str(error))
                break
            finally:
                assert time.monotonic() - begin < 5

    for _ in range(3):
        outcomes.clear()
        node.start()
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        node.stop()
        for thread in threads:
            thread.join(10)
        assert len(outcomes) == 8, outcomes


def test_threads_start_and_stop_the_same_node(space: Workspace) -> None:
    node = Node.from_config(space.config(1))
    started: list[bool] = []

    def work() -> None:
        try:
            node.start()
            started.append(True)
        except Misuse:
            started.append(False)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result(UP_S)
        assert sorted(started) == [False, False, False, True]
        for done in [pool.submit(node.stop) for _ in range(4)]:
            done.result(UP_S)
    assert repr(node) == "<Node 1 stopped>"


def test_callbacks_run_in_one_worker_thread(space: Workspace) -> None:
    node = Node.from_config(space.config(1))
    heard: list[tuple[int, EventRecord]] = []

    @node.on(Event.NODE_UP, Event.NODE_DOWN)
    def changed(record: EventRecord) -> None:
        heard.append((threading.get_ident(), record))
        node.status()  # a call back into the node is no trouble

    with node, Node.from_config(space.config(2)):
        until(lambda: len(heard) == 1)
        hub = next(t.ident for t in threading.enumerate() if t.name == "tagmesh-node-1")
        worker = next(t.ident for t in threading.enumerate() if t.name == "tagmesh-events-1")
    assert [(thread, r.kind, r.node_id) for thread, r in heard[:1]] == [(worker, Event.NODE_UP, 2)]
    assert worker not in (hub, threading.get_ident())


def test_a_callback_that_raises_disturbs_no_other(
    space: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node.from_config(space.config(1))
    heard: list[EventRecord] = []

    @node.on()
    def broken(record: EventRecord) -> None:
        raise ValueError("mine")

    node.on(Event.NODE_UP)(heard.append)
    with node, Node.from_config(space.config(2)) as two:
        until(lambda: len(heard) == 1)
        assert node.until(all_up).crashes == 0
        two.until(all_up)
    assert "ValueError: mine" in caplog.text


def test_a_callback_that_blocks_holds_up_no_link(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even at stop, nor after the next start."""
    monkeypatch.setattr(callbacks, "STOP_TIMEOUT_S", 0.2)
    node = Node.from_config(space.config(1))
    gate, entered = threading.Event(), threading.Event()
    heard: list[EventRecord] = []

    @node.on(Event.NODE_UP)
    def stuck(record: EventRecord) -> None:
        heard.append(record)
        entered.set()
        gate.wait(UP_S)

    try:
        with Node.from_config(space.config(2)) as two:
            node.start()
            assert entered.wait(UP_S)
            node.until(all_up)
            two.until(all_up)
            node.stop()
            node.start()
            until(lambda: len(heard) == 2)
            node.until(all_up)
            node.stop()
    finally:
        gate.set()


def test_a_callback_may_stop_its_node(space: Workspace) -> None:
    node = Node.from_config(space.config(1))
    stopped = threading.Event()

    @node.on(Event.NODE_UP)
    def enough(record: EventRecord) -> None:
        node.stop()
        stopped.set()

    with Node.from_config(space.config(2)):
        node.start()
        assert stopped.wait(UP_S)
    assert repr(node) == "<Node 1 stopped>"


def test_a_callback_may_be_registered_later(pair: tuple[Node, Node]) -> None:
    one, two = pair
    heard: list[str] = []
    one.on(Event.LINK_CHANGED)(lambda record: heard.append(record.cause))
    two.stop()
    until(lambda: heard == ["left: 'stopping'"], 3)


def test_waiting_in_vain(pair: tuple[Node, Node]) -> None:
    one, two = pair
    with pytest.raises(TimeoutError, match=r"node 1: not so within 0.05 s: Status\("):
        one.until(lambda status: status.node_id == 9, timeout=0.05)
    with pytest.raises(Misuse, match="in no cluster 7"):
        one.trace_route(7, 2)
    with pytest.raises(NodeDown, match="node 9"):
        one.trace_route(1, 9, timeout=0.05)
    assert two.until(lambda status: status.ready).ready


def test_the_rows_are_read_when_somebody_says_so(pair: tuple[Node, Node], space: Workspace) -> None:
    one, _ = pair
    database = space.folder / "nodes.db"
    began = len(list(one.events()))
    one.reload_rows()
    database.rename(database.with_suffix(".away"))
    with pytest.raises(StorageUnavailable, match="there is no such file"):
        one.reload_rows()
    database.with_suffix(".away").rename(database)
    one.reload_rows()
    kinds = {event.kind for event in list(one.events())[began:]}
    assert kinds == {Event.ROSTER_CHANGED}, "lost and back, and no link was disturbed"


def break_certificate(space: Workspace) -> None:
    (space.config(1).parent / "tls" / "node.crt").write_text("nonsense")


def break_database(space: Workspace) -> None:
    (space.folder / "nodes.db").unlink()


def break_rows(space: Workspace) -> None:
    text = space.config(1).read_text()
    space.config(1).write_text(text.replace("id = 1\n", "id = 99\n", 1))


@pytest.mark.parametrize(
    ("breaking", "error"),
    [
        (break_certificate, Misuse),
        (break_database, StorageUnavailable),
        (break_rows, NotProvisioned),
    ],
)
def test_a_start_that_fails_leaves_nothing(
    space: Workspace, breaking: Callable[[Workspace], None], error: type[Exception]
) -> None:
    breaking(space)
    node = Node.from_config(space.config(1))
    before = settled()
    for _ in range(2):
        with pytest.raises(error):
            node.start()
        assert leftovers() == before
    assert repr(node).endswith("stopped>")


def test_a_start_that_fails_late_frees_the_address(space: Workspace) -> None:
    """The management interface is last: until then the node was listening already."""
    one = Node.from_config(with_admin(space.config(1), "127.0.0.1:0"))
    with one:
        assert one.admin_url is not None
        address = one.admin_url.removeprefix("http://")
        two = Node.from_config(with_admin(space.config(2), address))
        before = settled()
        with pytest.raises(Misuse, match="cannot listen there"):
            two.start()
        only(before)
    with two:
        assert two.admin_url == f"http://{address}"


def with_admin(config: Path, address: str) -> Path:
    config.write_text(config.read_text().replace('http = ""', f'http = "{address}"'))
    return config
