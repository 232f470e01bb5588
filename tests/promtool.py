"""Runs Prometheus's own ``promtool``: what it says of metrics and of alerts is what counts."""

from __future__ import annotations

import shutil
import subprocess

import pytest

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="no promtool on this machine; install the Debian package prometheus",
)
TIMEOUT_S = 30.0


def promtool(*arguments: str, fed: bytes = b"") -> str:
    """What it prints; fails unless it is content. ``fed``: its standard input."""
    done = subprocess.run(
        ["promtool", *arguments], input=fed, capture_output=True, timeout=TIMEOUT_S, check=False
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said
