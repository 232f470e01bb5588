"""The raw pipelines of `benchmarks.ceiling`: sockets, pyOpenSSL and msgspec, nothing of tagmesh.

As fast as they were found to go: blocking sockets given to pyOpenSSL, one buffer that is used
again and again, frames that fill a write of 64 KiB. No queue, no limit, no actor, no event loop.
Ping-pong alone has gevent under it, as a node does.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import socket
import statistics
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import msgspec
from OpenSSL import SSL

from .pair import HOST, Options, Result, pin, play

FRAME_BYTES = 64 * 1024
RECORD_BYTES = 16 * 1024
CHUNK_BYTES = 32 * 1024
HEADER_BYTES = 4
END = bytes(HEADER_BYTES)
"""A frame of length 0: there is no more."""
WARM_UP_TRIPS = 50
_NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

encoder = msgspec.msgpack.Encoder()


def byte_strings(size: int, count: int) -> list[Any]:
    """``count`` byte strings of ``size`` bytes with their msgpack headers, all different."""
    header = 2 if size < 256 + 2 else 3
    return [number.to_bytes(size - header, "big") for number in range(count)]


def records(size: int, count: int) -> list[Any]:
    """``count`` small dicts, as a module replicates them, of about ``size`` bytes packed."""
    plain = {"id": 100_000, "state": "confirmed", "caller": "", "expires": 1.5}
    header = 1 if size < 256 else 2  # bytes more than that of an empty text
    rest = "x" * (size - len(encoder.encode(plain)) - header)
    return [{**plain, "id": 100_000 + number, "caller": rest} for number in range(count)]


VALUES: dict[str, Callable[[int, int], list[Any]]] = {"bytes": byte_strings, "dict": records}


# TLS


def _context(folder: str) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.use_certificate_chain_file(f"{folder}/node.crt")
    context.use_privatekey_file(f"{folder}/node.key")
    context.load_verify_locations(f"{folder}/ca.crt")
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    return context


def _accepted(options: Options, tell_port: Callable[[int], None]) -> SSL.Connection:
    with socket.create_server((HOST, 0)) as server:
        tell_port(server.getsockname()[1])
        sock, _ = server.accept()
    sock.setsockopt(*_NODELAY)
    tls = SSL.Connection(_context(options["tls"]), sock)
    tls.set_accept_state()
    tls.do_handshake()
    return tls


def _dialled(options: Options, port: int) -> SSL.Connection:
    sock = socket.create_connection((HOST, port))
    sock.setsockopt(*_NODELAY)
    tls = SSL.Connection(_context(options["tls"]), sock)
    tls.set_connect_state()
    tls.do_handshake()
    return tls


def _frames(tls: SSL.Connection) -> Iterator[memoryview]:
    """The bodies that arrive, each valid until the next is asked for."""
    buffer = bytearray(4 * FRAME_BYTES)
    view = memoryview(buffer)
    begin = end = 0
    while True:
        while end - begin >= HEADER_BYTES:
            body = begin + HEADER_BYTES
            length = int.from_bytes(buffer[begin:body], "big")
            if not length:
                return
            if end - body < length:
                break
            yield view[body : body + length]
            begin = body + length
        if len(buffer) - end < RECORD_BYTES:
            view[: end - begin] = view[begin:end]
            begin, end = 0, end - begin
        end += tls.recv_into(view[end:], RECORD_BYTES)


def _send_frame(tls: SSL.Connection, buffer: bytearray) -> None:
    """``buffer``: room for the header, then the body."""
    buffer[:HEADER_BYTES] = (len(buffer) - HEADER_BYTES).to_bytes(HEADER_BYTES, "big")
    tls.sendall(buffer)


def _end(tls: SSL.Connection) -> None:
    """All was sent; wait until the other side has read it."""
    tls.sendall(END)
    tls.recv(1)


# one-way messages


def take_messages(options: Options, tell_port: Callable[[int], None]) -> Result:
    """``messages`` arrived, decoded, in ``seconds``; ``cpu_s`` of this process meanwhile."""
    tls = _accepted(options, tell_port)
    decode = msgspec.msgpack.Decoder(list[Any]).decode
    count = 0
    frames = _frames(tls)
    next(frames)  # the clock runs from the first to the last
    begin, cpu = time.monotonic(), time.process_time()
    for body in frames:
        count += len(decode(body))
    took, used = time.monotonic() - begin, time.process_time() - cpu
    tls.sendall(b"!")
    return {"messages": count, "seconds": took, "cpu_s": used}


def give_messages(options: Options, port: int) -> Result:
    """Send for ``seconds``; ``kind`` and ``size`` of a message."""
    tls = _dialled(options, port)
    size: int = options["size"]
    messages = VALUES[options["kind"]](size, FRAME_BYTES // size - 1)
    buffer = bytearray()
    count = 0
    end = time.monotonic() + options["seconds"]
    cpu = time.process_time()
    while time.monotonic() < end:
        encoder.encode_into(messages, buffer, HEADER_BYTES)
        _send_frame(tls, buffer)
        count += len(messages)
    used = time.process_time() - cpu
    _end(tls)
    return {"messages": count, "cpu_s": used}


# bulk records


def _digest(items: list[Any]) -> int:
    """Sum of the hashes of packed records, as a sync compares them."""
    sha256, from_bytes = hashlib.sha256, int.from_bytes
    return sum([from_bytes(sha256(item).digest()[:16], "big") for item in items])


def take_records(options: Options, tell_port: Callable[[int], None]) -> Result:
    """Records decoded, verified and put into a dict, their values left packed."""
    tls = _accepted(options, tell_port)
    decode_chunk = msgspec.msgpack.Decoder(tuple[int, bytes]).decode
    decode_items = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
    decode_item = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw]).decode
    store: dict[str, msgspec.Raw] = {}
    digest = 0
    frames = _frames(tls)
    next(frames)
    begin, cpu = time.monotonic(), time.process_time()
    for body in frames:
        checksum, packed = decode_chunk(body)
        assert zlib.crc32(packed) == checksum
        items = decode_items(packed)
        digest += _digest(items)
        store.update(map(decode_item, items))
    took, used = time.monotonic() - begin, time.process_time() - cpu
    tls.sendall(b"!")
    return {"records": len(store), "seconds": took, "cpu_s": used, "digest": f"{digest:x}"}


def give_records(options: Options, port: int) -> Result:
    """Send ``records`` of ``size`` bytes, in chunks of 32 KiB."""
    tls = _dialled(options, port)
    size, total = options["size"], options["records"]
    value = bytes(size - 12 - 4)  # key of 10 characters, headers of key, value and pair
    per_chunk = CHUNK_BYTES // size
    digest = 0
    buffer = bytearray(HEADER_BYTES)
    encoder.encode_into((0, b""), buffer, HEADER_BYTES)
    _send_frame(tls, buffer)  # starts the clock
    encode = encoder.encode
    for start in range(0, total, per_chunk):
        keys = range(start, min(start + per_chunk, total))
        items = [encode((f"{key:010}", value)) for key in keys]
        digest += _digest(items)
        packed = encode([msgspec.Raw(item) for item in items])
        encoder.encode_into((zlib.crc32(packed), packed), buffer, HEADER_BYTES)
        _send_frame(tls, buffer)
    _end(tls)
    return {"digest": f"{digest:x}"}


# ping-pong


class _Waiting:
    """A connection on a non-blocking socket whose greenlet sleeps in the hub meanwhile."""

    def __init__(self, tls: SSL.Connection) -> None:
        tls.setblocking(False)
        self._tls = tls
        self._hub = gevent.get_hub()
        self._readable = self._hub.loop.io(tls.fileno(), 1)

    def send(self, data: bytes) -> None:
        sent = self._tls.send(data)
        assert sent == len(data), "a small message fits"

    def receive(self, size: int) -> None:
        while size:
            try:
                size -= len(self._tls.recv(size))
            except SSL.WantReadError:
                self._hub.wait(self._readable)


def answer_pings(options: Options, tell_port: Callable[[int], None]) -> Result:
    """Send back messages of ``size`` bytes, one at a time, until there are no more."""
    pin(0)
    waiting = _Waiting(_accepted(options, tell_port))
    data = bytes(options["size"])
    with contextlib.suppress(SSL.ZeroReturnError):
        while True:
            waiting.receive(len(data))
            waiting.send(data)
    return {}


def ping(options: Options, port: int) -> Result:
    """``rounds`` times ``trips`` round trips; each round is begun by `pair.Ends.release`, and what
    is printed then is its ``median_s``, and how many there were ``per_s``."""
    pin(1)
    tls = _dialled(options, port)
    waiting = _Waiting(tls)
    data = bytes(options["size"])

    def trip() -> None:
        waiting.send(data)
        waiting.receive(len(data))

    for _ in range(options["rounds"]):
        sys.stdin.readline()
        print(json.dumps(timed(trip, options["trips"])), flush=True)
    tls.shutdown()
    return {}


def timed(trip: Callable[[], object], trips: int) -> Result:
    """``median_s`` of so many calls, and how many there were ``per_s``; the first ones are not
    counted, the caches are cold."""
    times: list[float] = []
    for _ in range(WARM_UP_TRIPS + trips):
        begin = time.perf_counter()
        trip()
        times.append(time.perf_counter() - begin)
    del times[:WARM_UP_TRIPS]
    return {"median_s": statistics.median(times), "per_s": trips / sum(times)}


PIPELINES = {
    "messages": (take_messages, give_messages),
    "records": (take_records, give_records),
    "ping": (answer_pings, ping),
}


def main() -> None:
    """One end of the pipeline that the option ``what`` names."""
    gc.disable()  # no cycles here
    play(
        lambda options, tell_port: PIPELINES[options["what"]][0](options, tell_port),
        lambda options, port: PIPELINES[options["what"]][1](options, port),
    )


if __name__ == "__main__":
    main()
