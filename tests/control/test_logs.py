"""Log lines of ``node run``: one each, for people or as JSON; nothing a peer says breaks out."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from tagmesh.control.logs import MAX_LINE_CHARS, log_to_stderr
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.events import Event, EventRecord
from tagmesh.protocol.identity import ClusterId, NodeId

EVENT = EventRecord(
    sequence=7, wall_s=0.0, kind=Event.LINK_CHANGED, cluster_id=ClusterId(1), node_id=NodeId(3),
    before="Up", after="Probe", cause="no answer",
)  # fmt: skip


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    logger = logging.getLogger("tagmesh")
    before = (list(logger.handlers), logger.level, logger.propagate)
    yield
    logger.handlers, logger.level, logger.propagate = before[0], before[1], before[2]


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_console(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr(json_lines=False, verbose=False)
    logging.getLogger("tagmesh.x").info("%s", EVENT, extra={"event": EVENT})
    logging.getLogger("tagmesh.x").debug("a detail")
    (line,) = lines(capsys)
    assert line.endswith(" info link_changed cluster 1 node 3 Up>Probe: no answer")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr(json_lines=True, verbose=True)
    logging.getLogger("tagmesh.x").info("%s", EVENT, extra={"event": EVENT})
    logging.getLogger("tagmesh.y").debug("a detail")
    first, second = map(json.loads, lines(capsys))
    assert first.pop("time").startswith("20")
    assert first == {
        "level": "INFO", "logger": "tagmesh.x",
        "message": "link_changed cluster 1 node 3 Up>Probe: no answer",
        "event": "link_changed", "cluster_id": 1, "node_id": 3, "from": "Up", "to": "Probe",
        "reason": "no answer",
    }  # fmt: skip
    assert second["message"] == "a detail"


def test_json_names_the_tag_or_the_capability_that_changed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_to_stderr(json_lines=True, verbose=False)
    for event in (
        EventRecord(sequence=1, wall_s=0.0, kind=Event.TAG_CHANGED, tag="vip"),
        EventRecord(sequence=2, wall_s=0.0, kind=Event.CAPABILITY_CHANGED, capability="records"),
    ):
        logging.getLogger("tagmesh.x").info("%s", event, extra={"event": event})
    first, second = map(json.loads, lines(capsys))
    assert (first["tag"], "capability" in first) == ("vip", False)
    assert (second["capability"], "tag" in second) == ("records", False)


@pytest.mark.parametrize("json_lines", [False, True])
def test_what_a_peer_says_stays_on_its_line(
    capsys: pytest.CaptureFixture[str], json_lines: bool
) -> None:
    log_to_stderr(json_lines=json_lines, verbose=False)
    logging.getLogger("tagmesh.x").warning("%s", "\x1b[31m\nfake line " + "x" * 10_000)
    (line,) = lines(capsys)
    assert "\x1b" not in line
    assert len(line) < MAX_LINE_CHARS + 200


def test_a_traceback_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr(json_lines=True, verbose=False)
    try:
        int("boom")
    except ValueError:
        logging.getLogger("tagmesh.x").exception("failed")
    (line,) = lines(capsys)
    assert "ValueError: invalid literal" in json.loads(line)["exc_info"]


def test_json_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythonjsonlogger.json", None)
    with pytest.raises(Misuse, match=r"tagmesh\[logs\]"):
        log_to_stderr(json_lines=True, verbose=False)
