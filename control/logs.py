"""How ``node run`` writes logs: one line per event, for people or as JSON."""

from __future__ import annotations

import datetime
import json
import logging
import sys

from ..protocol.events import EventRecord

MAX_LINE_CHARS = 512
"""Longest message; peers have a word in some of them (S12)."""


def log_to_stderr(*, json_lines: bool, verbose: bool) -> None:
    """Send everything under ``tagmesh`` to stderr. Only programs call this, never the library."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if json_lines else _Console())
    logger = logging.getLogger("tagmesh")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False


def _one_line(record: logging.LogRecord) -> str:
    text = record.getMessage()[:MAX_LINE_CHARS]
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class _Console(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created).astimezone()
        line = f"{moment:%H:%M:%S.%f}"[:-3] + f" {record.levelname.lower()} {_one_line(record)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _one_line(record),
        }
        event = getattr(record, "event", None)
        if isinstance(event, EventRecord):
            line |= {
                "event": event.kind.value,
                "cluster_id": event.cluster_id,
                "node_id": event.node_id,
                "from": event.before,
                "to": event.after,
                "reason": event.cause,
            }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)
