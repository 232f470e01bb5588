"""A few hundred mutated frames through a real TLS link; more with ``python -m tests.fuzz live``."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.live import attack

FRAMES = 300


def test_mutated_frames_close_the_link_they_came_on_and_nothing_else(tmp_path: Path) -> None:
    outcome = attack(tmp_path, seed=1, frames=FRAMES)
    assert outcome.sent == FRAMES
    assert outcome.closed > FRAMES // 4, "most mutants are violations"
