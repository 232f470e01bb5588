"""``tagmesh config``, as somebody who types the wrong thing sees it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tagmesh.control.cli import root

FIVE_MISTAKES = """
[node]
id = "1"

[provisioning]
mode = "databse"

[tls]
privat_key = "tls/node.key"

[[cluster]]
id = 1
ping_timeout = "5s"

[transprot]
max_frame = "1MiB"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def config(*arguments: str) -> Result:
    return CliRunner().invoke(root, ["config", *arguments])


def test_the_first_steps(folder: Path) -> None:
    done = config("check")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "tagmesh config example > tagmesh.toml" in done.stderr
    (folder / "tagmesh.toml").write_text(config("example").stdout)
    done = config("check")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "tagmesh.toml: OK, node 1, database provisioning\n"


def test_five_mistakes_are_all_printed_and_the_status_is_2(folder: Path) -> None:
    file = folder / "x.toml"
    file.write_text(FIVE_MISTAKES)
    done = subprocess.run(
        [sys.executable, "-m", "tagmesh", "config", "check", "--config", str(file)],
        check=False, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"Error: {file}: 5 mistakes",
        "  [(top level)] transprot: unknown key; allowed: node, provisioning, tls, transport,"
        " cluster, capability, tag, admin; did you mean 'transport'?",
        "  [node] id: '1' is not a whole number; allowed: a whole number 1 … 2147483647",
        "  [provisioning] mode: 'databse' is not one of the options;"
        ' allowed: "database" | "static"; did you mean \'database\'?',
        "  [tls] privat_key: unknown key; allowed: ca, certificate, private_key, crl,"
        " trust_domain, min_version; did you mean 'private_key'?",
        "  [cluster #1] ping_timeout: 5s, but ping_interval is 4s;"
        " allowed: less than ping_interval",
    ]


def test_a_variable_that_only_looks_like_a_setting_is_a_note(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "tagmesh.toml").write_text("[node]\nid = 1\n")
    monkeypatch.setenv("TAGMESH_NODE_IDD", "7")
    done = config("check")
    assert done.exit_code == 0
    assert done.stderr == (
        "note: $TAGMESH_NODE_IDD is no setting and is ignored; nearest: $TAGMESH_NODE_ID\n"
    )


def test_values_are_shown_as_they_are_in_use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://ops:hunter2@db/opensips"
    (folder / "tagmesh.toml").write_text(f'[node]\nid = 1\n[provisioning]\nurl = "{url}"\n')
    monkeypatch.setenv("TAGMESH_NODE_ID", "7")
    shown = config("show")
    assert shown.exit_code == 0
    assert "hunter2" not in shown.output
    values = tomllib.loads(shown.stdout)
    assert values["node"] == {"id": 7, "state_dir": str(folder / "state")}
    assert values["provisioning"]["url"] == "postgresql://ops:***@db/opensips"
    assert json.loads(config("show", "-o", "json").stdout) == {**values, "cluster": []}


def test_a_file_named_by_the_environment(folder: Path) -> None:
    (folder / "by_variable.toml").write_text("[node]\nid = 5\n")
    done = CliRunner().invoke(root, ["config", "check"], env={"TAGMESH_CONFIG": "by_variable.toml"})
    assert done.stdout == "by_variable.toml: OK, node 5, database provisioning\n"


def test_a_missing_file_is_named(folder: Path) -> None:
    done = config("check", "-c", "nope.toml")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "Error: nope.toml: cannot be read: No such file or directory\n"
