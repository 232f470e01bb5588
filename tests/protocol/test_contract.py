"""What a capability must be to be registered, and what its senders hear."""

from __future__ import annotations

import pytest

from tagmesh.protocol.contract import (
    Capability,
    Outcome,
    Result,
    SyncReport,
    check_capability,
    is_name,
)
from tagmesh.protocol.errors import Misuse


@pytest.mark.parametrize("name", ["", "x" * 65, "näme", "a\nb", "a\x00"])
def test_names_that_cannot_be(name: str) -> None:
    class Nameless(Capability):
        pass

    Nameless.name = name
    assert not is_name(name)
    with pytest.raises(Misuse, match=r"Nameless\.name is .*: a capability needs a name of 1 to 64"):
        check_capability(Nameless())


def test_a_capability_as_it_should_be() -> None:
    class Good(Capability):
        name = "dialog-dlg-repl" + "x" * 49
        version_min, version_max = 0, 65_535
        delivery = "at_least_once"

    check_capability(Good())


@pytest.mark.parametrize(("low", "high"), [(2, 1), (-1, 1), (1, 65_536)])
def test_versions_that_cannot_be(low: int, high: int) -> None:
    class Odd(Capability):
        name = "odd"
        version_min, version_max = low, high

    with pytest.raises(Misuse, match=f"Odd: version_min {low} and version_max {high} must be"):
        check_capability(Odd())


def test_a_delivery_that_cannot_be() -> None:
    class Odd(Capability):
        name = "odd"
        delivery = "exactly_once"  # type: ignore[assignment]  # what a user may write

    with pytest.raises(Misuse, match="at_most_once or at_least_once"):
        check_capability(Odd())


@pytest.mark.parametrize(
    ("outcome", "accepted", "code"),
    [
        (Outcome.SENT, True, 1),
        (Outcome.QUEUED, True, 1),
        (Outcome.DISABLED, False, -1),
        (Outcome.UNREACHABLE, False, -2),
        (Outcome.BUSY, False, -3),
    ],
)
def test_results_are_true_when_accepted_and_have_the_codes_of_opensips(
    outcome: Outcome, accepted: bool, code: int
) -> None:
    result = Result(outcome)
    assert (bool(result), result.code) == (accepted, code)


def test_the_rate_of_a_sync_that_took_no_time_is_none() -> None:
    assert SyncReport(ok=True, items=10, seconds=2.0).rate == 5.0
    assert SyncReport(ok=True, items=10).rate == 0.0
