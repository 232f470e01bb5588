"""A limit for all nodes together: a trunk carries 20 calls, whichever nodes they come in at."""

from __future__ import annotations

from tagmesh import Counters, LocalCluster

TRUNK, MAX_CALLS = "trunk-berlin", 20


def begin_call(calls: Counters) -> bool:
    """Counts a call; False when the trunk is full.

    What another node counted in the last milliseconds may not be known yet: a limit of this kind
    never waits, and may let a few more through when calls rain in everywhere at once.
    """
    if calls.value(TRUNK) >= MAX_CALLS:
        return False
    calls.add(TRUNK)
    return True


def main() -> None:
    with LocalCluster(3) as lab:
        calls = [node.counters("calls") for node in lab]
        accepted = 0
        for number in range(30):
            accepted += begin_call(calls[number % 3])
            lab.settle()  # each call a while after the one before
        print(f"{accepted} of 30 calls accepted")
        calls[0].add(TRUNK, -5)  # five calls end
        lab.settle()
        print("five ended, there is room again:", begin_call(calls[2]))
        lab.settle()
        print("calls now, as each node knows it:", [c.value(TRUNK) for c in calls])
    print("OK")


if __name__ == "__main__":
    main()
