"""Every fuzz target, briefly: its corpus, and inputs near it and far from it, by hypothesis."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.message_list import MESSAGES
from tagmesh.protocol.wire import decode
from tests.fuzz import __main__ as runner
from tests.fuzz.draw import Draw
from tests.fuzz.rules_targets import Shell, topology_after
from tests.fuzz.streams_targets import Streams
from tests.fuzz.tags_targets import OneLease, OneTag
from tests.fuzz.targets import CANARY, CANARY_SENTENCE, CORPUS, MAX_CORPUS_FILES, TARGETS, canary
from tests.fuzz.targets import samples as samples_of

EXAMPLES = 300
CANARY_EXAMPLES = 5000

by_target = pytest.mark.parametrize("name", TARGETS)


@st.composite
def near(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """A sample with a few places changed: bytes replaced, removed, inserted, the rest cut off."""
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        new = draw(st.binary(max_size=4))
        removed = draw(st.sampled_from([len(new), 0, 1, len(data)]))
        data[at : at + removed] = new
    return bytes(data)


def run(target: Callable[[bytes], None], samples: list[bytes], examples: int) -> None:
    """Give ``target`` that many inputs; what it raises is raised."""

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(near(samples) | st.binary(max_size=400))
    def check(data: bytes) -> None:
        target(data)

    check()


@by_target
def test_nothing_escapes(name: str) -> None:
    run(TARGETS[name], samples_of(name), EXAMPLES)


@by_target
def test_the_corpus_is_handled_and_small(name: str) -> None:
    """Samples that once broke something stay there."""
    samples = samples_of(name)
    assert 1 <= len(samples) <= MAX_CORPUS_FILES
    for sample in samples:
        TARGETS[name](sample)


def test_the_corpus_has_every_message() -> None:
    decoded = [message for sample in samples_of("wire") for message in decode(sample).messages]
    assert {type(message) for message in decoded} == set(MESSAGES)
    assert {folder.name for folder in CORPUS.iterdir()} == {*TARGETS, CANARY}


@pytest.mark.parametrize("name", ["chooses", "follows"])
def test_a_greeting_of_the_corpus_succeeds(name: str) -> None:
    """What is mutated must begin good; a change of the target's choices would ruin it unseen."""
    shell = Shell(Draw((CORPUS / "hello" / name).read_bytes()))
    shell.apply(shell.rules.start(0.0))
    while shell.draw:
        shell.step()
    assert shell.established is not None


def test_the_histories_of_tags_in_the_corpus_lead_where_they_say() -> None:
    ends = {}
    for path in sorted((CORPUS / "tags").iterdir()):
        one = OneTag(draw := Draw(path.read_bytes()))
        while draw:
            one.step()
        ends[path.name] = (one.rules.state.value, one.rules.known.number if one.rules.known else 0)
    assert ends == {
        "active": ("active", 1),
        "forced": ("active", 1),
        "handed-over": ("backup", 3),
        "offered": ("active", 3),
        "overruled": ("backup", 3),
        "released": ("backup", 1),
    }


def test_the_histories_of_leases_in_the_corpus_lead_where_they_say() -> None:
    ends = {}
    for path in sorted((CORPUS / "leases").iterdir()):
        one = OneLease(draw := Draw(path.read_bytes()))
        while draw:
            one.step()
        ends[path.name] = one.holding
    assert ends == {"failsafe": True, "given-up": False, "held": True, "ran-out": False}


def test_a_link_state_of_the_corpus_is_believed() -> None:
    """For the same reason."""
    topology = topology_after((CORPUS / "link_state" / "capabilities").read_bytes())
    assert [state.name for state in topology.capabilities_of(NodeId(2))] == ["calls", "users"]


def test_streams_of_the_corpus_deliver_and_are_acknowledged() -> None:
    """For the same reason."""

    def replay(name: str) -> Streams:
        streams = Streams(Draw((CORPUS / "stream" / name).read_bytes()))
        while streams.draw:
            streams.step()
        return streams

    assert replay("delivered").last == (5, 1, 3)
    assert replay("acknowledged").out._floor == 1
    assert len(replay("again").out._sent) == 1


def test_the_planted_bug_is_found() -> None:
    """Were it missed, the runs above would prove nothing."""
    with pytest.raises(AssertionError, match=CANARY_SENTENCE):
        run(canary, samples_of(CANARY), CANARY_EXAMPLES)
    for sample in samples_of(CANARY):
        canary(sample)


def test_choices_end_with_the_bytes() -> None:
    draw = Draw(b"\x05\x02ab")
    assert (draw.pick("abc"), draw.text(), bool(draw)) == ("c", "ab", False)
    assert (draw.pick("abc"), draw.number(), draw.text()) == ("a", 0, "")


def test_options_that_are_given_win() -> None:
    options = runner.options_of("wire", ["-timeout=9", "-runs=1"], "scratch", CORPUS / "wire")
    assert "-timeout=1" not in options
    assert options[:3] == ["-max_total_time=60", "-rss_limit_mb=512", "-max_len=4096"]
    assert options[-4:] == ["-timeout=9", "-runs=1", "scratch", str(CORPUS / "wire")]


def test_without_the_fuzzer_the_reason_is_said() -> None:
    hidden = "import sys; sys.modules['atheris'] = None; import runpy; sys.argv = ['x', 'wire'];"
    done = subprocess.run(
        [sys.executable, "-c", f"{hidden} runpy.run_module('tests.fuzz', run_name='__main__')"],
        check=False,
        capture_output=True,
        text=True,
        cwd=runner.ROOT,
    )
    assert done.returncode == 2
    assert "pip install 'tagmesh[fuzz]'" in done.stderr
    assert "Traceback" not in done.stderr
