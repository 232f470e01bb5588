"""Plays the commands of a scenario on a world, one block after the other."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Sequence

from ..actors.context import Context
from ..protocol.errors import TagmeshError
from ..protocol.identity import NodeId
from .script_views import Heard, Lives, event_lines
from .script_words import KINDS, QUIET, ScenarioError, Words
from .world import World

Run = Callable[["Player", Words], Sequence[str] | None]


class Command:
    """One command: ``usage`` begins with its name, the docstring of ``run`` explains it."""

    def __init__(self, usage: str, run: Run) -> None:
        self.name = usage.split()[0]
        self.usage = usage
        self.doc = (run.__doc__ or "").partition("\n")[0]
        self.run = run


COMMANDS: dict[str, Command] = {}


def command(usage: str) -> Callable[[Run], Run]:
    """Declare a command."""

    def declare(run: Run) -> Run:
        COMMANDS[usage.split()[0]] = Command(usage, run)
        return run

    return declare


class Player:
    """A world and what of its events has been shown already."""

    def __init__(self) -> None:
        self.shown = set(KINDS.values()) - QUIET
        """The kinds of events that are printed."""
        self.commands_played = 0
        self.traces = 0
        """Traces started; their numbers."""
        self.owners: dict[tuple[int, str, int], dict[int, NodeId | None]] = {}
        """(node, capability, number of keys) → what ``owners`` showed last."""
        self._world: World | None = None
        self._heard: list[Heard] = []
        self._printed = 0
        self._begin = 0.0
        self._sent: Counter[str] = Counter()
        self._drops: dict[NodeId, tuple[Context, Counter[str]]] = {}
        self._lives: Lives = {}

    @property
    def world(self) -> World:
        """`ScenarioError` before the first ``world``."""
        if self._world is None:
            raise ScenarioError("there is no world yet; begin with: world nodes=3")
        return self._world

    def begin(self, world: World) -> None:
        """Take a new world."""
        self._world = world
        self._lives.clear()
        self._begin_block()

    def play(self, commands: Sequence[tuple[int, str]]) -> list[str]:
        """Run the commands of one block, each with its line number; the lines it puts out."""
        if self._world is not None:
            self._begin_block()
        lines: list[str] = []
        for number, text in commands:
            self.commands_played += 1
            try:
                lines += self._one(text)
            except TagmeshError as error:
                raise ScenarioError(f"line {number}: {error}") from error
        return lines

    def _one(self, text: str) -> list[str]:
        name, *rest = text.split()
        found = COMMANDS.get(name)
        if found is None:
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            allowed = ", ".join(sorted(COMMANDS))
            raise ScenarioError(f"unknown command {name!r}; allowed: {allowed}{hint}")
        nodes = sorted({*world.ids, *world.processes}) if (world := self._world) else ()
        words = Words(rest, found.usage, nodes)
        output = found.run(self, words) or []
        words.end()
        new = [heard for heard in self._heard[self._printed :] if heard[2].kind in self.shown]
        self._printed = len(self._heard)
        return [*self.lines(new), *output]

    def lines(self, heard: Sequence[Heard]) -> list[str]:
        """Events as they are printed."""
        return event_lines(heard, self._begin, self._lives)

    def lines_of_block(self) -> list[str]:
        """All events of this block as they are printed."""
        return self.lines(self._heard)

    def _begin_block(self) -> None:
        self._begin = self.world.now
        self._heard.clear()
        self._printed = 0
        self._sent = self._sent_by_type()
        contexts = {n: p.system.context for n, p in self.world.processes.items()}
        self._drops = {n: (context, Counter(context.drops)) for n, context in contexts.items()}

    # What happened in this block ----------------------------------------------------------------

    def forget_events(self) -> None:
        """What happened so far is neither printed nor counted."""
        self._begin_block()

    def booted(self, node: NodeId) -> None:
        """Listen to the process that was just started."""
        world, context = self.world, self.world.processes[node].system.context
        life = 1 + sum(1 for other, _ in self._lives if other == node)
        self._lives.setdefault((node, context.incarnation), life)
        context.events.subscribe(lambda record: self._heard.append((world.now, node, record)))

    def heard(self, word: str) -> list[Heard]:
        """The events of this block of the kind that a scenario calls ``word``."""
        return [heard for heard in self._heard if heard[2].kind is KINDS[word]]

    def sent(self) -> Counter[str]:
        """Messages sent in this block, by type."""
        now = self._sent_by_type()
        now.subtract(self._sent)
        return now

    def drops(self, node: NodeId) -> Counter[str]:
        """What rules dropped at a running node in this block, by label (G-15)."""
        if node not in self.world.processes:
            raise ScenarioError(f"node {node} does not run; boot it first")
        context = self.world.processes[node].system.context
        now = Counter(context.drops)
        begun, before = self._drops.get(node, (context, Counter[str]()))
        if begun is context:
            now.subtract(before)
        return now

    def _sent_by_type(self) -> Counter[str]:
        totals: Counter[str] = Counter()
        for (_source, _target, kind), count in self.world.sent.items():
            totals[kind] += count
        return totals
