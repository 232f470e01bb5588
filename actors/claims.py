"""The claims on the sharing tags of one cluster: a part of its node actor.

The table is `protocol.tag_claims`. Here it is told to the tags of this node, and to their store.
Without tags nothing is read or written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..protocol.errors import StorageUnavailable
from ..protocol.identity import ClusterId, NodeId, NodeRecord
from ..protocol.tag_claims import MAX_KNOWN_TAGS, ClaimTable
from ..protocol.tag_messages import Claim
from ..protocol.tag_words import ClaimHeard, NumberHeard, TagRow, rank_of
from .actor import soonest
from .leased_tag import start_tag
from .tag_mail import ClaimKept, ClaimTold, NumberTold, ReportClaim, TagsLoaded
from .tag_standing import tell_of_tags

if TYPE_CHECKING:
    from ..protocol.effects import Effect
    from .context import Context, Name

STORE_RETRY_S = 2.0
"""Until a store that did not answer is asked again."""
LAST_PRIORITY = 2**31 - 1
"""Of a claim as it was stored, without its priority: the claim itself is above it."""


class Claims:
    """Owns one `ClaimTable`, which a node actor that is started anew inherits."""

    def __init__(self, context: Context, cluster: ClusterId, records: Iterable[NodeRecord]) -> None:
        self.table = ClaimTable(
            cluster_id=cluster,
            me=context.me,
            members=[record.node_id for record in records],
            known=_inherited(context, cluster),
        )
        for entry in context.tagged(cluster):
            self.table.declare(entry.name)
        context.claims[cluster] = self.table
        self._context = context
        self._cluster = cluster
        self._node: Name = ("node", cluster)
        self._loaded = False
        self._load_at: float | None = None
        self._unkept: dict[str, Claim] = {}
        self._keeping = False
        self._keep_at: float | None = None

    @property
    def digest(self) -> bytes:
        """For `Digest.tags`; empty where nobody uses tags."""
        return self.table.digest if self.table.used else b""

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called."""
        return soonest(self._load_at, self._keep_at)

    def tick(self, now: float) -> None:
        """Ask a store again that did not answer."""
        if self._load_at is not None and now >= self._load_at:
            self._load_at = None
            self.load()
        if self._keep_at is not None and now >= self._keep_at:
            self._keep_at = None
            self._keep_next()

    def begin(self) -> None:
        """The node actor runs: its tags know what they claimed while there was none."""
        if self._context.tagged(self._cluster):
            self.load()
        for name in self._context.supervisor.names("tag"):
            if name[1] == self._cluster:
                self._context.supervisor.tell(name, ReportClaim())

    def made(self, claim: Claim) -> list[Effect]:
        """A tag of mine made this claim, or knows it."""
        effects = self.table.claim(claim)
        held = self.table.of(claim.tag)
        if held is not None and rank_of(held) > rank_of(claim):
            self._tell(claim.tag, ClaimTold(held))
        tell_of_tags(self._context, self._cluster)
        return effects

    def heard(self, effect: ClaimHeard | NumberHeard) -> None:
        """Tell the tag, if it is declared here, and keep the claim."""
        if isinstance(effect, NumberHeard):
            self._tell(effect.tag, NumberTold(effect.number))
            return
        self._take_up(effect.claim)
        self._tell(effect.claim.tag, ClaimTold(effect.claim))
        tell_of_tags(self._context, self._cluster)
        if not self._context.tag_store.shared:
            self.keep(effect.claim)

    def _take_up(self, claim: Claim) -> None:
        """A tag that is handed over to me is used here from now on, if it was not."""
        context, where = self._context, (self._cluster, claim.tag)
        named = claim.successor == (context.me, context.incarnation)
        if not (claim.released and named) or where in context.tags:
            return
        entry = context.new_tag(*where, [], starts_active=False)
        if entry.settings.mode == claim.mode:
            context.tags[where] = entry
            start_tag(context, entry)

    def _tell(self, tag: str, mail: ClaimTold | NumberTold) -> None:
        name: Name = ("tag", self._cluster, tag)
        if self._context.supervisor.has(name):
            self._context.supervisor.tell(name, mail)

    # The store -----------------------------------------------------------------------------------

    def load(self) -> None:
        """Ask for what is stored, once."""
        if self._loaded:
            return
        self._loaded = True
        store, cluster = self._context.tag_store, self._cluster
        self._context.runtime.call_in_pool(
            lambda: store.load(cluster),
            lambda rows, error: self._say(TagsLoaded(rows, error)),
        )

    def loaded(self, mail: TagsLoaded, now: float) -> list[Effect]:
        """The store has answered, or not."""
        if mail.rows is None:
            self._loaded, self._load_at = False, now + STORE_RETRY_S
            return []
        stored = [stored_claim(row) for row in mail.rows if row.owner is not None]
        self._context.recorder.claims(self._cluster, stored, now)
        effects = self.table.restore(stored)
        tell_of_tags(self._context, self._cluster)
        for effect in effects:
            match effect:
                case ClaimHeard():
                    self._tell(effect.claim.tag, ClaimTold(effect.claim))
                case NumberHeard():
                    self._tell(effect.tag, NumberTold(effect.number))
                case _:
                    raise AssertionError(f"what is stored tells no node anything: {effect!r}")
        return []

    def keep(self, claim: Claim) -> None:
        """Have a claim stored, of each tag the latest, until it is."""
        self._unkept[claim.tag] = claim
        self._keep_next()

    def _keep_next(self) -> None:
        if self._keeping or self._keep_at is not None or not self._unkept:
            return
        self._keeping = True
        store, cluster = self._context.tag_store, self._cluster
        claim = next(iter(self._unkept.values()))
        self._context.runtime.call_in_pool(
            lambda: store.keep(cluster, claim),
            lambda _answer, error: self._say(ClaimKept(claim, error)),
        )

    def kept(self, mail: ClaimKept, now: float) -> None:
        """The store has answered, or not; what it cannot keep at all is not kept."""
        self._keeping = False
        if isinstance(mail.error, StorageUnavailable):
            self._keep_at = now + STORE_RETRY_S
        elif self._unkept.get(mail.claim.tag) is mail.claim:
            del self._unkept[mail.claim.tag]
        self._keep_next()

    def _say(self, mail: TagsLoaded | ClaimKept) -> None:
        self._context.supervisor.tell(self._node, mail)


def _inherited(context: Context, cluster: ClusterId) -> list[Claim]:
    """What the node actor before knew, as far as it leaves room for the tags declared here."""
    before = context.claims.get(cluster)
    claims = before.claims if before is not None else []
    names = {entry.name for entry in context.tagged(cluster)}
    others = [claim for claim in claims if claim.tag not in names]
    mine = [claim for claim in claims if claim.tag in names]
    return mine + others[: MAX_KNOWN_TAGS - len(names)]


def stored_claim(row: TagRow) -> Claim:
    """What a row says of the highest claim; every claim with its number is above that."""
    assert row.owner is not None
    return Claim(
        tag=row.tag,
        number=row.number,
        owner=NodeId(row.owner.node_id),
        incarnation=row.owner.incarnation,
        priority=LAST_PRIORITY,
        released=row.released,
        mode=row.mode,
        reason="as stored",
    )
