"""``tagmesh simulate``: what it prints and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner, Result

from tagmesh.control.cli import root
from tagmesh.simulation import World


def simulate(*arguments: str) -> Result:
    return CliRunner().invoke(root, ["simulate", *arguments])


def test_a_seed_is_replayed_the_same_each_time() -> None:
    first, again = simulate("--seed", "1", "--nodes", "3"), simulate("--seed", "1", "--nodes", "3")
    assert first.exit_code == 0
    assert first.output == again.output
    assert "seed 1, 3 nodes, faults for" in first.output
    assert "log hash" in first.output


def test_trace_prints_a_column_per_node() -> None:
    result = simulate("--seed", "1", "--nodes", "3", "--only", "none", "--trace")
    assert result.exit_code == 0
    assert "node 1                          node 2                          node 3" in result.output
    assert "-- boot 1" in result.output


def test_faults_can_be_left_out() -> None:
    whole, one = simulate("--seed", "2"), simulate("--seed", "2", "--only", "0,3")
    assert "  #1 at" in whole.output
    assert "  #0 at" in one.output
    assert "  #3 at" in one.output
    assert "  #1 at" not in one.output


def test_with_traffic_capabilities_are_at_work() -> None:
    """Every second seed of ``make soak`` is replayed with it."""
    plain = simulate("--seed", "4", "--only", "none", "--trace")
    busy = simulate("--seed", "4", "--only", "none", "--trace", "--traffic")
    assert busy.exit_code == 0
    assert "records disabled>" in busy.output
    assert "records disabled>" not in plain.output


def test_with_tags_people_move_them() -> None:
    """So are seeds of ``make soak ARGS=--tags`` replayed."""
    result = simulate("--seed", "1", "--only", "none", "--trace", "--tags")
    assert result.exit_code == 0
    assert "tag_changed" in result.output
    both = simulate("--seed", "1", "--only", "none", "--trace", "--traffic", "--tags")
    assert both.exit_code == 0
    assert "tagged disabled>" in both.output
    assert "tagged disabled>" not in result.output


@pytest.mark.parametrize("only", ["x", "", "0,", "100000", "-1"])
def test_a_fault_that_is_not_in_the_plan_is_a_usage_error(only: str) -> None:
    result = simulate("--seed", "2", "--only", only)
    assert result.exit_code == 2
    assert "allowed: numbers 0 …" in result.output


@contextmanager
def broken_healing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(World, "converged", lambda _self: False)
        yield


def test_a_violation_is_told_and_ends_with_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    with broken_healing(monkeypatch):
        result = simulate("--seed", "1", "--only", "none")
    assert result.exit_code == 1
    assert "Violation: I2: the nodes do not agree" in result.output
