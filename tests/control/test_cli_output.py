"""``-o json`` is everywhere, and what it prints is one JSON document on stdout."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tagmesh.control.cli import root
from tests.control.fake_node import FakeNode, event, served
from tests.control.fake_remote import with_remote

AS_TEXT = frozenset(["completion", "config example", "demo", "node run", "repl", "simulate"])
"""Commands whose result is a text for people or another program, or that run until a signal."""

ARGUMENTS: dict[str, list[str]] = {
    "config check": [],
    "config show": [],
    "ctl call": ["which"],
    "ctl cap disable": ["dialog-dlg-repl"],
    "ctl cap donors": ["dialog-dlg-repl"],
    "ctl cap enable": ["dialog-dlg-repl"],
    "ctl cap quarantine": ["dialog-dlg-repl"],
    "ctl caps": [],
    "ctl diff": ["dialog-dlg-repl"],
    "ctl events": [],
    "ctl flight dump": ["one.flight"],
    "ctl health": [],
    "ctl link cut": ["3"],
    "ctl link heal": ["3"],
    "ctl log-level": [],
    "ctl mi": ["which"],
    "ctl node readmit": ["1", "3"],
    "ctl node remove": ["1", "3"],
    "ctl nodes": [],
    "ctl reload": [],
    "ctl status": [],
    "ctl sync": [],
    "ctl sync confirm": ["dialog-dlg-repl", "1"],
    "ctl sync discard": ["dialog-dlg-repl", "1"],
    "ctl sync start": ["dialog-dlg-repl"],
    "ctl sync undo": ["dialog-dlg-repl", "1"],
    "ctl tag activate": ["vip1/1"],
    "ctl tag explain": ["vip1/1"],
    "ctl tag free": ["vip1/1", "3"],
    "ctl tag hand-over": ["vip1/1", "2"],
    "ctl tag pause": ["vip1/1"],
    "ctl tag prefer": ["vip1/1", "1", "2"],
    "ctl tag release": ["vip1/1"],
    "ctl tag resume": ["vip1/1"],
    "ctl tags": [],
    "ctl topology": [],
    "ctl trace": ["3"],
    "ctl wait": ["--timeout", "1"],
    "ctl why": ["node", "3"],
    "db add": ["--cluster", "1", "--node", "2", "--url", "bins:10.0.0.2"],
    "db audit": [],
    "db check": [],
    "db init": [],
    "db list": [],
    "db rm": ["--cluster", "1", "--node", "2"],
    "flight decode": ["one.flight"],
    "pki check": [],
    "pki init-ca": [],
    "pki issue": ["--node", "1"],
}
"""By command, in an order below in which each can be done."""

FIRST = ["db init", "db add", "pki init-ca", "pki issue"]


def commands() -> Iterator[str]:
    """Every command that does something, by its words."""

    def walk(command: click.Command, words: list[str]) -> Iterator[str]:
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                yield from walk(inner, [*words, name])
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield " ".join(words)

    return walk(root, [])


def test_the_list_is_the_list_of_commands() -> None:
    assert set(commands()) == set(ARGUMENTS) | AS_TEXT


def test_every_command_prints_one_json_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = with_remote(FakeNode())
    node.records = [event(1)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("TAGMESH_")]:
        monkeypatch.delenv(name)
    (tmp_path / "tagmesh.toml").write_text("[node]\nid = 1\n")
    with served(node) as url:
        monkeypatch.setenv("TAGMESH_URL", url)
        for command in sorted(
            ARGUMENTS, key=lambda c: (c not in FIRST, FIRST.index(c) if c in FIRST else 0, c)
        ):
            words = [*command.split(), *ARGUMENTS[command], "-o", "json"]
            done = CliRunner().invoke(root, words, prog_name="tagmesh")
            assert done.exit_code in (0, 1), f"{command}: {done.output}"
            assert json.loads(done.stdout) is not None, command


def test_colours_are_for_terminals_that_want_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR itself is tried on a terminal in test_cli_ctl."""
    monkeypatch.chdir(tmp_path)
    with served(FakeNode()) as url:
        for command, arguments in ARGUMENTS.items():
            if command.startswith("ctl"):
                words = ["ctl", "--url", url, *command.split()[1:], *arguments]
                assert "\x1b" not in CliRunner().invoke(root, words).output, command
