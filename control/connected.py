"""A node of another process, at a prompt: what its management interface lets be seen and done."""

from __future__ import annotations

import threading
from typing import Any, Self

import msgspec

from ..protocol.events import EventRecord
from ..protocol.status import Status
from .client import MiClient, MiError, NoAnswer
from .link_view import LinkView
from .repl import Say
from .shown import Shown, shown
from .tables import status_table
from .tables_tags import tags_table
from .wording import event_line

POLL_S = 0.3


class ConnectedNode:
    """Everything goes over the management interface: no code runs there."""

    def __init__(self, client: MiClient) -> None:
        """Raises `NoAnswer` when nobody answers."""
        self._client = client
        self.node_id = self.status().node_id

    def status(self) -> Status:
        """The whole snapshot."""
        return self._client.state()[0]

    def mi(self, method: str, *params: Any, **named: Any) -> Any:
        """The result of a management command; `MiError` when it has none."""
        return self._client.call(method, named or list(params))

    def link(self, node_id: int, cluster: int | None = None) -> LinkView:
        """Its link with another node."""
        return LinkView(self.status, node_id, cluster)

    def tags(self) -> Shown:
        """The sharing tags as it sees them."""
        return shown(tags_table(self.status()))

    def __repr__(self) -> str:
        return shown(status_table(self.status()))

    __str__ = __repr__


class Watch:
    """Tells the events of a node as they come, until it is closed."""

    def __init__(self, node: ConnectedNode, say: Say) -> None:
        self._node = node
        self._say = say
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tagmesh-watch", daemon=True)

    def __enter__(self) -> Self:
        self._place: str = self._node.mi("tagmesh_events")["next"]
        self._thread.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        silent = False
        while not self._over.wait(POLL_S):
            try:
                page = self._node.mi("tagmesh_events", self._place)
            except (NoAnswer, MiError) as error:
                if not silent:
                    self._say(f"node {self._node.node_id}: {str(error).partition(chr(10))[0]}")
                silent = True
                continue
            silent = False
            self._place = page["next"]
            for event in page["events"]:
                record = msgspec.convert(event, EventRecord)
                self._say(f"node {self._node.node_id} {event_line(record)}")
