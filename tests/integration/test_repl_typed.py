"""``tagmesh repl`` as somebody types it, on a terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tagmesh import Node
from tagmesh.control.workspace import Workspace

TIMEOUT_S = 60
PLAIN = ">>> "


class Typist:
    """Types lines and reads what comes before the next prompt."""

    def __init__(self, home: Path, *arguments: str, prompt: str = PLAIN) -> None:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("TAGMESH_")}
        self._lines = 0
        self.program: Any = pexpect.spawn(
            sys.executable,
            ["-W", "error", "-m", "tagmesh", "repl", *arguments],
            env={**environ, "HOME": str(home), "TMPDIR": str(home), "TERM": "dumb"},
            encoding="utf-8",
            timeout=TIMEOUT_S,
            dimensions=(50, 200),
        )
        self.program.expect(prompt)
        self.banner = self.program.before

    def type(self, line: str) -> str:
        """What is printed until it is done; the prompt itself is drawn again under each event."""
        self._lines += 1
        self.program.sendline(line)
        self.program.sendline(f"print(f'done {{{self._lines}}}')")
        self.program.expect(f"done {self._lines}")
        said: str = self.program.before
        return said

    def end(self) -> int | None:
        self.program.sendline("exit()")
        self.program.expect(pexpect.EOF)
        self.program.close()
        status: int | None = self.program.exitstatus
        return status


@pytest.fixture(params=["plain", "ipython"])
def typist(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Typist]:
    if request.param == "plain":
        made = Typist(tmp_path, "--plain")
    else:
        made = Typist(tmp_path, prompt=r"In \[\d+\]: ")
    yield made
    made.program.close(force=True)


def test_a_laboratory(typist: Typist, tmp_path: Path) -> None:
    assert "lab of 3 nodes · lab, n1, n2, n3" in typist.banner
    assert "seen from node 3 (lab-3) · 3 nodes, 3 up" in typist.type("lab")
    typist.type("notes = [n.replicated_dict('notes') for n in lab]; notes[0]['x'] = 11")
    assert "22" in typist.type("lab.settle(); notes[2]['x'] * 2")
    typist.type("lab.cut(1, 3); lab.wait_route(1, 3, via=2)")
    explained = typist.type("n1.link(3)")
    assert re.search(r"(Probe|Down) for \d+ s: .*; reachable via 2 \(2 hops\)", explained)
    assert "Up" in typist.type("lab.heal(1, 3); lab.wait_all_up(); lab.until('3 is Up'); lab")
    assert "cluster_id" in typist.type("%mi clusterer_list")
    assert "-32601: Method not found" in typist.type("%mi nothing")
    assert "active" in typist.type("n1.tag('vip1').activate(); lab.tags()")
    typist.type("lab.kill(2); lab.until('2 is Down')")
    typist.type("lab.until('vip1 is active on 1')")
    assert typist.end() == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("tagmesh")] == []


def test_a_node_that_runs_elsewhere(tmp_path: Path) -> None:
    space = Workspace(tmp_path / "space", 1, names="node")
    with Node.from_config(space.config(1)) as node:
        assert node.admin_url is not None
        typist = Typist(tmp_path, "--plain", "--connect", node.admin_url)
        assert f"node 1 at {node.admin_url} · node" in typist.banner
        assert "seen from node 1" in typist.type("node")
        assert "[[]]" in typist.type("%mi which version")
        node.tag("vip1").activate()
        typist.program.expect("node 1 .* tag_changed cluster 1 vip1")
        assert typist.end() == 0


def test_nobody_is_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tagmesh", "repl", "--connect", "http://127.0.0.1:1"],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 5
    assert "http://127.0.0.1:1" in done.stderr
