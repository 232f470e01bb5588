"""Commands of scenarios about removing nodes by command (X-1); `remove` only deletes rows."""

from __future__ import annotations

from ..actors.actor import ReplyFuture
from ..actors.removal_mail import RemoveWanted
from ..protocol.identity import NodeId
from .rows import CLUSTER
from .script_player import Player, command
from .script_words import ScenarioError, Words

ANSWER_TIMEOUT_S = 10.0


@command("expel A B")
def expel(player: Player, words: Words) -> list[str]:
    """Have A remove B, and print the answer."""
    return _ask(player, words, lifted=False)


@command("readmit A B")
def readmit(player: Player, words: Words) -> list[str]:
    """Have A take the removal of B back (without rows)."""
    return _ask(player, words, lifted=True)


def _ask(player: Player, words: Words, *, lifted: bool) -> list[str]:
    world, node, gone = player.world, words.node(), NodeId(words.number())
    process = world.processes.get(node)
    actor = process.system.context.supervisor.actor(("storage",)) if process is not None else None
    if actor is None:
        raise ScenarioError(f"node {node} does not run")
    wanted = RemoveWanted(CLUSTER, gone, "an operator", lifted=lifted)
    future = actor.on_receive(wanted)
    assert isinstance(future, ReplyFuture), "the reply to such mail"
    try:
        world.until(lambda: future.ready, within_s=ANSWER_TIMEOUT_S)
    except TimeoutError:
        return [f"no answer within {ANSWER_TIMEOUT_S:g} s"]
    answer = future.get(timeout=0.0)
    if isinstance(answer, Exception):
        return [f"refused: {answer}"]
    if lifted:
        return [f"node {gone} may join again" if answer else f"node {gone} was not removed"]
    return [f"node {gone} removed" if answer else f"node {gone} was removed already"]
