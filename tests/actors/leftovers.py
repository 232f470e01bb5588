"""What a node may not leave behind in the process it was embedded in."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent.monkey

from tagmesh.actors.actor import ClusterActor

UP_S = 15.0
STEADY = 3
POOL = "tagmesh-handlers_"
"""Threads of capabilities without a node: they end some time after these are collected."""

Left = tuple[set[str], list[str], int]


def until(condition: Callable[[], bool], timeout_s: float = UP_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def leftovers() -> Left:
    """(threads, open files by kind, actors) of this process."""
    gc.collect()  # of other tests
    names = {
        thread.name
        for thread in threading.enumerate()
        if "tagmesh" in thread.name and not thread.name.startswith(POOL)
    }
    actors = [o for o in gc.get_objects() if isinstance(o, ClusterActor) and not o.over]
    return names, sorted(_open_files()), len(actors)


def settled() -> Left:
    """What is there when nothing comes and goes: the same in three readings running.

    A node that runs dials, accepts and reads its database; one reading may meet a socket that is
    closed a moment later, and then nothing would ever equal it again.
    """
    readings = [leftovers()]

    def same() -> bool:
        readings.append(leftovers())
        return len(readings) >= STEADY and all(r == readings[-1] for r in readings[-STEADY:])

    until(same)
    return readings[-1]


def only(before: Left, timeout_s: float = 5) -> None:
    """Soon there is what was there before, and nothing else. Errors: says what is more or less."""
    deadline = time.monotonic() + timeout_s
    while (now := leftovers()) != before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert now == before


def _open_files() -> Iterator[str]:
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            yield str(descriptor.readlink()).split(":[")[0]
        except FileNotFoundError:
            continue  # the one that lists the folder


@contextmanager
def nothing_stays() -> Iterator[None]:
    """No thread, descriptor, actor or patched module is left."""
    before = settled()
    yield
    only(before)
    assert not gevent.monkey.is_anything_patched()
