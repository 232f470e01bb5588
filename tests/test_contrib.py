"""The files in contrib/ name commands, metrics, paths and options that exist."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from tagmesh.control.cli import root
from tests.control.fake_node import FakeNode, served
from tests.control.test_metrics import FULL, families
from tests.promtool import needs_promtool, promtool

CONTRIB = Path(__file__).parents[1] / "contrib"


def command_of(words: list[str]) -> click.Command:
    """The command that ``words`` begin with; options and values may follow."""
    command: click.Command = root
    for word in words:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(click.Context(command), word)
        assert found is not None, words
        command = found
    return command


@pytest.mark.parametrize("file", sorted(CONTRIB.iterdir()), ids=lambda file: file.name)
def test_every_tagmesh_command_in_a_file_exists(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    for words in re.findall(r"tagmesh ((?:node|ctl) [^\"\n]*)", "\n".join(lines)):
        command = command_of(words.split())
        assert not isinstance(command, click.Group), words
        options = {option for p in command.params for option in p.opts}
        assert {word for word in words.split() if word.startswith("--")} <= options


def test_the_unit_notifies_is_watched_and_reloads() -> None:
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # keys are case-sensitive
    unit.read_string((CONTRIB / "tagmesh@.service").read_text())
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert (service["WatchdogSec"], service["DynamicUser"]) == ("30", "yes")
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert (service["ProtectSystem"], service["NoNewPrivileges"]) == ("strict", "yes")
    assert service["ExecStart"].endswith("tagmesh node run --config /etc/tagmesh/%i.toml")


RULES = CONTRIB / "prometheus-rules.yml"
DASHBOARD = CONTRIB / "grafana-dashboard.json"
METRICS = {
    sample.name
    for family in families(FULL).values()
    for sample in family.samples
}  # fmt: skip


@pytest.mark.parametrize("file", [RULES, DASHBOARD], ids=lambda file: file.name)
def test_metrics_that_are_asked_for_exist(file: Path) -> None:
    asked = set(re.findall(r"tagmesh_\w+", file.read_text()))
    assert asked
    assert asked <= METRICS


@needs_promtool
def test_promtool_can_read_the_rules() -> None:
    assert "rules found" in promtool("check", "rules", str(RULES))


ALERTS = {
    "TagmeshLinkDown": 'tagmesh_link_up{node_id="2"} | 0',
    "TagmeshTagNotActiveOnce": 'tagmesh_tag_active{tag="vip1"} | 0',
    "TagmeshNotSynced": 'tagmesh_capability_enabled{capability="a"} | 1\n'
    'tagmesh_capability_synced{capability="a"} | 0',
    "TagmeshCertificateEnds": 'tagmesh_certificate_expiry_timestamp_seconds{kind="node"} | 86400',
    "TagmeshProvisioningUnreadable": "tagmesh_provisioning_up | 0",
    "TagmeshHubLags": "tagmesh_hub_lag_seconds | 2",
    "TagmeshActorsCrash": "tagmesh_actor_failures_total | 0+1",
}
"""By alert: series that cause it, each with its value or how it grows in a minute."""


@needs_promtool
def test_each_alert_fires_and_rests(tmp_path: Path) -> None:
    """After ten minutes of what it is for, and never while all is well."""
    bad = "\n".join(ALERTS.values()).splitlines()
    well = [
        'tagmesh_link_up{node_id="2"} | 1',
        'tagmesh_tag_active{tag="vip1"} | 1',
        'tagmesh_capability_enabled{capability="a"} | 1',
        'tagmesh_capability_synced{capability="a"} | 1',
        'tagmesh_certificate_expiry_timestamp_seconds{kind="node"} | 9000000000',
        "tagmesh_provisioning_up | 1",
        "tagmesh_hub_lag_seconds | 0.001",
        "tagmesh_actor_failures_total | 3",
    ]
    named = re.findall(r"alert: (\w+)", RULES.read_text())
    assert named == list(ALERTS)
    tests = [_rule_test(bad, named, fires=True), _rule_test(well, named, fires=False)]
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "tests": tests}))  # JSON is YAML
    promtool("test", "rules", str(file))


def _rule_test(series: list[str], alerts: list[str], *, fires: bool) -> dict[str, Any]:
    """Every alert has another sentence, so what is compared is how many there are of each."""
    values = {name: value for name, _, value in (line.partition(" | ") for line in series)}
    return {
        "interval": "1m",
        "input_series": [
            {"series": name, "values": f"{value}x15" if "+" in value else f"{value}+0x15"}
            for name, value in values.items()
        ],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)',
                "eval_time": "10m",
                "exp_samples": [{"labels": "{}", "value": int(fires)}],
            }
            for alert in alerts
        ],
    }


def panels() -> list[dict[str, Any]]:
    """Those of the dashboard that ask for something."""
    every: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    return [panel for panel in every if panel["type"] != "row"]


def test_panels_do_not_cover_each_other() -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels())
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@needs_promtool
def test_promtool_can_read_what_the_dashboard_asks(tmp_path: Path) -> None:
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    for variable, value in (("$__rate_interval", "5m"), ("$cluster", "1"), ("$instance", ".*")):
        asked = [expr.replace(variable, value) for expr in asked]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(asked)]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(asked)} rules found" in promtool("check", "rules", str(file))


def test_the_check_of_nagios_runs(tmp_path: Path) -> None:
    program = tmp_path / "tagmesh"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tagmesh "$@"\n')
    program.chmod(0o700)
    with served(FakeNode()) as url:
        done = subprocess.run(
            [str(CONTRIB / "check_tagmesh"), "--url", url],
            capture_output=True, text=True, timeout=30, check=False,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        )  # fmt: skip
    assert (done.returncode, done.stdout.partition(" - ")[0]) == (1, "TAGMESH WARNING")
