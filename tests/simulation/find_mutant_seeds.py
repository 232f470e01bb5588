"""``python -m tests.simulation.find_mutant_seeds``: in which seed does each mutant die first?

Tries the seeds of each mutant's history in turn until one kills it and the code without the
defect passes the same seed. Writes ``mutant_seeds.json`` and ``docs/topics/mutants.md``. Exit
status 1 when a mutant survives all seeds.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tagmesh.simulation.check import Violation
from tagmesh.simulation.mutants import MUTANTS, NOT_YET, Mutant
from tests.simulation.all_histories import HISTORIES

SEEDS = Path(__file__).with_name("mutant_seeds.json")
PAGE = Path(__file__).parents[2] / "docs" / "topics" / "mutants.md"
MAX_SEEDS = 60
"""Seeds tried; reliability, section 3."""
NOTE = "<!-- Made by tests/simulation/find_mutant_seeds.py: run it as a module. -->"


class Kill(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a mutant died."""

    seed: int
    invariant: str
    second: float
    """Virtual seconds that the history took until then."""
    text: str = ""
    """What the checker said; not stored."""


def run(mutant: Mutant, seed: int) -> Kill | None:
    """One history with the defect in the rules; None = it survived."""
    with mutant.active():
        try:
            HISTORIES[mutant.history](seed)
        except Violation as violation:
            return Kill(seed, violation.invariant, round(violation.at_s, 1), violation.text)
    return None


@functools.cache
def passes(history: str, seed: int) -> bool:
    """The same history without any defect."""
    try:
        HISTORIES[history](seed)
    except Violation:
        return False
    return True


def hunt(mutant: Mutant, seeds: Iterable[int]) -> Kill | None:
    """The first seed that kills it and nothing else."""
    for seed in seeds:
        kill = run(mutant, seed)
        if kill is not None and kill.invariant in mutant.dies and passes(mutant.history, seed):
            return kill
    return None


def read() -> dict[str, Kill]:
    """What the last search found."""
    return msgspec.json.decode(SEEDS.read_bytes(), type=dict[str, Kill])


def page(kills: dict[str, Kill]) -> str:
    """``docs/topics/mutants.md``."""
    lines = [
        "# Mutants",
        "",
        NOTE,
        "",
        "A checker is worth what it kills. Each mutant puts one defect back into the rules: those",
        "that OpenSIPS has or had (rows of behaviour 1.23), those of the table in reliability,",
        "section 3 (by their names there), and rules of ours turned off. `make test` runs each of",
        "them in the history and with the seed below until an invariant is violated, and the same",
        "history with the same seed without it, which must pass. The canary must die in any",
        "history; a run in which it survives is void.",
        "",
        f"{len(MUTANTS)} mutants. `python -m tests.simulation.find_mutant_seeds` searches anew.",
        "",
        "| mutant | defect | rule | dies in history, seed | virtual seconds | violated |",
        "|---|---|---|---|---|---|",
    ]
    for name, mutant in MUTANTS.items():
        kill = kills[name]
        where = f"{mutant.history}, {kill.seed}"
        cells = (name, mutant.defect, mutant.rule, where, f"{kill.second:g}", kill.invariant)
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "## Not yet", "", "Defects of what does not exist yet, and the issue that"]
    lines += ["brings it together with its mutants.", "", "| defect | with |", "|---|---|"]
    lines += [f"| {defect} | {issue} |" for defect, issue in NOT_YET.items()]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Search, write, report."""
    parser = argparse.ArgumentParser(prog="find_mutant_seeds", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants; all of them when none is named")
    parser.add_argument("--seeds", type=int, default=MAX_SEEDS)
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    kills = read() if SEEDS.exists() else {}
    kills = {name: kill for name, kill in kills.items() if name in MUTANTS}
    for name in options.names or MUTANTS:
        kill = hunt(MUTANTS[name], range(options.seeds))
        if kill is None:
            kills.pop(name, None)
            print(f"{name}: SURVIVES {options.seeds} seeds of {MUTANTS[name].history!r}")
        else:
            kills[name] = kill
            print(f"{name}: seed {kill.seed}, {kill.second:g} s, {kill.invariant}: {kill.text}")
    found = {
        name: msgspec.structs.replace(kills[name], text="") for name in MUTANTS if name in kills
    }
    plain = msgspec.to_builtins(found)
    SEEDS.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if len(kills) < len(MUTANTS):
        return 1
    kills = {name: kills[name] for name in MUTANTS}
    PAGE.write_text(page(kills), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
