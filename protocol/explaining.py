"""Explanations: the present state of something, and the decisions that led to it, as a tree (B14).

An explanation has its own cause and, below it, what that followed from. Its *roots* are the causes
without anything below: what there is to look at, or to mend.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from .because import About, because
from .decisions import Decision, Decisions
from .identity import ClusterId


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One subject, or one step towards the root of its state."""

    cluster_id: int | None
    kind: str
    """As in `About`."""
    name: str
    state: str | None
    """Where it has one."""
    code: str
    """The cause; see `because.Cause`, `errors.Reason`, `sync_words.Why`, `donors.Rejection`."""
    rule: str
    """Label of the rule that decided."""
    text: str
    """The cause in words; may be empty."""
    depends_on: str = ""
    """What it followed from, in words; below stands what is known of that."""
    number: int | None = None
    """Of the decision; None = it is how things stand, without one."""
    wall_s: float | None = None
    """When it was decided, seconds since the epoch."""
    count: int = 1
    """How often in a row."""
    because: list[Explanation] = []
    """What it followed from."""
    before: list[Explanation] = []
    """How it stood before that, if it is known: at most one."""

    def roots(self) -> list[Explanation]:
        """What is below everything else, in order."""
        if not self.because:
            return [self]
        return [root for part in self.because for root in part.roots()]

    def same(self, other: Explanation) -> bool:
        """The other one says the same of the same thing."""
        return (self.kind, self.name, self.code) == (other.kind, other.name, other.code)

    def lines(self, depth: int = 0) -> Iterator[str]:
        """For people: the state, and under it the causes, indented."""
        yield "  " * depth + self.line("because " if depth else "")
        for part in self.because:
            yield from part.lines(depth + 1)
        for part in () if depth else self.before:
            yield "  " + part.line("before that ")

    def line(self, lead: str) -> str:
        """This alone."""
        state = f" is {self.state}" if self.state else ""
        when = _moment(self.wall_s) if self.wall_s is not None else ""
        since = f" since {when}" if self.state and when else f" at {when}" if when else ""
        times = f", {self.count} times" if self.count > 1 else ""
        words = self.text or self.code.replace("_", " ")
        subject = f"{lead}{About(self.kind, self.name)}"
        unknown = f" ({self.depends_on})" if self.depends_on and not self.because else ""
        return f"{subject}{state}{since}{times}: {words}{unknown} [{self.rule} {self.code}]"


def _moment(wall_s: float) -> str:
    """The time of day, UTC."""
    minutes, seconds = divmod(int(wall_s) % 86400, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}Z"


def step(decision: Decision, below: Sequence[Explanation] = ()) -> Explanation:
    """One decision of the past."""
    return Explanation(
        cluster_id=decision.cluster_id,
        kind=decision.kind,
        name=decision.name,
        state=decision.after,
        code=decision.code,
        rule=decision.rule,
        text=decision.text,
        depends_on=decision.depends_on,
        number=decision.number,
        wall_s=decision.wall_s,
        count=decision.count,
        because=list(below),
    )


def past(book: Decisions, cluster: ClusterId | None, subject: About) -> list[Explanation]:
    """The last decision about something, with what it followed from; empty = nothing is known."""
    found: list[Explanation] = []
    for decision in reversed(book.chain(cluster, subject)):
        found = [step(decision, found)]
    return found


def present(
    book: Decisions,
    cluster: ClusterId | None,
    subject: About,
    state: str | None,
    cause: str,
    below: Sequence[Explanation] = (),
) -> Explanation:
    """How something stands, for a cause that its rules state; ``below``: what else matters.

    The decision that brought it there, if it is known, tells when, and what it followed from.
    """
    said = because(cause)
    known = past(book, cluster, subject)
    same = bool(known) and (known[0].state, known[0].code) == (state, said.code)
    if same:
        causes = known[0].because
    else:
        causes = past(book, cluster, said.about) if said.about is not None else []
    return Explanation(
        cluster_id=cluster,
        kind=subject.kind,
        name=subject.name,
        state=state,
        code=said.code,
        rule=said.rule,
        text=str(said),
        depends_on=str(said.about) if said.about is not None else "",
        number=known[0].number if same else None,
        wall_s=known[0].wall_s if same else None,
        count=known[0].count if same else 1,
        because=[*causes, *(part for part in below if part not in causes)],
        before=_before(book, cluster, subject, state),
    )


def _before(
    book: Decisions, cluster: ClusterId | None, subject: About, state: str | None
) -> list[Explanation]:
    """The last decision that made it something else than it is."""
    others = [d for d in book.history(cluster, subject) if d.after not in (state, None)]
    return [step(others[-1])] if others else []
