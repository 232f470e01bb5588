"""Named counters that add up over the cluster: the smallest useful capability, to be copied.

Every node has a cell of its own in each counter, and only it writes there: how much was added, how
much taken away. A counter's value is the sum of its cells. Both numbers of a cell only grow, so of
two copies the larger numbers are the newer ones; messages may come twice, late, or not at all if a
later one comes (a PN-counter).

A node that was started again has lost its cell. So cells belong to a life of a node, and a new life
begins a new one; the old ones come back with the sync at the start and stay.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from ..protocol.contract import Capability
from ..protocol.errors import Misuse
from ..protocol.identity import NodeId
from ..protocol.messages import MAX_NAME_CHARS, U63, Id, Name

MAX_COUNTERS = 10_000
MAX_AMOUNT = 2**53
"""Added at once."""


class Cell(msgspec.Struct, frozen=True, array_like=True):
    """What one life of a node added to one counter, and took away. Both only grow."""

    name: Name
    node: Id
    life: U63
    added: U63
    taken: U63


_read = partial(msgspec.convert, type=Cell)


class Counters(Capability):
    """The capability. ``counters.add("calls")`` on any node, ``counters.value("calls")`` on all."""

    startup_sync = True  # what this node lacks at its start, another one has
    versioned = True  # an old cell after a newer one does nothing
    inline = True  # nothing here ever waits
    delivery = "at_least_once"

    def __init__(self, name: str = "tagmesh-counters") -> None:
        self.name = name
        self._lock = threading.Lock()
        self._cells: dict[str, dict[tuple[int, int], Cell]] = {}
        self._mine: dict[str, Cell] = {}
        self._life = 0

    def add(self, name: str, amount: int = 1) -> None:
        """Add to a counter; a negative amount takes away. Any thread may call."""
        if not 0 < len(name) <= MAX_NAME_CHARS or abs(amount) > MAX_AMOUNT:
            raise Misuse(
                f"cannot add {amount} to {name[:MAX_NAME_CHARS]!a}: a name has 1 to"
                f" {MAX_NAME_CHARS} characters, an amount is at most {MAX_AMOUNT}"
            )
        with self._lock:
            self._life = self._life or int(self.port.wall() * 1_000_000)
            old = self._mine.get(name, Cell(name, self.port.node_id, self._life, 0, 0))
            added, taken = old.added + max(amount, 0), old.taken + max(-amount, 0)
            cell = Cell(name, old.node, old.life, added, taken)
            self._take(cell)
            self._mine[name] = cell
        self.port.broadcast(cell)  # whoever misses it hears it later, from `_tell_mine`

    def value(self, name: str) -> int:
        """What all nodes added to a counter, as far as it is known here."""
        with self._lock:
            cells = self._cells.get(name, {}).values()
            return sum(cell.added - cell.taken for cell in cells)

    def on_message(self, message: Any, source: NodeId) -> None:  # noqa: ARG002 - its own or not
        """A cell. What is none raises, and is set aside."""
        with self._lock:
            self._take(_read(message))

    def on_node_up(self, node: NodeId, incarnation: int) -> None:  # noqa: ARG002 - any life
        """It may have missed what was added meanwhile."""
        self._tell_mine(node)

    def on_room(self, node: NodeId) -> None:
        """It was too busy for something."""
        self._tell_mine(node)

    def sync_items(self, tags: Sequence[str]) -> Iterator[Any]:  # noqa: ARG002 - nothing is tagged
        """Every cell, as a donor."""
        with self._lock:
            everything = [cell for cells in self._cells.values() for cell in cells.values()]
        yield from everything

    def sync_item(self, item: Any) -> None:
        """A cell, as a joiner."""
        with self._lock:
            self._take(_read(item))

    def _take(self, cell: Cell) -> None:
        """Keep a cell if it is newer. Locked."""
        if cell.name not in self._cells and len(self._cells) >= MAX_COUNTERS:
            raise Misuse(f"no counter {cell.name!a}: there are {MAX_COUNTERS} already")
        cells = self._cells.setdefault(cell.name, {})
        old = cells.get((cell.node, cell.life))
        if old is None or (cell.added, cell.taken) > (old.added, old.taken):
            cells[cell.node, cell.life] = cell

    def _tell_mine(self, node: NodeId) -> None:
        with self._lock:
            mine = list(self._mine.values())
        self.port.send_many(node, mine)
