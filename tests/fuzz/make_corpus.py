"""Write the first samples of the corpus: ``python -m tests.fuzz.make_corpus``.

One valid sample per message type for what reads bytes of peers, and one valid history, file or
request for the rest. Samples that a fuzzer found are added by hand (and named after what they
broke); nothing is removed here.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from msgspec.msgpack import encode as pack

from tagmesh.control.command import Kind
from tagmesh.control.commands import COMMANDS
from tagmesh.control.configfile import example
from tagmesh.protocol import wire
from tagmesh.protocol.messages import Ping
from tagmesh.transport.frames import frame
from tests.fuzz.targets import CORPUS
from tests.golden import table

PIECES = bytes([3, 4, 1, 5])
"""Cut a stream into pieces of 4, 1 and 5 bytes and the rest; see `Draw` and the target."""


def hello(key: int = 0, **fields: int) -> list[int]:
    """A HELLO comes on a connection; each field is the number of its choice in the target."""
    order = ("low", "high", "node", "life", "session", "lost", "clusters", "size", "software")
    return [0, key, 0, *[fields.get(name, 0) for name in order]]


def welcome(key: int = 0, clusters: int = 0, session: int = 0) -> list[int]:
    """A WELCOME comes on a connection."""
    return [0, key, 4, clusters, session, 0]


DIALLED, ACCEPTED = [9, 0], [9]
"""A connection opens, while we dial and while we do not."""
PING = [0, 0, 8, 0, 0, 0]
CHOOSES, FOLLOWS = 0, 1
ESTABLISHED = [*DIALLED, *hello(), *welcome()]


def batch(number: int = 0, of: int = 1, reliable: int = 1, floor: int = 0) -> list[int]:
    """Two messages of a stream come; number and stream as in the target's list of numbers."""
    return [0, 0, number, of, 1, reliable, floor]


OFFER, SEND, TAKEN = [4, 9], [5], [6, 0, 0, 1, 0]
TICK, GO_BACK, CLEAR = [7, 9, 0], [7, 0, 1], [7, 0, 2]
SPEND, GRANTED, RECEIVE, CONSUME = [0, 2], [1, 0, 2], [2, 2], [3, 2]

ACTIVATE, STORED = [0, 0], [5, 0, 0]
HEARD = [8, 0, 0, 0, 1, 0]
"""One claim comes from node 2; what it says follows."""
OVERRULED, OFFERED = [*HEARD, 0, 0, 2, 0, 0, 1, 0, 0, 0], [*HEARD, 1, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0]
EVERYBODY = [4, 2, 0, 0, 3]
NO_ROW, GOT_IT, AWAY = [2, *[0] * 9], [2, 0, 0, 0, 1, 0, 0, 2, 0, 0], [2, 2]
VOWS = [7, 0, 0, 0, 1, 7, 2, 0, 0, 1]

