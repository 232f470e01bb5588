"""What the faces for people need of a running node, and nothing more."""

from __future__ import annotations

from typing import Protocol

from ..protocol.status import Status


class NodePort(Protocol):
    """A running node as the management interface sees it.

    Every call may come from any OS thread and may block it: the HTTP server makes them in worker
    threads, never in the hub, so an implementation has one way to answer, whichever thread or
    greenlet the node itself runs in.
    """

    def status(self) -> Status:
        """The whole snapshot, quickly (milliseconds)."""
        ...

    def trace_route(self, cluster: int, node: int, timeout: float) -> list[int]:
        """Ask the nodes on the way: the nodes passed, the destination last. ``timeout``: seconds.

        Raises `NodeDown` when the destination is unreachable or does not answer in time, `Misuse`
        when the cluster or the node is unknown.
        """
        ...

    def cut(self, node: int) -> None:
        """Block the direct path to ``node`` with the transport's test switch.

        Raises `Misuse` unless ``[admin] fault_switch`` is on.
        """
        ...

    def heal(self, node: int) -> None:
        """Undo `cut`; healing a path that is not cut does nothing. Raises like `cut`."""
        ...
