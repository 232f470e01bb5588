"""The log hashes of a few seeds, stored: every supported Python must find the same (I12).

A change of the rules, of the messages or of the simulator changes them; then
``python -m tests.simulation.hashes`` writes them anew, and the difference belongs to the commit.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from tagmesh.simulation import FaultPlan, run
from tagmesh.simulation.faults import tagged

FILE = Path(__file__).with_name("hashes.json")
SEEDS = (0, 3, 7, 18, 26)
TAG_SEEDS = (4, 7)
"""With them every kind of fault, every kind of world."""


def hashes() -> dict[str, str]:
    """Seed to the hash of its history."""
    plain = {str(seed): run(FaultPlan.draw(seed)).log_hash for seed in SEEDS}
    tags = {f"tags {n}": tagged(FaultPlan.draw(n, tags=True)).log_hash for n in TAG_SEEDS}
    return plain | tags


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    found = json.dumps(hashes(), indent=2) + "\n"
    if "--print" in sys.argv:
        print(found, end="")
    else:
        FILE.write_text(found, encoding="utf-8")
