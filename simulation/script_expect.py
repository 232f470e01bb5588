"""Commands of scenarios that demand something: when it is not so, no rewriting hides it."""

from __future__ import annotations

from collections import Counter

from ..protocol.message_list import MESSAGES
from .script_player import Player, command
from .script_words import KINDS, ScenarioError, Words


@command("expect-no KIND … [of NODES] [at NODES]")
def expect_no(player: Player, words: Words) -> None:
    """An error if such an event, of these nodes, was heard at these nodes in this block."""
    kinds = [words.choice("kind of event", KINDS)]
    while words and not words.next_is("of", "at"):
        kinds.append(words.choice("kind of event", KINDS))
    about = words.nodes_until("at") if words.skip("of") else None
    at = words.nodes() if words.skip("at") else None
    for kind in kinds:
        found = [
            heard
            for heard in player.heard(kind)
            if (about is None or heard[2].node_id in about) and (at is None or heard[1] in at)
        ]
        if found:
            lines = "\n  ".join(player.lines(found))
            raise ScenarioError(f"no {kind} was expected\n  {lines}")


@command("expect-once UP|DOWN NODE at NODES")
def expect_once(player: Player, words: Words) -> None:
    """An error unless each of these nodes heard exactly one such event in this block."""
    kind = words.choice("kind of edge", ["UP", "DOWN"])
    about = words.node()
    words.demand("at")
    heard = Counter(node for _, node, record in player.heard(kind) if record.node_id == about)
    for node in words.nodes():
        if heard[node] != 1:
            raise ScenarioError(
                f"node {node} heard {heard[node]} times, not once, that node {about} is {kind}"
            )


@command("expect-at-most N TYPE")
def expect_at_most(player: Player, words: Words) -> None:
    """An error if more messages of a type were sent in this block."""
    limit, kind = (
        words.number(),
        words.choice("type of message", [kind.__name__ for kind in MESSAGES]),
    )
    sent = player.sent()
    if sent[kind] > limit:
        raise ScenarioError(f"{sent[kind]} {kind} were sent, at most {limit} are allowed")
