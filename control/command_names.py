"""The names that OpenSIPS 4.0 gave to its management commands: ``module:command``."""

from __future__ import annotations

from .command import Command

MOVED = {
    "event_subscribe": "evi:subscribe",
    "events_list": "evi:list",
    "subscribers_list": "evi:subscribers",
    "get_statistics": "statistics:get",
    "list_statistics": "statistics:list",
    "sr_get_status": "status_report:get",
    "sr_list_status": "status_report:status",
    "sr_list_reports": "status_report:reports",
    "sr_list_identifiers": "status_report:identifiers",
}
"""Commands of the core that have a module of their own since."""
PREFIXES = {"clusterer": ("clusterer_", "cluster_"), "dialog": ("dlg_",), "core": ()}
"""By module: what it no longer repeats in the names of its commands."""


def new_name(command: Command) -> str | None:
    """Its name in OpenSIPS 4.0; None: a command of ours, which has one name."""
    if command.name in MOVED:
        return MOVED[command.name]
    if command.module not in PREFIXES:
        return None
    rest = command.name
    for prefix in PREFIXES[command.module]:
        rest = rest.removeprefix(prefix)
    return f"{command.module}:{rest}"
