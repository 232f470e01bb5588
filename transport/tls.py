"""TLS as bytes in, bytes out: pyOpenSSL on memory BIOs, no socket, no clock of its own.

Both sides show a certificate of the private CA; the peer's node id is proved before any byte of
the application is handed out (G-11). The identity is judged *inside* certificate verification, so
that a refusal reaches the other side as an alert with a meaning, and again after the handshake, so
that nothing depends on the callback having run. Sessions are never resumed: resumption would skip
the certificate (S5). Note that in TLS 1.3 the dialler's handshake succeeds before the acceptor has
judged its certificate: the verdict then arrives as an alert on what looks established.
"""

from __future__ import annotations

import datetime
import logging

from cryptography import x509
from OpenSSL import SSL, crypto

from ..protocol.config import TlsSettings
from ..protocol.errors import Misuse, Reason
from ..protocol.identity import NodeId, PeerIdentity
from .base import Ending
from .certificates import Credentials, check_own, fingerprint, judge, read_credentials
from .tlsrecords import Records
from .verdicts import HARMLESS_ALERTS, of_alert, of_openssl, of_x509_error

MAX_WRITE_BYTES = 64 * 1024
"""Plaintext of one `TlsSession.send`; a memory BIO would swallow anything at once (H10)."""
MAX_CHAIN_DEPTH = 4
CLOSED_BY_PEER = "closed by the peer"

_RECORD_BYTES = 16 * 1024
_OUTPUT_BYTES = 80 * 1024  # one full write with the overhead of its records
_log = logging.getLogger("tagmesh.transport")

_MODE_ENABLE_PARTIAL_WRITE = (
    1  # SSL_MODE_ENABLE_PARTIAL_WRITE; pyOpenSSL sets it, has no name for it
)
_CIPHERS_TLS12 = b"ECDHE+AESGCM:ECDHE+CHACHA20"
_X509_V_OK = 0


def _warn_of_old_lists(credentials: Credentials, path: str) -> None:
    """A stale list refuses everybody: half of its life before that is the time to say so (S7)."""
    now = datetime.datetime.now(datetime.UTC)
    for crl in credentials.crls:
        end = crl.next_update_utc
        if end is not None and now > crl.last_update_utc + (end - crl.last_update_utc) / 2:
            _log.warning("revocation list %s ends at %s; then nobody may join: renew it", path, end)


class TlsContext:
    """The own side of every session: certificate, key, CA, rules. Rotation makes a new one."""

    def __init__(self, credentials: Credentials) -> None:
        self.trust_domain = credentials.trust_domain
        ends = [crl.next_update_utc for crl in credentials.crls]
        self.crl_next_update_wall_s = min((end.timestamp() for end in ends if end), default=None)
        """When the first revocation list goes stale and every peer is refused; None = no list."""
        self.certificate_ends_wall_s = credentials.chain[0].not_valid_after_utc.timestamp()
        """When the own certificate expires."""
        context = SSL.Context(SSL.TLS_METHOD)
        _set_rules(context, credentials.min_version)
        context.use_certificate(credentials.chain[0])
        for certificate in credentials.chain[1:]:
            context.add_extra_chain_cert(certificate)
        context.use_privatekey(credentials.private_key)
        store = context.get_cert_store()
        assert store is not None
        for authority in credentials.authorities:
            store.add_cert(crypto.X509.from_cryptography(authority))
        for crl in credentials.crls:
            store.add_crl(crl)
        if credentials.crls:
            store.set_flags(crypto.X509StoreFlags.CRL_CHECK)
        self.context = context


def load_tls(settings: TlsSettings, me: NodeId) -> TlsContext:
    """Read and check the files of ``[tls]`` for node ``me``; `Misuse` says what is wrong."""
    credentials = read_credentials(settings)
    check_own(credentials, me, settings.certificate)
    _warn_of_old_lists(credentials, settings.crl)
    try:
        return TlsContext(credentials)
    except Exception as error:
        raise Misuse(
            f"[tls]: OpenSSL does not accept the certificate, key or CA: {_text(error)}"
        ) from error


