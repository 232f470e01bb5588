"""``tagmesh ctl`` against a server with a hand-made node: output, exit codes, speed."""

from __future__ import annotations

import json
import os
import pty
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from tagmesh.control.cli import root
from tagmesh.control.client import MiClient, NoAnswer
from tagmesh.control.commands import TABLE
from tests.control.fake_node import FakeNode, make_status, peer, served

PROGRAM = [sys.executable, "-c", "from tagmesh.control.cli import main; main()"]
BUDGET_CPU_S = 0.4


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeNode, str]]:
    node = FakeNode()
    with served(node) as url:
        yield node, url


@pytest.fixture
def node(shared: tuple[FakeNode, str]) -> FakeNode:
    vars(shared[0]).update(vars(FakeNode()))
    return shared[0]


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration of this machine is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("TAGMESH_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def url(shared: tuple[FakeNode, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Where $TAGMESH_URL points as well."""
    monkeypatch.setenv("TAGMESH_URL", shared[1])
    return shared[1]


def ctl(*args: str) -> Result:
    return CliRunner().invoke(root, ["ctl", *args], prog_name="tagmesh")


def output(*args: str) -> str:
    result = ctl(*args)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


pytestmark = pytest.mark.usefixtures("node", "url")


def test_status_as_a_table() -> None:
    rows = words(output("status"))
    assert rows[0][:7] == ["Cluster", "1", "·", "seen", "from", "node", "1"]
    row = ["2", "node-2", "bins:10.0.0.2:5556", "Up", "2", "enabled", "0.4", "ms", "2/2", "Ok"]
    assert row in [words[:10] for words in rows]


def test_status_as_json_is_the_state() -> None:
    assert msgspec.convert(json.loads(output("status", "-o", "json")), type(make_status())) == (
        make_status()
    )


def test_nodes() -> None:
    rows = words(output("nodes"))
    assert rows[2] == ["1", "2", "12", "bins:10.0.0.2:5556", "Up", "enabled", "2", "node-2"]
    listed = json.loads(output("nodes", "-o", "json"))
    assert [n["node_id"] for n in listed["Clusters"][0]["Nodes"]] == [2, 3]


def test_topology() -> None:
    assert words(output("topology"))[2:] == [
        ["1", "1", "2"],
        ["1", "2", "1,", "3"],
        ["1", "3", "2"],
    ]
    listed = json.loads(output("topology", "-o", "json"))
    assert listed["Clusters"][0]["Nodes"][0] == {"node_id": 1, "Neighbours": [2]}


def test_trace() -> None:
    assert output("trace", "3") == "1 > 2 > 3\n"
    assert output("trace", "3", "--cluster", "1") == "1 > 2 > 3\n"
    assert json.loads(output("trace", "3", "-o", "json"))["route"] == [2, 3]


def test_trace_asks_for_the_cluster_when_there_are_several(node: FakeNode) -> None:
    second = msgspec.structs.replace(node.current.clusters[0], cluster_id=2, peers=[peer(3)])
    clusters = [*node.current.clusters, second]
    node.current = msgspec.structs.replace(node.current, clusters=clusters)
    result = ctl("trace", "3")
    assert result.exit_code == 2
    assert "in the clusters 1, 2: choose one with --cluster" in result.stderr
    assert output("trace", "3", "--cluster", "2") == "1 > 3\n"
    assert output("trace", "2") == "1 > 2\n"


def test_mi_prints_json() -> None:
    assert json.loads(output("mi", "which")) == list(TABLE)
    assert json.loads(output("mi", "which", "help")) == [[], ["mi_cmd"]]
    assert json.loads(output("mi", "which", "command=help")) == [[], ["mi_cmd"]]
    assert json.loads(output("mi", "version", "-o", "json"))["Server"].startswith("tagmesh")


def test_mi_takes_arrays() -> None:
    nodes = {"clusterer:clusterer_nodes": 2}
    assert json.loads(output("mi", "get_statistics", '["clusterer_nodes"]')) == nodes
    assert json.loads(output("mi", "get_statistics", 'statistics=["clusterer_nodes"]')) == nodes
    result = ctl("mi", "which", "[x")
    assert (result.exit_code, "unknown MI command" in result.stderr) == (3, True)


def test_link_cut_and_heal(node: FakeNode) -> None:
    assert output("link", "cut", "3") == "ok: direct path to node 3 cut\n"
    assert output("link", "heal", "3") == "ok: direct path to node 3 healed\n"
    assert json.loads(output("link", "cut", "2", "-o", "json")) == "OK"
    assert node.switched == [("cut", 3), ("heal", 3), ("cut", 2)]


@pytest.mark.parametrize(
    ("args", "exit_code", "text"),
    [
        (["trace", "2"], 1, "Destination down (node 2 did not answer within 2 s)"),
        (["trace", "x"], 2, "'x' is not a valid integer"),
        (["trace"], 2, "Missing argument 'NODE'"),
        (["fly"], 2, "No such command"),
        (["mi", "clusterer_lst"], 2, "did you mean 'clusterer_list'?"),
        (["mi", "which", "1", "2"], 2, "Too few or too many parameters"),
        (["mi", "tagmesh_cut", "-x"], 2, "Bad type for parameter 'node_id'"),
        (["trace", "8"], 3, "other nodes known here: 2, 3, 4"),
        (["trace", "2", "--cluster", "9"], 3, "Cluster id not found"),
        (["link", "cut", "8"], 3, "Node id not found"),
        (["link", "cut", "3"], 4, "fault_switch = true"),
    ],
)
def test_errors_have_their_exit_code(
    node: FakeNode, args: list[str], exit_code: int, text: str
) -> None:
    node.down, node.fault_switch = {2}, False
    result = ctl(*args)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert text in result.stderr


def test_a_node_without_clusters_has_no_route_to_trace(node: FakeNode) -> None:
    node.current = make_status(clusters=[])
    result = ctl("trace", "3")
    assert result.exit_code == 2
    assert "in no cluster" in result.stderr


def test_an_instance_that_cannot_tell_its_status(node: FakeNode) -> None:
    node.broken = RuntimeError("stopped")
    result = ctl("status")
    assert result.exit_code == 1
    assert "RuntimeError: stopped" in result.stderr


def test_no_answer_is_5_and_says_what_to_do() -> None:
    result = ctl("--url", "http://127.0.0.1:1", "status")
    assert (result.exit_code, result.stdout) == (5, "")
    assert "no answer from http://127.0.0.1:1: Connection refused" in result.stderr
    assert "tagmesh node run" in result.stderr


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"jsonrpc":"2.0","id":"1"}'),
        (200, b'{"error":"x"}'),
        (404, b"<html>"),
        (500, b""),
    ],
)
@pytest.mark.parametrize("command", ["status", "nodes"])
def test_something_else_on_that_port(status: int, body: bytes, command: str) -> None:
    class Stranger(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.handle_request).start()
        result = ctl("--url", f"http://127.0.0.1:{server.server_port}", command)
    assert (result.exit_code, result.stdout) == (5, "")
    assert "is not a tagmesh of this version" in result.stderr


