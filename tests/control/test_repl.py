"""Prompts without nodes: what is typed, ``%mi``, and lines that come meanwhile."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tagmesh.control.command import CommandError
from tagmesh.control.repl import IPythonPrompt, PlainPrompt, ask, make_prompt


def mi(method: str, *params: str) -> Any:
    if method == "nothing":
        raise CommandError(-32601, "Method not found")
    return [method, *params] if params else None


@pytest.fixture
def prompt() -> PlainPrompt:
    made = make_prompt({"answer": 42}, mi, plain=True)
    assert isinstance(made, PlainPrompt)
    return made


def test_python_and_management_commands(
    prompt: PlainPrompt, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in ("answer + 1", "%mi which 'two words' x", "%mi version", "mi('which', '1')"):
        assert not prompt.push(line)
    assert capsys.readouterr().out.splitlines() == [
        "43",
        "['which', 'two words', 'x']",
        "['which', '1']",
    ]
    assert prompt.push("def f():"), "it goes on"


@pytest.mark.parametrize(
    ("line", "said"), [("nothing", "-32601: Method not found\n"), ("'", "No closing quotation\n")]
)
def test_what_went_wrong_is_one_line(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(mi, line) is None
    assert capsys.readouterr().out == said


def test_a_line_that_comes_while_somebody_types_goes_above(
    prompt: PlainPrompt, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def typed(shown: str) -> str:
        prompt.say("node 3 went down")
        return shown

    monkeypatch.setattr("builtins.input", typed)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    prompt.say("before")
    prompt.raw_input(">>> ")
    prompt.say("afterwards")
    assert capsys.readouterr().out == "before\n\r\x1b[Knode 3 went down\n>>> afterwards\n"


def test_ipython_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_prompt({}, mi), IPythonPrompt)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert isinstance(make_prompt({}, mi), PlainPrompt)
