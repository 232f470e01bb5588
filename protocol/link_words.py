"""The words of a link: its states, what can happen to it, its times, what it asks of the world.

The machine that uses them, with its theory, is `link`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from .effects import Effect
from .identity import NodeId


class State(StrEnum):
    """States of the link machine."""

    RESTART = "restart"
    RETRY_SEND_FAIL = "retry_send_fail"
    RESTARTED = "restarted"
    RETRYING = "retrying"
    PROVING = "proving"
    UP = "up"
    DOWN = "down"

    @property
    def connected(self) -> bool:
        """There is a connection in this state."""
        return self in CONNECTED

    @property
    def shown(self) -> str:
        """``Up`` | ``Probe`` | ``Down``, as ``clusterer_list`` shows it (behaviour 1.8)."""
        return {State.UP: "Up", State.DOWN: "Down"}.get(self, "Probe")


CONNECTED = (State.RESTARTED, State.RETRYING, State.PROVING, State.UP)
UNCONNECTED = (State.RESTART, State.RETRY_SEND_FAIL, State.DOWN)


class Trigger(StrEnum):
    """What can happen to a link."""

    TICK = "tick"
    ATTACHED = "attached"
    LOST = "lost"
    GONE = "gone"
    ANSWERED = "answered"


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """The configured times of a link, seconds. Never changes (I13)."""

    ping_interval_s: float
    ping_timeout_s: float
    node_timeout_s: float
    flap_window_s: float
    retries: int

    @property
    def detection_s(self) -> float:
        """Longest time from the silence of a peer to DOWN."""
        return self.ping_interval_s + (self.retries + 1) * self.ping_timeout_s


class LinkChanged(Effect, frozen=True, kw_only=True):
    """The link went from one state to another."""

    before: State
    after: State
    cause: str


class CauseChanged(Effect, frozen=True):
    """The link stays DOWN, for another cause now."""

    cause: str


class AskOthers(Effect, frozen=True):
    """Ask up to three common neighbours whether they reach the node (L-3)."""

    number: int


class AnswerQuestion(Effect, frozen=True):
    """The peer answered us: tell the neighbour that asked (L-3)."""

    asker: NodeId
    number: int


class DropConnection(Effect, frozen=True):
    """The path is dead: close the connection and dial anew (H22)."""

    cause: str
