"""Whole programs that embed nodes, each in a process of its own: gevent, fork, signals, exit."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tagmesh.control.workspace import Workspace
from tests.integration.process_cluster import ProcessCluster

PRELUDE = """
import sys, time, threading
from tagmesh import Event, ForkedRuntime, LocalCluster, Node
def all_up(status):
    return all(p.link == "Up" and p.next_hop for c in status.clusters for p in c.peers)
ONE, TWO = sys.argv[1:]
"""


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, 2)


def run(space: Workspace, program: str, *, before: str = "", expect: int = 0) -> str:
    """Run a program with the two configuration files as arguments; stdout. stderr stays empty."""
    text = textwrap.dedent(before) + PRELUDE + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", text, str(space.config(1)), str(space.config(2))],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (expect, ""), done.stderr + done.stdout
    return done.stdout


PATCH = "from gevent import monkey; monkey.patch_all()\n"


@pytest.mark.parametrize("before", ["", PATCH], ids=["plain", "patched"])
def test_inline_beside_other_greenlets(space: Workspace, before: str) -> None:
    """Two nodes in the program's own hub; its other greenlets go on all the time."""
    program = """
    import gevent, gevent.monkey
    beats = []
    def heart():
        while True:
            beats.append(time.monotonic())
            gevent.sleep(0.01)
    def serve():
        one, two = Node.from_config(ONE), Node.from_config(TWO)
        heard = []
        one.on(Event.NODE_UP)(heard.append)
        one.start(inline=True)
        two.start(inline=True)
        one.until(all_up, 15)
        two.until(all_up, 15)
        assert one.trace_route(1, 2) == [2]
        while not heard:
            gevent.sleep(0.01)
        answer = gevent.get_hub().threadpool.apply(one.status)  # from another thread
        assert answer.node_id == 1
        stops = [gevent.spawn(one.stop) for _ in range(3)]  # several greenlets at once
        gevent.joinall(stops, raise_error=True)
        two.stop()
        one.start(inline=True)
        one.stop()
    before = set(threading.enumerate())
    gevent.spawn(heart)
    gevent.spawn(serve).get()
    gaps = [b - a for a, b in zip(beats, beats[1:])]
    assert len(beats) > 5, len(beats)
    assert max(gaps) < 1.0, max(gaps)
    print(gevent.monkey.is_anything_patched())
    """
    assert run(space, program, before=before) == f"{bool(before)}\n"


@pytest.mark.parametrize("before", ["", PATCH], ids=["plain", "patched"])
def test_capabilities_inline(space: Workspace, before: str) -> None:
    """Dicts and requests of greenlets, whose waiting stops neither node of the hub."""
    program = """
    import gevent
    from tagmesh import Unreachable
    held = threading.Event()
    def ask(node):
        try:
            return node.request(2, "hold", timeout=1000)
        except Unreachable as error:
            return str(error)
    def serve():
        one, two = Node.from_config(ONE), Node.from_config(TWO)
        users, seen = one.replicated_dict("users"), []
        @two.on_request
        def answer(payload, source):
            time.sleep(0.01)
            if payload == "hold":
                held.wait()
            return payload * 2
        one.start(inline=True)
        two.start(inline=True)
        theirs = two.replicated_dict("users")
        theirs.map.on_change(lambda key, value, source: seen.append((key, value)))
        one.wait_ready()
        two.wait_ready()
        one.until(all_up, 15)
        assert one.request(2, "ab") == "abab"
        users["bob"] = 2
        while ("bob", 2) not in seen:
            gevent.sleep(0.01)
        assert one.cluster(1).sync_now("users").ok
        asker = gevent.spawn(ask, one)
        gevent.sleep(0.1)
        one.stop()  # whoever waits hears of it
        assert "stopped" in asker.get(timeout=5)
        held.set()
        two.stop()
    gevent.spawn(serve).get()
    print("served")
    """
    assert run(space, program, before=before) == "served\n"


def test_start_in_a_patched_program_joins_its_hub(space: Workspace) -> None:
    """Its threads are greenlets: another one would destroy the program's hub at the end."""
    program = """
    import gevent, urllib.request
    beats = []
    gevent.spawn(lambda: [(beats.append(1), time.sleep(0.01)) for _ in range(10**6)])
    heard = []
    with Node.from_config(ONE) as one, Node.from_config(TWO) as two:
        one.on()(heard.append)
        one.until(all_up, 15)
        two.until(all_up, 15)
        workers = [threading.Thread(target=one.status) for _ in range(8)]
        for worker in workers: worker.start()
        for worker in workers: worker.join()
        for _ in range(10):
            assert urllib.request.urlopen(one.admin_url + "/api/v1/state").status == 200
        two.stop()
        while not heard:
            time.sleep(0.01)
    before = len(beats)
    time.sleep(0.1)
    assert len(beats) > before
    print("still here")
    """
    assert run(space, program, before=PATCH) == "still here\n"


