"""What happened in a world: lines for programs, a table with a column per node for people."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..protocol.events import EventRecord

COLUMN_CHARS = 30
TIME_CHARS = 11


class Entry(NamedTuple):
    """One thing that happened. ``node`` None: it was done to the world."""

    at_s: float
    node: int | None
    text: str

    def __str__(self) -> str:
        return f"{self.at_s:.6f}  {self.node if self.node is not None else '-'}  {self.text}"


class History:
    """The event log of one world; the same for the same seed (I12)."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def note(self, at_s: float, node: int | None, what: str | EventRecord) -> None:
        """Add one entry."""
        self.entries.append(Entry(at_s, node, str(what)))

    def lines(self) -> list[str]:
        """``time  node  text``, one per entry."""
        return [str(entry) for entry in self.entries]

    def digest(self, steps: int, sent: Mapping[tuple[int, int, str], int]) -> str:
        """SHA-256 of all entries, the number of steps and of messages between each pair."""
        total = [f"{a} {b} {kind} {count}" for (a, b, kind), count in sorted(sent.items())]
        text = "\n".join([*self.lines(), f"{steps} steps", *total])
        return hashlib.sha256(text.encode()).hexdigest()

    def table(self, nodes: Sequence[int], last: int | None = None) -> str:
        """A column per node; what was done to the world goes across. ``last``: only so many."""
        entries = self.entries if last is None else self.entries[-last:]
        head = ["time".rjust(TIME_CHARS), *(f"node {n}".ljust(COLUMN_CHARS) for n in nodes)]
        lines = ["  ".join(head).rstrip()]
        for entry in entries:
            at = f"{entry.at_s:.4f}".rjust(TIME_CHARS)
            if entry.node is None or entry.node not in nodes:
                who = "" if entry.node is None else f" (node {entry.node})"
                lines.append(f"{at}  -- {entry.text}{who}")
            else:
                lines += _cell(at, list(nodes).index(entry.node), entry.text)
        return "\n".join(lines)


def _cell(at: str, column: int, text: str) -> Iterable[str]:
    """One entry in its column, wrapped."""
    margin = " " * (column * (COLUMN_CHARS + 2))
    for number, line in enumerate(textwrap.wrap(text, COLUMN_CHARS) or [""]):
        yield f"{at if number == 0 else ' ' * TIME_CHARS}  {margin}{line}"