def test_an_instance_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # listens, never accepts
        client = MiClient(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2)
        with pytest.raises(NoAnswer, match="timed out"):
            client.call("which")


def test_a_reply_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagmesh.control.client.MAX_REPLY_BYTES", 1000)
    result = ctl("status")
    assert result.exit_code == 5
    assert "longer than 1000 bytes" in result.stderr


def test_a_port_that_does_not_speak_http() -> None:
    def hang_up() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"\x15\x03\x03\x00\x02\x02\x28")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=hang_up).start()
        result = ctl("--url", f"http://127.0.0.1:{server.getsockname()[1]}", "status")
    assert result.exit_code == 5
    assert "does not speak HTTP" in result.stderr


@pytest.mark.parametrize(
    "bad",
    ["ftp://x", "127.0.0.1:8888", "http://", "", "http://[::", "http://h:x", "http://h:99999"],
)
def test_a_bad_url_is_a_usage_error(bad: str) -> None:
    result = ctl("--url", bad, "status")
    assert result.exit_code == 2
    assert "write http://127.0.0.1:8888" in result.stderr


def test_no_proxy_sees_the_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert "node-2" in output("status")


def config(folder: Path, http: str) -> Path:
    file = folder / "tagmesh.toml"
    file.write_text(f'[node]\nid = 1\n[admin]\nhttp = "{http}"\n')
    return file


def test_where_the_url_comes_from(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "http://127.0.0.1:1"
    good = str(config(tmp_path, url.removeprefix("http://")))
    assert ctl("--url", f"{url}/mi/", "-c", "missing.toml", "status").exit_code == 0
    monkeypatch.setenv("TAGMESH_URL", nowhere)
    assert ctl("-c", good, "status").exit_code == 0
    assert ctl("status").exit_code == 5
    monkeypatch.delenv("TAGMESH_URL")
    assert ctl("status").exit_code == 0  # ./tagmesh.toml
    Path(good).unlink()
    assert "no answer from http://127.0.0.1:8888" in ctl("status").stderr


def test_a_configuration_that_does_not_help(tmp_path: Path) -> None:
    result = ctl("-c", str(tmp_path / "missing.toml"), "status")
    assert result.exit_code == 2
    assert "missing.toml" in result.stderr
    result = ctl("-c", str(config(tmp_path, "")), "status")
    assert result.exit_code == 2
    assert "[admin] http is empty" in result.stderr


def test_an_error_cannot_control_the_terminal(node: FakeNode) -> None:
    node.broken = RuntimeError("a\x1b[31m")
    assert "a\\x1b[31m" in ctl("status").stderr


def run(*args: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*PROGRAM, "ctl", *args], capture_output=True, timeout=30, **options)


def test_a_reader_that_goes_away_is_no_news() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        for command in (["status"], ["mi", "which"]):
            process = subprocess.run(
                [*PROGRAM, "ctl", *command], stdout=writing, stderr=subprocess.PIPE, timeout=30
            )
            assert process.stderr == b""
    finally:
        os.close(writing)


def test_colours_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def on_terminal() -> bytes:
        ours, theirs = pty.openpty()
        try:
            process = subprocess.run([*PROGRAM, "ctl", "status"], stdout=theirs, timeout=30)
        finally:
            os.close(theirs)
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            assert process.returncode == 0
            return terminal.read(65536)

    assert b"\x1b[31mDown" in on_terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    assert b"\x1b[31m" not in on_terminal()
    assert b"\x1b" not in run("status").stdout


def test_it_answers_fast_and_imports_nothing_heavy() -> None:
    """0.4 s of wall time on an idle machine; CPU time is the same there, and stable elsewhere."""
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run("status").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) <= BUDGET_CPU_S

    probe = (
        "import sys; from tagmesh.control.cli import root;"
        "root(['ctl', 'status'], standalone_mode=False);"
        "heavy = {'gevent', 'flask', 'sqlalchemy', 'pykka', 'OpenSSL', 'cryptography'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    process = subprocess.run([sys.executable, "-c", probe], capture_output=True, timeout=30)
    assert (process.returncode, process.stderr) == (0, b"")
