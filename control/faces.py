"""The faces of a running node that its configuration asks for: started and stopped together."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Self

from ..protocol.config import AdminSettings
from ..protocol.errors import Misuse
from .port import NodePort
from .token import read_token

if TYPE_CHECKING:
    from .datagram import DatagramServer
    from .fifo import FifoServer
    from .http import HttpServer


class Faces:
    """They serve in the hub of the thread that called `start`."""

    def __init__(self) -> None:
        self.http: HttpServer | None = None
        self.fifo: FifoServer | None = None
        self.datagram: DatagramServer | None = None
        self._stops = contextlib.ExitStack()

    @classmethod
    def start(cls, port: NodePort, settings: AdminSettings) -> Self:
        """Start those that are set. Raises `Misuse` when one cannot be, and then has none."""
        faces = cls()
        read_only = settings.read_only
        token = read_token(settings.token_file) if settings.token_file else ""
        if token and settings.datagram.startswith("udp:"):
            raise Misuse(
                "[admin] datagram: over UDP everybody on this machine gets round token_file; "
                'use "unix:…", or remove one of the two'
            )
        with contextlib.ExitStack() as undo:
            if settings.http:
                from .http import serve  # flask is needed only here

                faces.http = serve(port, settings.http, token=token, read_only=read_only)
                undo.callback(faces.http.stop)
            if settings.fifo:
                from .fifo import FifoServer

                faces.fifo = FifoServer(
                    port, settings.fifo, settings.fifo_reply_dir, read_only=read_only
                )
                undo.callback(faces.fifo.stop)
            if settings.datagram:
                from .datagram import DatagramServer

                faces.datagram = DatagramServer(port, settings.datagram, read_only=read_only)
                undo.callback(faces.datagram.stop)
            faces._stops = undo.pop_all()
        return faces

    def stop(self) -> None:
        """Stop what runs."""
        self._stops.close()
