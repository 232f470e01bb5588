"""The files in contrib/ name commands, metrics, paths and options that exist."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tagmesh.control.cli import root
from tagmesh.control.metrics import exposition
from tests.control.fake_node import FakeNode, make_status, served
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


def test_the_rules_ask_for_metrics_that_exist() -> None:
    there = set(re.findall(r"^# TYPE (\S+)", exposition(make_status(
        certificate_ends_wall_s=1.0)).decode(), re.MULTILINE))  # fmt: skip
    asked = set(re.findall(r"tagmesh_\w+", (CONTRIB / "prometheus-rules.yml").read_text()))
    assert asked
    assert asked <= there


@needs_promtool
def test_promtool_can_read_the_rules() -> None:
    assert "rules found" in promtool("check", "rules", str(CONTRIB / "prometheus-rules.yml"))


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
