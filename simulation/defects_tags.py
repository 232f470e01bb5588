"""Mutants of sharing tags: whose claim counts, who knows it, what is kept, how long leases are."""
# ruff: noqa: SLF001 - a defect is put in where the rule is

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..protocol.effects import Effect
from ..protocol.identity import NodeId
from ..protocol.lease import LeaseRules
from ..protocol.lease_vows import Consent
from ..protocol.messages import Digest
from ..protocol.tag_base import Tag
from ..protocol.tag_claims import ClaimTable
from ..protocol.tag_messages import Claim, TagClaims
from ..protocol.tag_words import ClaimHeard, TagRow, TagState, rank_of
from ..protocol.tags import TagRules
from ..storage.base import TagAnswer
from .defect import Replace, mutant
from .tag_store import SimulatedTagStore


@mutant(
    "demote",
    rule="row 18 (H-21)",
    defect="whoever hears that another node has the tag gives it up, whichever claim is higher",
    history="tags",
    dies="I3",
)
def demote(replace: Replace) -> None:
    """Both sides of a partition tell each other, and both step down."""
    heard, claim_heard = ClaimTable._heard, Tag.claim_heard

    def told(self: ClaimTable, sender: NodeId, claims: Iterable[Claim]) -> list[Effect]:
        claims = list(claims)
        low = [c for c in claims if (held := self.of(c.tag)) and rank_of(c) < rank_of(held)]
        foreign = [c for c in low if c.owner != self._me and not c.released]
        return [*heard(self, sender, claims), *map(ClaimHeard, foreign)]

    def obey(self: Tag, claim: Claim, now: float) -> list[Effect]:
        if self.state is TagState.ACTIVE and claim.owner != self.me.node_id:
            self._deactivate(f"node {claim.owner} says that it has it")
        return claim_heard(self, claim, now)

    replace(ClaimTable, "_heard", told)
    replace(Tag, "claim_heard", obey)


@mutant(
    "localepoch",
    rule="localepoch (P4, I3)",
    defect="a node takes the next number it knows of without asking the database they share",
    history="both activate",
    dies="I3",
)
def localepoch(replace: Replace) -> None:
    """Two nodes that activate at the same time give one number twice."""

    def ask(self: TagRules) -> None:
        self._retry_at = None
        self._tries += 1
        self._attempts += 1
        self._claim_stored(0.0, self._seen + 1)

    replace(TagRules, "_ask", ask)


@mutant(
    "noanti",
    rule="noanti (H-22)",
    defect="nodes do not compare which claims they know: who heard of one later tells nobody",
    history="read late",
    dies="H-22",
)
def noanti(replace: Replace) -> None:
    """A digest is answered with nothing."""
    receive = ClaimTable.receive

    def deaf(self: ClaimTable, sender: NodeId, message: TagClaims | Digest) -> list[Effect]:
        return [] if isinstance(message, Digest) else receive(self, sender, message)

    replace(ClaimTable, "receive", deaf)


@mutant(
    "restart_active",
    rule="row 19, restart_active (H-23)",
    defect="a node that is configured to have the tag takes it when it restarts",
    history="owner returns",
    dies="H-23",
)
def restart_active(replace: Replace) -> None:
    """As with the policy `steal`."""
    begin = TagRules.begin

    def steal(self: TagRules, *args: Any, **words: Any) -> None:
        begin(self, *args, **{**words, "steal": True})

    replace(TagRules, "begin", steal)


@mutant(
    "nobodytells",
    rule="row 20 (H-22)",
    defect="a node that joins late does not learn who has the tag",
    history="late joiner",
    dies="H-22",
)
def nobodytells(replace: Replace) -> None:
    """Claims are told when they are made, and never again."""
    noanti.switch(replace)
    replace(ClaimTable, "link_up", lambda self, peer: self._neighbours.add(peer) or [])


@mutant(
    "stucktag",
    rule="row 21 (H-20)",
    defect="what failed once blocks a tag for ever",
    history="store away",
    dies="H-20",
)
def stucktag(replace: Replace) -> None:
    """The activation that the database did not answer is never over."""
    replace(TagRules, "store_failed", lambda _self, _attempt, _error, _now: [])


@mutant(
    "nosave",
    rule="nosave (H-20, I3)",
    defect="the number of an epoch is not kept, so the next life gives it again",
    history="alone again",
    dies="I3",
)
def nosave(replace: Replace) -> None:
    """The file of claims stays empty."""
    put = SimulatedTagStore._put

    def forget(self: SimulatedTagStore, cluster: Any, row: TagRow, *ttl_s: float) -> TagAnswer:
        return put(self, cluster, row, *ttl_s) if self.shared else TagAnswer(done=True, row=row)

    replace(SimulatedTagStore, "_put", forget)


@mutant(
    "nosafety",
    rule="B4: the owner stops before the lease ends, as clocks are wrong",
    defect="the owner goes on until its own clock says that the lease has ended",
    history="tags",
    dies="I3",
)
def nosafety(replace: Replace) -> None:
    """Its clock is slow, the database's fast."""
    replace(LeaseRules, "_lasts_s", property(lambda self: self._settings.ttl_s))


@mutant(
    "fromanswer",
    rule="B4: the owner counts from when it asked",
    defect="the owner counts its lease from when the answer came",
    history="owner cut off",
    dies="I3",
)
def fromanswer(replace: Replace) -> None:
    """The answer comes late, or the process stood still meanwhile."""
    note = LeaseRules._note

    def later(self: LeaseRules, row: TagRow | None, now: float) -> None:
        self._asked_at = now
        note(self, row, now)

    replace(LeaseRules, "_note", later)


@mutant(
    "loosevow",
    rule="B4: a vow binds",
    defect="who lets the owner go on without the database takes the lease all the same",
    history="owner cut off",
    dies="I3",
)
def loosevow(replace: Replace) -> None:
    """What was promised is forgotten."""
    consider = LeaseRules._consider_vow

    def forget(self: LeaseRules, *words: Any) -> None:
        before = self._vowed_until
        consider(self, *words)
        self._vowed_until = before

    replace(LeaseRules, "_consider_vow", forget)


@mutant(
    "noelectors",
    rule="B4: a lease that ran out goes to whom its owner knew",
    defect="the row does not name the nodes by whose word the owner goes on without the database",
    history="newcomer",
    dies="I3",
)
def noelectors(replace: Replace) -> None:
    """A node that was provisioned since gave no vow, and takes the tag."""
    replace(Consent, "electors", property(lambda _self: ()))
