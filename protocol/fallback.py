"""When a node that waits for a donor may declare itself OK without one (S-27, S-28).

Two ways lead there, and in both the node with the newest data has the first word:

* S-27: a *seed* that has found nobody who could be a donor for ``seed_fallback_interval`` declares
  itself OK. If other seeds that wait have newer data (or as new data and a lower node id), it gives
  each of them one interval more; if S-28 is about to choose another node, it lets everybody's turn
  pass first, and then helps itself if that node did nothing.
* S-28: nobody is OK or about to be, a quorum of the enabled nodes is visible, and at least one node
  waits: the one with the newest data, or of several the one with the lowest node id, declares
  itself OK when it has been so for ``seed_fallback_interval`` × (1 + its place by node id). The
  places keep two nodes that do not see the same yet from acting in the same moment. When every
  enabled node of the roster is there and has the capability, nobody with newer data can come any
  more: then it declares itself OK when that has been so, without any news, for `SETTLE_S`. So a
  cluster that is started whole does not wait.

Only nodes count that could be donors for this one (`donors.fellows`). A flapping donor begins the
waiting anew, as with OpenSIPS.
"""

from __future__ import annotations

import msgspec

from .donors import CapabilityView, Peer, Wants, fellows
from .identity import NodeId
from .messages import CapabilityState, CapState

SETTLE_S = 0.2
"""Of a whole cluster: from the last news to the decision; longer than news needs to get round."""
WANTING = frozenset({CapState.PENDING, CapState.DEGRADED})
"""It wants a sync and waits."""
LACKING = WANTING | {CapState.UNSYNCED}
"""It is not OK, and nothing is under way that could change it."""


class Declaration(msgspec.Struct, frozen=True):
    """This node may declare itself OK now."""

    rule: str
    """``S-27`` | ``S-28``"""
    cause: str
    without_data: bool
    """It is a donor of last resort: it is a seed that found nobody, or nobody has any data."""


class Fallback:
    """Watches one capability while it has no donor. Times are seconds of a monotonic clock."""

    def __init__(
        self, *, wants: Wants, interval_s: float, quorum_share: float, newest_decides: bool
    ) -> None:
        """``interval_s``: seed_fallback_interval; ``newest_decides``: S-28 is switched on."""
        self._wants = wants
        self._interval_s = interval_s
        self._quorum_share = quorum_share
        self._newest_decides = newest_decides
        self._alone_since: float | None = None
        self._stuck_since: float | None = None
        self._all_here_since: float | None = None
        self._order: list[_Claim] = []
        self.deadline: float | None = None
        """When to `consider` again, if nothing changes before."""

    def reset(self) -> None:
        """There is a donor, or no need of one."""
        self._alone_since = self._stuck_since = self._all_here_since = self.deadline = None

    def consider(
        self, own: CapabilityState, view: CapabilityView, now: float
    ) -> Declaration | None:
        """There is no donor, and ``own`` is not OK: is it time?"""
        others = fellows(view, self._wants)
        stuck = self._stuck(own, others, view)
        self._stuck_since = _since(self._stuck_since, stuck, now)
        self._alone_since = _since(self._alone_since, own.state in WANTING, now)
        me = view.me.node_id
        order = sorted([_claim(me, own), *(_claim(p.node_id, p.said) for p in others)])
        if order != self._order:
            self._order, self._all_here_since = order, None
        all_here = stuck and len(others) == sum(p.record.enabled for p in view.peers)
        self._all_here_since = _since(self._all_here_since, all_here, now)
        chosen = order[0][1] == me
        turns: list[tuple[float, Declaration]] = []
        if self._alone_since is not None and view.me.record.seed:
            intervals = 1 + self._seeds_before(own, others, view)
            if stuck and not chosen:
                intervals += len(order)
            waited_s = self._interval_s * intervals
            cause = f"seed, and no donor for {waited_s:g} s"
            turns.append((self._alone_since + waited_s, Declaration("S-27", cause, True)))
        if self._stuck_since is not None and chosen:
            place = sorted(node for _, node in order).index(me)
            cause = f"no node is synced, and this one has the newest data (position {own.position})"
            at = self._stuck_since + self._interval_s * (1 + place)
            if self._all_here_since is not None:
                at = min(at, self._all_here_since + SETTLE_S)
            turns.append((at, Declaration("S-28", cause, own.position == 0)))
        self.deadline = min((at for at, _ in turns), default=None)
        due = [declaration for at, declaration in turns if at <= now]
        return due[0] if due else None

    def _stuck(self, own: CapabilityState, others: list[Peer], view: CapabilityView) -> bool:
        """Without a decision nothing would ever change (S-10)."""
        states = [own.state, *(p.said.state for p in others)]
        return (
            self._newest_decides
            and all(state in LACKING for state in states)
            and any(state in WANTING for state in states)
            and view.quorum(self._quorum_share)
        )

    def _seeds_before(self, own: CapabilityState, others: list[Peer], view: CapabilityView) -> int:
        """Waiting seeds whose claim is better than mine."""
        mine = _claim(view.me.node_id, own)
        return sum(
            p.record.seed and p.said.state in WANTING and _claim(p.node_id, p.said) < mine
            for p in others
        )


_Claim = tuple[int, NodeId]


def _claim(node: NodeId, state: CapabilityState) -> _Claim:
    """The smaller, the better: newest data first, then the lowest node id."""
    return -state.position, node


def _since(before: float | None, holds: bool, now: float) -> float | None:
    """Since when a condition holds; None = it does not."""
    if not holds:
        return None
    return now if before is None else before