def _set_rules(context: SSL.Context, min_version: str) -> None:
    oldest = {"1.3": SSL.TLS1_3_VERSION, "1.2": SSL.TLS1_2_VERSION}[min_version]
    context.set_min_proto_version(oldest)
    context.set_cipher_list(_CIPHERS_TLS12)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.clear_mode(_MODE_ENABLE_PARTIAL_WRITE)
    context.set_verify_depth(MAX_CHAIN_DEPTH)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _on_verify)
    context.set_info_callback(_on_info)


class _Notes:
    """What OpenSSL's callbacks tell of one session. Holds no reference to it: no cycle."""

    def __init__(self, trust_domain: str, accepted: bool, expected: NodeId | None) -> None:
        self.trust_domain = trust_domain
        self.accepted = accepted
        self.expected = expected
        self.refusal: Ending | None = None
        self.alert_sent: int | None = None
        self.alert_received: int | None = None

    def judge(self, certificate: x509.Certificate) -> NodeId | Ending:
        return judge(certificate, self.trust_domain, accepted=self.accepted, expected=self.expected)


def _on_verify(
    connection: SSL.Connection, certificate: crypto.X509, number: int, depth: int, ok: int
) -> bool:
    """Note why verification fails; add the identity check of the leaf. Must not raise (S6)."""
    notes = connection.get_app_data()
    if not ok or number != _X509_V_OK:
        reason, cause = of_x509_error(number)
        notes.refusal = Ending(cause=cause, reason=reason)
        return False
    if depth == 0:
        verdict = notes.judge(certificate.to_cryptography())
        if isinstance(verdict, Ending):
            notes.refusal = verdict
            return False
    return True


def _on_info(connection: SSL.Connection, where: int, value: int) -> None:
    """Note alerts by their number: the texts of OpenSSL change between versions."""
    if where & SSL.SSL_CB_ALERT and value & 0xFF not in HARMLESS_ALERTS:
        notes = connection.get_app_data()
        if where & SSL.SSL_CB_READ:
            notes.alert_received = value & 0xFF
        else:
            notes.alert_sent = value & 0xFF


