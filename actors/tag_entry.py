"""A sharing tag declared in one cluster: what outlives its actor, and what any thread may read."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ..protocol.tag_words import Token

if TYPE_CHECKING:
    from ..protocol.identity import ClusterId
    from ..protocol.tag_settings import TagSettings
    from .worker import Worker

logger = logging.getLogger("tagmesh.tags")

OnTag = Callable[[Token], object]


class TagListener(NamedTuple):
    """A function of the application."""

    active: bool
    """Called when the tag becomes active here; else when it no longer is."""
    function: OnTag
    worker: Worker
    """Where it is called."""


class _Held(NamedTuple):
    token: Token
    until_s: float


class TagEntry:
    """One per declared tag and cluster. Written in the hub, read by anybody."""

    def __init__(
        self,
        cluster: ClusterId,
        name: str,
        settings: TagSettings,
        monotonic: Callable[[], float],
        listeners: list[TagListener],
        *,
        starts_active: bool = False,
    ) -> None:
        """``listeners`` may grow at any time; ``starts_active``: H-23."""
        self.cluster = cluster
        self.name = name
        self.settings = settings
        self.starts_active = starts_active
        self.starts = itertools.count()
        """Numbers the actors that this tag has had in this life."""
        self.resumes = False
        """Its actor crashed while the tag was active."""
        self._monotonic = monotonic
        self._listeners = listeners
        self._held: _Held | None = None

    @property
    def token(self) -> Token | None:
        """Of the epoch that is active here, at this moment (H-24); None = it is not."""
        held = self._held  # once: the hub may replace it meanwhile
        return held.token if held is not None and self._monotonic() < held.until_s else None

    def listen(self, listeners: list[TagListener]) -> None:
        """The application uses a tag that came to this node unasked."""
        self._listeners = listeners

    def hold(self, token: Token, until_s: float = math.inf) -> None:
        """It is active here from now on, by itself until then."""
        self._held = _Held(token, until_s)
        self._tell(token, active=True)

    def extend(self, until_s: float) -> None:
        """It is active until then, if it is."""
        if self._held is not None:
            self._held = _Held(self._held.token, until_s)

    def drop(self) -> Token | None:
        """It is not active any more; the token that was held, if one was."""
        held, self._held = self._held, None
        if held is None:
            return None
        self._tell(held.token, active=False)
        return held.token

    def _tell(self, token: Token, *, active: bool) -> None:
        for listener in list(self._listeners):
            if listener.active == active:
                listener.worker.submit(lambda f=listener.function: f(token), self._done)  # type: ignore[misc]  # bound now

    def _done(self, error: BaseException | None) -> None:
        if error is not None:
            logger.error("a callback of tag %a failed", self.name, exc_info=error)
