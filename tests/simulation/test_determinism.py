"""I12: one seed, one history; on every Python and whatever the hashes of strings are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tagmesh.simulation import FaultPlan, run
from tagmesh.simulation.fault_kinds import KINDS
from tests.simulation.hashes import FILE, SEEDS, TAG_SEEDS

ROOT = Path(__file__).parent.parent.parent
REWRITE = "if the rules changed on purpose: python -m tests.simulation.hashes"


@pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
def test_the_same_in_every_process_and_as_stored(hash_seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.hashes", "--print"],
        check=True, capture_output=True, text=True, cwd=ROOT, timeout=120,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )  # fmt: skip
    assert json.loads(done.stdout) == json.loads(FILE.read_text(encoding="utf-8")), REWRITE


def test_different_seeds_have_different_histories() -> None:
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    assert list(stored) == [*map(str, SEEDS), *(f"tags {seed}" for seed in TAG_SEEDS)]
    assert len(set(stored.values())) == len(stored)


def test_the_seeds_hold_all_there_is() -> None:
    plans = [FaultPlan.draw(seed) for seed in SEEDS]
    tagged = [FaultPlan.draw(seed, tags=True) for seed in TAG_SEEDS]
    plain_kinds = {fault.kind for plan in plans for fault in plan.faults}
    assert plain_kinds == {name for name, kind in KINDS.items() if not kind.tags}
    assert {fault.kind for plan in tagged for fault in plan.faults} >= set(KINDS) - plain_kinds
    assert {plan.dynamic for plan in plans} == {plan.fast for plan in plans} == {True, False}


def test_checkers_change_nothing_before_healing() -> None:
    plan = FaultPlan.draw(4)
    checked, unchecked = run(plan), run(plan, checked=False)
    until = next(n for n, e in enumerate(checked.history.entries) if e.text == "heal all")
    assert checked.history.entries[:until] == unchecked.history.entries[:until]


def test_what_is_random_comes_from_the_seed_alone() -> None:
    """Two worlds that take turns in one process do not disturb each other."""
    alone = FaultPlan.draw(5).world()
    alone.boot_all()
    alone.run_for(20.0)
    one, two = FaultPlan.draw(5).world(), FaultPlan.draw(6).world()
    one.boot_all()
    two.boot_all()
    for _ in range(20):
        one.run_for(1.0)
        two.run_for(1.0)
    assert one.log_hash == alone.log_hash
