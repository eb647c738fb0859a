"""Peers in the database: their rows, put together with the addresses that they hold and the ranges that they offer."""

from collections import defaultdict
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import Select, and_, bindparam, delete, exists, func, insert, or_, select, update

from isthmus.domain.addresses import Endpoint, IPNetwork, sort_key
from isthmus.domain.errors import peer_not_found
from isthmus.domain.ids import NetworkId, PeerId, PublicKey
from isthmus.domain.mesh.peer import NO_LABELS, Kind, Peer
from isthmus.server.adapters.db.statements import AnyRow, Statements, in_parts
from isthmus.server.adapters.db.tables import blocked_peers, holdings, offers, peer_groups, peers
from isthmus.server.records import Group, Page, PeerFilter

# A peer holds at most one address of each family, so its row takes in both.
V4, V6 = holdings.alias("v4"), holdings.alias("v6")
IS_BLOCKED = exists().where(blocked_peers.c.peer_id == peers.c.id).label("blocked")
PEERS = (
    select(
        peers.c.id,
        peers.c.network_id,
        peers.c.name,
        peers.c.kind,
        V4.c.address,
        V6.c.address,
        peers.c.created_at,
        peers.c.public_key,
        peers.c.endpoint_host,
        peers.c.endpoint_port,
        peers.c.isolated,
        peers.c.full_encapsulation,
        peers.c.owner,
        peers.c.labels,
        peers.c.candidates,
        peers.c.observed,
        IS_BLOCKED,
        peers.c.key_changed_at,
        peers.c.rekey_asked_at,
        peers.c.server_made_key,
        peers.c.revision,
        peers.c.version,
    )
    .outerjoin(V4, and_(V4.c.peer_id == peers.c.id, V4.c.family == 4))
    .outerjoin(V6, and_(V6.c.peer_id == peers.c.id, V6.c.family == 6))
)
ONE = PEERS.where(peers.c.id == bindparam("peer_id"))
OF_NETWORK = PEERS.where(peers.c.network_id == bindparam("network_id")).order_by(peers.c.id)
OFFERING = select(offers.c.peer_id).where(offers.c.network_id == bindparam("network_id"))
# Each side of the OR has an index of its own; neither reads the whole network.
JUMP = and_(peers.c.network_id == bindparam("network_id"), peers.c.kind == Kind.JUMP.value)
IN_EVERY_CONFIG = PEERS.where(or_(JUMP, peers.c.id.in_(OFFERING)))
COUNT = select(func.count()).select_from(peers).where(peers.c.network_id == bindparam("network_id"))
COUNT_KIND = COUNT.where(peers.c.kind == bindparam("of_kind"))
NAMED = PEERS.where(peers.c.network_id == bindparam("network_id"), peers.c.name.in_(bindparam("names", expanding=True)))
WITH_KEYS = select(peers.c.public_key, peers.c.network_id).where(
    peers.c.public_key.in_(bindparam("keys", expanding=True))
)
ADD = insert(peers)
SAVE = update(peers).where(peers.c.id == bindparam("peer_id"))
DELETE = delete(peers).where(peers.c.id == bindparam("peer_id"))

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

