"""Choices read from the bytes a fuzzer makes. When they are used up, the first choice is taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """Bytes read as choices, one byte per small choice, so that a changed byte changes one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        """Up to ``size`` bytes as they are."""
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def byte(self) -> int:
        """0 … 255."""
        return self.take(1)[0] if self else 0

    def number(self) -> int:
        """0 … 2⁶⁴−1."""
        return int.from_bytes(self.take(8), "big")

    def pick(self, options: Sequence[T]) -> T:
        """One of them."""
        return options[self.byte() % len(options)]

    def text(self) -> str:
        """Up to 255 characters of any kind, surrogates too."""
        return self.take(self.byte()).decode("utf-8", "surrogateescape")
