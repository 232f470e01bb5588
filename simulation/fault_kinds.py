"""The kinds of faults a swarm draws from: whom they hit, how hard, how long."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

FASTEST = {"ping_interval": "1s", "ping_timeout": "250ms"}
"""Settings with which a dead path is noticed within 2 s."""

BELOW_DETECTION_S = 4.0
"""A cut this long is over before P + (R + 1)·T = 8 s have passed, however it falls."""
LONG_S = 40.0
MIN_PAUSE_S, MAX_PAUSE_S = 0.1, 60.0
CLOCK_STEPS_S = (-315_360_000.0, -600.0, -2.0, 2.0, 600.0, 315_360_000.0)
"""Ten years, ten minutes, and less than a restart takes, both ways (P18)."""
STORAGE_TROUBLE = ("failing", "hanging", "stale")
DATABASE_TROUBLE = ("failing", "hanging", "lost", "late")
SHORTER_SHARE = 0.7
DISKS = ("kept", "kept", "lost", "rolled_back")
VERSIONS = ("1-2", "2-2")
"""The lowest and the highest protocol version of other software: one overlaps with ours."""


class Draw(NamedTuple):
    """What was drawn for one fault."""

    nodes: tuple[int, ...]
    for_s: float = 0.0
    value: float = 0.0
    word: str = ""


class Kind(NamedTuple):
    """``draw(dice, ids)`` one fault of this kind."""

    draw: Callable[[random.Random, Sequence[int]], Draw]
    rows: bool = False
    """It is about the database, so it does not exist where nobody is provisioned."""
    least_nodes: int = 2
    tags: bool = False
    """It is drawn only where there are sharing tags: histories without any stay as they were."""


def _pair(dice: random.Random, ids: Sequence[int]) -> tuple[int, ...]:
    return tuple(dice.sample(ids, 2))


def _node(dice: random.Random, ids: Sequence[int]) -> tuple[int, ...]:
    return (dice.choice(ids),)


def _some(dice: random.Random, ids: Sequence[int]) -> tuple[int, ...]:
    return tuple(dice.sample(ids, dice.randint(1, len(ids) - 1)))


def _any_size(dice: random.Random, low_s: float, high_s: float) -> float:
    """Short ones as often as long ones. Halvings, not a logarithm: they are exact everywhere."""
    top_s = high_s
    while top_s > 2 * low_s and dice.random() < SHORTER_SHARE:
        top_s /= 2
    return dice.uniform(low_s, top_s)


def _for(
    who: Callable[[random.Random, Sequence[int]], tuple[int, ...]], low_s: float, high_s: float
) -> Callable[[random.Random, Sequence[int]], Draw]:
    return lambda dice, ids: Draw(who(dice, ids), dice.uniform(low_s, high_s))


def _bridge(dice: random.Random, ids: Sequence[int]) -> Draw:
    """All others lose each other and keep one node in common: connected, but not transitively."""
    return Draw(_node(dice, ids), dice.uniform(1.0, LONG_S))


def _slow(dice: random.Random, ids: Sequence[int]) -> Draw:
    return Draw(_pair(dice, ids), dice.uniform(2.0, LONG_S), dice.uniform(0.01, 0.8))


def _lose(dice: random.Random, ids: Sequence[int]) -> Draw:
    return Draw(_pair(dice, ids), dice.uniform(2.0, LONG_S), dice.uniform(0.01, 0.5))


def _crash(dice: random.Random, ids: Sequence[int]) -> Draw:
    down_s = _any_size(dice, 0.01, 30.0)
    return Draw(_node(dice, ids), down_s, word=dice.choice(DISKS))


def _pause(dice: random.Random, ids: Sequence[int]) -> Draw:
    return Draw(_node(dice, ids), _any_size(dice, MIN_PAUSE_S, MAX_PAUSE_S))


def _clock(dice: random.Random, ids: Sequence[int]) -> Draw:
    return Draw(_node(dice, ids), value=dice.choice(CLOCK_STEPS_S))


def _storage(dice: random.Random, ids: Sequence[int]) -> Draw:  # noqa: ARG001 - the shape of all kinds
    return Draw((), dice.uniform(1.0, LONG_S), word=dice.choice(STORAGE_TROUBLE))


def _database(dice: random.Random, ids: Sequence[int]) -> Draw:
    return Draw(_node(dice, ids), dice.uniform(0.5, LONG_S), word=dice.choice(DATABASE_TROUBLE))


def _stranger(dice: random.Random, ids: Sequence[int]) -> Draw:
    return Draw((max(ids) + 1,), dice.uniform(1.0, LONG_S))


def _software(dice: random.Random, ids: Sequence[int]) -> Draw:
    return Draw(_node(dice, ids), dice.uniform(2.0, LONG_S), word=dice.choice(VERSIONS))


KINDS: Mapping[str, Kind] = {
    "bridge": Kind(_bridge, least_nodes=3),
    "blip": Kind(_for(_pair, 0.05, BELOW_DETECTION_S)),
    "block": Kind(_for(_pair, 0.5, LONG_S)),
    "certificate": Kind(_for(_pair, 2.0, LONG_S)),
    "clock": Kind(_clock),
    "clog": Kind(_for(_pair, 0.1, LONG_S)),
    "clog one way": Kind(_for(_pair, 0.1, LONG_S)),
    "crash": Kind(_crash),
    "cut": Kind(_for(_pair, 9.0, LONG_S)),
    "cut one way": Kind(_for(_pair, 0.1, LONG_S)),
    "database": Kind(_database, rows=True, tags=True),
    "dial": Kind(lambda dice, ids: Draw(_pair(dice, ids))),
    "disable": Kind(_for(_node, 0.1, LONG_S), rows=True),
    "impostor": Kind(_for(_pair, 1.0, LONG_S), rows=True, least_nodes=3),
    "lose": Kind(_lose),
    "partition": Kind(_for(_some, 0.5, LONG_S)),
    "pause": Kind(_pause),
    "remove": Kind(_for(_node, 0.1, LONG_S), rows=True),
    "replay": Kind(lambda dice, ids: Draw(_pair(dice, ids))),
    "reset": Kind(lambda dice, ids: Draw(_pair(dice, ids))),
    "slow": Kind(_slow),
    "slow reader": Kind(_for(_node, 1.0, LONG_S)),
    "software": Kind(_software),
    "stop": Kind(_for(_node, 0.1, LONG_S)),
    "storage": Kind(_storage, rows=True),
    "stranger": Kind(_stranger, rows=True),
    "swizzle": Kind(_for(_some, 2.0, LONG_S)),
}
"""Every kind, by its name in plans."""
