"""Every node comes to know the highest claim on every tag (H-21, H-22, W15)."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from tagmesh.protocol.effects import Count, Effect, RefreshRoster, SendTo
from tagmesh.protocol.errors import Misuse
from tagmesh.protocol.identity import NodeId
from tagmesh.protocol.messages import Digest
from tagmesh.protocol.tag_claims import MAX_ENDED, MAX_KNOWN_TAGS, MAX_LEAP, ClaimTable
from tagmesh.protocol.tag_messages import MAX_CLAIMS, Claim, TagClaims
from tagmesh.protocol.tag_words import ClaimHeard, Epoch, NumberHeard, epoch_of
from tests.protocol.tag_bench import CLUSTER, LIFE, ONE, THREE, TWO, claim, kinds, me

FOUR, STRANGER = NodeId(4), NodeId(9)


def table(*neighbours: int, of: int = 1, known: Iterable[Claim] = ()) -> ClaimTable:
    members = [ONE, TWO, THREE, FOUR]
    made = ClaimTable(cluster_id=CLUSTER, me=NodeId(of), members=members, known=known)
    for peer in neighbours:
        made.link_up(NodeId(peer))
    return made


def heard(rules: ClaimTable, sender: int, *claims: Claim) -> list[Effect]:
    return rules.receive(NodeId(sender), TagClaims(CLUSTER, list(claims)))


def told(effects: Iterable[Effect]) -> list[tuple[int, list[Claim]]]:
    found = []
    for effect in effects:
        if isinstance(effect, SendTo):
            assert isinstance(effect.message, TagClaims)
            found.append((int(effect.node_id), effect.message.claims))
    return found


def rules_of(effects: Iterable[Effect]) -> list[str]:
    return [e.rule for e in effects if isinstance(e, Count)]


def test_a_higher_claim_is_kept_told_here_and_passed_on() -> None:
    node, new = table(2, 3, 4), claim(3)
    effects = heard(node, 2, new)
    assert effects[0] == ClaimHeard(new)
    assert told(effects) == [(3, [new]), (4, [new])]
    assert node.of("vip") == new
    assert node.claims == [new]


def test_the_same_claim_goes_no_further() -> None:
    node = table(2, 3)
    heard(node, 2, claim(3))
    assert heard(node, 3, claim(3, reason="in other words")) == []


def test_a_lower_claim_is_answered_with_the_highest_and_counted() -> None:
    """H-21, W15."""
    node, high = table(2, 3), claim(3)
    heard(node, 2, high)
    effects = heard(node, 3, claim(2, 3))
    assert told(effects) == [(3, [high])]
    assert rules_of(effects) == ["H-21"]
    assert node.of("vip") == high


def test_what_i_claim_is_told_to_all_and_told_again_when_repeated() -> None:
    """H-2; a repetition tells what is the highest by now."""
    node, mine = table(2, 3), claim(1, 1)
    node.declare("vip")
    assert told(node.claim(mine)) == told(node.claim(mine)) == [(2, [mine]), (3, [mine])]
    heard(node, 2, claim(2))
    assert told(node.claim(mine)) == [(2, [claim(2)]), (3, [claim(2)])]


def test_a_new_neighbour_is_told_everything_in_messages_that_fit() -> None:
    known = [claim(tag=f"t{n:03}") for n in range(MAX_CLAIMS + 1)]
    node = table(known=known)
    assert told(node.link_up(TWO)) == [(2, known[:MAX_CLAIMS]), (2, known[MAX_CLAIMS:])]
    assert told(heard(node, 2, claim(tag="t000", number=2))) == []
    node.link_down(TWO)
    node.declare("t000")
    assert node.claim(claim(tag="t000", number=3)) == []


def test_of_what_was_stored_the_highest_counts() -> None:
    assert table(known=[claim(3), claim(5), claim(4)]).claims == [claim(5)]


def test_a_neighbour_whose_digest_differs_is_told_everything() -> None:
    """H-22: what was lost is made good. A node that knows no tags says nothing of them."""
    node, other = table(2), table(1, of=2)
    heard(node, 2, claim(3))
    assert told(node.receive(TWO, Digest(CLUSTER, [], other.digest))) == [(2, [claim(3)])]
    assert node.receive(TWO, Digest(CLUSTER, [])) == []
    heard(other, 1, claim(3))
    assert node.receive(TWO, Digest(CLUSTER, [], other.digest)) == []
    assert table().digest != b""


def test_only_members_are_listened_to() -> None:
    node = table(2)
    for sender in (STRANGER, ONE):
        assert heard(node, sender, claim()) == [Count("G-4")]
        assert node.receive(sender, Digest(CLUSTER, [], b"x")) == [Count("G-4")]
    assert node.claims == []


@pytest.mark.parametrize("number", [2**64 - 1, 2**63, 2**63 - 1, 3 + MAX_LEAP + 1])
def test_a_number_that_cannot_be_is_ignored_and_counted(number: int) -> None:
    """W15: beyond what can be stored, or so high that it would use up the numbers."""
    node = table(2, 3, known=[claim(3)])
    assert heard(node, 2, claim(number)) == [Count("W15")]
    assert node.claims == [claim(3)]
    assert kinds(heard(node, 2, claim(3 + MAX_LEAP))) == ["ClaimHeard", "SendTo"]


def test_the_last_number_is_one_that_databases_can_store() -> None:
    node = table(2, known=[claim(2**63 - 2)])
    assert heard(node, 2, claim(2**63)) == [Count("W15")]
    assert heard(node, 2, claim(2**63 - 1)) == [ClaimHeard(claim(2**63 - 1))]


def test_a_claim_of_a_stranger_is_ignored_until_the_roster_knows_him() -> None:
    """W15: nobody gets or loses a tag by it, but its number counts for the next epoch."""
    node, theirs = table(2, 3), claim(5, STRANGER)
    heard(node, 2, claim(3))
    effects = heard(node, 2, theirs)
    assert effects[:2] == [Count("W15"), NumberHeard("vip", 5)]
    assert isinstance(effects[2], RefreshRoster)
    assert len(effects) == 3
    heard(node, 2, claim(4, STRANGER))
    assert node.of("vip") == claim(3)
    after = node.set_members([ONE, TWO, THREE, FOUR, STRANGER])
    assert after[0] == ClaimHeard(theirs)
    assert told(after) == [(2, [theirs]), (3, [theirs])]
    assert node.set_members([ONE, TWO, THREE, FOUR, STRANGER]) == []


def test_a_claim_of_a_stranger_is_forgotten_once_there_is_a_higher_one() -> None:
    node = table(2)
    heard(node, 2, claim(5, STRANGER))
    heard(node, 2, claim(6, 2))
    assert node.set_members([ONE, TWO, STRANGER]) == []
    assert node.claims == [claim(6, 2)]


def test_what_a_removed_node_claimed_is_the_highest_still() -> None:
    """Numbers never go back. A newcomer cannot hold it, so digests are about the others."""
    node, newcomer = table(2, 4, known=[claim(5, THREE)]), table(1, of=2)
    members = [ONE, TWO, FOUR]
    node.set_members(members)
    newcomer.set_members(members)
    assert told(heard(node, 2, claim(4, 2))) == [(2, [claim(5, THREE)])]
    assert NumberHeard("vip", 5) in heard(newcomer, 1, claim(5, THREE))
    assert node.digest == newcomer.digest


def test_what_is_written_under_an_epoch_is_as_good_as_its_claim() -> None:
    """H-24: it may come before the claim; from then on nothing older is let in."""
    node = table(2, 3)
    assert heard(node, 2, claim(3))
    assert node.wrote(me(2), "vip", Epoch(3, TWO, 50)) == ("", [])
    refusal, effects = node.wrote(me(3), "vip", Epoch(4, THREE, 40))
    made = claim(4, 3, priority=40, reason="writes", inferred=True)
    assert (refusal, effects[0], told(effects)) == ("", ClaimHeard(made), [(2, [made])])
    late = node.wrote(me(2), "vip", Epoch(3, TWO, 50))
    assert late == ("epoch 3 of node 2 is over: 4 of node 3 is known", [Count("H-24")])
    heard(node, 3, claim(4, 3, priority=40, reason="asked"))
    assert node.wrote(me(3), "vip", Epoch(4, THREE, 40)) == ("", [])
    heard(node, 3, claim(4, 3, priority=40, released=True))
    assert node.wrote(me(3), "vip", Epoch(4, THREE, 40)) == ("", []), (
        "written before it was given up"
    )


def test_what_an_owner_says_replaces_what_was_inferred_of_its_writes() -> None:
    """H-22: all know the same in the end, its mode and the epoch before it too, in either order."""
    said = claim(4, 3, mode="lease", reason="got the lease", follows=(3, 2, 50))
    first, second = table(2, 3), table(2, 3, 4, of=1)
    for node in (first, second):
        heard(node, 2, claim(3))
    first.wrote(me(3), "vip", epoch_of(said))
    inferred = first.of("vip")
    assert inferred is not None
    heard(second, 3, said)
    assert first.digest != second.digest, "so that they tell each other"
    assert told(heard(second, 2, inferred)) == [(2, [said])]
    effects = heard(first, 3, said)
    assert (effects[0], told(effects)) == (ClaimHeard(said), [(2, [said])])
    assert first.claims == second.claims == [said]
    assert first.digest == second.digest
    for node in (first, second):
        assert node.wrote(me(2), "vip", Epoch(3, TWO, 50)) == ("", []), "it was given up before"


def test_nobody_writes_under_the_epoch_of_another_or_one_that_cannot_be() -> None:
    node = table(2, 3)
    of_another = node.wrote(me(2), "vip", Epoch(4, THREE, 50))
    assert of_another == ("node 2 writes under epoch 4 of node 3", [Count("H-24")])
    for writer, epoch in ((2, Epoch(MAX_LEAP + 1, TWO, 50)), (9, Epoch(4, STRANGER, 50))):
        refusal, effects = node.wrote(me(writer), "vip", epoch)
        assert (refusal, effects[0]) == (
            f"a claim of epoch {epoch} counts for nothing here",
            Count("W15"),
        )
    assert node.claims == []


@pytest.mark.parametrize(
    ("first", "second", "counts"),
    [
        (claim(3, 2, released=True), claim(4, 3, follows=(3, 2, 50)), True),
        (claim(3, 2), claim(4, 3, follows=(3, 2, 50)), True),
        (claim(3, 2, released=True), claim(4, 3), False),
        (claim(3, 2, released=True), claim(4, 3, follows=(3, 4, 50)), False),
        (claim(3, 2), claim(4, 2), True),
        (claim(3, 2), claim(4, 3), False),
        (claim(3, 2), claim(4, 2, life=LIFE + 1), False),
    ],
    ids=[
        "given up",
        "given up as the next owner knew",
        "taken before it was given up",
        "another one was given up",
        "activated again",
        "taken",
        "restarted",
    ],
)
def test_what_was_written_before_an_epoch_was_ended_in_order_still_counts(
    first: Claim, second: Claim, counts: bool
) -> None:
    """H-25: nothing that was acknowledged is lost by a hand-over, also where the tag goes to."""
    node = table(2, 3)
    heard(node, 2, first)
    heard(node, 2, second)
    late = node.wrote(me(2), "vip", epoch_of(first), mine=Epoch(4, ONE, 99))
    assert (late == ("", [])) == counts
    heard(node, 3, claim(5, 3))
    heard(node, 3, claim(6, 2))
    assert node.wrote(me(2), "vip", epoch_of(first))[0], "there was a taking since"


def test_epochs_that_ended_in_order_are_remembered_up_to_a_number() -> None:
    node = table(2, 3)
    for number in range(1, MAX_ENDED + 3):
        heard(node, 2, claim(number, 2))
    late = [
        n for n in range(1, MAX_ENDED + 2) if not node.wrote(me(2), "vip", Epoch(n, TWO, 50))[0]
    ]
    assert late == list(range(2, MAX_ENDED + 2))


def test_nobody_else_writes_under_what_is_active_here() -> None:
    """K-7; but a later epoch ends mine."""
    node, mine = table(2, 3), Epoch(5, ONE, 50)
    for lower in (Epoch(4, TWO, 50), Epoch(5, TWO, 60)):
        refusal, effects = node.wrote(me(2), "vip", lower, mine)
        assert (refusal, effects) == (
            f"epoch {lower} is over: 5 of node 1 is active here",
            [Count("K-7")],
        )
    assert node.wrote(me(2), "vip", Epoch(5, TWO, 40), mine)[0] == ""


def test_one_tag_too_many_is_refused_and_counted() -> None:
    """H-27; declared or heard of, and those that are there go on."""
    node = table(2)
    node.declare("mine")
    heard(node, 2, claim(1, STRANGER, tag="strange"))
    for n in range(MAX_KNOWN_TAGS - 2):
        assert kinds(heard(node, 2, claim(tag=f"t{n}"))) == ["ClaimHeard"]
    assert heard(node, 2, claim(tag="more")) == [Count("H-27")]
    with pytest.raises(Misuse, match=f"cluster 1 knows {MAX_KNOWN_TAGS} sharing tags already"):
        node.declare("more")
    node.declare("mine")
    assert (node.declared("mine"), node.declared("t0")) == (True, False)
    assert kinds(heard(node, 2, claim(2, tag="t0"))) == ["ClaimHeard"]
    assert told(node.claim(claim(1, 1, tag="mine")))


@pytest.mark.parametrize("seed", range(30))
def test_claims_told_in_any_order_over_any_links_end_equal(seed: int) -> None:
    """Four nodes in a line, messages in random order, some lost, then three digest rounds."""
    luck = random.Random(seed)
    nodes = {n: table(*(p for p in (n - 1, n + 1) if 1 <= p <= 4), of=n) for n in range(1, 5)}
    flying: list[tuple[int, int, TagClaims | Digest]] = []

    def send(sender: int, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SendTo):
                assert isinstance(effect.message, TagClaims)
                flying.append((sender, int(effect.node_id), effect.message))

    def deliver(loss: float) -> None:
        while flying:
            sender, receiver, message = flying.pop(luck.randrange(len(flying)))
            if luck.random() >= loss:
                send(receiver, nodes[receiver].receive(NodeId(sender), message))

    for node in nodes.values():
        node.declare("vip")
    for n in luck.sample(range(1, 5), 4):
        send(n, nodes[n].claim(claim(luck.randint(1, 3), n, life=LIFE + luck.randint(0, 1))))
    deliver(loss=0.3)
    for _ in range(3):
        flying += [
            (n, p, Digest(CLUSTER, [], nodes[n].digest))
            for n in nodes
            for p in (n - 1, n + 1)
            if p in nodes
        ]
        deliver(loss=0.0)
    assert len({node.digest for node in nodes.values()}) == 1


def test_what_was_stored_counts_where_it_is_higher_and_is_told_with_the_rest() -> None:
    node, new = table(known=[claim(5)]), claim(7, tag="new")
    assert node.restore([claim(4), new]) == [ClaimHeard(new)]
    assert told(node.link_up(TWO)) == [(2, [new, claim(5)])]


def test_what_is_stored_of_a_node_that_is_no_member_counts_only_for_the_next_number() -> None:
    """Nobody else may ever have heard of it: seed 51 of the swarm of tags, where a node without a
    row had claimed the tag in the database, and one node alone that read it refused the owner.
    """
    node, stranger = table(known=[claim(5)]), claim(7, 9)
    assert node.restore([stranger]) == [NumberHeard("vip", 7)]
    assert node.of("vip") == claim(5)
    assert node.set_members([ONE, TWO, STRANGER])[0] == ClaimHeard(stranger)
    assert node.of("vip") == stranger
