"""How many dialogs are in which profile, over all nodes: ``dialog-prof-repl``.

Every node tells the others how many dialogs it counts for each value of each profile, and a
profile's size is the sum. What a node told counts until it tells otherwise or is no longer
reachable, so nothing of a dead node remains, and nothing has to be synchronised.

What changed is told within `TELL_S`. Everything is told to a node that comes up, and every
`REFRESH_S` to all of them, numbered as a round: at its end whatever that node told before and not
in this round is forgotten. So a word that was not accepted, because somebody was busy or switched
off, does no lasting harm.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

import msgspec

from ..protocol.contract import Capability, Delivery
from ..protocol.errors import PeerViolation, Unknown
from ..protocol.identity import NodeId
from ..protocol.messages import U63
from .dialog_records import MAX_PROFILE_CHARS, ProfileName, ProfileValue
from .timer import Timer

NAME = "dialog-prof-repl"
TELL_S = 0.5
"""From a change to its being told, at most; so often it is looked for one."""
REFRESH_S = 10.0
MAX_VALUES = 10_000
"""Values of all profiles together that are taken of one node; what is beyond is not counted."""
CELLS_PER_MESSAGE = 40
"""The longest ones fit into a message."""

Value: TypeAlias = tuple[str, str]
"""(profile, value); the value is empty in a profile without values."""


class Cell(msgspec.Struct, frozen=True, array_like=True):
    """How many dialogs a node counts for one value."""

    profile: ProfileName
    value: ProfileValue
    count: U63


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What a node tells the others."""

    round: U63
    last: bool
    """The round is over: what was told in an earlier one, and not again, counts no more."""
    cells: list[Cell]


_read = partial(msgspec.convert, type=Told)


class DialogProfiles(Capability):
    """The capability. Any thread may ask it."""

    inline = True
    delivery: Delivery = "at_least_once"

    def __init__(
        self, name: str = NAME, count: Callable[[], Mapping[Value, int]] = dict[Value, int]
    ) -> None:
        """``count`` says what this node counts now, quickly; it is asked when `wake` was called,
        for as long as there is something."""
        self.name = name
        self._count = count
        self._lock = threading.Lock()
        self._nodes: dict[NodeId, dict[Value, tuple[int, int]]] = {}
        """What others told: each count, and the round in which it was told."""
        self._seen: dict[str, bool] = {}
        """Every profile that was ever seen here, and whether it has values."""
        self._mine: dict[Value, int] = {}
        """As it was told."""
        self._round = 0
        self._whole_at_s = 0.0
        self.uncounted = 0
        """Values that were left out because there were too many."""
        self._timer = Timer(self, self._tell)

    def wake(self) -> None:
        """What this node counts may have changed."""
        if getattr(self, "port", None) is not None and not self._timer.armed():
            self._timer.arm(TELL_S)

    # Sizes ---------------------------------------------------------------------------------------

    def names(self) -> dict[str, bool]:
        """Every profile in which dialogs are or were, and whether it has values; sorted."""
        self._look()
        with self._lock:
            return dict(sorted(self._seen.items()))

    def values(self, profile: str) -> dict[str, int]:
        """How many dialogs there are for each value, sorted; `Unknown` for no known profile."""
        counts = self._look()
        found: dict[str, int] = {}
        with self._lock:
            if profile not in self._seen:
                raise Unknown(f"no dialog is or was in a profile {profile[:MAX_PROFILE_CHARS]!a}")
            told = ((value, n) for node in self._nodes.values() for value, (n, _) in node.items())
            for (name, value), number in (*counts.items(), *told):
                if name == profile and number:
                    found[value] = found.get(value, 0) + number
        return dict(sorted(found.items()))

    def size(self, profile: str, value: str | None = None) -> int:
        """How many dialogs there are with a value, None = with any; `Unknown` as above."""
        values = self.values(profile)
        return sum(values.values()) if value is None else values.get(value, 0)

    def _look(self) -> dict[Value, int]:
        """What this node counts."""
        counts = dict(islice(self._count().items(), MAX_VALUES))
        with self._lock:
            self._note(counts)
        return counts

    # Telling and hearing -------------------------------------------------------------------------

    def on_message(self, message: Any, source: NodeId) -> None:
        """See `Capability.on_message`: a `Told`."""
        told: Told = _read(message)
        with self._lock:
            counts = self._nodes.setdefault(source, {})
            left = 0
            for cell in told.cells:
                value = cell.profile, cell.value
                if not cell.count:
                    counts.pop(value, None)
                elif value in counts or len(counts) < MAX_VALUES:
                    counts[value] = cell.count, told.round
                    self._note((value,))
                else:
                    left += 1
            if told.last:
                for value in [v for v, (_, number) in counts.items() if number < told.round]:
                    del counts[value]
        if left:
            raise PeerViolation(f"node {source} counts more than {MAX_VALUES} values: {left} more")

    def on_node_up(self, node: NodeId, incarnation: int) -> None:  # noqa: ARG002 - any life
        """See `Capability.on_node_up`: it hears everything."""
        with self._lock:
            messages = list(self._whole())
        self.port.send_many(node, messages)
        self.wake()

    def on_node_down(self, node: NodeId, cause: str) -> None:  # noqa: ARG002 - any cause
        """See `Capability.on_node_down`: its dialogs are another's now, or nobody's."""
        with self._lock:
            self._nodes.pop(node, None)

    def _tell(self) -> None:
        counts, now = self._count(), self.port.now()
        self.uncounted = max(0, len(counts) - MAX_VALUES)
        mine = dict(islice(counts.items(), MAX_VALUES))
        with self._lock:
            self._note(mine)
            news = [v for v in (mine | self._mine) if mine.get(v) != self._mine.get(v)]
            self._mine = mine
            if now >= self._whole_at_s:
                self._whole_at_s = now + REFRESH_S
                self._round += 1
                messages = list(self._whole())
            else:
                messages = list(self._told(((*v, mine.get(v, 0)) for v in news), last=False))
        for message in messages:
            self.port.broadcast(message)
        if mine or messages:
            self._timer.arm(TELL_S)

    def _note(self, values: Iterable[Value]) -> None:
        """These profiles are known. Locked."""
        for profile, value in values:
            if profile in self._seen or len(self._seen) < MAX_VALUES:
                self._seen[profile] = bool(value) or self._seen.get(profile, False)

    def _whole(self) -> Iterator[Told]:
        """All that this node told, as a round. Locked."""
        cells = ((*value, count) for value, count in self._mine.items())
        yield from self._told(cells, last=True)
        if not self._mine:
            yield Told(self._round, True, [])

    def _told(self, cells: Iterator[tuple[str, str, int]], *, last: bool) -> Iterator[Told]:
        todo = [Cell(*cell) for cell in cells]
        for start in range(0, len(todo), CELLS_PER_MESSAGE):
            over = last and start + CELLS_PER_MESSAGE >= len(todo)
            yield Told(self._round, over, todo[start : start + CELLS_PER_MESSAGE])
