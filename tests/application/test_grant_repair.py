"""What is told of grants and lost on the way is found at a heartbeat, and asked for again."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from isthmus.domain.federation.grant import HeldGrant
from isthmus.domain.federation.granting import Draft
from isthmus.domain.federation.names import BackendDomain
from tests.application.backend import ADA, BOTH_DATABASES
from tests.application.joining import OFFICE, A, Joined, prepared, rows
from tests.application.pair import Side

B = BackendDomain("b.example")
Pair = tuple[Side, Side]
BOB: dict[str, Any] = {"subject": f"bob@{B}", "kind": "network", "resource_id": str(OFFICE.id), "scopes": ["read"]}


@pytest.fixture
async def joined(pair: Pair) -> Joined:
    made = await prepared(*pair)
    await made.settle()
    return made


async def held(joined: Joined) -> list[HeldGrant]:
    async with joined.b.store.reading() as tx:
        return await tx.held_grants.of_remote(A)


async def granted(joined: Joined, *, is_lost: bool) -> UUID:
    issued = await joined.a.services.grants.create(ADA, Draft(**BOB))
    await delivered(joined, issued.grant.id, is_lost=is_lost)
    return issued.grant.id


async def delivered(joined: Joined, grant_id: UUID, *, is_lost: bool) -> None:
    remote = await joined.a.remote(B)
    if is_lost:
        async with joined.a.store.transaction() as tx:
            await tx.outbox.drop_subject(remote.id, f"grant {grant_id}")
    await joined.settle()


def asked(joined: Joined) -> int:
    return len(joined.a.wire.calls("get", "a.example"))


@BOTH_DATABASES
async def test_a_grant_and_its_end_that_were_lost_are_asked_for_at_the_second_heartbeat_that_differs(
    joined: Joined,
) -> None:
    grant_id = await granted(joined, is_lost=True)
    assert await held(joined) == []
    await joined.b.beat()
    assert (await held(joined), asked(joined)) == ([], 0)
    await joined.b.beat()
    (found,) = await held(joined)
    assert (found.id, found.subject, found.ended_at) == (grant_id, f"bob@{B}", None)
    (row,) = await rows(joined.b, "grant.repaired")
    assert row.facts == {"told": [str(grant_id)], "ended": []}

    await joined.a.services.grants.revoke(ADA, grant_id, "over")
    await delivered(joined, grant_id, is_lost=True)
    for _ in range(2):
        await joined.b.beat()
    (found,) = await held(joined)
    assert found.ended_at is not None


async def test_what_is_heard_costs_no_question(joined: Joined) -> None:
    await granted(joined, is_lost=False)
    for _ in range(4):
        await joined.b.beat()
    assert (len(await held(joined)), asked(joined)) == (1, 0)
    assert await rows(joined.b, "grant.repaired") == []


async def test_a_grant_that_its_owner_has_lost_ends(joined: Joined) -> None:
    kept, lost = [await granted(joined, is_lost=False) for _ in range(2)]
    async with joined.b.store.transaction() as tx:
        (one,) = [each for each in await tx.held_grants.of_remote(A) if each.id == lost]
        invented = UUID(int=77)
        await tx.held_grants.put(replace(one, id=invented))
    for _ in range(2):
        await joined.b.beat()
    found = {each.id: each.ended_at is None for each in await held(joined)}
    assert found == {kept: True, lost: True, invented: False}
    for _ in range(3):
        await joined.b.beat()
    assert len(await rows(joined.b, "grant.repaired")) == 1


async def test_more_grants_than_one_page_are_all_found(joined: Joined) -> None:
    made = {(await joined.a.services.grants.create(ADA, Draft(**BOB))).grant.id for _ in range(23)}
    remote = await joined.a.remote(B)
    async with joined.a.store.transaction() as tx:
        for grant_id in made:
            await tx.outbox.drop_subject(remote.id, f"grant {grant_id}")
    for _ in range(2):
        await joined.b.beat()
    assert {each.id for each in await held(joined)} == made
    assert asked(joined) == 3
