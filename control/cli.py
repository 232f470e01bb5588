"""``tagmesh``: the root of the command line. Each group of commands is one module beside this one.

A group is imported when it is used, and imports what is heavy where it is used, so that
``--help`` and completion are fast. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import errno
import importlib
from collections.abc import Mapping
from typing import Any

import click

from .. import __version__
from ..protocol import errors
from ..protocol.settings import ConfigError
from .cli_output import printable

GROUPS: Mapping[str, str] = {
    "completion": "cli_completion:completion",
    "config": "cli_config:config",
    "ctl": "cli_ctl:ctl",
    "db": "cli_db:db",
    "demo": "cli_demo:demo",
    "flight": "cli_flight:flight",
    "node": "cli_node:node",
    "pki": "cli_pki:pki",
    "repl": "cli_repl:repl",
    "simulate": "cli_simulate:simulate",
}
"""Command to module:object. A new group is one line here."""

EXIT_REFUSED, EXIT_USAGE, EXIT_UNKNOWN, EXIT_NOT_ALLOWED, EXIT_NO_ANSWER = 1, 2, 3, 4, 5
EXIT_INTERRUPTED = 130
EXIT_CODES: Mapping[type[errors.TagmeshError], int] = {
    ConfigError: EXIT_USAGE,
    errors.Misuse: EXIT_USAGE,
    errors.Unknown: EXIT_UNKNOWN,
    errors.NotProvisioned: EXIT_NOT_ALLOWED,
    errors.NodeDown: EXIT_NO_ANSWER,
}
"""What is not here, and no subclass, is refused or unhealthy."""


class Failure(click.ClickException):
    """Ends the program with a user's error: its text on stderr, no traceback, an exit code."""

    exit_code: int  # type: ignore[misc]  # click has one per class; ours depends on the cause

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(printable(text))
        self.exit_code = exit_code


def _exit_code(error: errors.TagmeshError) -> int:
    codes = [EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES]
    return codes[0] if codes else EXIT_REFUSED


class _Root(click.Group):
    """Loads groups when they are needed; the one place that turns errors into exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*GROUPS, *super().list_commands(ctx)])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in GROUPS:
            return super().get_command(ctx, cmd_name)
        module, _, name = GROUPS[cmd_name].partition(":")
        command = getattr(importlib.import_module(f".{module}", __package__), name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except errors.TagmeshError as error:
            raise Failure(str(error), _exit_code(error)) from error
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output is gone: click ends silently
                raise
            where = f"{error.filename}: " if error.filename else ""
            raise Failure(f"{where}{error.strerror or error}", EXIT_REFUSED) from error


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tagmesh", message="%(prog)s %(version)s")
def root() -> None:
    """Clustering for Python programs: nodes, links, certificates, provisioning."""


def main() -> None:
    """The ``tagmesh`` program."""
    root(prog_name="tagmesh")
