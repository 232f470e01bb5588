"""``make soak``: the histories of `test_seeds`, with their checks, for as many seeds as one likes.

Prints each seed that fails, with the command that replays it; exit status 1 if there was one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time

from tests.simulation.test_seeds import test_converges_after_random_faults


def run(seed: int) -> str | None:
    """The history of one seed with its checks; what went wrong, None = nothing."""
    try:
        test_converges_after_random_faults(seed)
    except Exception as error:  # noqa: BLE001 - whatever it is belongs to the seed
        return f"{type(error).__name__}: {error}"
    return None


def seeds(text: str) -> range:
    """``7`` or ``20-519`` as a range."""
    first, _, last = text.partition("-")
    if not (first.isdigit() and (last or first).isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no seed like 7 and no range like 20-99")
    return range(int(first), int(last or first) + 1)


def main(arguments: list[str] | None = None) -> int:
    """The number of failed seeds decides the status."""
    parser = argparse.ArgumentParser(prog="make soak ARGS=…", description=__doc__)
    parser.add_argument("--seeds", type=seeds, default=seeds("20-519"), metavar="FIRST-LAST")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    begin = time.monotonic()
    failed = 0
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for seed, failure in zip(options.seeds, pool.imap(run, options.seeds), strict=True):
            if failure is not None:
                failed += 1
                print(f'seed {seed} failed; replay: make soak ARGS="--seeds {seed}"\n{failure}\n')
    took_s = time.monotonic() - begin
    print(f"{len(options.seeds)} seeds, {failed} failed, {took_s:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
