"""What the documentation says is so: its commands run, its pages are current, its links lead on."""

from __future__ import annotations

import importlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from docs.generate import PAGES, TOPICS
from tagmesh.protocol.cluster_settings import ClusterSettings
from tagmesh.protocol.settings import settings_of

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = Path(sys.executable).parent
TIMEOUT_S = 30.0
MARKDOWN = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def blocks(language: str, text: str = README) -> list[str]:
    """The code blocks of a language, by default those of the README, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[list[str]]:
    """Each ``$ command`` of the console blocks, split, comments left out."""
    lines = [line for block in blocks("console") for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    return [shlex.split(line[2:], comments=True) for line in lines if text in line]


# Pages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_derived_pages_are_current(name: str) -> None:
    assert (TOPICS / name).read_text(encoding="utf-8") == PAGES[name](), "run: make docs"


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_files_that_the_guarantees_name_exist() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[^`]*)`", text)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_decisions_are_numbered_and_of_one_form() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(page.name[:4])}. ")
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequences",
        ]


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    pages = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^\$ make (\w+)", pages, re.MULTILINE))
    assert {"demo", "test", "check"} <= targets
    assert [t for t in targets if not re.search(rf"^{t}:", makefile, re.MULTILINE)] == []


# Capabilities -------------------------------------------------------------------------------------

CAPABILITIES = (TOPICS / "capabilities.md").read_text(encoding="utf-8")
DIALOGS = (TOPICS / "dialogs.md").read_text(encoding="utf-8")
LIMIT = re.compile(
    r"^\| [^|]+ \| (\d+)(?: (bytes|characters|MiB|s))? \| (setting )?`([\w.]+)` \|$",
    re.MULTILINE,
)


@pytest.mark.parametrize("code", blocks("python", CAPABILITIES) + blocks("python", DIALOGS))
def test_the_programs_about_capabilities_run(code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", [CAPABILITIES, DIALOGS], ids=["capabilities", "dialogs"])
def test_the_limits_are_what_the_page_says(page: str) -> None:
    table = page.partition("| what | limit | name |")[2]
    limits = LIMIT.findall(table)
    assert len(limits) == table.count("\n| ") > 0, "a row of another form"
    settings = {key: field.metadata["default"] for key, field in settings_of(ClusterSettings)}
    for number, unit, setting, name in limits:
        if setting:
            value = settings[name]
            assert str(value) == (f"{number}MiB" if unit == "MiB" else number), name
        else:
            module, _, constant = name.rpartition(".")
            value = getattr(importlib.import_module(f"tagmesh.{module}"), constant)
            assert value == int(number) * (2**20 if unit == "MiB" else 1), name


# The README's walk from an empty folder to a running cluster --------------------------------------


class Walk:
    """A folder in which the README's commands run, on ports that are free here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = {named: str(free_port()) for named in ("5556", "5557", "8888", "8889")}
        self.environment = {
            "PATH": f"{PROGRAMS}:/usr/bin:/bin",
            "HOME": str(folder),
            "TAGMESH_URL": f"http://127.0.0.1:{self._ports['8888']}",
        }

    def here(self, text: str) -> str:
        """``text`` with the ports of this walk."""
        return re.sub("|".join(self._ports), lambda found: self._ports[found[0]], text)

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.here(word) for word in command],
            cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip

    def must(self, command: list[str]) -> str:
        done = self.run(command)
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def running(self, command: list[str]) -> Iterator[None]:
        """A node in the background; on SIGTERM it must exit with 0."""
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(TIMEOUT_S) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """After the README's commands up to the first ``node run``."""
    walk = Walk(tmp_path_factory.mktemp("readme"))
    for command in commands("tagmesh pki i"):
        walk.must(command)
    (toml,) = blocks("toml")
    for node, text in (
        ("1", toml),
        ("2", toml.replace("id = 1", "id = 2").replace("8888", "8889")),
    ):
        (walk.folder / f"node-{node}" / "tagmesh.toml").write_text(walk.here(text))
    for command in [*commands("tagmesh db"), *commands("tagmesh config"), *commands("pki check")]:
        walk.must(command)
    return walk


def test_two_nodes_as_the_readme_says(walk: Walk) -> None:
    first, second = commands("node run")
    with walk.running(first), walk.running(second):
        deadline = time.monotonic() + TIMEOUT_S
        while "2 nodes, 2 up" not in (status := walk.run(["tagmesh", "ctl", "status"]).stdout):
            assert time.monotonic() < deadline, status
        shown = [walk.must(command) for command in commands("tagmesh ctl")]
        assert "2 nodes, 2 up" in shown[0]
        (listed,) = commands("opensips-cli")
        assert '"link_state": "Up"' in walk.must(listed)


@pytest.mark.parametrize("code", blocks("python"), ids=["cluster", "node"])
def test_the_programs_of_the_readme_run(walk: Walk, code: str) -> None:
    done = walk.run([sys.executable, "-W", "error", "-c", code])
    assert (done.returncode, done.stderr) == (0, "")


def test_no_command_of_the_readme_was_left_out() -> None:
    """The tests above run every command but those of make."""
    tried = [
        *("tagmesh pki i", "tagmesh db", "tagmesh config", "pki check"),
        *("node run", "tagmesh ctl", "opensips-cli"),
    ]
    for command in commands(""):
        line = shlex.join(command)
        assert command[0] == "make" or any(text in line for text in tried), line


def test_the_table_of_the_readme_has_the_columns_there_are(walk: Walk) -> None:
    (sample,) = blocks("text")
    code = "from tagmesh import LocalCluster\nwith LocalCluster(1) as lab: print(lab)"
    shown = walk.must([sys.executable, "-c", code])
    assert sample.splitlines()[1].split() == shown.splitlines()[1].split()
