"""``tagmesh pki``: from nothing to certificates that pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tagmesh.control.cli import root


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tagmesh.toml").write_text("[node]\nid = 1\n")
    return tmp_path


def pki(*arguments: str) -> Result:
    return CliRunner().invoke(root, ["pki", *arguments])


def test_the_documented_way(folder: Path) -> None:
    done = pki("init-ca")
    assert (done.exit_code, done.stdout) == (0, "wrote ca/ca.key (0600), ca/ca.crt\n")
    assert done.stderr == "Next: tagmesh pki issue --ca ca --node 1 --out tls\n"
    done = pki("issue", "--node", "1", "--host", "node-a", "--ip", "10.0.0.5", "--ip", "::1")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "wrote tls/node.key (0600), tls/node.crt, tls/ca.crt\n"
    done = pki("check")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["RESULT", "CHECK", "FOUND"]
    assert {line.split()[0] for line in lines[1:]} == {"PASS"}
    assert len(lines) == 8


def test_options_reach_the_certificates(folder: Path) -> None:
    assert pki("init-ca", "--out", "my", "--trust-domain", "prod", "--days", "100").exit_code == 0
    issue = ("issue", "--ca", "my", "--node", "1", "--out", "tls")
    assert pki(*issue, "--days", "10").exit_code == 0
    (folder / "tagmesh.toml").write_text('[node]\nid = 1\n[tls]\ntrust_domain = "prod"\n')
    done = pki("check", "-o", "json")
    found = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert done.exit_code == 0  # a warning is no failure
    assert found["dates"]["verdict"] == "WARN"
    assert "expires in 9 days" in found["dates"]["text"]
    assert "spiffe://prod/node/1" in found["identity"]["text"]
    done = pki("issue", "--ca", "my", "--node", "2", "--out", "b", "--days", "10",
               "--trust-domain", "other")  # fmt: skip
    assert done.exit_code == 0


def test_a_certificate_that_fails_is_status_1(folder: Path) -> None:
    pki("init-ca")
    pki("issue", "--node", "2")
    done = pki("check")
    assert (done.exit_code, done.stderr) == (1, "")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert "it must have exactly one URI SAN, spiffe://tagmesh/node/1" in line


def test_without_files_each_missing_one_is_named(folder: Path) -> None:
    done = pki("check")
    assert done.exit_code == 1
    assert done.stdout.count("No such file or directory") == 3


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["issue", "--node", "1"], 2, "make a CA with tagmesh pki init-ca --out ca"),
        (["issue"], 2, "Missing option '--node'"),
        (["issue", "--node", "0"], 2, "0 is not in the range"),
        (["issue", "--node", "one"], 2, "'one' is not a valid integer"),
        (["init-ca", "--trust-domain", "Prod"], 2, "must be lower-case letters"),
        (["init-ca", "--days", "0"], 2, "0 days of validity: it must be 1 … 36500"),
        (["init-ca", "--out", "tagmesh.toml"], 1, "tagmesh.toml: File exists"),
        (["check", "-c", "nope"], 2, "nope: cannot be read"),
        (["chek"], 2, "No such command 'chek'"),
    ],
)
def test_wrong_input_says_what_to_do(
    folder: Path, arguments: list[str], code: int, says: str
) -> None:
    done = pki(*arguments)
    assert (done.exit_code, done.stdout) == (code, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_keys_are_never_overwritten(folder: Path) -> None:
    pki("init-ca")
    before = (folder / "ca" / "ca.key").read_bytes()
    done = pki("init-ca")
    assert done.exit_code == 2
    assert done.stderr == (
        "Error: ca/ca.key exists and is not overwritten; move it away or use another --out\n"
    )
    assert (folder / "ca" / "ca.key").read_bytes() == before
