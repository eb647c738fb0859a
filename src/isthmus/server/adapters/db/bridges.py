"""Bridges in the database."""

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, delete, insert, select, update

from isthmus.domain.addresses import IPNetwork
from isthmus.domain.errors import NotFound
from isthmus.domain.federation.bridge import Bridge, Hold, Side, State
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.ids import NetworkId
from isthmus.protocol import bridges as wire
from isthmus.server.adapters.db.bridge_tables import bridge_wishes, bridges
from isthmus.server.adapters.db.statements import AnyRow, Statements, upsert_into, values_of
from isthmus.server.records import Page
from isthmus.server.trust_records import Wish

IS_IT = bridges.c.id == bindparam("bridge_id")
IS_LIVE = bridges.c.state != State.REVOKED.value
OF_REMOTE = bridges.c.remote == bindparam("of_remote")
OF_NETWORK = bridges.c.network_id == bindparam("of_network")
ONE = select(bridges).where(IS_IT)
ONE_LOCKED = ONE.with_for_update()
LIVE = select(bridges).where(IS_LIVE, OF_REMOTE, OF_NETWORK)
ALL_OF_REMOTE = select(bridges).where(OF_REMOTE).order_by(bridges.c.id)
LIVE_OF_NETWORK = select(bridges).where(IS_LIVE, OF_NETWORK).order_by(bridges.c.id)
ALL_LIVE = select(bridges).where(IS_LIVE).order_by(bridges.c.id)
FIRST = select(bridges).order_by(bridges.c.id).limit(bindparam("most"))
NEXT = FIRST.where(bridges.c.id > bindparam("after"))
ADD = insert(bridges)
SAVE = update(bridges).where(IS_IT)
OF_WISH = bridge_wishes.c.id == bindparam("wish_id")
WISH = select(bridge_wishes).where(OF_WISH)
WISHES = select(bridge_wishes).order_by(bridge_wishes.c.id)
DROP_WISH = delete(bridge_wishes).where(OF_WISH)


class SqlBridges:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def get(self, bridge_id: UUID) -> Bridge:
        return found(await self._statements.row(ONE, {"bridge_id": bridge_id}), bridge_id)

    async def lock(self, bridge_id: UUID) -> Bridge:
        return found(await self._statements.row(ONE_LOCKED, {"bridge_id": bridge_id}), bridge_id)

    async def live(self, domain: BackendDomain, network_id: NetworkId) -> Bridge | None:
        row = await self._statements.row(LIVE, {"of_remote": domain, "of_network": network_id})
        return None if row is None else bridge_of(row)

    async def of_remote(self, domain: BackendDomain) -> list[Bridge]:
        return [bridge_of(row) for row in await self._statements.rows(ALL_OF_REMOTE, {"of_remote": domain})]

    async def of_network(self, network_id: NetworkId) -> list[Bridge]:
        return [bridge_of(row) for row in await self._statements.rows(LIVE_OF_NETWORK, {"of_network": network_id})]

    async def all_live(self) -> list[Bridge]:
        return [bridge_of(row) for row in await self._statements.rows(ALL_LIVE)]

    async def page(self, page: Page, domain: BackendDomain | None = None) -> list[Bridge]:
        statement = FIRST if page.after is None else NEXT
        if domain is not None:
            statement = statement.where(OF_REMOTE)
        values = {"most": page.limit, "after": page.after, "of_remote": domain}
        given = {key: value for key, value in values.items() if value is not None}
        return [bridge_of(row) for row in await self._statements.rows(statement, given)]

    async def add(self, bridge: Bridge) -> None:
        await self._statements.write(ADD, fields_of(bridge))

    async def save(self, bridge: Bridge) -> None:
        if not await self._statements.write(SAVE, {"bridge_id": bridge.id, **fields_of(bridge)}):
            raise NotFound("bridge", str(bridge.id))

    async def put_wish(self, wish: Wish) -> None:
        await self._statements.write(upsert_into(bridge_wishes, self._statements.dialect), values_of(wish))

    async def wish(self, wish_id: UUID) -> Wish | None:
        row = await self._statements.row(WISH, {"wish_id": wish_id})
        return None if row is None else Wish(**row._mapping)

    async def wishes(self) -> list[Wish]:
        return [Wish(**row._mapping) for row in await self._statements.rows(WISHES)]

    async def drop_wish(self, wish_id: UUID) -> None:
        await self._statements.write(DROP_WISH, {"wish_id": wish_id})


def found(row: AnyRow | None, bridge_id: UUID) -> Bridge:
    if row is None:
        raise NotFound("bridge", str(bridge_id))
    return bridge_of(row)


def bridge_of(row: AnyRow) -> Bridge:
    fields = dict(row._mapping)
    fields |= {
        "remote": BackendDomain(row.remote),
        "network_id": None if row.network_id is None else NetworkId(row.network_id),
        "proposed_by": Side(row.proposed_by),
        "state": State(row.state),
        "holds": frozenset(map(Hold, row.holds)),
        "ours": None if row.ours is None else wire.read_terms(msgspec.convert(row.ours, wire.Terms)),
        "offered": networks_of(row.offered),
        "accepted": networks_of(row.accepted),
        "theirs": None if row.theirs is None else wire.read(msgspec.convert(row.theirs, wire.Statement)),
    }
    return Bridge(**fields)


def fields_of(bridge: Bridge) -> dict[str, Any]:
    return values_of(bridge) | {
        "proposed_by": bridge.proposed_by.value,
        "state": bridge.state.value,
        "holds": sorted(bridge.holds),
        "ours": None if bridge.ours is None else msgspec.to_builtins(wire.written_terms(bridge.ours)),
        "offered": [*map(str, bridge.offered)],
        "accepted": [*map(str, bridge.accepted)],
        "theirs": None if bridge.theirs is None else msgspec.to_builtins(wire.written(bridge.theirs)),
    }


def networks_of(texts: Iterable[str]) -> tuple[IPNetwork, ...]:
    return tuple(map(ip_network, texts))
