"""The golden table ``messages.txt``: bytes of messages as they once were, and what they say.

Append-only. A line is ``check  message  hex  {fields}``, separated by two spaces; ``check`` is a
digest of the line and of the check before it, so a line that is changed or removed breaks every
line after it. Append with ``python -m tests.golden.append`` (it tells how).
"""

from __future__ import annotations

import hashlib
import json
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tagmesh.protocol.message_list import MESSAGES
from tagmesh.protocol.messages import Message
from tagmesh.protocol.wire import decode

PATH = Path(__file__).with_name("messages.txt")
CHECK_CHARS = 8
GAP = "  "


class Line(NamedTuple):
    """One line of the table."""

    check: str
    name: str
    body: bytes
    """Of a frame that holds this one message."""
    fields: dict[str, Any]
    """Bytes as hex, structures inside as objects."""


def fields_of(value: Any) -> Any:
    """A message in the notation of the table."""
    if isinstance(value, msgspec.Struct):
        return {name: fields_of(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, IntEnum):
        return value.value
    return [fields_of(item) for item in value] if isinstance(value, list | tuple) else value


def text_of(body: bytes, message: Message) -> str:
    """A line without its check."""
    fields = json.dumps(fields_of(message))
    return GAP.join([type(message).__name__, body.hex(), fields])


def check_of(before: str, text: str) -> str:
    """The check of a line that follows one with the check ``before`` (first line: empty)."""
    return hashlib.sha256(f"{before} {text}".encode()).hexdigest()[:CHECK_CHARS]


def parse(text: str) -> list[Line]:
    """The lines; ``ValueError`` names the first that is not what was once written."""
    lines: list[Line] = []
    for number, row in enumerate(text.splitlines(), 1):
        if row.startswith("#"):
            continue
        check, _, rest = row.partition(GAP)
        if check != check_of(lines[-1].check if lines else "", rest):
            raise ValueError(
                f"line {number} or one before it was changed or removed: golden bytes stay for"
                " ever, because a node that speaks them may be running; append a line instead"
            )
        name, body, fields = rest.split(GAP, 2)
        lines.append(Line(check, name, bytes.fromhex(body), json.loads(fields)))
    return lines


def load() -> list[Line]:
    """The table."""
    return parse(PATH.read_text(encoding="ascii"))


def is_part(old: Any, new: Any) -> bool:
    """Does ``new`` say all that ``old`` says? It may have further fields (appended since)."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(name in new and is_part(value, new[name]) for name, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(is_part, old, new))
    return type(old) is type(new) and bool(old == new)


def missing(lines: list[Line], kinds: tuple[type[Message], ...] = MESSAGES) -> list[str]:
    """Messages that have no line with all the fields they have today, also further inside."""
    full = {
        (line.name, tuple(line.fields))
        for line in lines
        if fields_of(decode(line.body).messages[0]) == line.fields
    }
    return [k.__name__ for k in kinds if (k.__name__, k.__struct_fields__) not in full]
