"""What a mutant is: a switch that puts one defect back into the rules while it is on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Replace:
    """Replaces attributes of classes and modules, and puts them back."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def __call__(self, owner: Any, name: str, new: Any) -> None:
        """``owner.name`` is ``new`` until `undo`."""
        self._before.append((owner, name, vars(owner)[name]))
        setattr(owner, name, new)

    def undo(self) -> None:
        """Everything as before."""
        while self._before:
            owner, name, old = self._before.pop()
            setattr(owner, name, old)


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One defect."""

    name: str
    rule: str
    """The row of behaviour 1.23 (``row 2``), the mutant of reliability 3 (``decay``), and the rule
    of ours that forbids it."""
    defect: str
    """In one sentence, as if it were so."""
    history: str
    """The kind of history in which it dies."""
    dies: str
    """The invariant that does not hold then."""
    switch: Callable[[Replace], None]

    @contextmanager
    def active(self) -> Iterator[None]:
        """The defect is in the rules, for every world of this process."""
        replace = Replace()
        try:
            self.switch(replace)
            yield
        finally:
            replace.undo()


def mutant(
    name: str, *, rule: str, defect: str, history: str, dies: str
) -> Callable[[Callable[[Replace], None]], Mutant]:
    """Makes a `Mutant` of the function that puts the defect in."""

    def made(switch: Callable[[Replace], None]) -> Mutant:
        return Mutant(name, rule, defect, history, dies, switch)

    return made
