"""What hostile frames cost: memory and time stay bounded, whatever they claim (I11, W2 … W11)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.badinput.hostile_bytes import CANARY, CANARY_BYTES, CANARY_S, FRAMES

MAX_EXTRA_BYTES = 8 * 1024**2
"""Resident memory above that of the frame itself, which has up to 1 MiB."""
MAX_CPU_S = 0.05
ROOT = Path(__file__).parent.parent.parent

Figures = dict[str, tuple[float, int]]


@pytest.fixture(scope="module")
def figures() -> Figures:
    done = subprocess.run(
        [sys.executable, "-m", "tests.badinput.hostile_bytes"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    return {name: (seconds, size) for name, (seconds, size) in json.loads(done.stdout).items()}


def test_what_is_too_much_is_seen(figures: Figures) -> None:
    seconds, size = figures[CANARY]
    assert size >= CANARY_BYTES > MAX_EXTRA_BYTES
    assert seconds >= CANARY_S > MAX_CPU_S


@pytest.mark.parametrize("name", FRAMES)
def test_a_hostile_frame_is_cheap(figures: Figures, name: str) -> None:
    seconds, size = figures[name]
    assert size <= MAX_EXTRA_BYTES
    assert seconds <= MAX_CPU_S
