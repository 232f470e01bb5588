"""Virtual time: one scheduler for a whole cluster, one `SimulatedRuntime` per node process.

Everything happens in one thread, in an order drawn from the seed. What is due at the same moment
and was put there by `call_soon` (actors that became ready) is shuffled: actors are concurrent, so
any order must do. What was put there by `call_later` keeps its order: bytes of one connection do
not overtake each other.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from ..actors.runtime import Timer
from ..actors.worker import Done, Job, Worker, attempt
from ..protocol.errors import StorageUnavailable

T = TypeVar("T")

Disk = Literal["kept", "lost", "rolled_back"]
"""What a crash leaves of what a process has written."""

EPOCH_WALL_S = 1_700_000_000.0
"""Wall-clock time at virtual second 0."""
STORAGE_DELAY_S = 0.002
STORAGE_RETRY_S = 0.25
"""How often a call that hangs looks whether it is over."""
MAX_LATE_S = 15.0
"""How much later an answer comes that is late; longer than a lease is."""

Database = Literal["ok", "failing", "hanging", "lost", "late"]
"""How a process reaches its database: not at all; not until that is over; what it asks is done, and
the answer is lost; or it comes late, at the latest when that is over."""

SLOTS_PER_S = 16
"""A power of two, so that a moment is in the same slot however it is computed."""


class StillBusy(Exception):  # noqa: N818 - a state, not a failure
    """Raised by a function in the pool of a `SimulatedRuntime` that is not done yet: it hangs."""


class Scheduler:
    """The clock and the queue of a simulated world. Times are virtual seconds."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.steps = 0
        self._random = random.Random(f"order {seed}")  # noqa: S311 - a seed, not a secret
        self._now: list[tuple[float, int, _Entry]] = []
        """Due at this moment, as a heap: half of all that happens, and few at a time."""
        self._soon: list[tuple[float, int, _Entry]] = []
        """Due before `_opened` slots are over, as a heap."""
        self._slots: dict[int, list[tuple[float, int, _Entry]]] = {}
        """Due later, slot by slot in no order: mostly timers, and mostly cancelled in time."""
        self._next_slots: list[int] = []
        """The numbers of the slots, as a heap."""
        self._opened = 0
        self._count = 0

    def at(
        self, when: float, callback: Callable[[], None], of: SimulatedRuntime | None = None
    ) -> Timer:
        """Call at a moment: at once, in turn, when it has passed, and never when it is infinite.

        ``of``: the process it is of.
        """
        self._count += 1
        entry = _Entry(callback, of)
        if when <= self.now:
            heapq.heappush(self._now, (0.0, self._count, entry))
        elif when * SLOTS_PER_S < self._opened:
            heapq.heappush(self._soon, (when, self._count, entry))
        elif when < math.inf:
            slot = int(when * SLOTS_PER_S)
            if slot not in self._slots:
                self._slots[slot] = []
                heapq.heappush(self._next_slots, slot)
            self._slots[slot].append((when, self._count, entry))
        return entry

    def soon(self, callback: Callable[[], None], of: SimulatedRuntime | None = None) -> None:
        """Call at this moment, after what `at` put there, in an order drawn from the seed."""
        self._count += 1
        heapq.heappush(self._now, (self._random.random(), self._count, _Entry(callback, of)))

    def step(self, until: float) -> bool:
        """Do the next thing due up to ``until``; False when there is none (time is then there)."""
        while self._now or self._advance(until):
            entry = heapq.heappop(self._now)[2]
            callback, of = entry.callback, entry.of
            if callback is None:
                continue
            entry.callback = None
            self.steps += 1
            if of is not None and of.stopped:
                of.hold(callback)
            else:
                callback()
            return True
        return False

    def _advance(self, until: float) -> bool:
        """Go to the next moment at which something is due; False when ``until`` comes before."""
        while not self._soon and self._next_slots and self._next_slots[0] <= until * SLOTS_PER_S:
            slot = heapq.heappop(self._next_slots)
            self._soon = [due for due in self._slots.pop(slot) if due[2].callback is not None]
            heapq.heapify(self._soon)
            self._opened = slot + 1
        soon = self._soon
        if not soon or soon[0][0] > until:
            self.now = until
            return False
        self.now = soon[0][0]
        while soon and soon[0][0] == self.now:
            _, count, entry = heapq.heappop(soon)
            self._now.append((0.0, count, entry))  # they come in order, and that is a heap
        return True

    def run_for(self, seconds: float) -> None:
        """Let virtual time pass."""
        until = self.now + seconds
        while self.step(until):
            pass


class _Entry:
    __slots__ = ("callback", "of")

    def __init__(self, callback: Callable[[], None], of: SimulatedRuntime | None) -> None:
        self.callback: Callable[[], None] | None = callback
        self.of = of

    def cancel(self) -> None:
        self.callback = None


