"""What runs the tests elsewhere: `.ci/run`, and the rule that nothing is skipped there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUN = ROOT / ".ci" / "run"
SKIPPING = """
import pytest

@pytest.mark.skip(reason="no such program")
def test_marked(): ...

def test_calling():
    pytest.skip("no such server")

@pytest.fixture
def server():
    pytest.skip("no such server")

def test_fixture(server): ...

@pytest.mark.xfail(strict=True)
def test_expected():
    assert False

def test_good(): ...
"""


@pytest.mark.parametrize(
    ("ci", "line"),
    [("true", "1 passed, 1 xfailed, 1 failed, 2 errors"), ("", "1 passed, 3 skipped, 1 xfailed")],
)
def test_skips_are_failures_in_ci_only(ci: str, line: str, tmp_path: Path) -> None:
    file = tmp_path / "test_skips.py"
    file.write_text(SKIPPING)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", os.devnull, str(file)],
        cwd=ROOT, env={**os.environ, "CI": ci, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    counted = done.stdout.splitlines()[-1].strip("= ").partition(" in ")[0]
    assert sorted(counted.split(", ")) == sorted(line.split(", "))
    assert done.returncode == (1 if ci else 0)


def test_the_run_is_a_program_that_bash_can_read() -> None:
    assert os.access(RUN, os.X_OK)
    text = RUN.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    subprocess.run(["bash", "-n", str(RUN)], check=True, timeout=10)


def test_the_run_compares_histories_on_every_supported_python() -> None:
    """I12. The versions stand in three files."""
    (named,) = re.findall(r"^for version in (.*); do$", RUN.read_text("utf-8"), re.MULTILINE)
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^PYTHONS = \[(.*)\]$", noxfile, re.MULTILINE)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    classified = re.findall(r'"Programming Language :: Python :: (.*)"', project)
    assert named.split() == re.findall(r'"(.*?)"', listed) == classified


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ([], []),
        (["SEEDS=3000-", "MINUTES=30"], ["--seeds", "3000-", "--minutes", "30"]),
        (["ARGS=--nodes 9"], ["--nodes", "9"]),
    ],
)
def test_make_soak_hands_its_variables_on(given: list[str], options: list[str]) -> None:
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "soak", *given],
        env={"PATH": os.environ["PATH"]},  # of no make that runs the tests
        cwd=ROOT, check=True, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    command = done.stdout.replace("\\\n", " ").splitlines()[-1].split()
    assert command[1:] == ["-m", "tests.simulation.soak", *options]


def test_the_run_installs_nothing_without_being_root() -> None:
    """It names what is missing and fails. A user id that owns nothing stands for anybody."""
    nobody = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, ".ci", "run")
        copy.parent.mkdir()
        copy.write_bytes(RUN.read_bytes())
        for path in (Path(folder), copy.parent, copy):
            path.chmod(0o755)
        done = subprocess.run(
            [str(copy)], env={"PATH": "/usr/bin:/bin", "PYTHON": "no-such-python"}, check=False,
            cwd="/", capture_output=True, text=True, timeout=30, **nobody,  # type: ignore[call-overload]
        )  # fmt: skip
    assert done.returncode == 1
    assert "install them as root: apt-get install python3 python3-venv" in done.stderr
