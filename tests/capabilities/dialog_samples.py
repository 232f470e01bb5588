"""Dialogs for tests."""

from __future__ import annotations

from typing import Any

from tagmesh.capabilities.dialog_records import Dialog, DialogState, dialog_of

NOW_S = 1_760_000_000
"""When the clocks of `fake_cluster` begin."""


def dialog(number: int = 1, **columns: Any) -> Dialog:
    """An answered dialog that expires a minute later."""
    return dialog_of(
        {
            "dlg_id": (7 << 32) + number,
            "callid": f"call-{number:03}@10.0.0.1",
            "from_uri": "sip:alice@example.net",
            "from_tag": f"a{number}",
            "to_uri": "sip:bob@example.net",
            "to_tag": f"b{number}",
            "state": DialogState.CONFIRMED,
            "start_time": NOW_S - 60,
            "timeout": NOW_S + 60,
            **columns,
        }
    )
