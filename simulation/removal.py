"""Removing nodes of a simulated cluster by command, as an operator does (X-1)."""

from __future__ import annotations

from ..actors.actor import ReplyFuture
from ..actors.removal_mail import RemoveWanted
from ..protocol.errors import Misuse, TimedOut
from ..protocol.identity import NodeId
from .rows import CLUSTER
from .world import World

ANSWER_TIMEOUT_S = 10.0


def remove_by_command(world: World, by: int, node: int, *, lifted: bool = False) -> bool:
    """Have ``by`` remove ``node``, or take that back; False = there was nothing to do.

    Raises what the command would, and `Misuse` when ``by`` does not run.
    """
    process = world.processes.get(NodeId(by))
    actor = process.system.context.supervisor.actor(("storage",)) if process is not None else None
    if actor is None:
        raise Misuse(f"node {by} does not run")
    wanted = RemoveWanted(CLUSTER, NodeId(node), "an operator", lifted=lifted)
    future = actor.on_receive(wanted)
    assert isinstance(future, ReplyFuture), "the reply to such mail"
    try:
        world.until(lambda: future.ready, within_s=ANSWER_TIMEOUT_S)
    except TimeoutError:
        raise TimedOut(f"no answer within {ANSWER_TIMEOUT_S:g} s") from None
    answer: bool | Exception = future.get(timeout=0.0)
    if isinstance(answer, Exception):
        raise answer
    return answer
