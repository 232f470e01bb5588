"""Tables as texts that a prompt shows as they are."""

from __future__ import annotations

import io

from rich.console import RenderableType

from .tables import console


class Shown(str):
    """Its representation is the text itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def shown(table: RenderableType) -> Shown:
    """Something of `tables` as a text."""
    stream = io.StringIO()
    console(stream).print(table)
    return Shown(stream.getvalue().rstrip())
