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


@pytest.mark.parametrize("seed", range(50))
def test_one_is_told_exactly_when_one_came(seed: int) -> None:
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
    told = wanted = 0
    for begin, end in itertools.pairwise(cuts):
        inside = [at for at in ends if begin < at < end]
        one = begin in ends and end in ends and not inside
        assert records.one(memoryview(stream)[begin:end]) == one
        told, wanted = told + one, wanted + 1
    assert 0 < told < wanted


@pytest.mark.parametrize("split", range(1, 8))
def test_a_record_in_two_pieces_is_not_one(split: int) -> None:
    records = Records()
    data = record(3)
    assert not records.one(data[:split])
    assert not records.one(data[split:])
    assert records.one(data)


def test_a_header_without_content_is_not_one() -> None:
    """OpenSSL gives nothing for it, so there may be more to ask for."""
    records = Records()
    assert not records.one(record(0))
    assert records.one(record(1))


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
    assert acceptor.owes
    assert acceptor.receive(data[10:]) == [b"two", b"three"]
    assert acceptor.owes
    assert acceptor.output() == b""
    assert not acceptor.owes
    dialler.shutdown()
    assert acceptor.receive(dialler.output()) == []
    assert acceptor.ending is not None
    assert acceptor.owes
