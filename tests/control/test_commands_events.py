"""OpenSIPS's commands of the event interface."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tagmesh.control.command import CommandError
from tagmesh.control.commands import COMMANDS
from tagmesh.control.subscriptions import EVENTS
from tests.control.fake_node import FakeNode

STATE = "E_CLUSTERER_NODE_STATE_CHANGED"
PANEL = "udp:127.0.0.1:9000"


def run(name: str, node: FakeNode, **arguments: Any) -> Any:
    result = COMMANDS[name].run(node, **arguments)
    return msgspec.json.decode(msgspec.json.encode(result))


def failure(name: str, node: FakeNode, **arguments: Any) -> CommandError:
    with pytest.raises(CommandError) as caught:
        run(name, node, **arguments)
    return caught.value


def test_events_have_names_and_ids() -> None:
    listed = run("events_list", FakeNode())["Events"]
    assert listed == [{"name": name, "id": number} for number, name in enumerate(EVENTS)]


def test_a_subscription_is_listed_until_it_is_taken_back() -> None:
    node = FakeNode()
    assert run("subscribers_list", node) == {"Events": []}
    assert run("event_subscribe", node, event=STATE, socket=PANEL, expire=60) == "OK"
    one = {"socket": PANEL, "expire": 60, "ttl": 60}
    assert run("subscribers_list", node) == {
        "Events": [{"name": STATE, "id": 2, "Subscribers": [one]}]
    }
    assert run("subscribers_list", node, event=STATE)["Event"]["Subscribers"] == [one]
    assert run("subscribers_list", node, event=STATE, socket=PANEL) == {
        "Event": {"name": STATE, "id": 2, "Subscriber": one}
    }
    assert run("event_subscribe", node, event=STATE, socket=PANEL, expire=0) == "OK"
    assert run("subscribers_list", node, event=STATE) == {"Event": {}}


def test_an_hour_unless_it_says_how_long() -> None:
    node = FakeNode()
    run("event_subscribe", node, event=STATE, socket=PANEL)
    assert run("subscribers_list", node, event=STATE)["Event"]["Subscribers"][0]["expire"] == 3600


def test_mistakes_are_told_as_opensips_tells_them_and_why() -> None:
    node = FakeNode()
    error = failure("event_subscribe", node, event="E_PIKE_BLOCKED", socket=PANEL)
    assert (error.code, error.message) == (400, "Bad parameter value")
    assert "no event of this node" in error.data
    error = failure("event_subscribe", node, event=STATE, socket="tcp:127.0.0.1:9")
    assert (error.code, error.message) == (400, "Bad parameter value")
    assert "udp:address:port or unix:path" in error.data
    error = failure("event_subscribe", node, event=STATE, socket=PANEL, expire=-1)
    assert (error.code, error.data) == (-32602, "Negative expire value")
    assert failure("subscribers_list", node, event="E_PIKE_BLOCKED").code == 404
    for nobody in (PANEL, "nobody"):
        error = failure("subscribers_list", node, event=STATE, socket=nobody)
        assert (error.code, error.message) == (404, "Subscriber does not exist")
