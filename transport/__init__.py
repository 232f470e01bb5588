"""Bytes between hosts: authenticated connections that carry protocol messages."""

from .base import Connection, Dial, Ending, Listener, Transport
from .loopback import DirectPath, LoopbackNetwork, LoopbackTransport
from .loopback_connection import Path
from .tls import TlsContext, load_tls
from .tls_transport import TlsTransport

__all__ = [
    "Connection",
    "Dial",
    "DirectPath",
    "Ending",
    "Listener",
    "LoopbackNetwork",
    "LoopbackTransport",
    "Path",
    "TlsContext",
    "TlsTransport",
    "Transport",
    "load_tls",
]
