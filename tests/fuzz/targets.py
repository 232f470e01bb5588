"""Every fuzz target by name: ``target(data)`` returns, or raises what must never escape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.fuzz import bytes_targets, rules_targets, streams_targets, tags_targets

CORPUS = Path(__file__).with_name("corpus")
MAX_CORPUS_FILES = 200
MAX_INPUT_BYTES = 4096

TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "config": bytes_targets.config,
    "credit": streams_targets.credit,
    "frames": bytes_targets.frames,
    "hello": rules_targets.hello,
    "leases": tags_targets.leases,
    "link_state": rules_targets.link_state,
    "mi": bytes_targets.mi,
    "payloads": streams_targets.payloads,
    "stream": streams_targets.stream,
    "tags": tags_targets.tags,
    "toml": bytes_targets.toml,
    "url": bytes_targets.url,
    "wire": bytes_targets.wire,
}

CANARY = "canary"
canary = bytes_targets.canary
"""Not among the targets: it must fail, with `CANARY_SENTENCE`."""
CANARY_SENTENCE = bytes_targets.CANARY_SENTENCE


def samples(name: str) -> list[bytes]:
    """The inputs kept for a target, by file name."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
