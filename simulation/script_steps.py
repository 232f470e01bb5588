"""Commands of scenarios that let time pass and show what is so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..actors.actor import ReplyFuture
from ..actors.mail import TraceRoute
from ..protocol.identity import NodeId
from ..protocol.message_list import MESSAGES
from ..protocol.routing import Dropped
from . import script_views as views
from .script_player import Player, command
from .script_words import KINDS, LINK_STATES, ScenarioError, Words

TRACE_TIMEOUT_S = 5.0
MESSAGE_TYPES = [kind.__name__ for kind in MESSAGES]
CONDITIONS = (
    "converged | A reaches B [via C …] | A loses B | A link B Up|Probe|Down"
    " | A refuses B | A knows N nodes"
)

Condition = Callable[[], bool]


@command("run DURATION")
def run(player: Player, words: Words) -> None:
    """Let time pass."""
    player.world.run_for(words.seconds())


@command(f"until CONDITION within DURATION   ({CONDITIONS})")
def until(player: Player, words: Words) -> list[str]:
    """Let time pass until a condition holds; that it does not is an error."""
    begin = player.world.now
    condition, text = read_condition(player, words)
    words.demand("within")
    limit_s = words.seconds()
    try:
        player.world.until(condition, within_s=limit_s)
    except TimeoutError:
        events = "\n  ".join(player.lines_of_block()) or "nothing happened"
        message = f"not so within {limit_s:g} s: {text}\n  {events}"
        raise ScenarioError(message) from None
    return [f"{text} after {player.world.now - begin:.1f} s"]


def read_condition(player: Player, words: Words) -> tuple[Condition, str]:
    """A condition of ``until`` and its words."""
    world = player.world
    if words.skip("converged"):
        return world.converged, "converged"
    node = words.node()
    verb = words.choice("condition", ["reaches", "loses", "link", "refuses", "knows"])
    if verb == "knows":
        return _knows(player, words, node)
    peer = words.node()
    if verb == "reaches":
        return _reaches(player, words, node, peer)
    if verb == "loses":
        return lambda: not views.route_of(world, node, peer), f"{node} loses {peer}"
    if verb == "refuses":
        return lambda: bool(views.refusal_lines(world, node, peer)), f"{node} refuses {peer}"
    state = words.choice("link state", LINK_STATES)
    return (
        lambda: (
            (link := views.link_of(world, node, peer)) is not None and link.state.shown == state
        ),
        f"{node} link {peer} {state}",
    )


def _reaches(player: Player, words: Words, node: NodeId, peer: NodeId) -> tuple[Condition, str]:
    world = player.world
    if not words.skip("via"):
        return lambda: bool(views.route_of(world, node, peer)), f"{node} reaches {peer}"
    way = (*words.group(), peer)
    text = f"{node} reaches {peer} via {' '.join(map(str, way[:-1]))}"
    return lambda: views.route_of(world, node, peer) == way, text


def _knows(player: Player, words: Words, node: NodeId) -> tuple[Condition, str]:
    world, count = player.world, words.number()
    words.demand("nodes")

    def knows() -> bool:
        actor = views.topology_actor(world, node)
        return actor is not None and len(actor.rules.adjacency()) == count

    return knows, f"{node} knows {count} nodes"


# What is so -----------------------------------------------------------------------------------


@command(f"show KIND …   ({' '.join(KINDS)}, or all)")
def show(player: Player, words: Words) -> None:
    """Print only these kinds of events from now on."""
    if words.skip("all"):
        player.shown = set(KINDS.values())
        return
    player.shown = {KINDS[words.choice("kind of event", KINDS)]}
    while words:
        player.shown.add(KINDS[words.choice("kind of event", KINDS)])


@command("status NODES")
def status(player: Player, words: Words) -> list[str]:
    """Each row of the roster as a node sees it: link, way, why."""
    lines: list[str] = []
    nodes = words.nodes()
    for node in nodes:
        lines += [f"node {node}"] if len(nodes) > 1 else []
        lines += views.status_lines(player.world, node)
    return lines


@command("topology NODES")
def topology(player: Player, words: Words) -> list[str]:
    """Who is linked with whom, as nodes see it; equal views are printed once."""
    return views.topology_lines(player.world, words.nodes())


@command("routes NODES")
def routes(player: Player, words: Words) -> list[str]:
    """The way to every other node."""
    return views.route_lines(player.world, words.nodes())


@command("why A B")
def why(player: Player, words: Words) -> list[str]:
    """What A knows about B: link, way, refusals."""
    return views.why_lines(player.world, words.node(), words.node())


@command("refusals NODES")
def refusals(player: Player, words: Words) -> list[str]:
    """The connections that nodes refused, or were refused, summed up."""
    lines = []
    for node in words.nodes():
        lines += [f"{node}: {text}" for text in views.refusal_lines(player.world, node)]
    return lines


@command("drops A,B… [RULE …]")
def drops(player: Player, words: Words) -> list[str]:
    """What rules dropped in this block, by label (G-15)."""
    nodes = words.group()
    rules = []
    while words:
        rules.append(words.take("a rule"))
    lines = []
    for node in nodes:
        counts = player.drops(node)
        wanted = {rule: counts[rule] for rule in rules} if rules else counts
        text = ", ".join(f"{rule} {count}x" for rule, count in sorted(wanted.items()) if count)
        lines.append(f"{node}: {text or 'nothing'}")
    return lines


@command("messages [TYPE …]")
def messages(player: Player, words: Words) -> list[str]:
    """Messages sent in this block, by type."""
    counts = Counter({kind: n for kind, n in player.sent().items() if n})
    wanted = set()
    while words:
        wanted.add(words.choice("type of message", MESSAGE_TYPES))
    return [f"{kind} {n}" for kind, n in sorted(counts.items()) if not wanted or kind in wanted]


@command("trace A B")
def trace(player: Player, words: Words) -> list[str]:
    """Send a trace and print the nodes it passed (R-11)."""
    node, peer = words.node(), words.node()
    actor = views.topology_actor(player.world, node)
    if actor is None:
        raise ScenarioError(f"node {node} is in no cluster")
    player.traces += 1
    future = actor.on_receive(TraceRoute(peer, player.traces))
    if isinstance(future, Dropped):
        return [f"not sent: {future.reason}"]
    assert isinstance(future, ReplyFuture), "what is sent is waited for"
    try:
        player.world.until(lambda: future.ready, within_s=TRACE_TIMEOUT_S)
    except TimeoutError:
        return [f"no answer within {TRACE_TIMEOUT_S:g} s"]
    return [" > ".join(map(str, [node, *future.get(timeout=0.0)]))]