GROUPED = select(peer_groups.c.peer_id, peer_groups.c.name).order_by(peer_groups.c.name)
GROUPED_IN_NETWORK = GROUPED.where(peer_groups.c.network_id == bindparam("network_id"))
GROUPS_OF = GROUPED.where(peer_groups.c.peer_id.in_(bindparam("peer_ids", expanding=True)))
GROUPS = (
    select(peer_groups.c.network_id, peer_groups.c.name, func.count())
    .group_by(peer_groups.c.network_id, peer_groups.c.name)
    .order_by(peer_groups.c.network_id, peer_groups.c.name)
)
ADD_GROUP = insert(peer_groups)
DROP_GROUPS = delete(peer_groups).where(peer_groups.c.peer_id == bindparam("peer_id"))


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
        offered = await self._statements.rows(OFFERED_IN_NETWORK, values)
        return assembled(rows, offered, await self._statements.rows(GROUPED_IN_NETWORK, values))

    async def in_every_config(self, network_id: NetworkId) -> list[Peer]:
        values = {"network_id": network_id}
        rows = await self._statements.rows(IN_EVERY_CONFIG, values)
        return assembled(rows, await self._statements.rows(OFFERED_IN_NETWORK, values) if rows else ())

    async def count(self, network_id: NetworkId, kind: Kind | None = None) -> int:
        if kind is None:
            row = await self._statements.row(COUNT, {"network_id": network_id})
        else:
            row = await self._statements.row(COUNT_KIND, {"network_id": network_id, "of_kind": kind.value})
        return 0 if row is None else int(row[0])

    async def offers(self, network_id: NetworkId) -> list[tuple[PeerId, str, IPNetwork]]:
        rows = await self._statements.rows(OFFERS, {"network_id": network_id})
        return sorted(((PeerId(id_), name, cidr) for id_, name, cidr in rows), key=lambda offer: sort_key(offer[2]))

    async def named(self, network_id: NetworkId, names: Sequence[str]) -> list[Peer]:
        rows: list[AnyRow] = []
        for part in in_parts(names):
            rows += await self._statements.rows(NAMED, {"network_id": network_id, "names": part})
        return await self._completed(rows)

    async def with_keys(self, keys: Sequence[PublicKey]) -> dict[PublicKey, NetworkId]:
        found: dict[PublicKey, NetworkId] = {}
        for part in in_parts(keys):
            found.update((key, network) for key, network in await self._statements.rows(WITH_KEYS, {"keys": part}))
        return found

    async def groups(
        self, networks: frozenset[NetworkId] | None, limit: int, after: tuple[NetworkId, str] | None = None
    ) -> list[Group]:
        statement = GROUPS.limit(limit)
        if networks is not None:
            statement = statement.where(peer_groups.c.network_id.in_(networks))
        if after is not None:
            network, name = after
            later = and_(peer_groups.c.network_id == network, peer_groups.c.name > name)
            statement = statement.where(or_(peer_groups.c.network_id > network, later))
        return [Group(*row) for row in await self._statements.rows(statement)]

    async def add(self, peer: Peer) -> None:
        await self._statements.write(ADD, {"id": peer.id, **fields_of(peer)})
        await self._add_offers(peer)
        await self._add_groups(peer)

    async def save(self, peer: Peer) -> None:
        if not await self._statements.write(SAVE, {"peer_id": peer.id, **fields_of(peer)}):
            raise peer_not_found(peer.id)
        await self._statements.write(DROP_OFFERS, {"peer_id": peer.id})
        await self._add_offers(peer)
        await self._statements.write(DROP_GROUPS, {"peer_id": peer.id})
        await self._add_groups(peer)

    async def delete(self, peer_id: PeerId) -> None:
        if not await self._statements.write(DELETE, {"peer_id": peer_id}):
            raise peer_not_found(peer_id)

    async def _add_offers(self, peer: Peer) -> None:
        if peer.additional_allowed_ips:
            own = {"network_id": peer.network_id, "peer_id": peer.id}
            await self._statements.write(ADD_OFFER, [{**own, "cidr": cidr} for cidr in peer.additional_allowed_ips])

    async def _add_groups(self, peer: Peer) -> None:
        if peer.groups:
            own = {"network_id": peer.network_id, "peer_id": peer.id}
            await self._statements.write(ADD_GROUP, [{**own, "name": name} for name in peer.groups])

    async def _one(self, statement: Select[*tuple[Any, ...]], values: dict[str, Any]) -> Peer | None:
        completed = await self._completed(await self._statements.rows(statement, values))
        return completed[0] if completed else None

    async def _completed(self, rows: Sequence[AnyRow]) -> list[Peer]:
        offered: list[AnyRow] = []
        grouped: list[AnyRow] = []
        for peer_ids in in_parts([row[0] for row in rows]):
            offered += await self._statements.rows(OFFERED_BY, {"peer_ids": peer_ids})
            grouped += await self._statements.rows(GROUPS_OF, {"peer_ids": peer_ids})
        return assembled(rows, offered, grouped)


