"""Commands of scenarios about removing nodes by command (X-1); `remove` only deletes rows."""

from __future__ import annotations

from ..protocol.errors import TagmeshError
from .removal import remove_by_command
from .script_player import Player, command
from .script_words import ScenarioError, Words


@command("expel A B")
def expel(player: Player, words: Words) -> list[str]:
    """Have A remove B, and print the answer."""
    return _ask(player, words, "removed", "was removed already", lifted=False)


@command("readmit A B")
def readmit(player: Player, words: Words) -> list[str]:
    """Have A take the removal of B back (without rows)."""
    return _ask(player, words, "may join again", "was not removed", lifted=True)


def _ask(player: Player, words: Words, news: str, none: str, *, lifted: bool) -> list[str]:
    node, gone = words.node(), words.number()
    if node not in player.world.processes:
        raise ScenarioError(f"node {node} does not run")
    try:
        done = remove_by_command(player.world, node, gone, lifted=lifted)
    except TagmeshError as error:
        return [f"refused: {error}"]
    return [f"node {gone} {news if done else none}"]
