"""Every scenario plays as written, and every rule that can be seen from outside has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tagmesh.protocol.errors import Reason
from tagmesh.simulation import script

FOLDER = Path(__file__).parent
SCENARIOS = sorted(FOLDER.glob("*.txt"))
RULES = [
    "G-11", "G-12", "G-14", "G-15",
    "L-1", "L-2", "L-3", "L-4", "L-5",
    "N-1",
    "T-9", "T-10", "T-11", "T-12",
    "J-1", "J-2", "J-3", "J-4",
    "D-5", "D-8",
    "R-1", "R-2", "R-8", "R-11",
    "X-1", "X-2", "X-3", "X-4", "X-5", "X-6",
    "E-1",
    "C-1", "C-2", "C-3", "C-4", "C-6",
    "R-9", "R-10",
    "S-1", "S-20", "S-21", "S-22", "S-23", "S-24", "S-25", "S-26", "S-27", "S-28", "S-29",
    "P-1", "P-2", "P-3", "P-4", "B7",
    "H-20", "H-21", "H-22", "H-23", "H-24", "H-25", "H-26", "B4",
    "K-1", "K-2", "K-3", "K-4", "K-5", "K-6", "K-7", "M-2", "M-4", "M-5",
]  # fmt: skip
"""What exists today of behaviour 1.6 to 1.19, and of the shortlist behind it."""
ELSEWHERE = {
    # TLS decides these; a simulated connection begins after it: tests/transport/test_tls.py
    "cert_missing", "cert_untrusted", "cert_not_yet_valid", "cert_usage",
    "crl_stale", "tls_version", "tls_error",
    # simulated processes speak correctly, in one cluster: tests/protocol
    "violation", "no_common_cluster", "cluster_full",
}  # fmt: skip
"""Reasons of a refusal that no scenario can show."""


def heading(scenario: Path) -> str:
    """The first line: the rules, and what is shown."""
    return scenario.read_text(encoding="utf-8").partition("\n")[0]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(scenario: Path) -> None:
    text = scenario.read_text(encoding="utf-8")
    played = script.play(text)
    if played != text:
        again = f"python -m tagmesh.simulation.script --rewrite {scenario}"
        pytest.fail(f"{script.difference(scenario, text, played)}\n\nif this is right: {again}")


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_scenario(rule: str) -> None:
    shown = [s.name for s in SCENARIOS if rule in script.rules_of(heading(s))]
    assert shown, f"no scenario in {FOLDER} is headed by {rule}"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_scenarios_are_named_after_a_rule_of_their_heading(scenario: Path) -> None:
    rules = script.rules_of(heading(scenario))
    assert rules
    assert any(scenario.stem.startswith(f"{rule}-") for rule in rules)


def test_every_reason_to_refuse_that_a_simulated_node_can_meet_is_met() -> None:
    text = "\n".join(s.read_text(encoding="utf-8") for s in SCENARIOS)
    met = set(re.findall(r"refused node .*?: (\w+) \(", text))
    assert met == {reason.value for reason in Reason} - ELSEWHERE
