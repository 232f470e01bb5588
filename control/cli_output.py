"""How commands print results: columns for people, JSON for programs, always on stdout."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

_Function = TypeVar("_Function", bound=Callable[..., Any])


def output_option(function: _Function) -> _Function:
    """Add ``-o table|json``; the function gets it as ``output``."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="For people, or for programs.",
    )(function)


def print_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2))


def print_done(said: str, result: Any, output: str) -> None:
    """What a command did: one line, or the same as JSON."""
    print_json(result) if output == "json" else click.echo(said)


def print_columns(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print aligned columns; what a row holds cannot send codes to the terminal."""
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        click.echo(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _cell(value: object) -> str:
    text = "-" if value is None or value == "" else str(value)
    return printable(text).replace("\n", "\\n")


def printable(text: str) -> str:
    """``text`` with everything but line ends that does not print escaped."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
