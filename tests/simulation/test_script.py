"""The scenario language: what it reads, what it refuses and how, what it puts out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagmesh.simulation import script
from tagmesh.simulation.script import ScenarioError, play
from tagmesh.simulation.script_views import compact

TWO = "world nodes=2 booted\n"
RUN = """\
# L-1: nothing happens

world nodes=2 booted
----
2 nodes agree after 0.1 s

run 1s
----

# the end
"""


def refused(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        play(text)
    return str(caught.value)


def output(commands: str) -> list[str]:
    """What the last block of a played text puts out."""
    return play(f"{TWO}----\n\n{commands}\n----\n").rpartition("----\n")[2].splitlines()


# Files ----------------------------------------------------------------------------------------


def test_a_file_with_the_right_output_stays_as_it_is() -> None:
    assert play(RUN) == RUN


def test_expected_output_does_not_matter_for_what_comes() -> None:
    assert play(RUN.replace("2 nodes agree after 0.1 s", "anything\nat all")) == RUN


def test_blocks_are_one_empty_line_apart_and_lines_end_where_they_end() -> None:
    assert play("\n\n" + RUN.replace("\n\nrun 1s", " \n\n\n\nrun 1s  ") + "\n\n") == RUN


def test_a_block_without_a_rule_gets_one() -> None:
    assert play(TWO) == f"{TWO}----\n2 nodes agree after 0.1 s\n"


def test_output_needs_a_command() -> None:
    assert refused("----\nx\n") == "line 1: output without a command above it"


@pytest.mark.parametrize("text", ["", "# only words\n"])
def test_a_file_without_commands_is_refused(text: str) -> None:
    assert "begin with: world" in refused(text)


def test_the_same_scenario_puts_out_the_same() -> None:
    text = f"{TWO}crash 2\nrun 3s\nboot 2\nrun 10s\nmessages\ndrops 1,2\n"
    assert play(text) == play(text)
    assert play(text) != play(text.replace("nodes=2", "nodes=3"))


# Mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("commands", "error"),
    [
        ("crsh 1", "unknown command 'crsh'; allowed: activate, block, boot,"),
        ("crsh 1", "did you mean 'crash'?"),
        ("crash", "a node is missing; usage: crash NODES"),
        ("crash 3", "'3' is no node here; allowed: 1 … 2"),
        ("crash one", "'one' is no node here; allowed: 1 … 2"),
        ("crash 1 disk=lots", "'lots' is no disk; allowed: kept, lost, rolled_back"),
        ("pause all 1", "'1' is too much; usage: pause NODES"),
        ("cut 1", "a node is missing; usage: cut A B"),
        ("cut 1 1,2", "node 1 is on both sides"),
        ("cut 1 2 3", "'3' is too much; usage: cut A B"),
        ("run", "a duration is missing; usage: run DURATION"),
        ("run soon", "a duration: "),
        ("lose 1 2 10", "'10' is no share such as 10%"),
        ("lose 1 2 110%", "'110%' is not between 0% and 100%"),
        ("storage broken", "'broken' is no storage mode; allowed: failing, hanging, ok, stale"),
        ("show DOWNS", "did you mean 'DOWN'?"),
        ("until", "a node is missing"),
        ("until 1 reach 2 within 1s", "did you mean 'reaches'?"),
        ("until 1 link 2 up within 1s", "'up' is no link state; allowed: Down, Probe, Up"),
        ("until converged", "word (until"),
        ("status 1 2 x", "'x' is no node here"),
        ("crash 1\nstatus 1", "node 1 does not run; boot it first"),
        ("boot 1", "node 1 runs already"),
        ("crash 1\ncrash 1", "node 1 does not run"),
        ("row 1 priority=high", "priority: 'high' cannot be read"),
        ("remove 1\nrow 1 priority=1", "node 1 has no row; provision it first"),
        ("world nodes=0", "a world has at least one node"),
        ("world shape=cube", "there is no shape 'cube'; allowed: mesh, line, ring, star"),
        ("world ping_intervall=1s", "did you mean 'ping_interval'?"),
        ("world nodes=3 boted", "'boted' is too much"),
        ("expect-at-most 1 Pling", "did you mean 'Ping'?"),
        ("expect-once LINK 1 at 2", "'LINK' is no kind of edge; allowed: DOWN, UP"),
    ],
)
def test_mistakes_say_line_what_is_allowed_and_the_nearest_word(commands: str, error: str) -> None:
    text = refused(f"{TWO}----\n\n{commands}\n")
    line = 4 + commands.count("\n")
    assert text.startswith(f"line {line}: ")
    assert error in text


def test_a_command_before_the_world_is_refused() -> None:
    assert refused("run 1s") == "line 1: there is no world yet; begin with: world nodes=3"
    assert "there is no world yet" in refused("crash 1")


# What must be so ------------------------------------------------------------------------------


def test_an_expectation_that_does_not_hold_shows_what_came() -> None:
    text = refused(f"{TWO}crash 2\nrun 1s\nexpect-no UP DOWN of 2 at 1\n")
    shown = "+0.0  1  node 2 DOWN: connection refused"
    assert text == f"line 4: no DOWN was expected\n  {shown}"


@pytest.mark.parametrize("words", ["UP", "DOWN of 1", "DOWN of 2 at 2", "DOWN at 2", "REFUSED"])
def test_what_was_not_heard_is_not_held_against_anybody(words: str) -> None:
    assert output(f"crash 2\nrun 1s\nshow UP\nexpect-no {words}")[-1].endswith("connection refused")


def test_expectations_are_about_their_own_block() -> None:
    play(f"{TWO}----\n\ncrash 2\nrun 1s\n----\n\nexpect-no DOWN\nexpect-no LINK\n")


def test_once_is_neither_never_nor_twice() -> None:
    assert "heard 0 times" in refused(f"{TWO}run 1s\nexpect-once DOWN 2 at 1\n")
    again = "crash 2\nrun 1s\nboot 2\nrun 1s\n"
    assert "heard 2 times" in refused(f"{TWO}{again}{again}expect-once DOWN 2 at 1\n")


def test_messages_have_a_limit() -> None:
    assert "Ping were sent, at most 1" in refused(f"{TWO}run 1m\nexpect-at-most 1 Ping\n")
    play(f"{TWO}run 1m\nexpect-at-most 1000 Ping\n")


def test_what_does_not_become_so_is_an_error_with_what_happened() -> None:
    text = refused(f"{TWO}----\n\ncrash 2\nrun 1s\nuntil 1 reaches 2 within 5s\n")
    assert text.startswith("line 6: not so within 5 s: 1 reaches 2\n  +0.0")
    assert "node 2 DOWN: connection refused" in text


# Output ---------------------------------------------------------------------------------------


def test_events_have_seconds_since_the_block_began() -> None:
    lines = output("run 100s\ncrash 2\nrun 1s")
    assert lines[-1] == "+100.0  1  node 2 DOWN: connection refused"


def test_what_several_hear_alike_is_one_line() -> None:
    text = play("world nodes=4 booted\n----\n\nshow LINK\ncrash 4\nrun 1s\n")
    assert "+0.0  1-3  link 4 Probe>Down: connection refused" in text


@pytest.mark.parametrize(
    ("nodes", "text"),
    [([], ""), ([1], "1"), ([2, 1], "1,2"), ([1, 2, 3], "1-3"), ([5, 1, 2, 9, 8, 7], "1,2,5,7-9")],
)
def test_nodes_are_written_short(nodes: list[int], text: str) -> None:
    assert compact(nodes) == text


def test_a_node_that_cannot_start_says_why() -> None:
    assert output("crash 2\nremove 2\nboot 2") == [
        "node 2 does not start: node 2 has no row in the simulated database"
    ]


def test_a_node_that_stops_says_goodbye() -> None:
    lines = output("stop 2\nrun 1s")
    assert lines[-1].startswith("+0.0  1  node 2 DOWN")


# The command ----------------------------------------------------------------------------------


def test_a_file_that_differs_is_shown_and_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "one.txt"
    path.write_text(RUN.replace("agree", "quarrel"), encoding="utf-8")
    assert script.main([str(path)]) == 1
    shown = capsys.readouterr().out
    assert "-2 nodes quarrel after 0.1 s" in shown
    assert "+2 nodes agree after 0.1 s" in shown
    assert script.main(["--rewrite", str(path)]) == 0
    assert path.read_text(encoding="utf-8") == RUN
    assert script.main([str(path)]) == 0


def test_a_failed_expectation_is_not_rewritten_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "one.txt"
    text = f"{TWO}crash 2\nrun 1s\nexpect-no DOWN\n----\n"
    path.write_text(text, encoding="utf-8")
    assert script.main(["--rewrite", str(path)]) == 1
    assert f"{path}: line 4: no DOWN was expected" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == text


def test_a_missing_file_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "good.txt"
    good.write_text(RUN, encoding="utf-8")
    assert script.main([str(tmp_path / "none.txt"), str(good)]) == 1
    assert "none.txt" in capsys.readouterr().err
