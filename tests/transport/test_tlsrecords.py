"""Records of TLS are found in any stream, however it was split."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from tagmesh.protocol.identity import NodeId
from tagmesh.transport.tls import TlsSession, load_tls
from tagmesh.transport.tlsrecords import Records
from tests.pki import TestCa


def record(size: int) -> bytes:
    return b"\x17\x03\x03" + size.to_bytes(2, "big") + b"\xff" * size


def unasked(records: Records, data: bytes) -> bool:
    """All that is known of what these bytes end is that OpenSSL has to judge it."""
    return records.ended(data) is None


@pytest.mark.parametrize("seed", range(50))
def test_records_are_counted_where_they_end(seed: int) -> None:
    """Content looks like headers of long records, so a wrong count is noticed soon."""
    draw = random.Random(seed)
    stream = b"".join(record(draw.choice((1, 2, 5, 300, 16_640))) for _ in range(100))
    ends = {0}
    while max(ends) < len(stream):
        at = max(ends)
        ends.add(at + 5 + int.from_bytes(stream[at + 3 : at + 5], "big"))
    cuts = draw.sample(range(1, len(stream)), 60) + draw.sample(sorted(ends), 60)
    cuts = sorted({0, len(stream), *cuts})
    records = Records()
    for begin, end in itertools.pairwise(cuts):
        ended = records.ended(memoryview(stream)[begin:end])
        assert ended == len([at for at in ends if begin < at <= end])


@pytest.mark.parametrize("split", range(1, 8))
def test_a_record_in_two_pieces_ends_with_the_second(split: int) -> None:
    records = Records()
    data = record(3)
    assert records.ended(data[:split]) == 0
    assert records.ended(data[split:]) == 1
    assert records.ended(data) == 1


@pytest.mark.parametrize(
    "strange",
    [record(0), record(16_641), b"\x15" + record(3)[1:], b"GET / HTTP/1.1\r\n\r\n"],
    ids=["empty", "too long", "an alert", "no TLS"],
)
@pytest.mark.parametrize("before", [b"", record(7), record(7)[:3]])
def test_what_is_no_data_is_judged_by_openssl_at_its_header(strange: bytes, before: bytes) -> None:
    """It may be an error at once, or the content of nothing: so OpenSSL is asked from there on."""
    records = Records()
    if before == record(7)[:3]:
        assert records.ended(before) == 0
        before = record(7)[3:]
    assert records.ended(before + strange[:4]) == bool(before)
    assert unasked(records, strange[4:5])
    if len(strange) > 5:
        assert unasked(records, strange[5:7])


def test_what_follows_an_alert_is_counted_again() -> None:
    records = Records()
    assert unasked(records, b"\x15" + record(3)[1:] + record(5))
    assert records.ended(record(5)[:7]) == 0
    assert records.ended(record(5)[7:] + record(6)) == 2


def test_whole_records_of_data_leave_nothing_to_write(tmp_path: Path) -> None:
    """So nobody has to ask for it; after anything else than that one must (H9)."""
    ca = TestCa(tmp_path)
    one, two = (load_tls(ca.issue(node).settings(), NodeId(node)) for node in (1, 2))
    dialler = TlsSession(one, accepted=False, expected=NodeId(2))
    acceptor = TlsSession(two, accepted=True)
    while dialler.owes or acceptor.owes:
        acceptor.receive(dialler.output())
        dialler.receive(acceptor.output())
    dialler.send(b"one")
    assert acceptor.receive(dialler.output()) == [b"one"]
    assert not acceptor.owes
    dialler.send(b"two")
    dialler.send(b"three")
    data = dialler.output()
    assert acceptor.receive(data[:10]) == []
    assert acceptor.receive(data[10:]) == [b"two", b"three"]
    assert not acceptor.owes
    dialler.shutdown()
    assert acceptor.receive(dialler.output()) == []
    assert acceptor.ending is not None
    assert acceptor.owes