def test_local_cluster_in_a_patched_program(space: Workspace) -> None:
    program = """
    with LocalCluster(2) as lab:
        lab.cut(1, 2)
        lab.wait_link(1, 2, "Down")
        lab.heal(1, 2)
        lab.wait_all_up()
    print("healed")
    """
    assert run(space, program, before=PATCH) == "healed\n"


def test_a_fork_is_told_and_the_parent_goes_on(space: Workspace) -> None:
    program = """
    import os
    one, two = Node.from_config(ONE), Node.from_config(TWO)
    one.start()
    two.start()
    one.until(all_up, 15)
    lab = LocalCluster(2)
    lab.start()
    child = os.fork()
    if not child:
        told = []
        for call in (one.status, one.stop, one.start, one.kill, one.events, one.wait_ready,
                     lambda: one.url, lambda: one.cut(2), lambda: one.trace_route(1, 2),
                     lab.stop):
            try:
                call()
            except ForkedRuntime as error:
                told.append(str(error))
        assert len(told) == 10, told
        assert "make and start the node in the child" in told[0]
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    end = time.monotonic() + 3  # longer than the detection time, and a refresh of the roster
    while time.monotonic() < end:
        for node in (one, two, *lab):
            status = node.status()
            assert all_up(status), status
            assert status.roster_error is None, status.roster_error
        time.sleep(0.05)
    assert not [r for r in one.events() if r.kind is Event.NODE_DOWN]
    lab.stop()
    one.stop()
    two.stop()
    print("unharmed")
    """
    assert run(space, program) == "unharmed\n"


def test_a_node_made_in_the_child_works(space: Workspace) -> None:
    program = """
    import os
    one = Node.from_config(ONE)
    one.start()
    child = os.fork()
    if not child:
        with Node.from_config(TWO) as two:
            two.until(all_up, 15)
        sys.exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    one.stop()
    """
    run(space, program)


def test_ctrl_c_while_it_starts(space: Workspace) -> None:
    """The database is locked, so start takes its time; nothing goes on behind the user's back."""
    program = """
    import os, signal, sqlite3
    from tagmesh import Misuse
    from pathlib import Path
    database = sqlite3.connect(Path(ONE).parents[1] / "nodes.db", isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    one = Node.from_config(ONE)
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    begin = time.monotonic()
    try:
        one.start()
    except KeyboardInterrupt:
        print("interrupted")
    assert time.monotonic() - begin < 8
    database.execute("ROLLBACK")
    database.close()
    while any("tagmesh" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() - begin < 15
        time.sleep(0.01)
    assert "stopped" in repr(one)
    one.start()
    one.stop()
    """
    space.config(1).write_text(
        space.config(1).read_text().replace("[provisioning]\n", "[provisioning]\n" + SHORT)
    )
    assert run(space, program) == "interrupted\n"


SHORT = 'query_timeout = "200ms"\nboot_patience = "60s"\n'


@pytest.mark.parametrize("before", ["", PATCH], ids=["plain", "patched"])
def test_a_program_that_ends_without_stop(space: Workspace, before: str) -> None:
    """No crash of the interpreter, no noise, and the peers are told."""
    with ProcessCluster.of(space) as cluster:
        cluster.start(2)
        program = """
        one = Node.from_config(ONE)
        one.on()(lambda record: None)
        one.start()
        one.until(all_up, 15)
        print("bye")
        """
        assert run(space, program, before=before) == "bye\n"
        cluster.until(lambda: "left: 'stopping'" in cluster.log(2).read_text(), 5)


def test_an_exception_in_the_main_thread_ends_the_program(space: Workspace) -> None:
    text = PRELUDE + "one = Node.from_config(ONE)\none.start()\nraise SystemExit(5)\n"
    done = subprocess.run(
        [sys.executable, "-c", text, str(space.config(1)), str(space.config(2))],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (5, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_node_run_ends_orderly(space: Workspace, number: signal.Signals) -> None:
    with ProcessCluster.of(space) as cluster:
        cluster.start()
        cluster.until(cluster.all_up, 30)
        cluster.signal(2, number)
        assert cluster.processes[2].wait(5) == 0
        del cluster.processes[2]
        cluster.until(lambda: cluster.peer(1, 2).link == "Down", 1)
        assert "left: 'stopping'" in cluster.log(1).read_text()
        log = cluster.log(2).read_text()
        assert "Traceback" not in log
        assert "rror" not in log, log
