"""The recording of a node as a file: when somebody asks for it, and by itself after a fault (B14).

Files that are written by themselves lie in the node's state folder, readable by their owner only;
at most `MAX_FAULT_FILES` of a process, and not more than one per `FAULT_PAUSE_S`.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..protocol.flight_recorder import ClusterDump, Flight, state_of, to_bytes
from ..protocol.identity import ClusterId
from .mail import Describe

if TYPE_CHECKING:
    from ..protocol.topology import Topology
    from .context import Context
    from .reports import Ask
    from .system import NodeSystem

MAX_FAULT_FILES = 8
"""Written by themselves in the life of a process."""
FAULT_PAUSE_S = 60.0
"""Between two of them."""
MODE = 0o600

logger = logging.getLogger("tagmesh.node")


def flight(context: Context, reason: str) -> Flight:
    """What the node has recorded; the clusters as they stand are not in it (see `with_ends`)."""
    recorder, runtime = context.recorder, context.runtime
    return Flight(
        node_id=context.me,
        incarnation=context.incarnation,
        software=context.software,
        reason=reason,
        wall_s=runtime.wall(),
        at_s=runtime.monotonic(),
        frames=recorder.frames(),
        lost=recorder.lost,
        clusters=recorder.clusters(),
        events=list(context.events.ring),
    )


def with_ends(made: Flight, context: Context, ask: Ask) -> Flight:
    """The same with how each cluster stands. It asks actors, so never from one."""
    clusters = [_with_end(there, context, ask) for there in made.clusters]
    return msgspec.structs.replace(made, clusters=clusters)


def recording(system: NodeSystem) -> Flight:
    """The last messages of every link, and how the clusters stand; in a greenlet that may wait."""
    return with_ends(flight(system.context, "asked for"), system.context, system.ask)


def _with_end(there: ClusterDump, context: Context, ask: Ask) -> ClusterDump:
    name = ("node", there.cluster_id)
    if not context.supervisor.has(name):
        return there
    rules: Topology = ask(name, Describe())  # type: ignore[assignment]  # describes its rules
    adjacency, routes = state_of(rules)
    claims = context.claims[ClusterId(there.cluster_id)].claims
    return msgspec.structs.replace(there, adjacency=adjacency, routes=routes, claims=claims)


class FaultFiles:
    """Writes the recording of a node when its recorder tells of a fault."""

    def __init__(self, context: Context, state_dir: str) -> None:
        """Nothing is written yet."""
        self._context = context
        self._folder = Path(state_dir)
        self._written = 0
        self._last_at = -math.inf
        context.recorder.on_fault = self._faulted

    def _faulted(self, reason: str) -> None:
        self._context.runtime.call_soon(partial(self._write, reason))

    def _write(self, reason: str) -> None:
        at_s = self._context.runtime.monotonic()
        if self._written >= MAX_FAULT_FILES or at_s < self._last_at + FAULT_PAUSE_S:
            return
        self._written += 1
        self._last_at = at_s
        made = flight(self._context, reason)
        path = self._folder / f"node-{made.node_id}-{self._written}.flight"
        self._context.runtime.call_in_pool(lambda: write_private(path, to_bytes(made)), _written)


def write_private(path: Path, content: bytes) -> Path:
    """Write a file that only its owner can read, instead of one of that name. Blocks."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # not through a link that lies there
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return path


def _written(path: Path | None, error: Exception | None) -> None:
    if error is not None:
        logger.warning("the recording of the links could not be written: %s", error)
    else:
        logger.warning("the last messages of the links are in %s", path)
