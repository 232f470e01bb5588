"""`LocalCluster`: a whole cluster in this process, its faults, and nothing left of it."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tagmesh import Capability, Event, LocalCluster, Misuse, NotTagOwner
from tests.actors.leftovers import nothing_stays


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither threads nor files stay."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with nothing_stays():
        yield
    assert list(tmp_path.iterdir()) == []


def test_a_broken_path_is_gone_round_and_healed() -> None:
    with LocalCluster(3) as lab:
        assert [node.node_id for node in lab] == [1, 2, 3]
        assert len(lab) == 3
        lab.cut(1, 3)
        lab.wait_route(1, 3, via=2)
        lab.wait_route(3, 1, via=2)
        assert lab.peer(1, 3).route == [2, 3]
        assert lab[1].trace_route(1, 3) == [2, 3]
        lab.wait_link(1, 3, "Down")
        lab.heal(1, 3)
        lab.wait_route(1, 3)
        lab.wait_all_up()
        assert Event.NODE_DOWN not in {e.kind for node in lab for e in node.events()}


def test_a_dict_is_shared_and_traffic_goes_round() -> None:
    with LocalCluster(3) as lab:
        users = [n.replicated_dict("users") for n in lab]
        users[0]["alice"] = {"ip": "10.0.0.7"}
        lab.settle()
        assert users[2]["alice"] == {"ip": "10.0.0.7"}
        lab.cut(1, 3)
        lab.wait_route(1, 3, via=2)
        users[0].update({f"user {n}": "x" * 1000 for n in range(2000)})
        lab.settle()
        assert [len(u) for u in users] == [2001] * 3
        lab.heal(1, 3)
        lab.wait_route(1, 3)
        lab.kill(2)
        users[0]["bob"] = 1
        lab.settle()
        assert users[2]["bob"] == 1
        lab.restart(2)
        joined = lab[2].replicated_dict("users")
        lab.wait_all_up()
        lab.settle()
        assert joined == users[0]


def test_it_settles_when_slow_handlers_are_done_and_answers_have_come() -> None:
    class Echo(Capability):
        name = "echo"

        def __init__(self) -> None:
            self.heard: list[Any] = []

        def on_message(self, message: Any, source: int) -> None:
            time.sleep(0.02)
            self.heard.append(message)
            if message > 0:
                self.send(source, message - 1)

    with LocalCluster(2) as lab:
        one, two = [node.cluster(1).register(Echo()) for node in lab]
        lab.until(lambda: bool(one.send(2, 20)))
        lab.settle()
        assert one.heard + two.heard == [*range(19, 0, -2), *range(20, -1, -2)]


def test_what_does_not_settle_is_named() -> None:
    class Stuck(Capability):
        name = "stuck"

        def on_message(self, message: Any, source: int) -> None:
            gate.wait(30)

    gate = threading.Event()
    with LocalCluster(2) as lab:
        one, _ = [node.cluster(1).register(Stuck()) for node in lab]
        lab.until(lambda: bool(one.send(2, "x")))
        with pytest.raises(TimeoutError, match=r"node 1: \d+ bytes of stuck on the way to 2"):
            lab.settle(timeout=0.3)
        gate.set()
        lab.settle()


def test_a_killed_node_is_missed_and_comes_back() -> None:
    with LocalCluster(3) as lab:
        first = lab[1].status()
        lab.kill(3)
        lab.until(lambda: lab.peer(1, 3).link == lab.peer(2, 3).link == "Down", 2)
        assert lab.peer(1, 3).route == []
        assert "left" not in lab.peer(1, 3).why
        assert len(lab) == 2
        with pytest.raises(Misuse, match=r"node 3 does not run; running: \[1, 2\]"):
            lab[3]
        lab.restart(3)
        lab.wait_all_up()
        before = first.clusters[0].peers[1].incarnation
        after = lab.peer(1, 3).incarnation
        assert before is not None
        assert after is not None
        assert after > before


def test_it_prints_its_status_tables() -> None:
    with LocalCluster(2) as lab:
        text = str(lab)
        assert "seen from node 1 (lab-1)" in text
        assert "seen from node 2 (lab-2)" in text
        assert text.count("Up") >= 2
        with pytest.raises(TimeoutError, match=r"not so within 0.05 s:\n.*seen from node 1"):
            lab.until(lambda: False, timeout=0.05)


def test_it_may_be_started_again() -> None:
    lab = LocalCluster(1)
    for _ in range(2):
        lab.start()
        with pytest.raises(Misuse, match="runs already"):
            lab.start()
        lab.stop()
        lab.stop()


@pytest.mark.parametrize("nodes", [0, 33])
def test_too_few_and_too_many_nodes(nodes: int) -> None:
    with pytest.raises(Misuse, match="has 1 … 32 nodes"):
        LocalCluster(nodes)


def test_a_start_that_fails_leaves_nothing() -> None:
    lab = LocalCluster(2, timing={"ping_interval": "2 parsecs"})
    with pytest.raises(Exception, match="2 parsecs"):
        lab.start()


def test_what_cannot_be_asked_for() -> None:
    with LocalCluster(2) as lab:
        with pytest.raises(Misuse, match="knows no node 9"):
            lab.peer(1, 9)
        with pytest.raises(Misuse, match="was not killed"):
            lab.restart(1)
        with pytest.raises(Misuse, match="was not killed"):
            lab.restart(9)


def test_a_record_with_a_tag_is_written_where_the_tag_is() -> None:
    """M-2, over real links; with ``forward`` from everywhere."""
    with LocalCluster(2) as lab:
        here, there = (node.replicated_dict("calls", "vip", forward=True) for node in lab)
        plain = lab[2].replicated_dict("plain", "vip")
        lab[1].cluster(1).tag("vip").activate()
        lab.until(lambda: there.map.port.tag("vip").holder == 1)
        there["k"] = 1
        assert (there["k"], here["k"]) == (1, 1)
        with pytest.raises(NotTagOwner, match="active on node 1"):
            plain["k"] = 1
        with pytest.raises(Misuse, match="made without forward"):
            lab[2].replicated_dict("plain", forward=True)
        lab[1].cluster(1).tag("vip").release()
        lab.until(lambda: there.map.port.tag("vip").holder is None)
        with pytest.raises(NotTagOwner, match="active nowhere"):
            there["k"] = 2
