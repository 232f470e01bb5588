"""OpenSIPS's commands about status reports: what the parts of the node say of themselves."""

from __future__ import annotations

from typing import Any

from .command import Command, CommandError
from .port import NodePort
from .status_reports import Identifier, date, groups


def _all_groups(port: NodePort) -> dict[str, list[Identifier]]:
    return groups(port.status(), port.events())


def _group(port: NodePort, group: str) -> list[Identifier]:
    known = _all_groups(port)
    if group not in known:
        raise CommandError(404, "Group not found", f"one of {', '.join(known)}")
    return known[group]


def _find(found: list[Identifier], name: str, missing: str) -> Identifier:
    for identifier in found:
        if identifier.name == name:
            return identifier
    raise CommandError(404, missing, f"one of {', '.join(i.name for i in found)}")


def _get_status(port: NodePort, *, group: str, identifier: str = "main") -> dict[str, Any]:
    found = _group(port, group)
    if identifier.lower() == "all":
        ready = all(one.status > 0 for one in found)
        return _status(Identifier("all", 1 if ready else -1, "aggregated"))
    return _status(_find(found, identifier, "Identity not found"))


def _status(one: Identifier) -> dict[str, Any]:
    details = {} if one.details is None else {"Details": one.details}
    return {"Readiness": one.status > 0, "Status": one.status, **details}


def _list_status(port: NodePort, *, group: str | None = None) -> list[dict[str, Any]]:
    def listed(found: list[Identifier]) -> list[dict[str, Any]]:
        return [{"Name": one.name, **_status(one)} for one in found]

    if group is not None:
        return listed(_group(port, group))
    return [{"Name": n, "Identifiers": listed(f)} for n, f in _all_groups(port).items()]


def _list_reports(
    port: NodePort, *, group: str | None = None, identifier: str | None = None
) -> list[dict[str, Any]]:
    def listed(found: list[Identifier]) -> list[dict[str, Any]]:
        return [{"Name": one.name, "Reports": _reports(one)} for one in found]

    if group is None:
        return [{"Name": n, "Identifiers": listed(f)} for n, f in _all_groups(port).items()]
    found = _group(port, group)
    if identifier is None:
        return listed(found)
    return _reports(_find(found, identifier, "Identifier not found"))


def _reports(one: Identifier) -> list[dict[str, Any]]:
    return [
        {"Timestamp": int(report.wall_s), "Date": date(report.wall_s), "Log": report.text}
        for report in one.reports
    ]


def _list_identifiers(
    port: NodePort, *, group: str | None = None
) -> dict[str, Any] | list[dict[str, Any]]:
    def listed(name: str, found: list[Identifier]) -> dict[str, Any]:
        return {"Group": name, "Identifiers": [one.name for one in found]}

    if group is not None:
        return listed(group, _group(port, group))
    return [listed(name, found) for name, found in _all_groups(port).items()]


_GROUP = {"group": str}
_BOTH = {**_GROUP, "identifier": str}

COMMANDS = (
    Command(
        name="sr_get_status",
        module="core",
        recipes=(("group",), ("group", "identifier")),
        types=_BOTH,
        help="tells the status of an identifier of a group: 'main', another, or 'all' as one",
        run=_get_status,
    ),
    Command(
        name="sr_list_status",
        module="core",
        recipes=((), ("group",)),
        types=_GROUP,
        help="lists the status of all identifiers, or of those of a group",
        run=_list_status,
    ),
    Command(
        name="sr_list_reports",
        module="core",
        recipes=((), ("group",), ("group", "identifier")),
        types=_BOTH,
        help="lists what identifiers report, the oldest first",
        run=_list_reports,
    ),
    Command(
        name="sr_list_identifiers",
        module="core",
        recipes=((), ("group",)),
        types=_GROUP,
        help="lists the identifiers of all groups, or of one",
        run=_list_identifiers,
    ),
)