class SimulatedRuntime:
    """The `Runtime` of one node process in a simulated world; see `actors.runtime.Runtime`."""

    straight = False
    """What is sent waits for a step of its own, so that seeds decide what comes before it."""

    def __init__(self, scheduler: Scheduler, seed: str, rate: float = 1.0) -> None:
        """``rate``: seconds that pass on the monotonic clock of its machine in a virtual second."""
        self.random = random.Random(seed)  # noqa: S311 - a seed, not a secret
        self.rate = rate
        self.database: Database = "ok"
        self.wall_offset_s = 0.0
        """A clock that is wrong: added to `wall`."""
        self._scheduler = scheduler
        self.stopped = False
        """Nothing happens in this process: it is paused or dead."""
        self._held: list[Callable[[], None]] | None = None
        self._dead = False

    def monotonic(self) -> float:
        """Virtual seconds, at the rate of this machine."""
        return self._scheduler.now * self.rate

    def wall(self) -> float:
        """Virtual seconds since a fixed date, plus `wall_offset_s`."""
        return EPOCH_WALL_S + self._scheduler.now + self.wall_offset_s

    def in_hub(self) -> bool:
        """Always: nothing in a simulated world may wait."""
        return True

    def worker(self, name: str) -> Worker:  # noqa: ARG002 - threads have names, steps have none
        """Calls as steps of their own, in seed order among what is ready."""
        return _StepWorker(self)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """In seed order among what is ready now."""
        self._scheduler.soon(callback, self)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """After ``delay_s`` seconds of this machine's clock, never before it shows them."""
        due = self.monotonic() + delay_s
        when = self._scheduler.now + delay_s / self.rate
        while when * self.rate < due < math.inf:
            when = math.nextafter(when, math.inf)
        return self._scheduler.at(when, callback, self)

    def call_in_pool(
        self, function: Callable[[], T], done: Callable[[T | None, Exception | None], None]
    ) -> None:
        """The blocking function runs when its virtual duration is over."""

        def work() -> None:
            value: Any = None
            error: Exception | None = None
            try:
                value = self._ask(function)
            except StillBusy:
                self.call_later(STORAGE_RETRY_S, work)
                return
            except Exception as raised:  # noqa: BLE001 - handed over
                error = raised
            if self.database == "late":
                deliver(self.monotonic() + self.random.uniform(0.0, MAX_LATE_S), value, error)
            else:
                done(value, error)

        def deliver(due: float, value: Any, error: Exception | None) -> None:
            if self.database == "late" and self.monotonic() < due:
                self.call_later(STORAGE_RETRY_S, lambda: deliver(due, value, error))
            else:
                done(value, error)

        self.call_later(STORAGE_DELAY_S, work)

    def _ask(self, function: Callable[[], T]) -> T:
        if self.database == "hanging":
            raise StillBusy
        if self.database == "failing":
            raise StorageUnavailable("the simulated database cannot be reached from here")
        value = function()
        if self.database == "lost":
            raise StorageUnavailable("the answer of the simulated database was lost")
        return value

    def pause(self) -> None:
        """Stop the process as SIGSTOP does: everything due waits."""
        if self._held is None:
            self._held = []
        self.stopped = True

    def resume(self) -> None:
        """Go on: what became due meanwhile happens now, in order."""
        held, self._held = self._held or [], None
        self.stopped = self._dead
        for callback in held:
            self._scheduler.at(self._scheduler.now, callback, self)

    def kill(self) -> None:
        """End the process as SIGKILL does: nothing of it happens any more."""
        self._dead = self.stopped = True

    def hold(self, callback: Callable[[], None]) -> None:
        """Something is due while the process is stopped: it waits, unless the process is dead."""
        if not self._dead and self._held is not None:
            self._held.append(callback)

    @property
    def paused(self) -> bool:
        """The process is stopped."""
        return self._held is not None

    @property
    def dead(self) -> bool:
        """The process was killed."""
        return self._dead


class _StepWorker:
    """A `Worker`: one job per step, in order."""

    def __init__(self, runtime: SimulatedRuntime) -> None:
        self._runtime = runtime
        self._jobs: deque[tuple[Job, Done]] = deque()
        self._awake = False

    def submit(self, job: Job, done: Done) -> None:
        self._jobs.append((job, done))
        self._wake()

    def stop(self) -> None:
        self._jobs.clear()

    def _wake(self) -> None:
        if self._jobs and not self._awake:
            self._awake = True
            self._runtime.call_soon(self._work)

    def _work(self) -> None:
        self._awake = False
        if self._jobs:
            job, done = self._jobs.popleft()
            done(attempt(job))
            self._wake()
