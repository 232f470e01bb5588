"""Reading the words of a scenario's command; mistakes say what is allowed and what is nearest."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ..protocol.errors import Misuse
from ..protocol.events import Event
from ..protocol.identity import NodeId
from ..protocol.kinds import duration
from ..protocol.link import State

T = TypeVar("T")

_DURATION = duration(0.0)

KINDS: dict[str, Event] = {
    "UP": Event.NODE_UP,
    "DOWN": Event.NODE_DOWN,
    "LINK": Event.LINK_CHANGED,
    "ROUTE": Event.ROUTE_CHANGED,
    "REFUSED": Event.JOIN_REFUSED,
    "ROSTER": Event.ROSTER_CHANGED,
    "EXPELLED": Event.EXPELLED,
    "STATE": Event.CAPABILITY_CHANGED,
    "TAG": Event.TAG_CHANGED,
    "SYNC-STARTED": Event.SYNC_STARTED,
    "SYNC-PROGRESS": Event.SYNC_PROGRESS,
    "SYNC-DONE": Event.SYNC_DONE,
    "SYNC-FAILED": Event.SYNC_FAILED,
    "WITHOUT-DATA": Event.SYNCED_WITHOUT_DATA,
    "WRITE-REFUSED": Event.WRITE_REFUSED,
}
"""How a scenario names the kinds of events."""
QUIET = {kind for word, kind in KINDS.items() if word.startswith("SYNC-")}
"""Printed only when a scenario asks for them."""
LINK_STATES = sorted({state.shown for state in State})


class ScenarioError(Misuse):
    """A scenario that cannot be read, or an expectation that does not hold."""


def wrong(what: str, given: str, allowed: Iterable[str]) -> ScenarioError:
    """The error for a word that is not among ``allowed``."""
    words = sorted(allowed)
    near = difflib.get_close_matches(given, words, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ScenarioError(f"{given!r} is no {what}; allowed: {', '.join(words)}{hint}")


class Words:
    """The words behind a command, taken one after the other."""

    def __init__(self, words: Sequence[str], usage: str, nodes: Sequence[NodeId]) -> None:
        self._words = list(words)
        self._usage = usage
        self._nodes = tuple(nodes)

    def __bool__(self) -> bool:
        return bool(self._words)

    def take(self, what: str) -> str:
        """The next word; `ScenarioError` when there is none."""
        if not self._words:
            raise ScenarioError(f"{what} is missing; usage: {self._usage}")
        return self._words.pop(0)

    def choice(self, what: str, allowed: Iterable[str]) -> str:
        """The next word, one of ``allowed``."""
        word = self.take(what)
        if word not in allowed:
            raise wrong(what, word, allowed)
        return word

    def skip(self, word: str) -> bool:
        """Take the next word if it is this one."""
        found = self._words[:1] == [word]
        del self._words[: int(found)]
        return found

    def next_is(self, *words: str) -> bool:
        """Whether the next word is one of these."""
        return bool(self._words) and self._words[0] in words

    def flag(self, word: str) -> bool:
        """Whether this word is anywhere among the words left."""
        found = word in self._words
        if found:
            self._words.remove(word)
        return found

    def demand(self, word: str) -> None:
        """The next word must be this one."""
        self.choice(f"word ({self._usage})", [word])

    def node(self) -> NodeId:
        """One node of the world."""
        return self._node(self.take("a node"))

    def group(self) -> list[NodeId]:
        """``3`` or ``1,2,3``."""
        return [self._node(word) for word in self.take("a node").split(",")]

    def nodes(self) -> list[NodeId]:
        """All the words left: ``all``, or nodes."""
        if self.skip("all"):
            self.end()
            return list(self._nodes)
        return self.nodes_until("")

    def nodes_until(self, word: str) -> list[NodeId]:
        """Nodes up to a word, or to the end."""
        found = self.group()
        while self and not self.next_is(word):
            found += self.group()
        return found

    def new_nodes(self) -> list[NodeId]:
        """As `nodes`, and also numbers that no node here has yet."""
        for word in ",".join(self._words).split(","):
            if word.isdecimal() and int(word) > 0 and NodeId(int(word)) not in self._nodes:
                self._nodes = (*self._nodes, NodeId(int(word)))
        return self.nodes()

    def seconds(self) -> float:
        """A duration such as ``500ms``, ``20s``, ``2m``, ``1h``."""
        return self._read("a duration", self.take("a duration"), read_seconds)

    def number(self) -> int:
        """A whole number."""
        return self._read("a number", self.take("a number"), int)

    def option(self, key: str, read: Callable[[str], T], default: T) -> T:
        """The value of ``key=value`` anywhere among the words left."""
        for word in self._words:
            name, equals, value = word.partition("=")
            if name == key and equals:
                self._words.remove(word)
                return self._read(key, value, read)
        return default

    def options(self) -> dict[str, str]:
        """Every ``key=value`` among the words left."""
        found = [word for word in self._words if "=" in word]
        self._words = [word for word in self._words if word not in found]
        return {key: value for key, _, value in (word.partition("=") for word in found)}

    def end(self) -> None:
        """`ScenarioError` when a word is left."""
        if self._words:
            raise ScenarioError(f"{self._words[0]!r} is too much; usage: {self._usage}")

    def _node(self, word: str) -> NodeId:
        known = [str(node) for node in self._nodes]
        if word not in known:
            allowed = f"{known[0]} … {known[-1]}" if known else "none, there is no world yet"
            raise ScenarioError(f"{word!r} is no node here; allowed: {allowed}")
        return NodeId(int(word))

    def _read(self, what: str, word: str, read: Callable[[str], T]) -> T:
        try:
            return read(word)
        except (Misuse, ValueError) as error:
            reason = str(error) if isinstance(error, Misuse) else f"{word!r} cannot be read"
            raise ScenarioError(f"{what}: {reason}; usage: {self._usage}") from None


def read_seconds(word: str) -> float:
    """A duration, which may have a sign: ``-1h``."""
    sign = -1.0 if word.startswith("-") else 1.0
    seconds: float = _DURATION.read(word.lstrip("+-"))
    return sign * seconds


def read_share(word: str) -> float:
    """``10%`` as 0.1."""
    if not word.endswith("%"):
        raise Misuse(f"{word!r} is no share such as 10%")
    share = float(word[:-1]) / 100.0
    if not 0.0 <= share <= 1.0:
        raise Misuse(f"{word!r} is not between 0% and 100%")
    return share


def read_value(word: str) -> object:
    """A value as it would stand in the configuration file."""
    if word in ("yes", "no"):
        return word == "yes"
    return int(word) if word.isdecimal() else word
