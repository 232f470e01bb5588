"""``tagmesh ctl log-level``."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import click.testing
import pytest

from tagmesh.control.cli import root


@pytest.fixture(autouse=True)
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("tagmesh")
    before = found.level
    yield found
    found.setLevel(before)


def ctl(url: str, *arguments: str) -> click.testing.Result:
    command = ["ctl", "--url", url, "log-level", *arguments]
    return click.testing.CliRunner().invoke(root, command)


def test_it_is_set_and_told(url: str, logger: logging.Logger) -> None:
    assert ctl(url, "debug").stdout == "ok: log level debug\n"
    assert logger.level == logging.DEBUG
    assert ctl(url).stdout == "debug\n"
    assert json.loads(ctl(url, "error", "-o", "json").stdout) == {"New global log level": -1}
    assert json.loads(ctl(url, "-o", "json").stdout)["Processes"][0]["Log level"] == -1


def test_a_level_that_is_none_is_refused(url: str) -> None:
    refused = ctl(url, "loud")
    assert refused.exit_code == 2
    assert "'critical', 'error', 'warning', 'info', 'debug'" in refused.stderr
