"""The management commands about dialogs: those of OpenSIPS's module ``dialog`` 3.2, as far as they
need no SIP. A dialog is shown as there, with a name or two that surprise: what the table calls
``caller_cseq`` is ``callee_cseq`` in a listing, and the other way round.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from ..capabilities.dialog_records import Dialog, DialogKey
from ..capabilities.dialogs import Dialogs
from ..protocol.capability_words import Answer
from ..protocol.errors import Misuse, NotTagOwner, TagmeshError, Unknown
from ..protocol.status import ClusterStatus
from .command import DONE, Command, CommandError
from .port import NodePort

SYNCING = "Sync already in progress"


def _find(port: NodePort) -> tuple[ClusterStatus, Dialogs]:
    """The first dialogs of this node, and their cluster."""
    for cluster in port.status().clusters:
        for known in cluster.capabilities:
            found = port.cluster(cluster.cluster_id).capability(known.name)
            if isinstance(found, Dialogs):
                return cluster, found
    raise CommandError(
        400,
        "Dialog replication disabled",
        'this node has no dialogs: [capability."dialog-dlg-repl"] module = "dialogs"',
    )


# Dialogs ------------------------------------------------------------------------------------------


def shown(dialog: Dialog, *, context: bool = False) -> dict[str, Any]:
    """A dialog as OpenSIPS lists it; times are also given in the local time zone."""
    listed: dict[str, Any] = {
        "ID": dialog.did,
        "db_id": str(dialog.dlg_id),
        "state": dialog.state,
        "user_flags": dialog.script_flags,
        "timestart": dialog.start_time,
        **_date("datestart", dialog.start_time),
        "timeout": dialog.timeout,
        **_date("dateout", dialog.timeout),
        "callid": dialog.callid,
        "from_uri": dialog.from_uri,
        "to_uri": dialog.to_uri,
        "caller_tag": dialog.from_tag,
        "caller_contact": dialog.caller_contact or "",
        "callee_cseq": dialog.caller_cseq,
        "caller_route_set": dialog.caller_route_set or "",
        "caller_bind_addr": dialog.caller_sock,
        "CALLEES": [
            {
                "callee_tag": dialog.to_tag,
                "callee_contact": dialog.callee_contact or "",
                "caller_cseq": dialog.callee_cseq,
                "callee_route_set": dialog.callee_route_set or "",
                "callee_bind_addr": dialog.callee_sock or None,
            }
        ],
    }
    if context:
        listed["context"] = _context(dialog)
    return listed


def _context(dialog: Dialog) -> dict[str, Any]:
    context: dict[str, Any] = {}
    if dialog.vars:
        context["values"] = [{name: _printable(value)} for name, value in dialog.vars.items()]
    if dialog.profiles:
        context["profiles"] = [{name: value} for name, value in dialog.profiles]
    return context


_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def _printable(text: str) -> str:
    """Byte by byte, as OpenSIPS escapes the values of variables."""
    if text.isascii() and text.isprintable():
        return text
    characters = text.encode().decode("latin-1")
    return "".join(
        c if " " <= c < "\x7f" else _ESCAPES.get(c, f"\\x{ord(c):02x}") for c in characters
    )


def _date(name: str, time_s: int) -> dict[str, str]:
    return {name: time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_s))} if time_s else {}


def _dialogs(found: Iterable[Dialog], *, context: bool) -> list[dict[str, Any]]:
    return [shown(dialog, context=context) for dialog in found]


def _list(
    port: NodePort,
    *,
    callid: str | None = None,
    from_tag: str | None = None,
    index: int = 0,
    counter: int = 0,
    context: bool = False,
) -> dict[str, Any]:
    _, dialogs = _find(port)
    if callid is not None:
        key = dialogs.find(callid, from_tag)
        if key is None:
            raise CommandError(404, "No such dialog")
        return {"Dialog": shown(_get(dialogs, key, "No such dialog"), context=context)}
    for name, value in (("index", index), ("counter", counter)):
        if value < 0:
            raise CommandError(400, f"Bad value for '{name}'", "a number from 0 on")
    if not counter:
        return {"Dialogs": _dialogs(dialogs.listed(), context=context)}
    found = _dialogs(dialogs.listed(index, counter), context=context)
    return {"count": len(dialogs), "Dialogs": found}


def _list_with_context(port: NodePort, **arguments: Any) -> dict[str, Any]:
    return _list(port, context=True, **arguments)


def _get(dialogs: Dialogs, key: DialogKey, missing: str) -> Dialog:
    try:
        return dialogs.get(key)
    except Unknown as unknown:
        raise CommandError(404, missing, str(unknown)) from unknown


def _end(port: NodePort, *, dialog_id: str) -> str:
    """By the id of a listing, or else by Call-ID."""
    _, dialogs = _find(port)
    key = dialogs.find_did(dialog_id) or dialogs.find(dialog_id)
    if key is None:
        raise CommandError(404, "Requested Dialog not found")
    try:
        dialogs.terminate(key)
    except Unknown as unknown:
        raise CommandError(404, "Requested Dialog not found", str(unknown)) from unknown
    except NotTagOwner as error:
        raise CommandError(403, "Node is backup for requested dialog", str(error)) from error
    except TagmeshError as error:
        raise CommandError(500, "Operation failed", str(error)) from error
    return DONE


def _cluster_sync(port: NodePort, *, sharing_tag: str | None = None) -> str:
    """ "OK": it is asked for; ``tagmesh_sync_status`` tells how it goes (M-3)."""
    cluster, dialogs = _find(port)
    tags = [sharing_tag] if sharing_tag is not None else []
    try:
        answer = port.cluster(cluster.cluster_id).sync(dialogs.name, tags=tags)
    except Misuse as misuse:
        raise CommandError(500, "Internal error while setting sync state", str(misuse)) from misuse
    if answer is Answer.TAKEN:
        return DONE
    if answer is Answer.IN_PROGRESS:
        return SYNCING
    why = answer.value
    if answer is Answer.DISABLED:
        why = f"clusterer_set_cap_status {cluster.cluster_id} {dialogs.name} 1"
    raise CommandError(400, "Failed to send sync request", why)


# Profiles -----------------------------------------------------------------------------------------


def _size(port: NodePort, *, profile: str, value: str | None = None) -> dict[str, Any]:
    _, dialogs = _find(port)
    try:
        count = dialogs.profiles.size(profile, value)
    except Unknown as unknown:
        raise _no_profile(unknown) from unknown
    return {
        "Profile": {
            "name": profile,
            "value": value,
            "count": count,
            "shared": "no",
            "replicated": "yes",
        }
    }


def _values(port: NodePort, *, profile: str) -> list[dict[str, Any]]:
    _, dialogs = _find(port)
    try:
        values = dialogs.profiles.values(profile)
    except Unknown as unknown:
        raise _no_profile(unknown) from unknown
    if not dialogs.profiles.names()[profile]:
        return [{"value": None, "count": sum(values.values())}]
    return [{"value": value, "count": count} for value, count in values.items()]


def _profile_dialogs(port: NodePort, *, profile: str, value: str | None = None) -> dict[str, Any]:
    _, dialogs = _find(port)
    if profile not in dialogs.profiles.names():
        raise CommandError(404, "Profile not found")
    found = (
        dialog
        for dialog in dialogs.listed()
        if any(name == profile and value in (None, v) for name, v in dialog.profiles)
    )
    return {"Dialogs": _dialogs(found, context=False)}


def _no_profile(unknown: Unknown) -> CommandError:
    return CommandError(404, "Profile not found", str(unknown))


def _all_profiles(port: NodePort) -> dict[str, Any]:
    _, dialogs = _find(port)
    names = dialogs.profiles.names()
    return {"Profiles": [{"name": name, "has value": has} for name, has in names.items()]}


_LISTED = ((), ("callid",), ("callid", "from_tag"), ("index", "counter"))
_LIST_TYPES = {"callid": str, "from_tag": str, "index": int, "counter": int}
_PROFILE = (("profile",), ("profile", "value"))
_PROFILE_TYPES = {"profile": str, "value": str}

COMMANDS = (
    Command(
        name="dlg_list",
        module="dialog",
        recipes=_LISTED,
        types=_LIST_TYPES,
        named_only=True,
        help="lists the dialogs: all, some of them, or the one of a Call-ID",
        run=_list,
    ),
    Command(
        name="dlg_list_ctx",
        module="dialog",
        recipes=_LISTED,
        types=_LIST_TYPES,
        named_only=True,
        help="lists dialogs as dlg_list does, with their variables and profiles",
        run=_list_with_context,
    ),
    Command(
        name="dlg_end_dlg",
        module="dialog",
        recipes=(("dialog_id",),),
        types={"dialog_id": str},
        help="ends a dialog, named by its ID or Call-ID, whose sharing tag is active here",
        run=_end,
        changing=True,
    ),
    Command(
        name="dlg_cluster_sync",
        module="dialog",
        recipes=((), ("sharing_tag",)),
        types={"sharing_tag": str},
        help="asks another node for its dialogs, all of them or those of one sharing tag",
        run=_cluster_sync,
        changing=True,
    ),
    Command(
        name="profile_get_size",
        module="dialog",
        recipes=_PROFILE,
        types=_PROFILE_TYPES,
        help="tells how many dialogs of all nodes are in a profile, with any or with one value",
        run=_size,
    ),
    Command(
        name="profile_list_dlgs",
        module="dialog",
        recipes=_PROFILE,
        types=_PROFILE_TYPES,
        help="lists the dialogs in a profile, with any or with one value",
        run=_profile_dialogs,
    ),
    Command(
        name="profile_get_values",
        module="dialog",
        recipes=(("profile",),),
        types={"profile": str},
        help="lists the values of a profile with how many dialogs of all nodes have each",
        run=_values,
    ),
    Command(
        name="list_all_profiles",
        module="dialog",
        recipes=((),),
        help="lists the profiles in which dialogs are or were, and whether they have values",
        run=_all_profiles,
    ),
)
