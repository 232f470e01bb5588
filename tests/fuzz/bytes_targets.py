"""Targets that take bytes as they come: frames, their bodies, texts and files.

A target returns when its input was handled as promised: accepted, or refused with the one kind of
error that its callers expect. Whatever else it raises is an escape.
"""

from __future__ import annotations

import logging
import tempfile

import msgspec

from tagmesh.control.commands import COMMANDS
from tagmesh.control.configfile import load_config, show
from tagmesh.control.mi import SERVER_ERROR, handle
from tagmesh.protocol.config import TABLES, ConfigError, read_config
from tagmesh.protocol.errors import Misuse, PeerViolation
from tagmesh.protocol.identity import BinsUrl
from tagmesh.protocol.settings import settings_of
from tagmesh.protocol.wire import decode, encode
from tagmesh.transport.frames import HEADER_BYTES, FrameReader
from tests.control.fake_node import FakeNode
from tests.fuzz.draw import Draw

MAX_FRAME_BYTES = 300
MAX_MESSAGE_CHARS = 8 * 1024  # of a ConfigError, which lists every mistake


def wire(data: bytes) -> None:
    """A frame's body: what is decoded survives another round trip (I11)."""
    try:
        decoded = decode(data)
    except PeerViolation as violation:
        text = str(violation)
        assert text.isprintable(), "it goes to logs and back to the peer"
        assert len(text) < 250, "one short line"
        return
    if decoded.messages:
        assert decode(encode(decoded.messages)).messages == decoded.messages


def frames(data: bytes) -> None:
    """A stream in pieces: the same bodies as cut by hand, bounded memory (W1 … W3)."""
    draw = Draw(data)
    pieces = [draw.take(draw.byte()) for _ in range(draw.byte() % 16)]
    pieces.append(draw.take(len(data)))
    bodies, broken = _cut(b"".join(pieces))
    reader = FrameReader(MAX_FRAME_BYTES)
    received: list[bytes] = []
    try:
        for piece in pieces:
            received += map(bytes, reader.receive([piece]))
            assert reader.pending_bytes <= MAX_FRAME_BYTES + HEADER_BYTES
    except PeerViolation:
        assert broken, "a stream without a mistake"
        assert bodies[: len(received)] == received
    else:
        assert not broken, "a mistake was not seen"
        assert bodies == received


def _cut(stream: bytes) -> tuple[list[bytes], bool]:
    """(bodies up to the first bad length, whether there was one)"""
    bodies: list[bytes] = []
    while len(stream) >= HEADER_BYTES:
        length = int.from_bytes(stream[:HEADER_BYTES], "big")
        if not 1 <= length <= MAX_FRAME_BYTES:
            return bodies, True
        if len(stream) < HEADER_BYTES + length:
            break
        bodies.append(stream[HEADER_BYTES : HEADER_BYTES + length])
        stream = stream[HEADER_BYTES + length :]
    return bodies, False


def url(data: bytes) -> None:
    """A url: what is read is written and read again the same; no password is repeated."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        parsed = BinsUrl.parse(text)
    except Misuse as misuse:
        said = str(misuse)
        assert said.isprintable(), "one line for people"
        assert len(said) < 400, "a short one"
        return
    written = str(parsed)
    if len(written) <= 64:
        assert BinsUrl.parse(written) == parsed


def toml(data: bytes) -> None:
    """A configuration file: read, or one `ConfigError`; what was read can be shown."""
    with tempfile.NamedTemporaryFile(prefix="tagmesh-fuzz-") as file:
        file.write(data)
        file.flush()
        try:
            config = load_config(file.name, {})
        except ConfigError:
            return
        show(config)


_KEYS = {name: [key for key, _ in settings_of(table)] for name, table in TABLES.items()}
_TABLE_NAMES = [*TABLES, "Node", ""]
_NUMBERS = (1, 0, -1, 3, 64, 2**31 - 1, 2**31, 2**63, 2**64, 10**5000, -(10**5000))
_TEXTS = (
    "4s", "1ms", "1e9s", "1MiB", "8MiB", "9" * 400 + "s", "9" * 400 + "MiB", "", "static", "1.3",
    "bins:127.0.0.1:5556", "bins:u:secret@h", "127.0.0.1:8888", "sqlite:///x.db", "\0", "\x1b[31m",
    "postgresql://u:secret@h/d", "{0.__class__}", "%s%n", "\u202e", "\ud800", "x" * 5000, "é",
)  # fmt: skip
_FLOATS = (0.5, float("nan"), float("inf"), -0.0, 1e308)


def config(data: bytes) -> None:
    """Tables of any shape under known and unknown names: a `Config` or one `ConfigError`."""
    draw = Draw(data)
    raw: dict[str, object] = {"node": {"id": 1}}
    while draw:
        name = draw.pick(_TABLE_NAMES)
        raw[name] = _table(draw, name) if draw.byte() % 8 else _value(draw, 3)
    try:
        show(read_config(raw))
    except ConfigError as error:
        text = str(error)
        assert text, "it says what is wrong"
        assert "secret" not in text, f"passwords are not repeated: {text}"
        assert all(map(str.isprintable, text.splitlines()))


def _table(draw: Draw, name: str) -> object:
    keys = [*_KEYS.get(name, ()), "me", "neighbours", "nod_id"]
    table: dict[str, object] = {"id": 1} if name in ("node", "cluster") else {}
    for _ in range(draw.byte() % 6):
        table[draw.pick(keys)] = _value(draw, 3)
    return [table] * (draw.byte() % 3) if name == "cluster" else table


def _value(draw: Draw, depth: int) -> object:
    kind = draw.byte() % (9 if depth else 7)
    if kind < 2:
        return draw.pick(_TEXTS)
    if kind == 7:
        return [_value(draw, depth - 1) for _ in range(draw.byte() % 4)]
    if kind == 8:
        keys = ("url", "node_id", "priority", "id", "state", "x")
        return {draw.pick(keys): _value(draw, depth - 1) for _ in range(draw.byte() % 5)}
    return [draw.pick(_NUMBERS), draw.pick(_FLOATS), draw.text(), draw.byte() > 127, None][kind - 2]


def mi(data: bytes) -> None:
    """A request to the management interface: no reply, or one of JSON-RPC; no command crashes."""
    log, whole = logging.getLogger("tagmesh.mi"), logging.getLogger("tagmesh")
    level = whole.level  # which a request may set
    log.addFilter(_escaped)
    node = FakeNode()
    try:
        reply = handle(data, COMMANDS, node)
    finally:
        log.removeFilter(_escaped)
        whole.setLevel(level)
        node.subscriptions.close()
    if reply is None:
        return
    answer = msgspec.json.decode(reply)
    assert answer["jsonrpc"] == "2.0"
    assert ("result" in answer) != ("error" in answer)


def _escaped(record: logging.LogRecord) -> bool:
    """A command that raised is answered with `SERVER_ERROR` and logged: here it is an escape."""
    assert record.exc_info is not None, SERVER_ERROR
    error = record.exc_info[1]
    assert error is not None
    raise error


CANARY_SENTENCE = "the planted bug: a length taken on trust"


def canary(data: bytes) -> None:
    """A decoder with a planted bug: a run that does not find it proves nothing."""
    if len(data) < 3:
        return
    if data[0] == 0x93 and data[1] == 0x0A:  # claims to be a ping of three fields
        cluster, number = data[2], data[3:]
        assert not (cluster > 0x7F and len(number) < 2), CANARY_SENTENCE
