"""What gets replicated: plain Python on `protocol.contract`.

A capability knows a port and nothing else of the node it runs in, so that it can be tested, and
copied, without one. Read `counters` first: it is the small one.
"""

from __future__ import annotations

from .counters import Counters
from .dialog_records import Dialog
from .dialogs import Dialogs
from .pending import Reply
from .records import Key
from .replicated_dict import ReplicatedDict
from .replicated_map import ReplicatedMap
from .requests import Requests
from .write_behind import Store

__all__ = [
    "Counters",
    "Dialog",
    "Dialogs",
    "Key",
    "ReplicatedDict",
    "ReplicatedMap",
    "Reply",
    "Requests",
    "Store",
]
