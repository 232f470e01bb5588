"""``tagmesh demo``: three node processes over real TLS on this machine, and their status, live."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..protocol.errors import TagmeshError

if TYPE_CHECKING:
    from .workspace import Workspace

REFRESH_S = 0.5
UP_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0


@click.command(short_help="Run three nodes on this machine and watch them.")
@click.option("--nodes", type=click.IntRange(1, 16), default=3, show_default=True)
@click.option("--exit-after", type=click.FloatRange(0), help="Seconds; otherwise until Ctrl-C.")
def demo(nodes: int, exit_after: float | None) -> None:
    """Run a cluster on this machine: TLS with a throw-away CA, SQLite, one process per node.

    Everything is on loopback, and is stopped and removed at the end.
    """
    from .workspace import Workspace

    with tempfile.TemporaryDirectory(prefix="tagmesh-demo-") as folder:
        space = Workspace(Path(folder), nodes)
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for node in space.ids:
                processes.append(_start(space, node))  # noqa: PERF401 - if one fails, stop these
            _introduce(space, folder)
            _watch(space, processes, exit_after)
        except KeyboardInterrupt:
            pass  # the way to end a demonstration
        finally:
            _stop(processes)


def _start(space: Workspace, node: int) -> subprocess.Popen[bytes]:
    log = (space.folder / f"node-{node}" / "log").open("wb")
    with log:
        return subprocess.Popen(
            [sys.executable, "-m", "tagmesh", "node", "run", "-c", str(space.config(node))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for the demonstration, which then stops its nodes one by one
            start_new_session=True,
        )


def _introduce(space: Workspace, folder: str) -> None:
    from .. import __version__

    first = space.admin[1]
    click.echo(
        f"tagmesh {__version__} demo: {len(space.ids)} nodes, TLS with a throw-away CA, SQLite\n"
        f"  state   {folder}\n"
        + "".join(f"  mi      http://{space.admin[n]}/mi (node {n})\n" for n in space.ids)
        + "try in another terminal:\n"
        f"  tagmesh ctl --url http://{first} status\n"
        + (f"  tagmesh ctl --url http://{first} link cut 3\n" if len(space.ids) >= 3 else "")
        + "  opensips-cli -o communication_type=http"
        f" -o url=http://{first}/mi -x mi clusterer_list\n"
        "Ctrl-C stops everything and removes the state.\n"
    )


def _watch(
    space: Workspace, processes: list[subprocess.Popen[bytes]], exit_after: float | None
) -> None:
    from rich.live import Live

    from .tables import console

    begin = time.monotonic()
    shown = console()
    _wait_up(space, processes)
    click.echo(f"all links up after {time.monotonic() - begin:.1f} s\n")
    if not shown.is_terminal:
        shown.print(_tables(space))
        _sleep_until(begin, exit_after)
        return
    with Live(_tables(space), console=shown, auto_refresh=False) as live:
        while exit_after is None or time.monotonic() - begin < exit_after:
            time.sleep(REFRESH_S)
            live.update(_tables(space), refresh=True)


def _sleep_until(begin: float, exit_after: float | None) -> None:
    while exit_after is None or time.monotonic() - begin < exit_after:
        time.sleep(REFRESH_S)


def _wait_up(space: Workspace, processes: list[subprocess.Popen[bytes]]) -> None:
    from .client import MiClient, NoAnswer

    deadline = time.monotonic() + UP_TIMEOUT_S
    waiting = list(space.ids)
    while waiting:
        for node, process in zip(space.ids, processes, strict=True):
            if process.poll() is not None:
                log = (space.folder / f"node-{node}" / "log").read_text(errors="replace")
                raise TagmeshError(f"node {node} ended with status {process.returncode}:\n{log}")
        try:
            status, _ = MiClient(f"http://{space.admin[waiting[0]]}").state()
            peers = [peer for cluster in status.clusters for peer in cluster.peers]
            if len(peers) == len(space.ids) - 1 and all(p.connected for p in peers):
                waiting.pop(0)
                continue
        except NoAnswer:
            pass  # still starting
        if time.monotonic() > deadline:
            raise TagmeshError(f"nodes {waiting} did not come up within {UP_TIMEOUT_S:g} s")
        time.sleep(0.02)


def _tables(space: Workspace) -> Any:
    """The cluster as its first node that answers sees it."""
    from rich.text import Text

    from .client import MiClient, NoAnswer
    from .tables import status_table

    for node in space.ids:
        try:
            status, _ = MiClient(f"http://{space.admin[node]}").state()
        except NoAnswer:
            continue
        return status_table(status)
    return Text("no node answers")


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
