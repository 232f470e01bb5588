"""How ``node run`` writes logs: one line per event, for people or as JSON."""

from __future__ import annotations

import datetime
import logging
import sys
from typing import Any

from ..protocol.errors import Misuse
from ..protocol.events import EventRecord

MAX_LINE_CHARS = 512
"""Longest message; peers have a word in some of them (S12)."""


def log_to_stderr(*, json_lines: bool, verbose: bool) -> None:
    """Send everything under ``tagmesh`` to stderr. Only programs call this, never the library.

    Raises `Misuse` when JSON is wanted and the extra ``logs`` is not installed.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_json_formatter() if json_lines else _Console())
    logger = logging.getLogger("tagmesh")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:MAX_LINE_CHARS])


class _Console(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created).astimezone()
        line = (
            f"{moment:%H:%M:%S.%f}"[:-3]
            + f" {record.levelname.lower()} {_printable(record.getMessage())}"
        )
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _json_formatter() -> logging.Formatter:
    try:
        from pythonjsonlogger.json import JsonFormatter  # an extra
    except ImportError:
        raise Misuse(
            "logs as JSON need python-json-logger: pip install 'tagmesh[logs]', "
            "or take --log console"
        ) from None

    class JsonLines(JsonFormatter):
        """One object per line; an event's fields stand beside the message."""

        def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
            event = log_data.pop("event", None)
            log_data["message"] = _printable(str(log_data["message"]))
            if isinstance(event, EventRecord):
                log_data |= {
                    "event": event.kind.value,
                    "cluster_id": event.cluster_id,
                    "node_id": event.node_id,
                    "from": event.before,
                    "to": event.after,
                    "reason": event.cause,
                }
                about = {"capability": event.capability, "tag": event.tag}
                log_data |= {name: value for name, value in about.items() if value is not None}
            return log_data

    return JsonLines(
        ["levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp="time",
        json_ensure_ascii=False,
    )
