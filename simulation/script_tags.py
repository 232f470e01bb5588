"""Commands of scenarios about sharing tags: who has them, and what people do with them."""

from __future__ import annotations

from typing import cast, get_args

from ..actors.actor import NoReply
from ..protocol.errors import Misuse
from ..protocol.identity import NodeId
from .rows import CLUSTER
from .runtime import Database
from .script_player import Player, command
from .script_words import ScenarioError, Words, read_value
from .services import Outcome

ANSWER_S = 5.0
"""So long the answer to what a person asks for is waited for."""
DATABASE: tuple[Database, ...] = get_args(Database)


@command("tag NAME[=active] [manual|lease] [SETTING=VALUE …]")
def tag(player: Player, words: Words) -> None:
    """Every node that boots from now on uses this tag; settings as in `[tag]`."""
    start = words.take("a tag")
    mode = words.choice("mode", ["manual", "lease"]) if words else "manual"
    settings = {key: read_value(value) for key, value in words.options().items()}
    world, name = player.world, start.partition("=")[0]
    world.tag_settings[name] = {"mode": mode, **settings}
    starts = world.cluster_settings.get("sharing_tags", [])
    assert isinstance(starts, list)
    world.cluster_settings["sharing_tags"] = [*starts, start]


@command("tags NAME NODES")
def tags(player: Player, words: Words) -> list[str]:
    """What a tag is on each node, and who has it as seen there."""
    name, lines = words.take("a tag"), []
    for node in words.nodes():
        rules = player.world.tag(node, name)
        state = "active" if node in player.world.active(name) else "backup"
        holder, why = rules.holding()
        number = f"epoch {rules.known.number}" if rules.known is not None else "no epoch"
        whose = f"node {holder} has it: " if holder is not None else ""
        lines.append(f"{node}: {state}, {number}, {whose}{why}")
    return lines


@command("takers NAME NODE")
def takers(player: Player, words: Words) -> list[str]:
    """Who may take the lease on a tag, as a node sees it, and why the others may not (B4)."""
    name, node = words.take("a tag"), words.node()
    barriers = player.world.lease(node, name).barriers
    return [f"{other}: {why or 'may take it'}" for other, why in sorted(barriers.items())]


@command("expect-active NAME NODE|nowhere")
def expect_active(player: Player, words: Words) -> None:
    """An error unless the tag is active on exactly that node at this moment."""
    name = words.take("a tag")
    wanted = [] if words.skip("nowhere") else [words.node()]
    active = sorted(player.world.active(name))
    if active != wanted:
        raise ScenarioError(f"{name} is active on {active}, not on {wanted}")


@command("activate NAME NODE [force]")
def activate(player: Player, words: Words) -> list[str]:
    """A person activates a tag on a node; what came of it."""
    name, node, force = words.take("a tag"), words.node(), words.flag("force")
    return _outcome(player, player.world.activate(node, name, force=force))


@command("release NAME NODE")
def release(player: Player, words: Words) -> list[str]:
    """A person has a node give a tag up."""
    name, node = words.take("a tag"), words.node()
    return _outcome(player, player.world.release(node, name))


@command("hand-over NAME A to B")
def hand_over(player: Player, words: Words) -> list[str]:
    """A person has node A give a tag to node B (H-25)."""
    name, node = words.take("a tag"), words.node()
    words.demand("to")
    return _outcome(player, player.world.hand_over(node, name, words.node()))


@command("prefer NAME NODES|nobody")
def prefer(player: Player, words: Words) -> None:
    """A person says who is to have a tag in mode lease, the best first."""
    name = words.take("a tag")
    nodes: list[NodeId] = [] if words.skip("nobody") else words.nodes()
    player.world.tag_store.prefer(CLUSTER, name, nodes)


@command("pause-tag NAME")
def pause_tag(player: Player, words: Words) -> None:
    """A person keeps a tag in mode lease where it is."""
    player.world.tag_store.pause(CLUSTER, words.take("a tag"), paused=True)


@command("resume-tag NAME")
def resume_tag(player: Player, words: Words) -> None:
    """A tag that was paused goes on."""
    player.world.tag_store.pause(CLUSTER, words.take("a tag"), paused=False)


@command(f"database {'|'.join(DATABASE)} NODES")
def database(player: Player, words: Words) -> None:
    """How these machines reach the database; it itself is well."""
    how = cast("Database", words.choice("trouble", DATABASE))
    for node in words.nodes():
        player.world.database(node, how)


def _outcome(player: Player, outcome: Outcome) -> list[str]:
    """Wait for it."""

    def there() -> bool:
        try:
            outcome()
        except NoReply:
            return False
        except Misuse:
            return True
        return True

    try:
        player.world.until(there, ANSWER_S)
    except TimeoutError:
        return [f"no answer within {ANSWER_S:g} s"]
    error = outcome()
    return ["done" if error is None else f"refused: {error}"]