HISTORIES = {
    "credit": {
        "sender": bytes([*SPEND * 11, *GRANTED, *SPEND]),
        "receiver": bytes([*RECEIVE * 10, *CONSUME * 6, *RECEIVE * 5]),
        "too-much": bytes([*RECEIVE * 11]),
        "taken-back": bytes([*SPEND, 1, 0, 1]),
    },
    "hello": {
        "chooses": bytes([CHOOSES, *ESTABLISHED]),
        "follows": bytes([FOLLOWS, *ESTABLISHED]),
        "replayed": bytes([CHOOSES, *DIALLED, *hello(), *welcome(session=3)]),
        "impostor": bytes([CHOOSES, *DIALLED, *hello(node=6), *welcome()]),
        "hello-twice": bytes([CHOOSES, *ESTABLISHED, *hello()]),
        "pings": bytes([CHOOSES, *ESTABLISHED, *PING * 30]),
        "simultaneous": bytes([FOLLOWS, *DIALLED, *ACCEPTED, *hello(), *hello(1), *welcome(1)]),
        "contested": bytes([CHOOSES, *ESTABLISHED, *ACCEPTED, *hello(1, life=1), 11, 2, *PING]),
        "anew": bytes([FOLLOWS, *ESTABLISHED, 12, 0, 0, *DIALLED, *hello(lost=2), *welcome()]),
        "ping-too-early": bytes([CHOOSES, *DIALLED, *hello(), *PING]),
    },
    "link_state": {
        "flooded": bytes([0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 2, 3, 0, 1, 0, 0]),
        "capabilities": bytes(
            [0, 0, 0, 0, 2, 0, 3, *[0] * 6, 1, 3, 0, 0, 2, 0, 4, 0, 0, 1, 2, 1, 1]
        ),
        "digest": bytes([0, 0, 0, 0, 3, 0, 6, 2, 0, 0, 0, 1, 0, 0]),
        "want": bytes([0, 0, 0, 0, 3, 0, 7, 2, 0, 1]),
        "down": bytes([0, 0, 0, 0, 1, 0, 2, 1]),
    },
    "leases": {
        "held": bytes([*NO_ROW, *GOT_IT, 0, 2, *GOT_IT]),
        "ran-out": bytes([*NO_ROW, *GOT_IT, 0, 3, 0, 3]),
        "failsafe": bytes([*NO_ROW, *GOT_IT, *2 * [0, 2], *AWAY, *VOWS, *2 * [0, 2]]),
        "given-up": bytes([*NO_ROW, *GOT_IT, 4, 2]),
    },
    "payloads": {
        "numbers": bytes([3]) + pack([1, 2, 3]),
        "calls": bytes([3]) + pack([{"id": 7, "state": "ended"}] * 3),
        "nested": bytes([1]) + pack([[[{"a": [None, True, 1.5, b"x"]}]]]),
    },
    "stream": {
        "delivered": bytes([1, *batch(), *batch(2), *batch(2)]),
        "late": bytes([0, *batch(2, reliable=0), *batch(0, reliable=0), *batch(of=2)]),
        "acknowledged": bytes([1, *OFFER, *SEND, *TAKEN, *OFFER, *SEND, *TICK]),
        "again": bytes([1, *OFFER, *SEND, *GO_BACK, *OFFER, *SEND, *SEND, *TAKEN]),
        "given-up": bytes([1, *OFFER, *SEND, *OFFER, *CLEAR, *OFFER, *SEND]),
    },
    "tags": {
        "active": bytes([*ACTIVATE, *STORED]),
        "overruled": bytes([*ACTIVATE, *STORED, *OVERRULED]),
        "offered": bytes([*EVERYBODY, *OFFERED, *STORED]),
        "handed-over": bytes([*EVERYBODY, *ACTIVATE, *STORED, 2, 0, *OVERRULED]),
        "forced": bytes([0, 200, 5, 0, 2]),
        "released": bytes([*ACTIVATE, *STORED, 1]),
    },
}
URLS = ("bins:10.0.0.5:5556", "bins:[fe80::1%eth0]:1", "bins:node-a", "bin:a", "bins://u:p@h")


def main() -> None:
    """Write what is missing."""
    seen = Counter[str]()
    for line in table.load():
        forms = ("plain", "full", "more", "most")
        name = f"{line.name}-{forms[min(seen[line.name], len(forms) - 1)]}"
        seen[line.name] += 1
        _keep("wire", name, line.body)
        _keep("frames", name, PIECES + frame(line.body))
    everything = [m for line in table.load() for m in wire.decode(line.body).messages]
    _keep("canary", "ping", wire.encode([Ping(1, 7)])[1:])
    _keep("wire", "all", wire.encode(everything))
    for target, histories in HISTORIES.items():
        for name, history in histories.items():
            _keep(target, name, history)
    for number, text in enumerate(URLS):
        _keep("url", f"url-{number}", text.encode())
    _keep("toml", "example", example().encode())
    _keep("toml", "minimal", b"[node]\nid = 1\n[[cluster]]\nid = 1\n")
    _keep("config", "empty-tables", bytes([0, 1, 0, 1, 1, 0, 2, 1, 0, 3, 1, 0, 4, 1, 0, 1]))
    _keep("config", "texts", bytes([1, 1, 1, 0, 0, 18, 4, 1, 2, 4, 0, 0, 5, 1, 1, 0, 0, 11]))
    for name, command in COMMANDS.items():
        for recipe in command.recipes:
            params = {p: SAMPLES[command.types[p]] for p in recipe}
            request = {"jsonrpc": "2.0", "id": 1, "method": name, "params": params}
            _keep("mi", f"{name}-{len(recipe)}", json.dumps(request).encode())


SAMPLES: dict[Kind, Any] = {int: 1, str: "list", list: ["all"]}
"""What a parameter of a management command may be."""


def _keep(target: str, name: str, data: bytes) -> None:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if not path.exists():
        path.write_bytes(data)


if __name__ == "__main__":
    main()
