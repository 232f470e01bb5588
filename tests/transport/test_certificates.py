"""The files of ``[tls]``: each mistake is told clearly before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import NodeId
from tagmesh.transport.tls import load_tls
from tests.pki import CLIENT, DAY, Paths, TestCa, key_pem, now


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCa:
    return TestCa(tmp_path_factory.mktemp("ca"))


def test_mistakes_in_the_files_are_told_clearly(ca: TestCa, tmp_path: Path) -> None:
    def told(paths: Paths, crl: Path | None = None, domain: str = "tagmesh") -> str:
        with pytest.raises(Misuse) as caught:
            load_tls(paths.settings(domain, crl), NodeId(1))
        return str(caught.value)

    good, other = ca.issue(1), ca.issue(1)
    missing = tmp_path / "missing"
    assert "No such file" in told(good._replace(certificate=missing))
    assert "No such file" in told(good._replace(private_key=missing))
    assert "No such file" in told(good._replace(ca=missing))
    assert "No such file" in told(good, crl=missing)
    assert "does not belong to" in told(good._replace(private_key=other.private_key))
    assert "Is a directory" in told(good._replace(ca=tmp_path))
    junk = tmp_path / "junk"
    junk.write_bytes(b"no certificate")
    junk.chmod(0o600)
    assert "not a certificate in PEM form" in told(good._replace(certificate=junk))
    assert "not a certificate in PEM form" in told(good._replace(ca=junk))
    assert "not a private key in PEM form" in told(good._replace(private_key=junk))
    assert "not a revocation list in PEM form" in told(good, crl=junk)
    junk.write_bytes(b"x" * (1024 * 1024 + 1))
    assert "is it the right file?" in told(good._replace(ca=junk))
    assert "it has 'spiffe://tagmesh/node/2'" in told(ca.issue(2))
    assert "it has none" in told(ca.issue(1, uris=[]))
    assert "exactly one URI SAN" in told(good, domain="elsewhere")
    assert "lacks serverAuth" in told(ca.issue(1, eku=[CLIENT]))
    assert "lacks clientAuth and serverAuth" in told(ca.issue(1, eku=None))
    past = now() - DAY
    assert "expired at" in told(ca.issue(1, not_before=past - DAY, not_after=past))
    key = ca.as_issuer(good).key
    good.private_key.write_bytes(key_pem(key, b"secret"))
    assert "the key is encrypted" in told(good)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_others_may_read_is_refused(ca: TestCa, mode: int) -> None:
    paths = ca.issue(1)
    paths.private_key.chmod(mode)
    with pytest.raises(Misuse, match=f"mode {mode:04o}.*chmod 600"):
        load_tls(paths.settings(), NodeId(1))
    paths.private_key.chmod(0o400)
    load_tls(paths.settings(), NodeId(1))
