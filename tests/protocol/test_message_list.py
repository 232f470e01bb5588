"""Every message stands in the lists that decoder, documentation and tests go by."""

from __future__ import annotations

import typing

from tagmesh.protocol import messages, removal_messages, tag_messages, trace_messages
from tagmesh.protocol.message_list import MESSAGES, AnyMessage, number_of
from tagmesh.protocol.messages import MAX_NUMBER, Message, Routed


def test_numbers_are_unique_ascending_and_small() -> None:
    numbers = [number_of(kind) for kind in MESSAGES]
    assert numbers == sorted(set(numbers))
    assert 1 <= numbers[0] <= numbers[-1] <= MAX_NUMBER


def test_every_message_is_in_both_lists() -> None:
    declared = {
        kind
        for module in (messages, removal_messages, tag_messages, trace_messages)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Message) and kind not in (Message, Routed)
    }
    assert declared == set(MESSAGES) == set(typing.get_args(AnyMessage))
