"""Grants, their tokens, grants that we hold, and services, in both databases."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from uuid import UUID

import pytest
from sqlalchemy import Text, literal, update

from isthmus.domain.errors import NotFound
from isthmus.domain.federation.axes import CLOSED
from isthmus.domain.federation.grant import Axis, AxisMode, Disclose, Grant, GrantToken, HeldGrant, Offered, Scope
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.federation.service import Service
from isthmus.domain.ids import NetworkId
from isthmus.server.adapters.db.grant_tables import grants
from isthmus.server.ports import ServiceNameTaken, Store
from isthmus.server.records import Page
from tests.builders import NOON, a_digest, a_network
from tests.contract.filling import put_network
from tests.tables import on_connection

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")

B, C = BackendDomain("b.example"), BackendDomain("c.example")
ODD = NOON.replace(microsecond=999_999)
LATER = NOON + timedelta(days=30)
BARE = Grant(UUID(int=1), B, 1, "bob@b.example", "user:ada", "network", None, frozenset({Scope.READ}), NOON, LATER)
FULL = replace(
    BARE,
    id=UUID(int=2),
    remote_generation=3,
    kind="service",
    resource_id=str(UUID(int=7)),
    scopes=frozenset(Scope),
    instances=Axis(AxisMode.LIST, frozenset({InstanceId(UUID(int=11)), InstanceId(UUID(int=12))})),
    networks=Axis(AxisMode.LIST),
    sources=Axis(AxisMode.LIST, frozenset({IPv4Network("10.1.0.0/16"), IPv6Network("fd00:abcd:1234::/48")})),
    disclose=Disclose.COUNT,
    note="π 100%_",
    revoked_at=ODD,
    revoked_by="user:ada",
    revoked_reason="it's over",
    last_used_at=ODD,
    version=4,
)
OF_C = replace(BARE, id=UUID(int=3), remote=C, subject="carol@c.example")
HELD = HeldGrant(UUID(int=1), B, 1, "alice@a.example", "network", None, frozenset({Scope.READ}), NOON, LATER)
ADDRESS = IPv4Address("10.20.0.9")
OFFERED = Offered("wiki", "office", "tcp", ADDRESS, ((80, 80), (8000, 8080)))
SERVICE = Service(UUID(int=1), "wiki", a_network().id, "tcp", ADDRESS, ((80, 80), (443, 444)), ODD, "π")


async def put(store: Store, *added: Grant) -> None:
    async with store.transaction() as tx:
        for grant in added:
            await tx.grants.add(grant)


async def test_grants_read_back_as_written_in_pages(store: Store) -> None:
    await put(store, BARE, FULL, OF_C)
    async with store.reading() as tx:
        assert [await tx.grants.get(each.id) for each in (BARE, FULL)] == [BARE, FULL]
        assert await tx.grants.page(Page(2)) == [BARE, FULL]
        assert await tx.grants.page(Page(2, FULL.id)) == [OF_C]
        assert await tx.grants.page(Page(9, BARE.id), B) == [FULL]
        assert await tx.grants.of_remote(C) == [OF_C]
    async with store.transaction() as tx:
        assert await tx.grants.lock(FULL.id) == FULL
        await tx.grants.save(after := replace(FULL, instances=Axis(), revoked_at=None, resource_id=None, version=5))
        assert await tx.grants.get(FULL.id) == after
        for attempt in (tx.grants.get(UUID(int=9)), tx.grants.lock(UUID(int=9))):
            with pytest.raises(NotFound):
                await attempt
        with pytest.raises(NotFound):
            await tx.grants.save(replace(FULL, id=UUID(int=9)))


async def test_a_grant_is_live_until_it_is_revoked_or_its_time_is_over(store: Store) -> None:
    await put(store, BARE, FULL, OF_C)
    async with store.reading() as tx:
        assert await tx.grants.live(LATER - timedelta(microseconds=1)) == [BARE, OF_C]
        assert await tx.grants.live(NOON, OF_C.remote) == [OF_C]
        assert await tx.grants.live(LATER) == []


async def test_a_token_leads_to_its_grant_until_it_is_dropped(store: Store) -> None:
    await put(store, BARE, FULL)
    first = GrantToken("one", BARE.id, a_digest("one"), NOON)
    second = GrantToken("two", BARE.id, a_digest("two"), ODD, LATER)
    other = GrantToken("three", FULL.id, a_digest("three"), NOON)
    async with store.transaction() as tx:
        for token in (second, first, other):
            await tx.grants.add_token(token)
        assert await tx.grants.tokens_of(BARE.id) == [first, second]
        await tx.grants.save_token(ending := replace(first, expires_at=ODD))
    async with store.reading() as tx:
        assert await tx.grants.with_token("one") == (BARE, ending)
        assert await tx.grants.with_token("three") == (FULL, other)
        assert await tx.grants.with_token("four") is None
    async with store.transaction() as tx:
        await tx.grants.drop_tokens(BARE.id)
    async with store.reading() as tx:
        assert [await tx.grants.with_token(name) for name in ("one", "two", "three")] == [None, None, (FULL, other)]


async def test_the_last_use_is_noted_and_nothing_else_changes(store: Store) -> None:
    await put(store, BARE, OF_C)
    async with store.transaction() as tx:
        await tx.grants.used([])
        await tx.grants.used([(OF_C.id, ODD), (BARE.id, NOON), (UUID(int=9), NOON)])
    async with store.reading() as tx:
        assert await tx.grants.page(Page()) == [replace(BARE, last_used_at=NOON), replace(OF_C, last_used_at=ODD)]


DAMAGE = (
    "[null]", '[""]', '"x"', "{}", '["*"]', "", "not json", "null", "[" * 100_000,
    '{"mode": "list", "entries": [null]}', '{"mode": "list", "entries": [""]}', '{"mode": "list", "entries": "x"}',
    '{"mode": "list", "entries": {}}', '{"mode": "list", "entries": ["*"]}', '{"mode": "list"}',
    '{"mode": "list", "entries": ["10.1.0.1/8"]}', '{"mode": "any", "entries": []}', '{"mode": "all"}',
    '{"mode": "list", "entries": ["00000000-0000-0000-0000-00000000000b", "10.1.0.0/16", 7]}',
)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE, ids=range(len(DAMAGE)))
async def test_a_damaged_axis_reads_as_a_list_that_admits_nothing(store: Store, database_url: str, damage: str) -> None:
    await put(store, FULL, BARE)
    table = update(grants).where(grants.c.id == FULL.id)
    # Past the type that would write it well.
    await on_connection(
        database_url, lambda connection: connection.execute(table.values(instances=literal(damage, Text)))
    )
    async with store.transaction() as tx:
        assert await tx.grants.get(FULL.id) == replace(FULL, instances=CLOSED)
        assert not (await tx.grants.get(FULL.id)).instances.admits(lambda _: True)
        assert await tx.grants.get(BARE.id) == BARE
        await tx.grants.save(replace(FULL, instances=CLOSED, revoked_reason="damaged"))


async def test_grants_that_we_hold_follow_what_their_remote_says(store: Store) -> None:
    full = replace(
        HELD,
        id=UUID(int=2),
        resource_id="7",
        scopes=frozenset({Scope.CONNECT, Scope.READ}),
        networks=Axis(AxisMode.LIST, frozenset({NetworkId(UUID(int=5))})),
        sources=FULL.sources,
        services=(OFFERED, replace(OFFERED, address=IPv6Address("fd00::9"))),
        revision=3,
    )
    same_id = replace(HELD, remote=C)
    async with store.transaction() as tx:
        for grant in (HELD, full, same_id):
            await tx.held_grants.put(grant)
        assert await tx.held_grants.get(B, full.id) == full
        assert await tx.held_grants.get(C, full.id) is None
        assert await tx.held_grants.page(Page(2)) == [HELD, same_id]
        assert await tx.held_grants.page(Page(2, HELD.id), B) == [full]
        await tx.held_grants.put(ended := replace(full, ended_at=ODD, services=(), revision=4))
    async with store.reading() as tx:
        assert await tx.held_grants.of_remote(B) == [HELD, ended]
        assert await tx.held_grants.live(NOON) == [HELD, same_id]
        assert await tx.held_grants.live(NOON, C) == [same_id]
        assert await tx.held_grants.live(LATER) == []


async def test_services_read_back_as_written_each_with_a_name_of_its_own(store: Store) -> None:
    await put_network(store)
    v6 = replace(SERVICE, id=UUID(int=2), name="dns", protocol="udp", address=a_network().cidrs[1][9], version=2)
    async with store.transaction() as tx:
        for service in (SERVICE, v6):
            await tx.services.add(service)
        assert [await tx.services.get(SERVICE.id), await tx.services.lock(v6.id)] == [SERVICE, v6]
        assert [await tx.services.named("dns"), await tx.services.named("nothing")] == [v6, None]
        assert await tx.services.page(Page(1)) == [SERVICE]
        assert await tx.services.page(Page(9, SERVICE.id), a_network().id) == [v6]
        assert await tx.services.of_network(a_network().id) == [SERVICE, v6]
        assert await tx.services.of_network(NetworkId(UUID(int=9))) == []
        await tx.services.save(after := replace(SERVICE, name="wiki2", ports=((1, 65535),), version=2))
        assert await tx.services.get(SERVICE.id) == after
    with pytest.raises(ServiceNameTaken):
        async with store.transaction() as tx:
            await tx.services.add(replace(SERVICE, id=UUID(int=3), name="dns"))
    with pytest.raises(ServiceNameTaken):
        async with store.transaction() as tx:
            await tx.services.save(replace(SERVICE, name="dns"))
    async with store.transaction() as tx:
        await tx.services.delete(v6.id)
        for attempt in (tx.services.get, tx.services.lock, tx.services.delete):
            with pytest.raises(NotFound):
                await attempt(v6.id)
        with pytest.raises(NotFound):
            await tx.services.save(v6)
