"""The storage actor: asked before anyone joins; answers from memory, which a worker refreshes.

A database that is slow, locked or gone changes nothing for a running cluster: the last good
snapshot goes on deciding, and the error is shown (J-3, P19).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from ..protocol.because import Cause, because
from ..protocol.effects import Announce
from ..protocol.errors import NotProvisioned, Reason
from ..protocol.events import Event
from ..protocol.membership import Denied, Membership, RosterDiff
from ..storage.base import RosterSnapshot, WasRemoved
from .actor import ClusterActor, ReplyFuture
from .context import Context
from .mail import (
    AskAdmission,
    Describe,
    Learned,
    ReloadWanted,
    RosterAsked,
    RosterLoaded,
    RosterUpdate,
    RosterWanted,
    Verdict,
)
from .removal_mail import RefusedAsRemoved, RemovalNoted, RemovalsHeard, RemoveWanted
from .removing import Removing

MIN_REFRESH_GAP_S = 0.2
"""However many strangers knock, the database is read at most this often."""
MAX_WAIT_S = 1.0
"""A database that takes longer to answer lets nobody wait: the last snapshot decides."""
DOUBTFUL = frozenset(
    {
        Reason.UNKNOWN_NODE,
        Reason.DISABLED,
        Reason.INVALID_ROW,
        Reason.TOMBSTONED,
        Reason.NO_COMMON_CLUSTER,
    }
)
"""Refusals that a fresh look at the rows may turn."""

logger = logging.getLogger("tagmesh.storage")


class StorageActor(ClusterActor):
    """Owns `Membership`; reads the roster every ``refresh_interval`` and when it is doubted."""

    def __init__(self, context: Context, first: RosterSnapshot) -> None:
        super().__init__(context, ("storage",))
        self.rules = Membership(context.me, context.tombstones)
        self._removing = Removing(context, self._decide_anew)
        self.loaded_at: float | None = None
        self._first = first
        self._warnings: tuple[str, ...] = ()
        self._reading = False
        self._next_read = 0.0
        self._waiting: list[AskAdmission] = []
        """Doubtful admissions, answered after the next read that begins."""
        self._asking: list[AskAdmission] = []
        """Answered after the read under way."""
        self._reloads: list[Callable[[str], object]] = []
        """Called after the next read that begins, with why it failed, or nothing."""
        self._reloading: list[Callable[[str], object]] = []
        """Called after the read under way."""
        self._patience_until = 0.0
        """When those who wait are answered without the read under way."""

    @property
    def deadline(self) -> float | None:
        """See `ClusterActor.deadline`."""
        if self._reading:
            return self._patience_until if self._waiting or self._asking else None
        return None if self.rules.dynamic else self._next_read

    def on_start(self) -> None:
        """Take the snapshot that the start of the node has read."""
        self._loaded(self._first)
        self._next_read = self.now + self.context.config.provisioning.refresh_interval_s

    def on_tick(self, now: float) -> None:  # noqa: ARG002 - the shape of all shells
        """Read again, or give up on an answer for those who wait."""
        if self._reading:
            text = f"the database has not answered for {MAX_WAIT_S:g} s"
            self._trouble(text, Cause.STORAGE_SILENT)
            self._answer([*self._asking, *self._waiting])
            self._asking, self._waiting = [], []
        else:
            self._read()

    def on_receive(self, message: object) -> Any:
        """One case per mail."""
        match message:
            case AskAdmission():
                self._admission(message)
            case RosterLoaded():
                self._came_back(message)
            case RosterWanted():
                self._read_soon()
            case ReloadWanted():
                return self._reload()
            case RosterAsked():
                self._send_roster(RosterDiff())
            case Learned():
                self._tell_gate(self.rules.learn(message.record))
            case RemoveWanted():
                known = (message.cluster_id, message.node_id) in self.rules.records
                return self._removing.wanted(message, known=known, dynamic=self.rules.dynamic)
            case RemovalNoted():
                self._removing.noted(message)
            case RefusedAsRemoved():
                if self.rules.dynamic:
                    mine = self.rules.clusters()
                    shared = [c for c in mine if (c, message.peer) in self.rules.records]
                    self._removing.refused(message.peer, shared)
                else:
                    self._read_soon()
            case RemovalsHeard():
                self._removing.heard(message, dynamic=self.rules.dynamic)
            case Describe():
                return self._describe()
            case _:
                raise AssertionError(f"no such mail: {message!r}")
        return None

    def _admission(self, ask: AskAdmission) -> None:
        self.context.tombstones.expire(self.context.runtime.wall())
        verdict = self.rules.admit(ask.identity)
        if isinstance(verdict, Denied) and verdict.reason in DOUBTFUL and not self.rules.dynamic:
            self._waiting.append(ask)
            self._read_soon()
        else:
            self.context.supervisor.tell(ask.reply_to, Verdict(ask.key, verdict))

    def _read_soon(self) -> None:
        if self.loaded_at is not None:
            self._next_read = min(self._next_read, self.loaded_at + MIN_REFRESH_GAP_S)
        if not self._reading and self.now >= self._next_read:
            self._read()

    def _reload(self) -> ReplyFuture:
        reply = ReplyFuture()
        self._reloads.append(reply.set)
        self._read()
        return reply

    def _decide_anew(self, then: Callable[[], None]) -> None:
        """A node was removed, or that was taken back: see who is here now."""
        if self.rules.dynamic:
            self._tell_gate(self.rules.review())
            then()
        else:
            self._reloads.append(lambda _error: then())
            self._read()

    def _read(self) -> None:
        if self._reading:
            return
        self._reading = True
        self._asking, self._waiting = self._waiting, []
        self._reloading, self._reloads = self._reloads, []
        self._patience_until = self.now + MAX_WAIT_S
        roster, me = self.context.roster, self.context.me
        self.context.runtime.call_in_pool(
            lambda: roster.load(me),
            lambda snapshot, error: self._tell_self(RosterLoaded(snapshot, error)),
        )

    def _tell_self(self, mail: RosterLoaded) -> None:
        self.context.supervisor.tell(self.name, mail)

    def _came_back(self, mail: RosterLoaded) -> None:
        self._reading = False
        self._next_read = self.now + self.context.config.provisioning.refresh_interval_s
        if mail.snapshot is not None:
            self._loaded(mail.snapshot)
        elif isinstance(mail.error, NotProvisioned):
            self._expelled(mail.error)
        else:
            self._trouble(str(mail.error), Cause.STORAGE_FAILED)
        self._answer(self._asking)
        self._asking = []
        waiting, self._waiting = self._waiting, []
        for ask in waiting:  # their rows may be younger than this read
            self._admission(ask)
        answered, self._reloading = self._reloading, []
        for answer in answered:
            answer(str(mail.error or ""))
        if self._reloads:
            self._read()

    def _answer(self, asks: Iterable[AskAdmission]) -> None:
        """Judge those who waited by what is known now."""
        for ask in asks:
            verdict = self.rules.admit(ask.identity)
            self.context.supervisor.tell(ask.reply_to, Verdict(ask.key, verdict))

    def _loaded(self, snapshot: RosterSnapshot) -> None:
        if self.rules.storage_error is not None:
            self._say(because("storage answers again", Cause.STORAGE_BACK))
        self._removing.risen(snapshot.removals)
        diff = self.rules.update(
            snapshot.records,
            snapshot.invalid,
            dict(snapshot.identities),
            dynamic=snapshot.dynamic,
        )
        self.loaded_at = self.now
        if snapshot.warnings != self._warnings:
            for warning in snapshot.warnings:
                logger.warning("%s", warning)
            self._warnings = snapshot.warnings
        self._tell_gate(diff)

    def _expelled(self, reason: NotProvisioned) -> None:
        """The database answers, and has no row of mine (D-4): nobody is let in until it has."""
        if isinstance(reason, WasRemoved):
            self._removing.risen(reason.removals)
        error = str(reason)
        before = self.rules.storage_error
        diff = self.rules.update((), (), {}, dynamic=False)
        self.rules.storage_error = error
        self.loaded_at = self.now
        if before != error:
            text = f"this node is in no cluster: {error}"
            self._say(because(text, Cause.NOT_PROVISIONED))
        self._tell_gate(diff)

    def _trouble(self, error: str, code: Cause) -> None:
        if self.rules.storage_error != error:
            self._say(because(f"the last snapshot goes on deciding: {error}", code))
        self.rules.storage_error = error
        self.loaded_at = self.loaded_at if self.loaded_at is not None else self.now

    def _tell_gate(self, diff: RosterDiff) -> None:
        if not diff.empty:
            self._send_roster(diff)

    def _send_roster(self, diff: RosterDiff) -> None:
        records = tuple(self.rules.records.values())
        self.context.supervisor.tell(("gate",), RosterUpdate(diff, records))

    def _say(self, cause: str) -> None:
        self.context.events.publish(Announce(kind=Event.ROSTER_CHANGED, cause=cause))

    def _describe(self) -> dict[str, Any]:
        age = self.now - self.loaded_at if self.loaded_at is not None else None
        return {
            "records": tuple(self.rules.records.values()),
            "invalid": self.rules.invalid,
            "error": self.rules.storage_error,
            "age_s": age,
        }