class TlsSession:
    """One TLS connection without its socket.

    Feed what the socket brought to `receive`; write what `output` returns after every call of any
    method (reading makes bytes to write too: alerts, key updates, H9). ``identity`` is set once the
    handshake is over and the peer proved who it is. ``ending`` is set when TLS is over, for
    whatever reason; no exception of OpenSSL leaves this class.
    """

    def __init__(
        self, context: TlsContext, *, accepted: bool, expected: NodeId | None = None
    ) -> None:
        self.identity: PeerIdentity | None = None
        self.ending: Ending | None = None
        self.owes = True
        """Reading may have made bytes to write that no `output` has fetched yet."""
        self._records = Records()
        self._notes = _Notes(context.trust_domain, accepted, expected)
        self._tls = SSL.Connection(context.context, None)
        self._tls.set_app_data(self._notes)
        if accepted:
            self._tls.set_accept_state()
        else:
            self._tls.set_connect_state()
            self._guarded_handshake()

    def receive(self, ciphertext: bytes | memoryview) -> list[bytes]:
        """The plaintext that ``ciphertext`` completes; look at ``identity`` and ``ending`` after.

        Once ``ending`` is set bytes are ignored: OpenSSL must not be asked again after an error.
        """
        chunks: list[bytes] = []
        if self.ending is not None or not ciphertext:
            return chunks
        tls = self._tls
        ended = self._records.ended(ciphertext)
        try:
            tls.bio_write(ciphertext)
            if ended is not None and self.identity is not None:
                # all there is: what made no content (a key update) raises, and is answered
                self.owes, owed = True, self.owes
                for _ in range(ended):
                    chunks.append(tls.recv(_RECORD_BYTES))  # noqa: PERF401 - kept when one raises
                self.owes = owed
                return chunks
            self.owes = True
            if self.identity is None and not self._handshake():
                return chunks
            while True:
                chunks.append(tls.recv(_RECORD_BYTES))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.ending = Ending(cause=CLOSED_BY_PEER, clean=True)
        except Exception as error:  # noqa: BLE001 - whatever the peer's bytes caused (S6)
            self.ending = self._failure(error)
        return chunks

    def receive_eof(self) -> None:
        """The socket ended without close_notify: ``ending`` says so unless it is set already."""
        if self.ending is None:
            during = "" if self.identity is not None else " during the TLS handshake"
            self.ending = Ending(cause=CLOSED_BY_PEER + during)

    def send(self, plaintext: bytes | bytearray | memoryview) -> None:
        """Encrypt at most `MAX_WRITE_BYTES`, in full records; only once ``identity`` is set."""
        assert self.identity is not None, "nothing may be sent before the peer is known"
        assert len(plaintext) <= MAX_WRITE_BYTES, "write less at once (H10)"
        if self.ending is not None:
            return
        try:
            while plaintext:
                plaintext = plaintext[self._tls.send(plaintext) :]
        except Exception as error:  # noqa: BLE001 - one typed outcome for every failure
            self.ending = self._failure(error)

    def sealed(self, plaintext: bytes | bytearray) -> bytes:
        """`send` and `output` in one, for when nothing is waiting to be fetched."""
        if len(plaintext) > _RECORD_BYTES or self.owes or self.ending is not None:
            self.send(plaintext)
            return self.output()
        assert self.identity is not None, "nothing may be sent before the peer is known"
        try:
            self._tls.send(plaintext)  # a record is taken as a whole (no partial writes)
            return self._tls.bio_read(_OUTPUT_BYTES)
        except Exception as error:  # noqa: BLE001 - one typed outcome for every failure
            self.ending = self._failure(error)
            return b""

    def shutdown(self) -> None:
        """Say close_notify, if there is still someone to say it to."""
        failed = self.ending is not None and not self.ending.clean
        if failed or self.identity is None:
            return
        try:
            self._tls.shutdown()
        except Exception as error:  # noqa: BLE001 - one typed outcome for every failure
            self.ending = self.ending or self._failure(error)

    def output(self) -> bytes:
        """The ciphertext to be written to the socket now."""
        self.owes = False
        output = b""
        try:
            while True:
                part = self._tls.bio_read(_OUTPUT_BYTES)
                output = output + part if output else part
                if len(part) < _OUTPUT_BYTES:
                    break
        except SSL.Error:  # WantRead: empty
            pass
        return output

    def _guarded_handshake(self) -> None:
        try:
            self._handshake()
        except SSL.WantReadError:
            pass
        except Exception as error:  # noqa: BLE001 - one typed outcome for every failure
            self.ending = self._failure(error)

    def _handshake(self) -> bool:
        """Go on with the handshake; True when it is over and the peer is one of ours."""
        self._tls.do_handshake()
        leaf = self._tls.get_peer_certificate(as_cryptography=True)
        if leaf is None:
            self.ending = Ending(cause="it sent no certificate", reason=Reason.CERT_MISSING)
            return False
        verdict = self._notes.judge(leaf)
        if isinstance(verdict, Ending):
            self.ending = verdict
            return False
        self.identity = PeerIdentity(
            node_id=verdict,
            fingerprint=fingerprint(leaf),
            not_after_wall_s=leaf.not_valid_after_utc.timestamp(),
            tls_version=self._tls.get_protocol_version_name(),
        )
        return True

    def _failure(self, error: Exception) -> Ending:
        """What went wrong, by the surest witness: our judgement, the peer's alert, the error."""
        notes = self._notes
        node = self.identity.node_id if self.identity else None
        if notes.refusal is not None:
            return notes.refusal
        if notes.alert_received is not None:
            reason, cause = of_alert(notes.alert_received)
            return Ending(cause=cause, reason=reason, by_peer=True, node_id=node)
        reason, cause = of_openssl(_text(error), notes.alert_sent)
        return Ending(cause=cause, reason=reason, node_id=node)


def _text(error: Exception) -> str:
    """OpenSSL's own words for an error, made safe for a log line (S12)."""
    first = error.args[0] if error.args else ""
    if isinstance(first, list):
        first = ", ".join(str(entry[-1]) for entry in first if entry)
    return ascii(str(first) or type(error).__name__)[1:-1][:128]
