"""The management commands of OpenSIPS's event interface: who hears of what, by datagram."""

from __future__ import annotations

from typing import Any

from ..protocol.errors import Misuse
from .command import DONE, Command, CommandError
from .port import NodePort
from .subscriptions import EVENTS, EXPIRE_S, Subscription, Subscriptions


def _subscribe(port: NodePort, *, event: str, socket: str, expire: int = EXPIRE_S) -> str:
    if expire < 0:
        raise CommandError(-32602, "Invalid params", "Negative expire value")
    try:
        port.subscriptions.subscribe(event, socket, expire)
    except Misuse as misuse:
        raise CommandError(400, "Bad parameter value", str(misuse)) from misuse
    return DONE


def _events(_port: NodePort) -> dict[str, Any]:
    return {"Events": [_named(event) for event in EVENTS]}


def _subscribers(
    port: NodePort, *, event: str | None = None, socket: str | None = None
) -> dict[str, Any]:
    known = port.subscriptions
    if event is None:
        listed = {name: known.listed(name) for name in EVENTS}
        return {"Events": [_of(known, name, found) for name, found in listed.items() if found]}
    if event not in EVENTS:
        raise CommandError(404, "Event not published", f"one of {', '.join(EVENTS)}")
    if socket is None:
        found = known.listed(event)
        return {"Event": _of(known, event, found) if found else {}}
    try:
        one = known.find(event, socket)
    except Misuse:
        one = None
    if one is None:
        raise CommandError(404, "Subscriber does not exist")
    return {"Event": _named(event) | {"Subscriber": _shown(known, one)}}


def _named(event: str) -> dict[str, Any]:
    return {"name": event, "id": EVENTS.index(event)}


def _of(known: Subscriptions, event: str, found: list[Subscription]) -> dict[str, Any]:
    return _named(event) | {"Subscribers": [_shown(known, one) for one in found]}


def _shown(known: Subscriptions, one: Subscription) -> dict[str, Any]:
    return {"socket": one.socket, "expire": one.expire_s, "ttl": known.left_s(one)}


_TYPES = {"event": str, "socket": str}

COMMANDS = (
    Command(
        name="event_subscribe",
        module="core",
        recipes=(("event", "socket"), ("event", "socket", "expire")),
        types={**_TYPES, "expire": int},
        help="sends an event to udp:address:port or unix:path for so many seconds; 0: no longer",
        run=_subscribe,
        changing=True,
        waits=True,
    ),
    Command(
        name="events_list",
        module="core",
        recipes=((),),
        help="lists the events that can be subscribed to",
        run=_events,
    ),
    Command(
        name="subscribers_list",
        module="core",
        recipes=((), ("event",), ("event", "socket")),
        types=_TYPES,
        help="lists who subscribed to which events, and for how long",
        run=_subscribers,
        waits=True,
    ),
)
