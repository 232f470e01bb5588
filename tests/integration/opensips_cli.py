"""Runs the real ``opensips-cli`` from PyPI, unchanged, in a home of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.terminal import terminal

PROGRAM = Path(sys.executable).with_name("opensips-cli")
TIMEOUT_S = 30.0


class OpenSipsCli:
    """``options``: of its configuration, which say how it reaches the instance.

    ``home``: an empty folder, so that no configuration or history of this machine is used.
    """

    def __init__(self, home: Path, **options: object) -> None:
        self._options = [f"{name}={value}" for name, value in options.items()]
        self._home = home
        self._config = home / "opensips-cli.cfg"
        history = home / "history"
        self._config.write_text(f"[default]\nlog_level: ERROR\nhistory_file: {history}\n")

    def interactive(self) -> contextlib.AbstractContextManager[Any]:
        """The program waiting for commands, on a terminal; see `terminal`."""
        arguments = [argument for option in self._options for argument in ("-o", option)]
        env = {"HOME": str(self._home), "PATH": "/usr/bin:/bin", "TERM": "dumb", "INPUTRC": "/none"}
        command = [str(PROGRAM), "-f", str(self._config), *arguments]
        return terminal(command, env=env, timeout_s=TIMEOUT_S)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """One call: ``run("mi", "clusterer_list")``."""
        arguments = [argument for option in self._options for argument in ("-o", option)]
        return subprocess.run(
            [str(PROGRAM), "-f", str(self._config), *arguments, "-x", "--", *command],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            cwd=self._home,
            env={"HOME": str(self._home), "PATH": "/usr/bin:/bin"},
        )

    def mi(self, *command: str) -> Any:
        """The result of a management command that must succeed."""
        done = self.run("mi", *command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)
