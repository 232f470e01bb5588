"""Makes a file of dialogs: python examples/dialog_records.py calls.csv --count 25000 --seed 1

The same seed and time make the same file. It has the columns of OpenSIPS's table ``dialog``, filled
as in a proxy between customers with SIP telephones and some trunks; load it with
``node.cluster(1).dialogs().load_file("calls.csv")``.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from zlib import crc32

from tagmesh.capabilities.dialog_file import write_dialogs
from tagmesh.capabilities.dialog_records import Dialog, DialogState, dialog_of

PROXY = "203.0.113.5"
TRUNKS = {"berlin": "198.51.100.11", "paris": "198.51.100.27", "lisboa": "198.51.100.40"}
CODECS = ("PCMA", "PCMU", "G722", "opus")
HASH_SIZE = 4096
LIFETIME_S = 12 * 3600
"""OpenSIPS's default_timeout."""


def dialogs(
    count: int, seed: int, now_s: int, tags: Sequence[str] = ("vip1",)
) -> Iterator[tuple[Dialog, str]]:
    """So many answered dialogs, none older than an hour, shared out between sharing tags."""
    dice = random.Random(f"dialogs {seed}")  # noqa: S311 - a seed, not a secret
    ids: Counter[int] = Counter()
    for number in range(count):
        yield _dialog(dice, number, now_s, ids), tags[dice.randrange(len(tags))]


def _dialog(dice: random.Random, number: int, now_s: int, ids: Counter[int]) -> Dialog:
    phone = f"10.{dice.randrange(64)}.{dice.randrange(256)}.{dice.randrange(1, 255)}"
    caller, callee = f"49{dice.randrange(10**9):09}", f"351{dice.randrange(10**9):09}"
    trunk = dice.choice(list(TRUNKS))
    callid = _callid(dice, phone, number)
    from_tag, to_tag = f"{dice.getrandbits(40):010x}", f"as{dice.getrandbits(32):08x}"
    entry = crc32(callid.encode()) % HASH_SIZE
    ids[entry] += 1
    start_s = now_s - dice.randrange(3600)
    anonymous = dice.random() < 0.05
    did = f"{entry:x}"[::-1] + "." + f"{ids[entry]:x}"[::-1]
    return dialog_of(
        {
            "dlg_id": (entry << 32) + ids[entry],
            "callid": callid,
            "from_uri": f"sip:{caller}@example.net",
            "from_tag": from_tag,
            "to_uri": f"sip:+{callee}@example.net",
            "to_tag": to_tag,
            "mangled_from_uri": "sip:anonymous@anonymous.invalid" if anonymous else None,
            "caller_cseq": str(dice.randrange(1, 30_000)),
            "callee_cseq": str(dice.choice((0, 0, 0, 101, 102))),
            "caller_ping_cseq": dice.randrange(200),
            "callee_ping_cseq": dice.randrange(200),
            "caller_route_set": f"<sip:{phone};lr>" if dice.random() < 0.2 else None,
            "callee_route_set": (
                f"<sip:{TRUNKS[trunk]};lr;ftag={from_tag};did={did}>,"
                f"<sip:edge1.{trunk}.example.org:5061;transport=tls;r2=on;lr>"
            ),
            "caller_contact": f"sip:{caller}@{phone}:{dice.randrange(1024, 65_535)};ob",
            "callee_contact": f"sip:+{callee}@{TRUNKS[trunk]}:5060;transport=udp",
            "caller_sock": f"udp:{PROXY}:5060",
            "callee_sock": f"tls:{PROXY}:5061" if trunk == "berlin" else f"udp:{PROXY}:5060",
            "state": DialogState.CONFIRMED if dice.random() < 0.98 else DialogState.CONFIRMED_NA,
            "start_time": start_s,
            "timeout": start_s + LIFETIME_S,
            "vars": {
                "account": f"acme-{dice.randrange(400):03}",
                "codec": dice.choice(CODECS),
                "rate": f"{dice.randrange(5, 90)}|EUR#60/1",
            },
            "profiles": (("calls", ""), ("trunk", trunk), ("account", f"{dice.randrange(400):03}")),
            "script_flags": dice.choice((0, 4, 36)),
            "module_flags": dice.choice((0, 1)),
            "flags": dice.choice((0, 8, 104)),
            "rt_on_timeout": "bill_and_bye" if dice.random() < 0.5 else None,
        }
    )


def _callid(dice: random.Random, phone: str, number: int) -> str:
    """In the forms of several makers of telephones."""
    bits = dice.getrandbits(128)
    if number % 3 == 0:
        return str(uuid.UUID(int=bits, version=4))
    return f"{bits:032x}@{phone}:5060" if number % 3 == 1 else f"{bits:x}-{number}@pbx.example.net"


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes a file of dialogs.")
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=25_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--now", type=int, default=int(time.time()), help="seconds since 1970")
    parser.add_argument("--tag", action="append", help="a sharing tag; may be given several times")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = options.file or Path(folder, "calls.csv")  # without a file: only tried out
        made = dialogs(options.count, options.seed, options.now, options.tag or ["vip1"])
        count = write_dialogs(file, made)
        print(f"{count} dialogs, {file.stat().st_size / 1e6:.1f} MB: {file.name}")
    print("OK")


if __name__ == "__main__":
    main()
