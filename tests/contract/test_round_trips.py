"""What is stored reads back equal, down to the microsecond."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from uuid import UUID

import pytest
from sqlalchemy.exc import StatementError

from isthmus.domain.accounts import Role
from isthmus.domain.addresses import Endpoint
from isthmus.domain.errors import NotFound
from isthmus.domain.ids import ApiTokenId, NetworkId, PeerId, SessionId, UserId
from isthmus.domain.mesh.limits import Limits
from isthmus.domain.mesh.network import DirectPaths
from isthmus.domain.mesh.peer import Audience, Kind
from isthmus.server.ports import Conflict, Store
from isthmus.server.records import AuditEntry, Change, KeptKey, Outcome, Page, PeerFilter, PeerStatus
from tests.builders import NOON, ULA, a_digest, a_jump, a_key, a_network, a_peer, a_session, a_static, a_token
from tests.contract.filling import ADA, a_token_of, add_peer, put_network, put_peers

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")

ODD_MOMENT = datetime(2031, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
NOBODY = PeerId(UUID(int=404))


async def test_networks_read_back_as_written(store: Store) -> None:
    both = a_network(created_at=ODD_MOMENT, revision=2**40, mtu=1280, keepalive=0)
    only_v6 = a_network(
        id=NetworkId(UUID(int=7)),
        name="v6",
        cidr_v4=None,
        cidr_v6=IPv6Network("fd12:3456:789a:7::/64"),
        direct_paths=DirectPaths.ON,
        agents=501,
        primary_id=NOBODY,
        key_max_age=86_400,
        dns_upstreams=(IPv4Address("192.0.2.53"), IPv6Address("2001:db8::53")),
        limits=Limits(address_changes=3, return_window=60),
    )
    await put_network(store, both)
    await put_network(store, only_v6)
    async with store.reading() as tx:
        assert await tx.networks.get(both.id) == both
        assert await tx.networks.all() == [both, only_v6]
        assert await tx.networks.page(Page(), name="v6") == [only_v6]


async def test_a_saved_network_has_every_new_field(store: Store) -> None:
    before = await put_network(store)
    after = replace(
        before.advanced(jumps=True, shared=False),
        name="attic",
        cidr_v4=IPv4Network("10.21.0.0/16"),
        domain="attic.internal",
        listen_port=51_821,
        direct_paths=DirectPaths.AUTO,
        agents=7,
        primary_id=PeerId(UUID(int=3)),
        key_max_age=60,
        dns_upstreams=(IPv4Address("192.0.2.54"),),
        limits=Limits(port_changes=99),
        version=2,
    )
    async with store.transaction() as tx:
        await tx.networks.save(after)
    async with store.reading() as tx:
        assert await tx.networks.get(before.id) == after


async def test_an_unknown_network_is_not_found(store: Store) -> None:
    unknown = NetworkId(UUID(int=404))
    async with store.transaction() as tx:
        for ask in (tx.networks.get, tx.networks.lock, tx.networks.delete):
            with pytest.raises(NotFound):
                await ask(unknown)
        with pytest.raises(NotFound):
            await tx.networks.save(a_network(id=unknown))


PEERS = [
    a_jump(1, endpoint=Endpoint("2001:db8::7", 51_820)),
    a_peer(2, public_key=None, labels={"floor": "3", "note": "π \x00 '\"%_"}, owner="ada", revision=9, version=3),
    a_static(3, additional_allowed_ips=(IPv4Network("192.168.7.0/24"), IPv6Network("2001:db8:7::/48"))),
    a_peer(4, isolated=True, full_encapsulation=True, server_made_key=True, created_at=ODD_MOMENT),
    a_peer(
        5,
        candidates=(Endpoint("192.168.7.5", 40_000), Endpoint("2001:db8::5", 1)),
        observed=Endpoint("2001:db8::9", 65_535),
        groups=("builders", "lab"),
        key_changed_at=ODD_MOMENT,
    ),
]


async def test_peers_read_back_as_written(store: Store) -> None:
    network = await put_network(store)
    await put_peers(store, PEERS)
    async with store.reading() as tx:
        assert await tx.peers.of_network(network.id) == PEERS
        assert await tx.peers.page(Page(), PeerFilter()) == PEERS
        assert [await tx.peers.get(peer.id) for peer in PEERS] == PEERS


async def test_endpoints_of_a_saved_peer_are_gone_when_it_has_none(store: Store) -> None:
    await put_network(store)
    seen = Endpoint("203.0.113.9", 40_000)
    await put_peers(store, [a_peer(2, candidates=(seen,), observed=seen)])
    async with store.transaction() as tx:
        await tx.peers.save(a_peer(2))
    async with store.reading() as tx:
        assert await tx.peers.get(a_peer(2).id) == a_peer(2)


async def test_addresses_of_a_peer_come_v4_first_and_only_those_it_has(store: Store) -> None:
    network = await put_network(store)
    v6_only = a_peer(2, addresses=(network.cidr_v6.network_address + 2,))
    async with store.transaction() as tx:
        await add_peer(tx, v6_only)
        await add_peer(tx, replace(a_peer(3), addresses=tuple(reversed(a_peer(3).addresses))))
    async with store.reading() as tx:
        assert await tx.peers.of_network(network.id) == [v6_only, a_peer(3)]


async def test_a_saved_peer_has_every_new_field(store: Store) -> None:
    await put_network(store)
    before = a_peer(2, additional_allowed_ips=(IPv4Network("192.168.1.0/24"), IPv4Network("192.168.2.0/24")))
    await put_peers(store, [before])
    after = replace(
        before,
        name="desk",
        public_key=a_key(99),
        endpoint=Endpoint("gw.example.com", 1),
        isolated=True,
        full_encapsulation=True,
        additional_allowed_ips=(IPv4Network("192.168.2.0/24"), IPv4Network("192.168.3.0/24")),
        owner="bob",
        labels={"a": "b"},
        groups=("lab",),
        candidates=(Endpoint("192.168.7.5", 40_000),),
        observed=Endpoint("203.0.113.9", 40_000),
        server_made_key=True,
        key_changed_at=ODD_MOMENT,
        rekey_asked_at=NOON,
        revision=5,
        version=2,
    )
    async with store.transaction() as tx:
        await tx.peers.save(after)
    async with store.reading() as tx:
        assert await tx.peers.get(before.id) == after


async def test_an_unknown_peer_is_not_found(store: Store) -> None:
    await put_network(store)
    async with store.transaction() as tx:
        for ask in (tx.peers.get, tx.peers.delete):
            with pytest.raises(NotFound):
                await ask(NOBODY)
        with pytest.raises(NotFound):
            await tx.peers.save(a_peer(404))


async def test_offers_name_the_peer_they_lead_to(store: Store) -> None:
    network = await put_network(store)
    await put_peers(store, PEERS)
    async with store.reading() as tx:
        assert await tx.peers.offers(network.id) == [
            (PEERS[2].id, "static-3", IPv4Network("192.168.7.0/24")),
            (PEERS[2].id, "static-3", IPv6Network("2001:db8:7::/48")),
        ]


async def test_peers_are_counted_by_kind(store: Store) -> None:
    network = await put_network(store)
    await put_peers(store, PEERS)
    async with store.reading() as tx:
        assert await tx.peers.count(network.id) == 5
        assert [await tx.peers.count(network.id, kind) for kind in Kind] == [1, 3, 1]
        assert await tx.peers.count(NetworkId(UUID(int=404))) == 0


async def test_a_token_reads_back_and_the_next_one_of_its_peer_ends_it(store: Store) -> None:
    await put_network(store)
    await put_peers(store, [a_peer()])
    first, second = a_token(created_at=ODD_MOMENT), a_token(digest=b"2" * 32)
    async with store.transaction() as tx:
        await tx.enrollments.put(first)
        assert await tx.enrollments.lock(first.digest) == first
        used = first.claimed(a_key(2), NOON + timedelta(minutes=1))
        await tx.enrollments.save(used)
        assert await tx.enrollments.of_peers([a_peer().id, NOBODY]) == {a_peer().id: used}
        await tx.enrollments.put(second)
        assert await tx.enrollments.lock(first.digest) is None
        assert await tx.enrollments.lock(second.digest) == second


async def test_sessions_are_found_by_digest_until_they_end(store: Store) -> None:
    await put_network(store)
    await put_peers(store, [a_peer()])
    session = a_session()
    async with store.transaction() as tx:
        await tx.sessions.add(session)
        assert await tx.sessions.with_digest(session.digest) == session
        await tx.sessions.end_of_peer(session.peer_id)
        assert await tx.sessions.with_digest(session.digest) is None


async def test_sessions_of_peers_come_newest_last_and_end_one_by_one(store: Store) -> None:
    await put_network(store)
    await put_peers(store, [a_peer(2), a_peer(3)])
    first = a_session(expires_at=ODD_MOMENT)
    second = first.rotated(SessionId(UUID(int=1)), a_digest("second"), NOON + timedelta(hours=12))
    other = a_session(id=SessionId(UUID(int=3)), peer_id=a_peer(3).id, digest=a_digest("other"))
    async with store.transaction() as tx:
        for session in (second, other, first):
            await tx.sessions.add(session)
        asked = [a_peer(2).id, NOBODY, a_peer(3).id]
        assert await tx.sessions.of_peers(asked) == {first.peer_id: [first, second], other.peer_id: [other]}
        await tx.sessions.end(first.id)
        assert await tx.sessions.of_peers([first.peer_id]) == {first.peer_id: [second]}
        assert await tx.sessions.with_digest(first.digest) is None
        await tx.sessions.end(first.id)
        await tx.sessions.end_of_peer(first.peer_id)
        assert await tx.sessions.of_peers(asked) == {other.peer_id: [other]}


async def test_statuses_are_overwritten_and_those_of_nobody_left_out(store: Store) -> None:
    await put_network(store)
    await put_peers(store, [a_peer(2), a_peer(3)])
    bare = PeerStatus(a_peer(2).id)
    full = PeerStatus(
        a_peer(3).id, ODD_MOMENT, "host", "0.1.0", 7, "no such device", "198.51.100.9:1", NOON, rx=2**62, tx=1
    )
    async with store.transaction() as tx:
        await tx.statuses.save([full, PeerStatus(NOBODY), bare])
        assert await tx.statuses.of_peers([bare.peer_id, full.peer_id, NOBODY]) == {
            bare.peer_id: bare,
            full.peer_id: full,
        }
        await tx.statuses.save([replace(full, peer_id=bare.peer_id), PeerStatus(full.peer_id)])
        assert await tx.statuses.of_peers([bare.peer_id, full.peer_id]) == {
            bare.peer_id: replace(full, peer_id=bare.peer_id),
            full.peer_id: PeerStatus(full.peer_id),
        }


async def test_kept_keys_are_replaced_and_deleted(store: Store) -> None:
    await put_network(store)
    await put_peers(store, [a_static()])
    async with store.transaction() as tx:
        for sealed in (b"\x00sealed\xff", b"again"):
            await tx.kept_keys.put(KeptKey(a_static().id, sealed))
            assert await tx.kept_keys.get(a_static().id) == KeptKey(a_static().id, sealed)
        await tx.kept_keys.delete(a_static().id)
        assert await tx.kept_keys.get(a_static().id) is None


async def test_users_read_back_as_written(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.accounts.add_user(ADA)
        assert await tx.accounts.user(ADA.id) == await tx.accounts.user_named("ada") == ADA
        networks = frozenset({NetworkId(UUID(int=7))})
        renamed = replace(ADA, name="lovelace", password_hash="other", role=Role.USER, networks=networks, version=2)
        renamed = replace(renamed, disabled_at=ODD_MOMENT)
        await tx.accounts.save_user(renamed)
        assert await tx.accounts.users() == await tx.accounts.lock_users() == [renamed]
        assert await tx.accounts.user_named("ada") is None
        await tx.accounts.add_token(a_token_of(ADA, 1))
        await tx.accounts.delete_user(ADA.id)
        assert (await tx.accounts.users(), await tx.accounts.tokens(Page())) == ([], [])


async def test_api_tokens_read_back_as_written(store: Store) -> None:
    first, second = a_token_of(ADA, 1), replace(a_token_of(ADA, 2), expires_at=ODD_MOMENT, scopes=frozenset())
    async with store.transaction() as tx:
        await tx.accounts.add_user(ADA)
        await tx.accounts.add_token(second)
        await tx.accounts.add_token(first)
        assert await tx.accounts.tokens(Page(), ADA.id) == [first, second]
        await tx.accounts.touch_tokens({first.id: NOON, second.id: ODD_MOMENT, ApiTokenId(UUID(int=404)): NOON})
        assert await tx.accounts.token_with_digest(first.digest) == (replace(first, last_used_at=NOON), ADA)
        assert not await tx.accounts.delete_token(first.id, UserId(UUID(int=404)))
        assert await tx.accounts.delete_token(first.id, ADA.id)
        assert not await tx.accounts.delete_token(first.id)
        await tx.accounts.delete_tokens_of(ADA.id)
        assert await tx.accounts.tokens(Page()) == []


async def test_the_revision_log_reads_on_from_where_one_was(store: Store) -> None:
    network = await put_network(store)
    log = [
        Change(network.id, revision, "peer.created", UUID(int=revision), audience, ODD_MOMENT)
        for revision, audience in enumerate(Audience, 1)
    ]
    async with store.transaction() as tx:
        for change in log:
            await tx.journal.append(change)
    async with store.reading() as tx:
        assert await tx.journal.changes(network.id, after=0) == log
        assert await tx.journal.changes(network.id, after=1, limit=1) == log[1:2]
        assert await tx.journal.changes(NetworkId(UUID(int=404)), after=0) == []


async def test_audit_rows_come_newest_first_with_all_facts(store: Store) -> None:
    facts = {"name": "π \x00 '", "fields": ["a", "b"], "count": 3, "nothing": None, "deep": {"yes": True}}
    entry = AuditEntry(ODD_MOMENT, "user:ada", "peer.create", "1", Outcome.DENIED, "req", "not allowed", facts)
    plain = AuditEntry(NOON, "local", "start", "-", Outcome.DONE, "req")
    async with store.transaction() as tx:
        await tx.journal.audit([])
        await tx.journal.audit([entry, plain])
    async with store.reading() as tx:
        rows = await tx.journal.audit_page(10)
        assert [(row.number, row.entry) for row in rows] == [(2, plain), (1, entry)]
        assert [row.number for row in await tx.journal.audit_page(10, after=2)] == [1]


async def test_the_backend_draws_its_prefix_once(store: Store) -> None:
    async with store.transaction() as tx:
        assert await tx.backend.ula() is None
        await tx.backend.set_ula(ULA)
        assert await tx.backend.ula() == ULA
        with pytest.raises(Conflict):
            await tx.backend.set_ula(IPv6Network("fd00::/48"))
        assert await tx.backend.ula() == ULA


async def test_times_of_other_zones_come_back_as_the_same_moment_in_utc(store: Store) -> None:
    elsewhere = ODD_MOMENT.astimezone(timezone(timedelta(hours=5, minutes=45)))
    network = await put_network(store, a_network(created_at=elsewhere))
    async with store.reading() as tx:
        stored = (await tx.networks.get(network.id)).created_at
    assert stored == elsewhere
    assert stored.utcoffset() == timedelta(0)


async def test_a_time_without_zone_is_refused(store: Store) -> None:
    with pytest.raises(StatementError, match="offset-naive"):
        async with store.transaction() as tx:
            await tx.accounts.add_user(replace(ADA, created_at=NOON.replace(tzinfo=None)))
