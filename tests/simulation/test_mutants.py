"""The checkers kill every mutant, and nothing else (reliability, section 3)."""

from __future__ import annotations

import re

import pytest

from tagmesh.simulation.defect import Replace
from tagmesh.simulation.mutants import CANARY, MUTANTS, NOT_YET, Mutant
from tests.simulation.all_histories import HISTORIES
from tests.simulation.find_mutant_seeds import MAX_SEEDS, PAGE, hunt, page, passes, read, run

KILLS = read()
AGAIN = "; `python -m tests.simulation.find_mutant_seeds` searches for a seed"


@pytest.fixture(autouse=True)
def no_logs(caplog: pytest.LogCaptureFixture) -> None:
    """Mutants crash actors by the hundred."""
    caplog.set_level("CRITICAL", logger="tagmesh")


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_dies(name: str) -> None:
    """With its seed, of what it was expected to die of; without the defect the seed is clean."""
    mutant = MUTANTS[name]
    kill = run(mutant, KILLS[name].seed)
    assert kill is not None, f"{name} survives seed {KILLS[name].seed}{AGAIN}"
    assert kill.invariant in mutant.dies, f"{name} dies of {kill.invariant}: {kill.text}{AGAIN}"
    assert passes(mutant.history, KILLS[name].seed), f"{mutant.history} fails without {name} too"


@pytest.mark.parametrize("history", HISTORIES)
def test_the_canary_dies_in_every_history(history: str) -> None:
    """Otherwise nothing is checked there, and what survives proves nothing."""
    canary = MUTANTS[CANARY]
    anywhere = Mutant(canary.name, canary.rule, canary.defect, history, "I11", canary.switch)
    kill = run(anywhere, 0)
    assert kill is not None
    assert kill.invariant == "I11"


def test_a_mutant_is_over_when_it_is_over() -> None:
    """Whatever was replaced is back, also after a history that raised."""

    class Thing:
        size = 1

    def bigger(replace: Replace) -> None:
        replace(Thing, "size", 2)
        replace(Thing, "size", 3)

    mutant = Mutant("bigger", "", "", "quiet", "", bigger)
    with mutant.active():
        assert Thing.size == 3
    assert Thing.size == 1

    def fails() -> None:
        with mutant.active():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert Thing.size == 1


def test_no_defect_is_no_kill() -> None:
    nothing = Mutant("nothing", "", "nothing is wrong", "bridge", "I1", lambda _replace: None)
    assert hunt(nothing, range(2)) is None


def test_every_row_of_the_original_has_a_mutant_or_an_issue() -> None:
    """The 36 rows of behaviour 1.23."""
    rules = " ".join([*(mutant.rule for mutant in MUTANTS.values()), *NOT_YET])
    rows = {int(number) for number in re.findall(r"row (\d+)", rules)}
    assert rows == set(range(1, 37))


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(KILLS), f"{PAGE.name}{AGAIN}"
    assert list(KILLS) == list(MUTANTS)
    assert all(kill.seed < MAX_SEEDS for kill in KILLS.values())
