"""The scenario language: commands for a simulated cluster and what they put out, in one file.

A file is a list of blocks. A block is commands, a line ``----``, the expected output, and an
empty line. Lines that begin with ``#`` are for people. ``docs/topics/scenarios.md`` explains it;
``python -m tagmesh.simulation.script FILE …`` plays files and shows how the output differs, with
``--rewrite`` it writes the output into them.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from . import (  # noqa: F401 - they declare the commands
    script_capabilities,
    script_expect,
    script_faults,
    script_removal,
    script_steps,
    script_syncs,
    script_tags,
    script_work,
)
from .script_player import COMMANDS, Player
from .script_words import ScenarioError

__all__ = ["COMMANDS", "ScenarioError", "difference", "main", "play", "rules_of"]

RULE = "----"


class _Block(msgspec.Struct):
    """Lines as they stand, up to the rule; commands with their line numbers."""

    lines: list[str]
    commands: list[tuple[int, str]]
    has_output: bool


def _read(text: str) -> list[_Block]:
    """The blocks of a file; expected output is skipped, it is made anew."""
    blocks = [_Block([], [], has_output=False)]
    in_output = False
    for number, line in enumerate(text.splitlines(), 1):
        line = line.rstrip()
        block = blocks[-1]
        if in_output:
            if line:
                continue
            in_output = False
            blocks.append(_Block([], [], has_output=False))
        elif line == RULE:
            if not block.commands:
                raise ScenarioError(f"line {number}: output without a command above it")
            block.has_output = in_output = True
        else:
            block.lines.append(line)
            if line and not line.startswith("#"):
                block.commands.append((number, line))
    return blocks


def play(text: str) -> str:
    """Play a scenario; the file with the output that came.

    Raises `ScenarioError` with the line, for what cannot be read and what was not as expected.
    """
    player = Player()
    parts: list[str] = []
    for block in _read(text):
        while block.lines and not block.lines[0]:
            block.lines.pop(0)
        while block.lines and not block.lines[-1]:
            block.lines.pop()
        if not block.lines:
            continue
        output = player.play(block.commands) if block.commands else []
        rule = [RULE, *output] if block.commands else []
        parts.append("\n".join([*block.lines, *rule]))
    if player.commands_played == 0:
        raise ScenarioError("there is no command in it; begin with: world nodes=3")
    return "\n\n".join(parts) + "\n"


def rules_of(heading: str) -> list[str]:
    """The labels before the colon of a scenario's first line: ``# L-3, J-2 (disabled): …``."""
    return re.findall(r"\b[A-Z]-?\d+\b", heading.partition(":")[0])


def difference(path: Path, text: str, played: str) -> str:
    """A unified diff from what the file expects to what came; empty when they agree."""
    lines = difflib.unified_diff(
        text.splitlines(), played.splitlines(), f"{path} (expected)", f"{path} (came)", lineterm=""
    )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Status 1 when a scenario differs or cannot be played."""
    parser = argparse.ArgumentParser(prog="python -m tagmesh.simulation.script")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--rewrite", action="store_true", help="write the output into the files")
    options = parser.parse_args(arguments)
    failed = 0
    for path in options.files:
        try:
            text = path.read_text(encoding="utf-8")
            played = play(text)
        except (OSError, ScenarioError) as error:
            sys.stderr.write(f"{path}: {error}\n")
            failed += 1
            continue
        if played == text:
            continue
        if options.rewrite:
            path.write_text(played, encoding="utf-8")
            sys.stdout.write(f"rewritten: {path}\n")
        else:
            sys.stdout.write(difference(path, text, played) + "\n")
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
