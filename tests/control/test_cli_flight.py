"""``tagmesh ctl flight``, ``tagmesh flight`` and ``tagmesh simulate --flight``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tagmesh.control.cli import EXIT_USAGE, root
from tests.control.fake_node import FakeNode, served


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(FakeNode()) as made:
        yield made


def run(*args: str) -> Result:
    return CliRunner().invoke(root, args, prog_name="tagmesh")


@pytest.fixture
def file(url: str, tmp_path: Path) -> str:
    path = tmp_path / "one.flight"
    result = run("ctl", "--url", url, "flight", "dump", str(path))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith(f"read them with: tagmesh flight decode {path}\n")
    return str(path)


def test_a_recording_is_told_line_by_line(file: str) -> None:
    lines = run("flight", "decode", file).stdout.splitlines()
    assert lines[0] == "node 1, tagmesh, until 2026-09-21 14:13:20Z: asked for"
    assert [line.split()[0] for line in lines[1:]] == ["-2.000", "-1.000", "-0.500", "-0.500"]
    assert lines[1].endswith("cluster 1: members 1, 2")
    assert lines[2].endswith("cluster 1: link_up 2: answers")
    assert lines[3].endswith("from 2  cluster 1: Ping")
    assert "LinkState(cluster_id=1, origin=2, incarnation=9" in lines[4]


def test_for_programs_it_is_json(file: str) -> None:
    told = json.loads(run("flight", "decode", file, "-o", "json").stdout)
    assert (told["node_id"], told["reason"]) == (1, "asked for")
    assert [frame["kind"] for frame in told["frames"]] == ["Ping", "LinkState"]


def test_it_is_fed_to_the_rules_again(file: str) -> None:
    result = run("simulate", "--flight", file)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "node_up node 2: path found: links of node 2 changed" in result.stdout
    assert "  1: linked with 2" in result.stdout.splitlines()


def test_what_is_no_recording(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"\x00")
    result = run("flight", "decode", str(other))
    assert result.exit_code == EXIT_USAGE
    assert "no recording of a flight" in result.stderr


@pytest.mark.parametrize("args", [[], ["--seed", "1", "--flight", __file__]])
def test_a_seed_or_a_recording(args: list[str]) -> None:
    result = run("simulate", *args)
    assert result.exit_code == EXIT_USAGE
    assert "either --seed or --flight" in result.stderr


def test_a_file_that_cannot_be_written(url: str, tmp_path: Path) -> None:
    result = run("ctl", "--url", url, "flight", "dump", str(tmp_path / "no" / "such"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot write" in result.stderr
