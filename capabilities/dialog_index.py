"""Which dialogs are here: whose they are, what they count for, and when they expire.

A node works on the dialogs of the tags that are active on it, and of dialogs without a tag on
those that it wrote itself. So they are grouped: by tag, or else by the node that wrote them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from .deadlines import Deadlines
from .dialog_records import DialogKey, Profiles


class Group(NamedTuple):
    """Dialogs that one node works on."""

    tag: str
    node: int = 0
    """Of dialogs without a tag: who wrote them; else 0."""


class Entry(NamedTuple):
    """What is noted of one dialog."""

    key: DialogKey
    group: Group
    timeout_s: int
    """Unix seconds."""
    profiles: Profiles


class DialogIndex:
    """Of every dialog by the packed key of its record. Not for several threads at a time."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}
        self._deadlines = Deadlines()
        self._overdue: dict[Group, dict[bytes, None]] = {}
        self._counts: dict[Group, Counter[tuple[str, str]]] = {}

    def put(self, packed: bytes, entry: Entry | None) -> None:
        """The dialog is like that now; None = it is gone."""
        old = self.entries.pop(packed, None)
        if old is not None:
            self._remove(packed, old)
        if entry is None:
            return
        self.entries[packed] = entry
        self._deadlines.add(entry.timeout_s * 1000, packed)
        if entry.profiles:
            self._counts.setdefault(entry.group, Counter()).update(entry.profiles)

    def _remove(self, packed: bytes, old: Entry) -> None:
        self._deadlines.discard(old.timeout_s * 1000, packed)
        overdue = self._overdue.get(old.group)
        if overdue is not None:
            overdue.pop(packed, None)
            if not overdue:
                del self._overdue[old.group]
        if old.profiles:
            counts = self._counts[old.group]
            counts.subtract(old.profiles)
            for value in old.profiles:
                if not counts[value]:
                    del counts[value]
            if not counts:
                del self._counts[old.group]

    def groups(self) -> set[Group]:
        """Those with dialogs in profiles."""
        return set(self._counts)

    def counted(self, groups: Iterable[Group]) -> Counter[tuple[str, str]]:
        """How many dialogs of these groups there are for each (profile, value)."""
        total: Counter[tuple[str, str]] = Counter()
        for group in groups:
            total.update(self._counts.get(group, ()))
        return total

    def take_due(self, now_s: float, mine: Callable[[Group], bool], limit: int) -> list[bytes]:
        """Expired dialogs of groups that are mine, at most ``limit``; they are told once.

        Those of other groups are kept for the moment when the group is mine.
        """
        for packed in self._deadlines.due(int(now_s * 1000), limit):
            self._overdue.setdefault(self.entries[packed].group, {})[packed] = None
        due: list[bytes] = []
        for group in [group for group in self._overdue if mine(group)]:
            waiting = self._overdue[group]
            while waiting and len(due) < limit:
                packed = next(iter(waiting))
                del waiting[packed]
                due.append(packed)
            if not waiting:
                del self._overdue[group]
        return due

    def give_back(self, packed: bytes) -> None:
        """An expired dialog that was told could not be ended here: it is told again."""
        entry = self.entries.get(packed)
        if entry is not None:
            self._overdue.setdefault(entry.group, {})[packed] = None

    @property
    def overdue(self) -> int:
        """Expired dialogs that wait for their group to be mine."""
        return sum(map(len, self._overdue.values()))
