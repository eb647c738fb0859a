"""Grants whose lists are damaged, and calls during which a grant ends: nothing is let through or half done."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import Text, literal, update

from isthmus.domain.federation.service import Service
from isthmus.protocol import resources as wire
from isthmus.server.adapters.db.grant_tables import grants
from isthmus.server.records import Outcome
from tests.application.backend import ADA, BOTH_DATABASES
from tests.application.granting import ASKED, LISTS, OFFICE, B, Owner
from tests.tables import on_connection

DAMAGE = ("[null]", '[""]', '"x"', "{}", '["*"]', '{"mode": "list", "entries": ["10.1.0.1/8"]}', "not json")


@pytest.mark.case("GRANT-005")
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("axis", list(LISTS))
async def test_damaged_lists_deny_and_their_grant_can_still_be_revoked(owner: Owner, axis: str, damage: str) -> None:
    issued = await owner.grant(**LISTS)
    await owner.passed(issued.token)
    written = update(grants).where(grants.c.id == issued.grant.id).values({axis: literal(damage, Text)})
    await on_connection(owner.url, lambda connection: connection.execute(written))
    problem, _ = await owner.denied("axis_denied", issued.token)
    assert (problem["axis"], problem["allowed_total"]) == (ASKED[axis], 0)
    revoked = await owner.side.services.grants.revoke(ADA, issued.grant.id, "its list is damaged")
    assert revoked.revoked_at is not None
    await owner.rows()
    await owner.denied("grant_revoked", issued.token)


@pytest.mark.case("GRANT-009")
@BOTH_DATABASES
@pytest.mark.parametrize("is_revoked", [True, False], ids=["revoked meanwhile", "left alone"])
async def test_a_call_that_waits_for_a_lock_has_no_effect_once_its_grant_is_revoked(
    owner: Owner, is_revoked: bool
) -> None:
    now = owner.side.clock.now()
    service = Service(UUID(int=9), "wiki", OFFICE.id, "tcp", OFFICE.cidr_v6[9], ((443, 443),), now)
    async with owner.side.store.transaction() as tx:
        await tx.services.add(service)
    issued = await owner.grant(kind="service", resource_id=str(service.id), scopes=["write"])
    write = wire.UpdateResource("service", str(service.id), {"note": "theirs"})
    async with owner.side.store.transaction() as tx:
        # What every call with an effect locks too; here it is the operator's transaction that has it first.
        await tx.remotes.lock(B)
        waiting = asyncio.create_task(owner.ask(issued.token, write))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        if is_revoked:
            present = await tx.grants.get(issued.grant.id)
            await tx.grants.save(replace(present, revoked_at=owner.side.clock.now(), revoked_reason="over"))
    answer = await waiting
    (row,) = await owner.rows()
    async with owner.side.store.reading() as tx:
        note = (await tx.services.get(service.id)).note
    if is_revoked:
        assert (answer.status_code, answer.json()["code"]) == (403, "grant_revoked")
        assert (row.outcome, note) == (Outcome.DENIED, "")
    else:
        assert (answer.status_code, row.outcome, note) == (200, Outcome.DONE, "theirs")
