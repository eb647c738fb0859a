"""Witnesses: a log that is cut or rewritten on one side is found on both, and an honest one on none."""

from datetime import timedelta

import pytest

from isthmus.domain.audit import GENESIS, Seal
from isthmus.domain.federation.names import BackendDomain
from isthmus.protocol.audit import head_of, head_text, signed
from isthmus.protocol.message_key import MessageKey
from isthmus.server.application.audit_witness import Heads, WitnessService
from isthmus.server.federation_records import RemoteFinding
from tests.application.backend import BOTH_DATABASES
from tests.application.pair import Side, federated
from tests.application.test_audit_chain import run, write
from tests.tables import on_connection

A, B = BackendDomain("a.example"), BackendDomain("b.example")
Pair = tuple[Side, Side]
CUT = (
    "DELETE FROM audit_log WHERE number > 4; DELETE FROM audit_links WHERE number > 4; "
    "DELETE FROM audit_seals WHERE number > 4; UPDATE backend SET audited = 4"
)
REWRITE = "UPDATE audit_log SET actor = 'user:eve' WHERE number = 4; DELETE FROM audit_links; DELETE FROM audit_seals"


async def exchange(a: Side, b: Side) -> None:
    """Two minutes pass: both link and seal what they have, and tell each other."""
    for side in (a, b):
        side.clock.turn(timedelta(minutes=2))
        await write(side.store, 1)
        await side.chore("linking")
    for side in (a, b):
        await side.beat()
    for side in (a, b):
        await side.chore("keeping the heads")


async def rewritten(side: Side) -> dict[tuple[str, str], RemoteFinding]:
    """By domain and subject."""
    found = await side.services.findings.page(100, None)
    return {(each.domain, each.subject): each for each in found if each.kind == "audit_log_rewritten"}


def witness_of(side: Side) -> WitnessService:
    return side.services.witness


@BOTH_DATABASES
async def test_each_side_holds_what_the_other_said_last_and_finds_nothing_in_honest_logs(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    for _ in range(3):
        await exchange(a, b)
    (asked,) = await witness_of(a).ask("r")
    assert (asked.domain, asked.contradicting, asked.problem) == (B, (), "")
    assert asked.heads >= 3
    async with b.store.reading() as tx:
        held = await tx.witnesses.greatest((await b.remote(A)).id)
    async with a.store.reading() as tx:
        own = await tx.chain.last_seal()
    assert held is not None
    assert own is not None
    assert head_of(held.head) == own.seal
    assert await rewritten(a) == await rewritten(b) == {}


@pytest.mark.case("OPS-006")
@BOTH_DATABASES
@pytest.mark.parametrize("attack", [CUT, REWRITE], ids=["cut", "rewritten"])
async def test_a_log_that_was_cut_or_made_anew_is_found_on_both_sides(
    pair: Pair, database_url: str, attack: str
) -> None:
    a, b = pair
    await federated(a, b)
    for _ in range(2):
        await exchange(a, b)
    await on_connection(database_url, run(attack))
    await exchange(a, b)
    here, there = await rewritten(a), await rewritten(b)
    assert here.keys() == {(A, B)}
    assert there.keys() == {(A, "")}
    evidence = there[A, ""].evidence
    assert evidence["it_said"]["number"] > 4
    (asked,) = await witness_of(a).ask("r")
    assert asked.contradicting
    assert all(seal.number > 4 for seal in asked.contradicting) or attack == REWRITE


async def test_nobody_is_accused_by_a_head_that_was_never_signed(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    await exchange(a, b)
    stranger = MessageKey.generate()
    forged = head_text(signed(Seal(3, GENESIS, a.clock.now(), ""), A, stranger))
    of_b = head_text(signed(Seal(1000, GENESIS, a.clock.now() + timedelta(days=1), ""), B, stranger))
    remote = await a.remote(B)
    for heads in (Heads(of_b, forged), Heads("nonsense", "1.2.3"), Heads(held=forged)):
        witness_of(a).hear(remote, heads)
        await witness_of(a).work()
    assert await rewritten(a) == {}
    async with a.store.reading() as tx:
        assert of_b not in {held.head for held in await tx.witnesses.of(remote.id)}


async def test_a_head_is_made_for_one_backend_alone(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    await exchange(a, b)
    async with b.store.reading() as tx:
        of_b = await tx.chain.last_seal()
    assert of_b is not None
    # What B has signed for its own log says nothing about ours.
    witness_of(a).hear(await a.remote(B), Heads(held=head_text(of_b.seal)))
    await witness_of(a).work()
    assert await rewritten(a) == {}


async def test_what_a_witness_keeps_of_one_remote_is_bounded(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    for _ in range(70):
        a.clock.turn(timedelta(minutes=2))
        await write(a.store, 1)
        await a.chore("linking")
        await a.beat()
        await b.chore("keeping the heads")
    async with b.store.reading() as tx:
        assert len(await tx.witnesses.of((await b.remote(A)).id)) <= 64
    assert await rewritten(b) == {}


async def test_a_remote_that_does_not_answer_is_said_to_be_no_witness(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    a.wire.down.add(B)
    (asked,) = await witness_of(a).ask("r")
    assert (asked.heads, asked.problem) == (0, "remote_refused")
