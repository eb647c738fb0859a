"""The backend's own certificates and keys in the store: read back as written, one of each standing."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from isthmus.domain.federation.names import InfraDomain
from isthmus.domain.federation.rollover import Standing
from isthmus.server.certificate_records import OwnAuthority, OwnBundle, OwnKey, OwnLeaf, Purpose
from isthmus.server.ports import Conflict, Store
from tests.builders import NOON

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")

ODD = NOON.replace(microsecond=999_999)
BUNDLE = OwnBundle(UUID(int=1), UUID(int=2), 2**52, b"\x00digest", "a.b.c")
ONE = OwnAuthority(
    Standing.CURRENT, NOON, ODD, b"\x00" * 32, (b"\x30\x00", b"\x30\xff"), NOON + timedelta(days=9), True
)
TWO = OwnAuthority(Standing.NEXT, ODD, ODD, b"\x01" * 32, (b"\x30\x01",), NOON + timedelta(days=99))
KEY = OwnKey(Standing.CURRENT, NOON, NOON, "k1", bytes(range(32)))
NEXT_KEY = OwnKey(Standing.NEXT, ODD, ODD, "k0", b"\xff" * 32)
LEAF = OwnLeaf(
    serial=2**159 + 1,
    fingerprint=b"f" * 32,
    authority=ONE.fingerprint,
    purpose=Purpose.INGRESS,
    uri="spiffe://a.example/instance/x",
    infra_domains=(InfraDomain("infra.a.example"), InfraDomain("infra2.a.example")),
    issued_at=NOON,
    ends_at=ODD,
    revoked_at=ODD,
    reason="lost",
)
SECOND = replace(LEAF, serial=1, purpose=Purpose.INVITATION, revoked_at=None, reason="", issued_at=ODD)


async def test_all_of_it_reads_back_as_written(store: Store) -> None:
    async with store.transaction() as tx:
        assert await tx.own_trust.bundle() is None
        assert await tx.own_trust.lock() is None
        await tx.own_trust.put_bundle(BUNDLE)
        await tx.own_trust.put_authorities([TWO, ONE])
        await tx.own_trust.put_keys([NEXT_KEY, KEY])
        await tx.own_trust.put_leaves([SECOND, LEAF])
    async with store.reading() as tx:
        assert await tx.own_trust.bundle() == BUNDLE
        assert await tx.own_trust.authorities() == [ONE, TWO]
        assert await tx.own_trust.keys() == [KEY, NEXT_KEY]
        assert await tx.own_trust.leaves() == [LEAF, SECOND]


async def test_what_is_put_again_is_changed_and_what_is_dropped_is_gone(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.own_trust.put_bundle(BUNDLE)
        await tx.own_trust.put_authorities([ONE, TWO])
        await tx.own_trust.put_keys([KEY, NEXT_KEY])
        await tx.own_trust.put_leaves([LEAF, SECOND])
    turned = [replace(ONE, standing=Standing.PAST), replace(TWO, standing=Standing.CURRENT)]
    async with store.transaction() as tx:
        assert await tx.own_trust.lock() == BUNDLE
        # In this order two would be current for a moment: the store writes them in the one that does not clash.
        await tx.own_trust.put_authorities(reversed(turned))
        await tx.own_trust.put_keys(
            [replace(NEXT_KEY, standing=Standing.CURRENT), replace(KEY, standing=Standing.PAST)]
        )
        await tx.own_trust.put_bundle(replace(BUNDLE, sequence=1))
        await tx.own_trust.drop_leaves([LEAF.serial])
    async with store.transaction() as tx:
        assert await tx.own_trust.authorities() == turned
        assert [key.standing for key in await tx.own_trust.keys()] == [Standing.PAST, Standing.CURRENT]
        assert await tx.own_trust.leaves() == [SECOND]
        assert await tx.own_trust.bundle() == replace(BUNDLE, sequence=1)
        await tx.own_trust.drop_authorities([ONE.fingerprint])
        await tx.own_trust.drop_keys([KEY.id])
        await tx.own_trust.drop_leaves([])
        assert [each.fingerprint for each in await tx.own_trust.authorities()] == [TWO.fingerprint]
        assert [each.id for each in await tx.own_trust.keys()] == [NEXT_KEY.id]


@pytest.mark.parametrize("standing", [Standing.CURRENT, Standing.NEXT])
async def test_there_are_no_two_of_one_standing(store: Store, standing: Standing) -> None:
    with pytest.raises(Conflict):
        async with store.transaction() as tx:
            await tx.own_trust.put_keys([replace(KEY, standing=standing), replace(NEXT_KEY, standing=standing)])
    with pytest.raises(Conflict):
        async with store.transaction() as tx:
            await tx.own_trust.put_authorities([replace(ONE, standing=standing), replace(TWO, standing=standing)])
    async with store.transaction() as tx:
        await tx.own_trust.put_keys([replace(KEY, standing=Standing.PAST), replace(NEXT_KEY, standing=Standing.PAST)])
