"""Processes with a node each, told what to do by lines of JSON on standard input.

A program of this kind makes an object and calls `obey`. Each line is ``{"do": …}``, the name of a
method and its arguments, and is answered by one line.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from tagmesh import Node
from tagmesh.capabilities.replicated_map import ReplicatedMap
from tagmesh.control.workspace import Workspace

PATIENCE_S = 90.0
POLL_S = 0.002


def obey(program: object) -> None:
    """Do what standard input says, until its end."""
    print("{}", flush=True)
    for line in sys.stdin:
        words = json.loads(line)
        print(json.dumps(getattr(program, words.pop("do"))(**words)), flush=True)


class ToldNode:
    """What programs with a replicated map do in the same way."""

    node: Node
    map: ReplicatedMap

    def content(self) -> dict[str, Any]:
        sections = msgspec.json.encode(self.map.sections(()))
        return {"count": len(self.map), "digest": hashlib.sha256(sections).hexdigest()}

    def cut(self, peer: int) -> dict[str, Any]:
        self.node.cut(peer)
        return {}

    def heal(self, peer: int) -> dict[str, Any]:
        self.node.heal(peer)
        return {}


class ToldNodes:
    """The processes of a workspace, all of one program."""

    def __init__(self, space: Workspace, program: str) -> None:
        """``program``: a module, called with the path of a configuration file."""
        self.space = space
        self._program = program
        self._running: dict[int, subprocess.Popen[str]] = {}

    def start(self, node: int) -> None:
        """Returns when its node is started."""
        self._running[node] = subprocess.Popen(
            [sys.executable, "-m", self._program, str(self.space.config(node))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read(node)

    def ask(self, node: int, do: str, **words: Any) -> dict[str, Any]:
        """Have something done, and hear what came of it."""
        stdin = self._running[node].stdin
        assert stdin is not None
        stdin.write(json.dumps({"do": do, **words}) + "\n")
        stdin.flush()
        return self._read(node)

    def _read(self, node: int) -> dict[str, Any]:
        stdout = self._running[node].stdout
        assert stdout is not None
        line = stdout.readline()
        assert line, f"node {node} ended with {self._running[node].wait(10)}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def kill(self, node: int) -> None:
        """SIGKILL."""
        process = self._running.pop(node)
        process.kill()
        process.communicate()

    def signal(self, node: int, number: signal.Signals) -> None:
        """Send a signal to a process."""
        self._running[node].send_signal(number)

    def end(self) -> None:
        """No process stays."""
        for node in list(self._running):
            self.kill(node)

    def until(
        self, node: int, condition: Callable[[dict[str, Any]], bool], do: str = "state"
    ) -> dict[str, Any]:
        """Ask again and again, until the answer is as it should be."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition(answer := self.ask(node, do)):
            assert time.monotonic() < deadline, f"node {node}: {answer}"
            time.sleep(POLL_S)
        return answer
