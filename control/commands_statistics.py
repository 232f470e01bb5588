"""OpenSIPS's commands about statistics, which panels draw."""

from __future__ import annotations

from .command import Command, CommandError, Kind
from .port import NodePort
from .statistics import chosen, statistics_of


def _get_statistics(port: NodePort, *, statistics: list[str]) -> dict[str, int]:
    return _some(port, statistics)


def _list_statistics(port: NodePort, *, statistics: list[str] | None = None) -> dict[str, str]:
    """None can be reset, which OpenSIPS calls non-incremental."""
    wanted = ["all"] if statistics is None else statistics
    return dict.fromkeys(_some(port, wanted), "non-incremental")


def _some(port: NodePort, wanted: list[str]) -> dict[str, int]:
    found = chosen(statistics_of(port.status()), wanted)
    if not found:
        raise CommandError(404, "Statistics Not Found", "list_statistics lists them")
    return found


_STATISTICS: dict[str, Kind] = {"statistics": list}

COMMANDS = (
    Command(
        name="get_statistics",
        module="core",
        recipes=(("statistics",),),
        types=_STATISTICS,
        help="tells statistics: an array of names, of modules as 'clusterer:', or 'all'",
        run=_get_statistics,
    ),
    Command(
        name="list_statistics",
        module="core",
        recipes=((), ("statistics",)),
        types=_STATISTICS,
        help="lists the statistics there are, or some of them",
        run=_list_statistics,
    ),
)
