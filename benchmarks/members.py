"""Some real nodes in fresh processes, used through the public API.

`Members` starts them; each is ``python -m benchmarks.members OPTIONS``, a JSON object: ``config``,
the node's configuration file, ``what``, a function of `ROLES`, and what that function wants. A
process prints one JSON object when it is ready and one with its figures at the end.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tagmesh.control.workspace import Workspace

from .processes import TIMEOUT_S, clean_environment, uninterrupted
from .report import BenchmarkFailed

FIRST, SECOND = 1, 2
TIMING: Mapping[str, str | int] = {"ping_interval": "250ms", "ping_timeout": "200ms"}
_ROOT = Path(__file__).parents[1]

Result = dict[str, Any]


class Members:
    """The processes; a context manager that leaves none behind."""

    def __init__(self, folder: Path, count: int = 2) -> None:
        self._space = Workspace(folder, count, admin=False, timing=TIMING)
        self._processes: dict[int, subprocess.Popen[str]] = {}

    def __enter__(self) -> Members:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        for process in self._processes.values():
            process.kill()
            process.communicate()

    def start(self, node: int, what: str, **options: Any) -> Result:
        """Spawn a node; what it printed when it was ready."""
        options = {**options, "what": what, "config": str(self._space.config(node))}
        with uninterrupted():
            self._processes[node] = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.members", json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None,
                text=True,
                cwd=_ROOT,
                env=clean_environment(),
            )
        return self.read(node)

    def read(self, node: int) -> Result:
        """The next thing it printed."""
        process = self._processes[node]
        assert process.stdout is not None, "it is a pipe"
        line = process.stdout.readline()
        if not line:
            raise BenchmarkFailed(f"node {node} ended with status {process.wait(TIMEOUT_S)}")
        result: Result = json.loads(line)
        return result

    def release(self, node: int) -> Result:
        """Let a node that waits go on; what it prints then."""
        process = self._processes[node]
        assert process.stdin is not None, "it is a pipe"
        process.stdin.write("\n")
        process.stdin.flush()
        return self.read(node)


def tell(**words: Any) -> None:
    """Print one JSON object for `Members`."""
    print(json.dumps(words), flush=True)


def wait_for_release() -> None:
    """Until `Members.release`."""
    sys.stdin.readline()


def until(condition: Callable[[], bool], what: str, pause_s: float = 0.005) -> None:
    """Wait for a condition; `BenchmarkFailed` when it takes too long."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"not so within {TIMEOUT_S:g} s: {what}")
        time.sleep(pause_s)


def main() -> None:
    """Be one of the processes."""
    from . import latency, slow_reader, sync, throughput

    options = json.loads(sys.argv[1])
    roles = {**throughput.ROLES, **latency.ROLES, **sync.ROLES, **slow_reader.ROLES}
    gc.freeze()  # as `tagmesh` does: what was imported stays, the collector need not look at it
    roles[options["what"]](options)


if __name__ == "__main__":
    main()
