"""Run fuzz targets under atheris, which mutates inputs towards code not reached yet.

    python -m tests.fuzz TARGET [-max_total_time=60 …]     one target, options of libFuzzer
    python -m tests.fuzz --all [--seconds 60]              the canary, then every target in turn,
                                                           then `live` for as long
    python -m tests.fuzz live [--seconds 60]               mutants through a real TLS link

Found inputs are written to ``build/fuzz/``. Add one that broke something to ``corpus/TARGET``,
where ``make test`` replays it for ever. Exit status: 0 nothing escaped, 1 something did or the
canary was missed (then the run proves nothing), 2 atheris is not there.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FINDINGS = Path("build", "fuzz")
DEFAULTS = {"max_total_time": "60", "timeout": "1", "rss_limit_mb": "512", "max_len": "4096"}
CANARY_SECONDS = 30
LIVE_FRAMES = 2000
NO_ATHERIS = (
    "atheris is not installed, so nothing was fuzzed. Install it with: pip install 'tagmesh[fuzz]'."
    " It has wheels for CPython 3.11 … 3.14 on Linux x86_64 only; elsewhere the same targets run"
    " under hypothesis: pytest tests/fuzz"
)


def options_of(name: str, given: Sequence[str], scratch: str, corpus: Path) -> list[str]:
    """libFuzzer's command line; what was ``given`` wins. New inputs go to ``scratch``."""
    said = {option.partition("=")[0] for option in given}
    defaults = [f"-{key}={value}" for key, value in DEFAULTS.items() if f"-{key}" not in said]
    artifacts = f"-artifact_prefix={FINDINGS / name}-"
    return [*defaults, artifacts, *given, scratch, str(corpus)]


def fuzz(name: str, given: Sequence[str]) -> None:
    """Fuzz one target in this process, which atheris ends."""
    import atheris

    with atheris.instrument_imports(include=["tagmesh", "tests.fuzz"]):
        from tests.fuzz import targets
    known = {**targets.TARGETS, targets.CANARY: targets.canary}
    if name not in known:
        sys.exit(f"there is no target {name}; there are: {', '.join(known)}")
    FINDINGS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tagmesh-fuzz-") as scratch:
        options = options_of(name, given, scratch, targets.CORPUS / name)
        atheris.Setup([sys.argv[0], *options], known[name])
        atheris.Fuzz()


def fuzz_all(seconds: int) -> int:
    """The canary, which must be found, then every target; the exit status."""
    from tests.fuzz import targets

    begin = time.monotonic()
    found = _run(targets.CANARY, CANARY_SECONDS)
    took_s = time.monotonic() - begin
    if found.returncode == 0 or targets.CANARY_SENTENCE not in found.stdout:
        print(f"void: the canary was not found within {CANARY_SECONDS} s\n{found.stdout[-2000:]}")
        return 1
    print(f"canary: found in {took_s:.1f} s")
    failed = 0
    for name in targets.TARGETS:
        done = _run(name, seconds)
        runs = [line for line in done.stdout.splitlines() if line.startswith("Done ")]
        print(f"{name}: {runs[-1] if runs else 'ended early'}", flush=True)
        if done.returncode != 0:
            failed += 1
            print(done.stdout[-4000:], f"\nreplay: python -m tests.fuzz {name} {FINDINGS}/{name}-…")
    return 1 if fuzz_live(seconds) or failed else 0


def fuzz_live(seconds: int) -> int:
    """Rounds of mutants with growing seeds; the exit status."""
    from tests.fuzz.live import attack

    logging.getLogger("tagmesh").setLevel(logging.ERROR)  # refusals are what it is about
    begin = time.monotonic()
    seed = sent = closed = 0
    while time.monotonic() - begin < seconds:
        seed += 1
        with tempfile.TemporaryDirectory(prefix="tagmesh-fuzz-") as folder:
            try:
                outcome = attack(Path(folder), seed, LIVE_FRAMES)
            except AssertionError as error:
                print(f"live: {error}\nreplay: attack(folder, {seed}, {LIVE_FRAMES})")
                return 1
        sent, closed = sent + outcome.sent, closed + outcome.closed
    print(f"live: {sent} mutants on real links, {closed} closed theirs, nothing else noticed")
    return 0


def _run(name: str, seconds: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", name, f"-max_total_time={seconds}"]
    return subprocess.run(
        command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=seconds + 120,
    )  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """See the module."""
    seconds = int(arguments[2]) if arguments[1:2] == ["--seconds"] else 60
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    if arguments[0] == "live":
        return fuzz_live(seconds)
    try:
        import atheris  # noqa: F401 - an extra; the help works without it
    except ImportError:
        print(NO_ATHERIS, file=sys.stderr)
        return 2
    if arguments[0] == "--all":
        return fuzz_all(seconds)
    fuzz(arguments[0], arguments[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
