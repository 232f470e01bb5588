"""The root of the command line: groups, errors as exit codes, streams."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tagmesh import __version__
from tagmesh.control.cli import GROUPS, root
from tagmesh.protocol.config import ConfigError, Problem
from tagmesh.protocol.errors import (
    ForkedRuntime,
    Misuse,
    NodeDown,
    NotProvisioned,
    StorageUnavailable,
    Unknown,
)

TAGMESH = [sys.executable, "-m", "tagmesh"]
HEAVY = ("rich", "sqlalchemy", "cryptography", "gevent", "flask", "OpenSSL", "pykka")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TAGMESH, *arguments], check=False, capture_output=True, text=True, timeout=20
    )


def test_the_program_tells_its_version_and_commands() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"tagmesh {__version__}\n", "")
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name in GROUPS:
        assert f"  {name}  " in done.stdout


@pytest.mark.parametrize("name", GROUPS)
def test_every_group_of_the_table_is_there_and_explained(name: str) -> None:
    done = CliRunner().invoke(root, [name, "--help"])
    assert done.exit_code == 0
    assert done.stdout.startswith("Usage: ")


def test_help_and_configuration_load_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from tagmesh.control.cli import root\n"
        "r = CliRunner().invoke(root, ['--help']); assert r.exit_code == 0\n"
        "r = CliRunner().invoke(root, ['config', 'example']); assert r.exit_code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=20
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("typed", [["cofnig"], ["config", "chek"], ["--verzion"]])
def test_a_typo_is_a_usage_error(typed: list[str]) -> None:
    done = CliRunner().invoke(root, typed)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "No such" in done.stderr
    assert typed[-1] in done.stderr


@pytest.fixture
def failing() -> Iterator[list[BaseException]]:
    """``tagmesh fail`` raises what the test puts into the list."""
    raised: list[BaseException] = []

    @root.command()
    def fail() -> None:
        click.echo("half a result")
        raise raised[0]

    yield raised
    del root.commands["fail"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ForkedRuntime("x"), 1),
        (StorageUnavailable("x"), 1),
        (Misuse("x"), 2),
        (ConfigError([Problem("node", "id", "is missing", "a number")]), 2),
        (Unknown("x"), 3),
        (NotProvisioned("x"), 4),
        (NodeDown("x"), 5),
        (PermissionError(errno.EACCES, "Permission denied", "ca/ca.key"), 1),
        (OSError("odd"), 1),
    ],
)
def test_errors_of_users_are_a_sentence_and_an_exit_code(
    failing: list[BaseException], error: BaseException, code: int
) -> None:
    failing.append(error)
    done = CliRunner().invoke(root, ["fail"])
    assert (done.exit_code, done.stdout) == (code, "half a result\n")
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_an_error_of_the_system_names_the_file(failing: list[BaseException]) -> None:
    failing.append(PermissionError(errno.EACCES, "Permission denied", "ca/ca.key"))
    assert CliRunner().invoke(root, ["fail"]).stderr == "Error: ca/ca.key: Permission denied\n"


def test_what_others_put_into_an_error_cannot_control_the_terminal(
    failing: list[BaseException],
) -> None:
    failing.append(Misuse("first\nsecond \x1b[31mred\x07"))
    assert CliRunner().invoke(root, ["fail"]).stderr == "Error: first\nsecond \\x1b[31mred\\x07\n"


def test_an_interrupt_is_130(failing: list[BaseException]) -> None:
    failing.append(KeyboardInterrupt())
    done = CliRunner().invoke(root, ["fail"])
    assert (done.exit_code, done.stderr) == (130, "")


def test_a_bug_keeps_its_traceback(failing: list[BaseException]) -> None:
    failing.append(ZeroDivisionError("bug"))
    assert isinstance(CliRunner().invoke(root, ["fail"]).exception, ZeroDivisionError)


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """`tagmesh config example | head -1` prints no traceback."""
    producer = subprocess.Popen(
        [*TAGMESH, "config", "example"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert producer.stdout is not None
    assert producer.stderr is not None
    producer.stdout.close()
    assert producer.stderr.read() == b""
    producer.wait(20)
    producer.stderr.close()