def filtered(where: PeerFilter) -> Select[*tuple[Any, ...]]:
    statement = PEERS
    if where.network_id is not None:
        statement = statement.where(peers.c.network_id == where.network_id)
    if where.within is not None:
        statement = statement.where(peers.c.network_id.in_(where.within))
    if where.kind is not None:
        statement = statement.where(peers.c.kind == where.kind.value)
    if where.name is not None:
        statement = statement.where(peers.c.name == where.name)
    if where.search is not None:
        # Names are lower-case; SQLite would ignore the case, PostgreSQL would not.
        statement = statement.where(peers.c.name.contains(where.search.lower(), autoescape=True))
    if where.enrolled is not None:
        statement = statement.where(peers.c.public_key.is_not(None) == where.enrolled)
    if where.blocked is not None:
        statement = statement.where(IS_BLOCKED.element == where.blocked)
    if where.group is not None:
        in_group = exists().where(peer_groups.c.peer_id == peers.c.id, peer_groups.c.name == where.group)
        statement = statement.where(in_group)
    for name, value in where.labels:
        statement = statement.where(peers.c.labels[name].as_string() == value)
    return statement


def assembled(rows: Sequence[AnyRow], offered: Sequence[AnyRow], grouped: Sequence[AnyRow] = ()) -> list[Peer]:
    """Peers from their rows; without `grouped` their groups are left out, which no config looks at."""
    ranges: dict[PeerId, list[IPNetwork]] = defaultdict(list)
    for peer_id, cidr in offered:
        ranges[peer_id].append(cidr)
    groups: dict[PeerId, list[str]] = defaultdict(list)
    for peer_id, name in grouped:
        groups[peer_id].append(name)
    return [peer_of(row, ranges.get(row[0], ()), groups.get(row[0], ())) for row in rows]


def peer_of(row: AnyRow, ranges: Sequence[IPNetwork], groups: Sequence[str]) -> Peer:
    # Thousands of rows come through here at once: to unpack them costs a third of asking each column by its name.
    (
        peer_id,
        network_id,
        name,
        kind,
        v4,
        v6,
        created_at,
        public_key,
        endpoint_host,
        endpoint_port,
        isolated,
        full_encapsulation,
        owner,
        labels,
        candidates,
        observed,
        blocked,
        key_changed_at,
        rekey_asked_at,
        server_made_key,
        revision,
        version,
    ) = row
    return Peer(
        id=peer_id,
        network_id=network_id,
        name=name,
        kind=Kind(kind),
        addresses=tuple(address for address in (v4, v6) if address is not None),
        created_at=created_at,
        public_key=public_key,
        endpoint=None if endpoint_host is None else Endpoint(endpoint_host, endpoint_port),
        isolated=isolated,
        full_encapsulation=full_encapsulation,
        additional_allowed_ips=tuple(sorted(ranges, key=sort_key)),
        owner=owner,
        labels=MappingProxyType(labels) if labels else NO_LABELS,
        groups=tuple(groups),
        candidates=tuple(map(Endpoint.parse, candidates)) if candidates else (),
        observed=Endpoint.parse(observed) if observed else None,
        blocked=bool(blocked),
        key_changed_at=key_changed_at,
        rekey_asked_at=rekey_asked_at,
        server_made_key=server_made_key,
        revision=revision,
        version=version,
    )


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
        "candidates": [str(endpoint) for endpoint in peer.candidates],
        "observed": None if peer.observed is None else str(peer.observed),
        "key_changed_at": peer.key_changed_at,
        "rekey_asked_at": peer.rekey_asked_at,
        "server_made_key": peer.server_made_key,
        "revision": peer.revision,
        "version": peer.version,
    }
