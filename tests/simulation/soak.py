"""``make soak SEEDS=… MINUTES=…``: the swarm, with all its checks, for as many seeds as one likes.

Every second seed has capabilities and applications that use them (`simulation.traffic`). With
``--tags`` each has sharing tags, clocks that are wrong by 5 % and people who move the tags
(`simulation.tag_traffic`) instead, and every second one applications that write records under them
(`simulation.fenced_traffic`).

Prints each seed that fails with the fewest faults found that still make it fail, and the command
that replays it, and appends the same to ``--failures FILE``. Exit status 1 if there was one.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tagmesh.simulation.faults import FaultPlan, busy, run, shorten, tagged
from tagmesh.simulation.fenced_traffic import fenced

TRAFFIC_EVERY = 2
"""Of so many seeds one has traffic; it costs about as much as the faults alone."""
DEFAULT_SEEDS = "1000-2999"
FAILURES = Path("soak-failures.txt")
TOLD_EVERY = 100
SHORTEN_LIMIT_S = 120.0
"""A failure that is slow to repeat is reported as short as it is by then."""


def has_traffic(plan: FaultPlan) -> bool:
    """Whether applications are at work in this seed."""
    return plan.seed % TRAFFIC_EVERY == 0


def failure_of(plan: FaultPlan) -> str | None:
    """What goes wrong with a plan, beginning with its kind; None = nothing."""
    try:
        if plan.tags:
            (fenced if has_traffic(plan) else tagged)(plan)
        else:
            (busy if has_traffic(plan) else run)(plan)
    except Exception as error:  # noqa: BLE001 - whatever it is belongs to the seed
        return f"{type(error).__name__} {getattr(error, 'invariant', '')}: {error}"
    return None


def report(seed: int, nodes: int | None, *, tags: bool = False) -> str | None:
    """A text about the failure of one seed, its faults made few; None = it is clean."""
    logging.disable(logging.CRITICAL)
    plan = FaultPlan.draw(seed, nodes, tags=tags)
    failure = failure_of(plan)
    if failure is None:
        return None
    kind, until = failure.split(":")[0], time.monotonic() + SHORTEN_LIMIT_S

    def same(shorter: FaultPlan) -> bool:
        if time.monotonic() > until:
            return False
        return (failure_of(shorter) or "").startswith(f"{kind}:")

    short = shorten(plan, same)
    numbers = ",".join(str(fault.number) for fault in short.faults)
    command = f"tagmesh simulate --seed {seed} --nodes {plan.nodes} --only {numbers or 'none'}"
    command += " --traffic" if has_traffic(plan) else ""
    command += " --tags" if tags else ""
    return f"seed {seed} failed; replay: {command} --trace\n{failure_of(short) or failure}\n{short}"


def _one(job: tuple[int, int | None, bool]) -> tuple[int, str | None]:
    seed, nodes, tags = job
    return seed, report(seed, nodes, tags=tags)


def seeds(text: str) -> Iterable[int]:
    """``7``, ``20-519``, or ``20-`` without end."""
    first, dash, last = text.partition("-")
    if not first.isdigit() or (last and not last.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no seed like 7 and no range like 20-99, 20-")
    if dash and not last:
        return itertools.count(int(first))
    return range(int(first), int(last or first) + 1)


def main(arguments: list[str] | None = None) -> int:
    """Whether a seed failed decides the status."""
    parser = argparse.ArgumentParser(prog="make soak SEEDS=… MINUTES=…", description=__doc__)
    parser.add_argument("--seeds", type=seeds, default=seeds(DEFAULT_SEEDS), metavar="FIRST-LAST")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--nodes", type=int, help="3 … 7 by the seed if not given")
    parser.add_argument("--tags", action="store_true", help="sharing tags and wrong clocks")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--failures", type=Path, default=FAILURES)
    options = parser.parse_args(arguments)
    begin = time.monotonic()
    until = begin + 60 * options.minutes
    in_time = itertools.takewhile(lambda _: time.monotonic() < until, options.seeds)
    jobs = ((seed, options.nodes, options.tags) for seed in in_time)
    ran, failed = 0, 0
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        try:
            while batch := list(itertools.islice(jobs, 8 * options.jobs)):
                for _seed, failure in pool.imap(_one, batch):
                    ran += 1
                    if ran % TOLD_EVERY == 0:
                        print(f"{ran} seeds, {failed} failed", file=sys.stderr, flush=True)
                    if failure is not None:
                        failed += 1
                        print(f"{failure}\n", flush=True)
                        with options.failures.open("a", encoding="utf-8") as file:
                            file.write(f"{failure}\n\n")
        except KeyboardInterrupt:
            pool.terminate()
    print(f"{ran} seeds, {failed} failed, {time.monotonic() - begin:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
