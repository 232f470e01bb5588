"""Completion: the scripts are good for their shells, and complete what the commands declare."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tagmesh.control.cli import GROUPS, root
from tagmesh.control.cli_completion import SHELLS
from tagmesh.control.commands import TABLE


def script(shell: str) -> str:
    result = CliRunner().invoke(root, ["completion", shell])
    assert result.exit_code == 0
    return result.stdout


def completed(line: str) -> list[str]:
    """What bash offers for the last word of ``line``."""
    words = line.split(" ")
    variables = {
        "_TAGMESH_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tagmesh"], capture_output=True, text=True, timeout=30,
        check=False, env=os.environ | variables,
    )  # fmt: skip
    assert done.stderr == ""
    return [offer.partition(",")[2] for offer in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("shell", "registers"),
    [("bash", "complete -o nosort"), ("zsh", "compdef"), ("fish", "complete --no-files --command")],
)
def test_each_shell_has_its_script(shell: str, registers: str) -> None:
    text = script(shell)
    assert shell in SHELLS
    assert f"_TAGMESH_COMPLETE={shell}_complete" in text
    assert registers in text


def test_bash_offers_what_the_script_finds(tmp_path: Path) -> None:
    program = tmp_path / "tagmesh"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tagmesh "$@"\n')
    program.chmod(0o700)
    words = "COMP_WORDS=(tagmesh ctl healt); COMP_CWORD=2"
    ask = f'{words}; _tagmesh_completion tagmesh; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        ["bash", "-c", script("bash") + ask], capture_output=True, text=True, timeout=30,
        check=False, env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("health\n", "")


def test_another_shell_is_a_usage_error() -> None:
    assert CliRunner().invoke(root, ["completion", "tcsh"]).exit_code == 2


def test_commands_options_and_values_are_completed() -> None:
    assert completed("tagmesh ") == sorted(GROUPS)
    assert "health" in completed("tagmesh ctl he")
    assert completed("tagmesh ctl status -o ") == ["table", "json"]
    assert completed("tagmesh ctl health --nag") == ["--nagios"]


def test_management_commands_come_from_their_table() -> None:
    assert completed("tagmesh ctl mi ") == list(TABLE)
    assert completed("tagmesh ctl mi clusterer_list_t") == ["clusterer_list_topology"]
