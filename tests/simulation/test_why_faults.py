"""For each staged fault ``why`` on a node that sees it names the cause that was injected (B14).

Checked by code, not by prose: the code stands at a root of the explanation, for the subject that
the fault is about. Everything on virtual time.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tagmesh.protocol.because import About
from tagmesh.protocol.errors import Unknown
from tagmesh.simulation import script  # noqa: F401 - declares the commands
from tagmesh.simulation.script_player import Player


class Fault(NamedTuple):
    """One line of the table."""

    name: str
    script: str
    """Commands of the scenario language, one per line or separated by ``;``."""
    asked: str
    """``NODE node|link|cap|tag NAME``: who is asked what."""
    root: str
    """``KIND NAME CODE`` that must be among the roots."""
    rule: str


THREE = "world nodes=3 seed=1 booted"
TAGGED = "world nodes=3 seed=1; tag vip manual; capabilities records; start all; run 5s"
LEASED = "world nodes=3 seed=1; tag vip lease; start 1; start 2,3; run 2s"
RECORDS = "world nodes=3 seed=1; capabilities records; start all; run 10s"

TWO = "world nodes=3 seed=1; start 1,2"
FLAP = (
    "world nodes=2 seed=1 booted; cut 1 2; run 9s; heal 1 2; run 6s; cut 1 2; run 9s; heal 1 2;"
    " run 6s; cut 1 2; run 9s; heal 1 2; run 600ms"
)
DONOR_DIES = (
    "world nodes=3 seed=1 sync_packet_size=4096; capabilities records; start all; run 10s;"
    " fill 1000 at 1 size=200; run 1s; crash 3; cut 2 3; slow 1 3 by=100ms; boot 3; run 2s;"
    " crash 1; run 30s"
)
SLOW = (
    "world nodes=3 seed=1 credit_window=256KiB outbox=256KiB; capabilities letters; start all;"
    " run 1s; pause 2; post letters 1 2 30 size=60000; run 1s; post letters 1 2 30 size=60000;"
    " run 1s"
)
LEASE_OVER = (
    "world nodes=3 seed=1; tag vip lease; start 1; start 2,3; run 2s; storage failing; run 30s;"
    " crash 3; run 20s"
)
SEED = "world nodes=2 seed=1; row 1 seed; capabilities records; boot 1; run 60s"
NO_OWNER = (
    "world nodes=3 seed=1; tag a manual; tag b manual; capabilities records; start all; run 5s;"
    " activate a 1; activate b 2; put call-a 1 at 1 tag=a; put call-b 2 at 2 tag=b; run 1s;"
    " crash 3; cut 1 2; cut 1 3; run 20s; boot 3; run 30s"
)

FAULTS = [
    Fault("killed", f"{THREE}; crash 3; run 5s", "1 node 3", "link 3 nobody_listens", "L-5"),
    Fault("stopped in good order", f"{THREE}; stop 3; run 5s", "1 node 3", "link 3 left", "E-2"),
    Fault("stands still", f"{THREE}; pause 3; run 30s", "1 node 3", "link 3 silent", "L-3"),
    Fault("a path cut", f"{THREE}; cut 1 3; run 30s", "1 link 3", "link 3 path_broken", "L-3"),
    Fault("a way round", f"{THREE}; cut 1 3; run 30s", "1 node 3", "link 3 path_broken", "L-3"),
    Fault("all paths cut", f"{THREE}; cut 1,2 3; run 30s", "1 node 3", "link 3 silent", "L-3"),
    Fault("one way", f"{THREE}; cut-one-way 1 3; run 30s", "3 link 1", "link 1 path_broken", "L-3"),
    Fault("clogged", f"{THREE}; clog 1 3; run 30s", "1 link 3", "link 3 path_broken", "L-3"),
    Fault("test switch", f"{THREE}; block 1 3; run 5s", "1 link 3", "link 3 nobody_listens", "L-5"),
    Fault(
        "a path elsewhere",
        "world nodes=3 seed=1 shape=line booted; cut 2 3; run 40s",
        "1 node 3",
        "node 3 links_told",
        "T-11",
    ),
    Fault("flapping", FLAP, "1 link 2", "link 2 flapping", "L-4"),
    # Joining
    Fault(
        "no row", f"{THREE}; boot 4 unprovisioned; run 5s", "1 node 4", "join 4 unknown_node", "J-2"
    ),
    Fault("row removed", f"{THREE}; remove 3; run 90s", "1 node 3", "row 3 row_removed", "X-2"),
    Fault("row disabled", f"{THREE}; disable 3; run 90s", "1 node 3", "row 3 row_disabled", "E-1"),
    Fault("row broken", f"{THREE}; break-row 3; run 90s", "1 node 3", "node 3 row_invalid", "D-5"),
    Fault("own row gone", f"{THREE}; remove 1; run 90s", "1 node 1", "row 1 row_removed", "X-2"),
    Fault(
        "expired",
        f"{THREE}; expire 3; reset 1 3; run 9s",
        "1 link 3",
        "link 3 cert_expired",
        "G-11",
    ),
    Fault(
        "revoked",
        f"{THREE}; revoke 3; run 90s; reset 1 3; run 9s",
        "1 link 3",
        "link 3 cert_revoked",
        "G-11",
    ),
    Fault(
        "not pinned",
        f"{THREE}; pin 3; run 90s; reset 1 3; run 9s",
        "1 link 3",
        "link 3 cert_fingerprint",
        "G-11",
    ),
    Fault(
        "identity",
        f"{TWO}; boot 3 certificate-of=2; run 9s",
        "3 link 1",
        "link 1 cert_identity",
        "G-11",
    ),
    Fault(
        "configuration",
        f"{TWO}; boot 3 rerouting=no; run 9s",
        "1 link 3",
        "link 3 config_mismatch",
        "J-2",
    ),
    Fault(
        "version",
        f"{TWO}; install 3 speaks=7-9; boot 3; run 9s",
        "1 link 3",
        "link 3 version",
        "J-2",
    ),
    # The database
    Fault(
        "database fails",
        f"{THREE}; storage failing; run 90s",
        "1 node 1",
        "storage storage_failed",
        "J-3",
    ),
    Fault(
        "database hangs",
        f"{THREE}; storage hanging; boot 4 unprovisioned; run 9s",
        "1 node 1",
        "storage storage_silent",
        "J-3",
    ),
    # Capabilities
    Fault(
        "switched off",
        f"{RECORDS}; switch records off 1; run 1s",
        "1 cap records",
        "cap records switched_off",
        "C-1",
    ),
    Fault(
        "no donor",
        f"{RECORDS}; crash 3; cut 3 1,2; boot 3; run 9s",
        "3 cap records",
        "dial 1 dial_failed",
        "L-5",
    ),
    Fault(
        "donor not ok",
        f"{RECORDS}; switch records off 1,2; crash 3; boot 3; run 5s",
        "3 cap records",
        "donor 1 not_ok",
        "S-22",
    ),
    Fault("donor died", DONOR_DIES, "3 cap records", "link 1 nobody_listens", "L-5"),
    Fault("slow reader", SLOW, "1 cap letters", "node 2 slow_reader", "R-10"),
    Fault("a seed alone", SEED, "1 cap records", "cap records seed", "S-27"),
    # Sharing tags
    Fault("no owner", NO_OWNER, "3 cap records", "dial 1 dial_failed", "L-5"),
    Fault(
        "owner gone",
        f"{TAGGED}; activate vip 3; crash 3; run 5s",
        "1 tag vip",
        "link 3 nobody_listens",
        "L-5",
    ),
    Fault(
        "released",
        f"{TAGGED}; activate vip 3; release vip 3; run 1s",
        "1 tag vip",
        "tag vip tag_released",
        "H-25",
    ),
    Fault(
        "outranked",
        f"{TAGGED}; activate vip 1; run 1s; activate vip 2; run 1s",
        "1 tag vip",
        "tag vip tag_outranked",
        "H-21",
    ),
    Fault(
        "handed over",
        f"{TAGGED}; activate vip 1; run 1s; hand-over vip 1 to 2; run 1s",
        "2 tag vip",
        "tag vip tag_handed_over",
        "H-25",
    ),
    Fault("nobody asked", f"{TAGGED}; run 1s", "1 tag vip", "tag vip never_claimed", "H-20"),
    Fault(
        "lease lost",
        f"{LEASED}; storage failing; crash 3; run 20s",
        "1 tag vip",
        "lease vip storage_failed",
        "J-3",
    ),
    Fault("lease ran out", LEASE_OVER, "1 tag vip", "lease vip storage_failed", "J-3"),
    Fault(
        "paused",
        f"{LEASED}; pause-tag vip; crash 1; run 60s",
        "2 tag vip",
        "lease vip lease_paused",
        "B4",
    ),
]


def played(fault: Fault) -> list[tuple[str, str]]:
    """(root, rule) of each root of what ``why`` answers after the fault."""
    player = Player()
    for number, text in enumerate(fault.script.split(";"), 1):
        player.play([(number, text.strip())])
    node, kind, name = fault.asked.split()
    explained = player.world.why(int(node), kind, name)
    return [(f"{About(root.kind, root.name)} {root.code}", root.rule) for root in explained.roots()]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_why_names_the_injected_cause(fault: Fault) -> None:
    assert (fault.root, fault.rule) in played(fault)


def test_at_least_thirty_faults_are_staged_each_with_a_name_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 30


def test_a_cause_is_told_with_its_words_its_rule_and_when_it_was_decided() -> None:
    player = Player()
    player.play([(1, THREE), (2, "crash 3"), (3, "run 5s")])
    lines = list(player.world.why(1, "node", "3").lines())
    assert lines[0] == "node 3 is unreachable: no path leads to it [R-1 path]"
    assert lines[-2].endswith("connection refused [L-5 nobody_listens]")
    assert lines[-1].startswith("  before that node 3 is reachable since ")
    assert all(" since " in line for line in lines[1:])


def test_a_link_between_two_others_is_named_so_that_one_of_them_can_be_asked() -> None:
    player = Player()
    for number, text in enumerate(["world nodes=3 seed=1 shape=line booted", "cut 2 3", "run 40s"]):
        player.play([(number, text)])
    (told,) = [r for r in player.world.why(1, "node", "3").roots() if r.code == "links_told"]
    assert told.depends_on == "link 2-3"
    assert player.world.why(2, "link", "3").code == "silent"


def test_of_a_node_that_restarted_it_is_told_what_was_before() -> None:
    player = Player()
    player.play([(1, THREE), (2, "crash 3"), (3, "boot 3"), (4, "run 5s")])
    explained = player.world.why(1, "node", "3")
    assert explained.state == "reachable"
    assert [(step.state, step.code) for step in explained.before] == [("unreachable", "restarted")]


def test_where_nothing_is_wrong_the_answer_says_so() -> None:
    player = Player()
    player.play([(1, THREE)])
    explained = player.world.why(1, "node", "3")
    assert (explained.state, explained.text) == ("reachable", "by the direct link")


@pytest.mark.parametrize(
    ("kind", "name"), [("cap", "nothing"), ("tag", "nothing"), ("node", "x"), ("row", "1")]
)
def test_what_is_not_there_cannot_be_explained(kind: str, name: str) -> None:
    player = Player()
    player.play([(1, THREE)])
    with pytest.raises(Unknown):
        player.world.why(1, kind, name)
