"""Append to the golden table; nothing in it is ever rewritten.

    python -m tests.golden.append 'Ping(cluster_id=1, number=7)' …

Each argument is a message as Python writes it. Do so when a message type is new or has a new
field; lines of its older forms stay, and the decoder must go on reading them.
"""

from __future__ import annotations

import sys

from tagmesh.protocol import messages, removal_messages, tag_messages, trace_messages, wire
from tagmesh.protocol.messages import Message
from tests.golden.table import GAP, PATH, check_of, load, text_of

HEADER = "# Append-only: see append.py. Columns: check, message, hex of the frame body, fields\n"


def append(expressions: list[str]) -> int:
    """Add a line per message; the number of lines there are then."""
    lines = load() if PATH.exists() else []
    check = lines[-1].check if lines else ""
    with PATH.open("a", encoding="ascii") as table:
        if not lines:
            table.write(HEADER)
        for expression in expressions:
            words = vars(messages) | vars(tag_messages) | vars(trace_messages)
            words |= vars(removal_messages)
            message = eval(expression, words)  # noqa: S307 - the developer's own
            assert isinstance(message, Message), f"{expression} is no message"
            body = wire.encode([message])
            assert wire.decode(body).messages == [message], f"{expression} breaks its own bounds"
            text = text_of(body, message)
            check = check_of(check, text)
            table.write(f"{check}{GAP}{text}\n")
    return len(lines) + len(expressions)


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    print(f"{append(sys.argv[1:])} golden lines")
