"""The management commands about the process itself."""

from __future__ import annotations

import logging
import os
from typing import Any

from .command import Command, CommandError
from .configfile import tables_of
from .port import NodePort

LEVELS = {
    -3: logging.CRITICAL,
    -2: logging.CRITICAL,
    -1: logging.ERROR,
    0: logging.WARNING,
    1: logging.WARNING,
    2: logging.INFO,
    3: logging.INFO,
    4: logging.DEBUG,
}
"""From OpenSIPS's levels of the log to those of ``logging``, which has fewer."""
_BACK = {
    logging.CRITICAL: -2,
    logging.ERROR: -1,
    logging.WARNING: 1,
    logging.INFO: 3,
    logging.DEBUG: 4,
}


def _process(port: NodePort) -> dict[str, Any]:
    """There is one: threads are no processes."""
    return {"PID": os.getpid(), "Type": f"tagmesh node {port.status().node_id}"}


def _ps(port: NodePort) -> dict[str, Any]:
    return {"Processes": [{"ID": 0, **_process(port)}]}


def _log_level(
    port: NodePort, *, level: int | None = None, pid: int | None = None
) -> dict[str, Any]:
    """Of everything under the logger ``tagmesh``; a restart forgets it."""
    logger = logging.getLogger("tagmesh")
    if level is None:
        process = _process(port)
        now = _BACK.get(logger.getEffectiveLevel(), 3)
        return {"Processes": [{"PID": process["PID"], "Log level": now, "Type": process["Type"]}]}
    if level not in LEVELS:
        raise CommandError(400, "Bad value for 'level'", f"{min(LEVELS)} … {max(LEVELS)}")
    if pid not in (None, os.getpid()):
        raise CommandError(-32602, "Invalid params", "Bad PID")
    logger.setLevel(LEVELS[level])
    return {"New global log level" if pid is None else "Log level": level}


def _actors(port: NodePort) -> dict[str, Any]:
    status = port.status()
    return {
        "actors": [
            {"kind": kind, "count": count, "inbox": status.inboxes.get(kind, 0)}
            for kind, count in sorted(status.actors.items())
        ],
        "restarted": status.crashes,
    }


COMMANDS = (
    Command(
        name="ps",
        module="core",
        recipes=((),),
        help="lists the processes of this instance: one",
        run=_ps,
    ),
    Command(
        name="log_level",
        module="core",
        recipes=((), ("level",), ("level", "pid")),
        types={"level": int, "pid": int},
        help="tells or sets the level of the log: 1 warnings, 3 information, 4 debugging",
        run=_log_level,
        changing=True,
    ),
    Command(
        name="tagmesh_actors",
        module="tagmesh",
        recipes=((),),
        help="lists the actors by kind, and how many messages wait for them",
        run=_actors,
    ),
    Command(
        name="tagmesh_config",
        module="tagmesh",
        recipes=((),),
        help="every setting as it is in use, secrets masked",
        run=lambda port: tables_of(port.config),
        admin=True,
    ),
)
