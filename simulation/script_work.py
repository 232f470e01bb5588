"""Commands of scenarios about divided work (P-1 … P-4)."""

from __future__ import annotations

from collections import Counter

from ..actors.partitioning import WorkPartition
from ..protocol.partition import SLOTS
from .records import NAMES, Duty
from .script_player import Player, command
from .script_words import ScenarioError, Words


@command("divide NAME [one-phase]")
def divide(player: Player, words: Words) -> None:
    """Processes that boot from now on divide the work of this capability (P-1)."""
    two_phase = not words.flag("one-phase")
    player.world.divide(words.choice("capability", NAMES), lambda _node: Duty(two_phase=two_phase))


@command("work NAME NODES")
def work(player: Player, words: Words) -> list[str]:
    """What each node works on; equal letters: the same view of who takes part."""
    name = words.choice("capability", NAMES)
    letters: dict[int, str] = {}
    lines = []
    for node in words.nodes():
        duty = _duty(player, node, name)
        place, members = duty.my_index()
        letter = letters.setdefault(duty.view.id, chr(ord("A") + len(letters)))
        part = f"place {place + 1} of {members}" if place is not None else "takes no part"
        slots = f"{len(duty.slots)} of {SLOTS} slots" if duty.slots else "nothing"
        lines.append(f"{node}: view {letter}, {part}, works on {slots}")
    return lines


@command("owners NAME COUNT at NODE")
def owners(player: Player, words: Words) -> list[str]:
    """Whose work so many keys are as a node sees it, and which moved since it was asked last."""
    name, count = words.choice("capability", NAMES), words.number()
    words.demand("at")
    node = words.node()
    duty = _duty(player, node, name)
    now = {key: duty.owner(key) for key in range(count)}
    before = player.owners.get((node, name, count))
    player.owners[node, name, count] = now
    shares = Counter(str(owner) for owner in now.values())
    lines = [", ".join(f"node {owner}: {keys}" for owner, keys in sorted(shares.items()))]
    if before is not None:
        moves = Counter(f"{before[k]} to {now[k]}" for k in now if before[k] != now[k])
        text = ", ".join(f"{keys} from {way}" for way, keys in sorted(moves.items()))
        lines.append(f"moved: {text or 'none'}")
    return lines


def _duty(player: Player, node: int, name: str) -> Duty:
    found: WorkPartition = player.world.partition(node, name)
    if not isinstance(found, Duty):
        raise ScenarioError(f"nobody watches the work of {name}")
    return found
