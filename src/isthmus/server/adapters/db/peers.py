"""Peers in the database: their rows, put together with the addresses that they hold and the ranges that they offer."""

from collections import defaultdict
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import Select, bindparam, delete, func, insert, select, update

from isthmus.domain.addresses import Endpoint, IPNetwork, sort_key
from isthmus.domain.errors import peer_not_found
from isthmus.domain.ids import NetworkId, PeerId, PublicKey
from isthmus.domain.mesh.peer import NO_LABELS, Kind, Peer
from isthmus.server.adapters.db.statements import AnyRow, Statements, in_parts
from isthmus.server.adapters.db.tables import holdings, offers, peers
from isthmus.server.records import Held, Page, PeerFilter

ONE = select(peers).where(peers.c.id == bindparam("peer_id"))
OF_NETWORK = select(peers).where(peers.c.network_id == bindparam("network_id")).order_by(peers.c.id)
NAMED = select(peers).where(peers.c.network_id == bindparam("network_id"), peers.c.name == bindparam("named"))
KEYED = select(peers).where(peers.c.public_key == bindparam("key"))
COUNT = select(func.count()).select_from(peers).where(peers.c.network_id == bindparam("network_id"))
COUNT_KIND = COUNT.where(peers.c.kind == bindparam("of_kind"))
ADD = insert(peers)
SAVE = update(peers).where(peers.c.id == bindparam("peer_id"))
DELETE = delete(peers).where(peers.c.id == bindparam("peer_id"))

# IPv4 first, as in a network's own CIDRs.
HELD = (
    select(holdings.c.peer_id, holdings.c.address)
    .where(holdings.c.held == Held.PEER.value)
    .order_by(holdings.c.family, holdings.c.address)
)
HELD_IN_NETWORK = HELD.where(holdings.c.network_id == bindparam("network_id"))
HELD_BY = HELD.where(holdings.c.peer_id.in_(bindparam("peer_ids", expanding=True)))
OFFERED = select(offers.c.peer_id, offers.c.cidr)
OFFERED_IN_NETWORK = OFFERED.where(offers.c.network_id == bindparam("network_id"))
OFFERED_BY = OFFERED.where(offers.c.peer_id.in_(bindparam("peer_ids", expanding=True)))
OFFERS = (
    select(peers.c.id, peers.c.name, offers.c.cidr)
    .join(peers, peers.c.id == offers.c.peer_id)
    .where(offers.c.network_id == bindparam("network_id"))
)
ADD_OFFER = insert(offers)
DROP_OFFERS = delete(offers).where(offers.c.peer_id == bindparam("peer_id"))


