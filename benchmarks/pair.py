"""Two fresh processes over loopback with mutual TLS: one listens, the other connects to it.

Both are ``python -m benchmarks.NAME OPTIONS``, a module of this package that calls `play`. OPTIONS
are one JSON object: those given to `run`, and ``tls``, the folder of the process's certificate.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tagmesh.control import pki
from tagmesh.protocol.identity import NodeId

from .processes import TIMEOUT_S, clean_environment, uninterrupted
from .report import BenchmarkFailed

LISTENER, DIALLER = "listener", "dialler"
IDS = {LISTENER: NodeId(1), DIALLER: NodeId(2)}
"""Node ids, as their certificates say."""
HOST = "127.0.0.1"
Options = Mapping[str, Any]
Result = dict[str, Any]
_ROOT = Path(__file__).parents[1]


def keys(folder: Path) -> Path:
    """Make a CA and a certificate for each end in ``folder``; it, for `run`."""
    pki.init_ca(folder / "ca")
    for role, node in IDS.items():
        pki.issue(folder / "ca", node, folder / role, ips=[HOST])
    return folder


def run(name: str, folder: Path, **options: Any) -> tuple[Result, Result]:
    """What the listener and the dialler of module ``name`` returned to `play`."""
    with Ends(name, folder, options) as ends:
        ends.begin()
        return ends.read(LISTENER), ends.read(DIALLER)


def play(
    listen: Callable[[Options, Callable[[int], None]], Result],
    dial: Callable[[Options, int], Result],
) -> None:
    """Be one of the processes: ``listen(options, tell_port)`` or ``dial(options, port)``."""
    signal.alarm(round(TIMEOUT_S))  # it ends, whatever becomes of the other one
    options = json.loads(sys.argv[1])
    if "port" in options:
        result = dial(options, options["port"])
    else:
        result = listen(options, lambda port: print(json.dumps({"port": port}), flush=True))
    print(json.dumps(result), flush=True)


def pin(end: int) -> None:
    """Keep this process and its threads on one core: end 0 on the first, end 1 on another one.

    Left alone, two processes that take turns are now on one core and now on two, as the load of
    the moment has it, and a round trip takes half as long in the one case as in the other.
    """
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[end % len(cores)]})


class Ends:
    """The processes; a context manager that leaves none behind."""

    def __init__(self, name: str, folder: Path, options: Options) -> None:
        self._name = name
        self._folder = folder
        self._options = options
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        for process in self._processes.values():
            process.kill()
            process.communicate()

    def begin(self) -> None:
        """Spawn both."""
        self._start(LISTENER)
        self._start(DIALLER, port=self.read(LISTENER)["port"])

    def _start(self, role: str, **more: Any) -> None:
        options = {**self._options, **more, "tls": str(self._folder / role)}
        with uninterrupted():
            self._processes[role] = subprocess.Popen(
                [sys.executable, "-m", f"benchmarks.{self._name}", json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=_ROOT,
                env=clean_environment(),
            )

    def release(self, role: str) -> Result:
        """Let an end that waits go on; what it prints then."""
        process = self._processes[role]
        assert process.stdin is not None, "it is a pipe"
        process.stdin.write("\n")
        process.stdin.flush()
        return self.read(role)

    def read(self, role: str) -> Result:
        """The next thing it printed."""
        process = self._processes[role]
        assert process.stdout is not None, "it is a pipe"
        line = process.stdout.readline()
        if not line:
            _, told = process.communicate()
            what = f"the {role} of {self._name} ended with status {process.returncode}"
            raise BenchmarkFailed(f"{what}: {told.strip()[-2000:]}")
        result: Result = json.loads(line)
        return result
