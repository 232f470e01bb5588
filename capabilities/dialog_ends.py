"""Functions of an application that hear of the end of dialogs, away from the hub.

One thing at a time, in order: an expired dialog is looked at by whoever has it (`Dialogs`), which
has `over` called and deletes it; then `ended` is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, TypeAlias

from ..protocol.tag_words import Token
from .background import Background, Run
from .dialog_records import Dialog

Why: TypeAlias = Literal["terminated", "expired"]
OnExpired: TypeAlias = Callable[[Dialog, Token | None], None]
"""Gets the dialog, and the token of its tag; None = it has no tag."""
OnEnded: TypeAlias = Callable[[Dialog, Why, Token | None], None]


class _Ended(NamedTuple):
    dialog: Dialog
    why: Why
    token: Token | None


class DialogEnds:
    """The functions, and what they have not heard of. Any thread may use it."""

    def __init__(self, expire: Callable[[bytes], None], run: Run | None = None) -> None:
        """``expire`` is called, where it may block, with each packed key that `due` was told."""
        self._expire = expire
        self._todo: deque[bytes | _Ended] = deque()
        self._background = Background(self._step, run)
        self.on_expired: tuple[OnExpired, ...] = ()
        self.on_ended: tuple[OnEnded, ...] = ()

    @property
    def failures(self) -> int:
        """Calls that raised."""
        return self._background.failures

    def due(self, packed: Iterable[bytes]) -> None:
        """These dialogs have expired here."""
        self._todo.extend(packed)
        if self._todo:
            self._background.wake()

    def over(self, dialog: Dialog, token: Token | None) -> None:
        """Tell of a dialog that has expired, at once; to be called by ``expire``."""
        for function in self.on_expired:
            self._background.attempt(function, dialog, token)

    def ended(self, dialog: Dialog, why: Why, token: Token | None) -> None:
        """A dialog was deleted here."""
        if self.on_ended:
            self._todo.append(_Ended(dialog, why, token))
            self._background.wake()

    def _step(self) -> bool:
        try:
            task = self._todo.popleft()
        except IndexError:
            return False
        if isinstance(task, _Ended):
            for function in self.on_ended:
                self._background.attempt(function, *task)
        else:
            self._expire(task)
        return True