class SqlPeers:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def get(self, peer_id: PeerId) -> Peer:
        peer = await self._one(ONE, {"peer_id": peer_id})
        if peer is None:
            raise peer_not_found(peer_id)
        return peer

    async def page(self, page: Page, where: PeerFilter) -> list[Peer]:
        statement = filtered(where).order_by(peers.c.id).limit(page.limit)
        if page.after is not None:
            statement = statement.where(peers.c.id > page.after)
        return await self._completed(await self._statements.rows(statement))

    async def of_network(self, network_id: NetworkId) -> list[Peer]:
        values = {"network_id": network_id}
        rows = await self._statements.rows(OF_NETWORK, values)
        held = await self._statements.rows(HELD_IN_NETWORK, values)
        offered = await self._statements.rows(OFFERED_IN_NETWORK, values)
        return assembled(rows, held, offered)

    async def with_name(self, network_id: NetworkId, name: str) -> Peer | None:
        return await self._one(NAMED, {"network_id": network_id, "named": name})

    async def with_key(self, public_key: PublicKey) -> Peer | None:
        return await self._one(KEYED, {"key": public_key})

    async def count(self, network_id: NetworkId, kind: Kind | None = None) -> int:
        if kind is None:
            row = await self._statements.row(COUNT, {"network_id": network_id})
        else:
            row = await self._statements.row(COUNT_KIND, {"network_id": network_id, "of_kind": kind.value})
        return 0 if row is None else int(row[0])

    async def offers(self, network_id: NetworkId) -> list[tuple[PeerId, str, IPNetwork]]:
        rows = await self._statements.rows(OFFERS, {"network_id": network_id})
        return sorted(((PeerId(id_), name, cidr) for id_, name, cidr in rows), key=lambda offer: sort_key(offer[2]))

    async def add(self, peer: Peer) -> None:
        await self._statements.write(ADD, {"id": peer.id, **fields_of(peer)})
        await self._add_offers(peer)

    async def save(self, peer: Peer) -> None:
        if not await self._statements.write(SAVE, {"peer_id": peer.id, **fields_of(peer)}):
            raise peer_not_found(peer.id)
        await self._statements.write(DROP_OFFERS, {"peer_id": peer.id})
        await self._add_offers(peer)

    async def delete(self, peer_id: PeerId) -> None:
        if not await self._statements.write(DELETE, {"peer_id": peer_id}):
            raise peer_not_found(peer_id)

    async def _add_offers(self, peer: Peer) -> None:
        if peer.additional_allowed_ips:
            own = {"network_id": peer.network_id, "peer_id": peer.id}
            await self._statements.write(ADD_OFFER, [{**own, "cidr": cidr} for cidr in peer.additional_allowed_ips])

    async def _one(self, statement: Select[*tuple[Any, ...]], values: dict[str, Any]) -> Peer | None:
        completed = await self._completed(await self._statements.rows(statement, values))
        return completed[0] if completed else None

    async def _completed(self, rows: Sequence[AnyRow]) -> list[Peer]:
        held: list[AnyRow] = []
        offered: list[AnyRow] = []
        for peer_ids in in_parts([row.id for row in rows]):
            held += await self._statements.rows(HELD_BY, {"peer_ids": peer_ids})
            offered += await self._statements.rows(OFFERED_BY, {"peer_ids": peer_ids})
        return assembled(rows, held, offered)


def filtered(where: PeerFilter) -> Select[*tuple[Any, ...]]:
    statement = select(peers)
    if where.network_id is not None:
        statement = statement.where(peers.c.network_id == where.network_id)
    if where.kind is not None:
        statement = statement.where(peers.c.kind == where.kind.value)
    if where.name is not None:
        statement = statement.where(peers.c.name == where.name)
    if where.search is not None:
        # Names are lower-case; SQLite would ignore the case, PostgreSQL would not.
        statement = statement.where(peers.c.name.contains(where.search.lower(), autoescape=True))
    if where.enrolled is not None:
        statement = statement.where(peers.c.public_key.is_not(None) == where.enrolled)
    return statement


def assembled(rows: Sequence[AnyRow], held: Sequence[AnyRow], offered: Sequence[AnyRow]) -> list[Peer]:
    addresses = defaultdict(list)
    for peer_id, address in held:
        addresses[peer_id].append(address)
    ranges = defaultdict(list)
    for peer_id, cidr in offered:
        ranges[peer_id].append(cidr)
    return [
        Peer(
            id=row.id,
            network_id=row.network_id,
            name=row.name,
            kind=Kind(row.kind),
            addresses=tuple(addresses.get(row.id, ())),
            created_at=row.created_at,
            public_key=row.public_key,
            endpoint=None if row.endpoint_host is None else Endpoint(row.endpoint_host, row.endpoint_port),
            isolated=row.isolated,
            full_encapsulation=row.full_encapsulation,
            additional_allowed_ips=tuple(sorted(ranges.get(row.id, ()), key=sort_key)),
            owner=row.owner,
            labels=MappingProxyType(row.labels) if row.labels else NO_LABELS,
            server_made_key=row.server_made_key,
            revision=row.revision,
            version=row.version,
        )
        for row in rows
    ]


def fields_of(peer: Peer) -> dict[str, Any]:
    return {
        "network_id": peer.network_id,
        "name": peer.name,
        "kind": peer.kind.value,
        "created_at": peer.created_at,
        "public_key": peer.public_key,
        "endpoint_host": None if peer.endpoint is None else peer.endpoint.host,
        "endpoint_port": None if peer.endpoint is None else peer.endpoint.port,
        "isolated": peer.isolated,
        "full_encapsulation": peer.full_encapsulation,
        "owner": peer.owner,
        "labels": dict(peer.labels),
        "server_made_key": peer.server_made_key,
        "revision": peer.revision,
        "version": peer.version,
    }
