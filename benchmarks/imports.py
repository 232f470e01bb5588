"""How long a user waits for an import or a command: whole processes, Python's start included.

Method: each command runs once unmeasured, which leaves its bytecode and its files in the caches,
then once per run, the commands taking turns. Measured from just before the spawn until the
process has ended. The ``python -c pass`` beside them is what Python alone takes; ``import tagmesh``
loads no part of the package, ``from tagmesh import Node`` what a node needs, so it stands beside
it although the budget is on the former. ``ctl status`` asks a running node of a cluster of one.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

from tagmesh.control.workspace import Workspace

from .processes import TIMEOUT_S, Nodes, clean_environment, temporary_folder
from .report import BenchmarkFailed, Figure

IMPORT_BUDGET_S = 0.3
CTL_BUDGET_S = 0.4
_PYTHON = (sys.executable, "-c")
_TAGMESH = (sys.executable, "-m", "tagmesh")


def measure(runs: int) -> list[Figure]:
    """Figures of ``runs`` processes of each kind."""
    with temporary_folder() as folder:
        space = Workspace(folder, 1)
        with Nodes(space) as nodes:
            nodes.start(1)
            nodes.wait_answering(1)
            ctl = (*_TAGMESH, "ctl", "--url", f"http://{space.admin[1]}", "status")
            commands: list[tuple[str, Sequence[str], float | None]] = [
                ("python -c pass", (*_PYTHON, "pass"), None),
                ("import tagmesh", (*_PYTHON, "import tagmesh"), IMPORT_BUDGET_S),
                ("from tagmesh import Node", (*_PYTHON, "from tagmesh import Node"), None),
                ("tagmesh --help", (*_TAGMESH, "--help"), None),
                ("tagmesh ctl status", ctl, CTL_BUDGET_S),
                ("tagmesh ctl status -o json", (*ctl, "-o", "json"), CTL_BUDGET_S),
            ]
            for _, command, _ in commands:
                _whole_process_s(command)
            values = [
                [_whole_process_s(command) for _, command, _ in commands] for _ in range(runs)
            ]
    return [
        Figure(name, "s", [run[column] for run in values], budget)
        for column, (name, _, budget) in enumerate(commands)
    ]


def _whole_process_s(command: Sequence[str]) -> float:
    begin = time.monotonic()
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=TIMEOUT_S,
    )
    took = time.monotonic() - begin
    if done.returncode != 0:
        told = done.stderr.strip()
        raise BenchmarkFailed(f"{' '.join(command)} ended with status {done.returncode}: {told}")
    return took
