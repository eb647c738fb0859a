"""Addresses that are held and ranges that are free, in the database."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from isthmus.domain.addresses import Family, IPAddress, family_of
from isthmus.domain.errors import NotFound
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.ipam import Range
from isthmus.server.adapters.db.statements import AnyRow, Statements, values_of
from isthmus.server.adapters.db.tables import free_ranges, holdings
from isthmus.server.records import Held, Holding

IN_NETWORK = holdings.c.network_id == bindparam("of_network")
AT_ADDRESS = holdings.c.address == bindparam("at_address")
HOLDINGS = select(
    holdings.c.network_id,
    holdings.c.address,
    holdings.c.held,
    holdings.c.peer_id,
    holdings.c.until,
    holdings.c.note,
).where(IN_NETWORK)
ONE = HOLDINGS.where(AT_ADDRESS)
ALL = HOLDINGS.order_by(holdings.c.family, holdings.c.address)
ALL_HELD_AS = ALL.where(holdings.c.held == bindparam("held_as"))
EXPIRED = ALL.where(holdings.c.until <= bindparam("now"), holdings.c.held == Held.QUARANTINE.value)
COUNTS = (
    select(holdings.c.family, holdings.c.held, func.count())
    .where(IN_NETWORK)
    .group_by(holdings.c.family, holdings.c.held)
)
HOLD = insert(holdings)
CHANGE = update(holdings).where(IN_NETWORK, AT_ADDRESS)
DROP = delete(holdings).where(IN_NETWORK, AT_ADDRESS)

OF_FAMILY = (
    free_ranges.c.network_id == bindparam("of_network"),
    free_ranges.c.family == bindparam("of_family"),
)
FREE = select(free_ranges.c.first, free_ranges.c.last).where(*OF_FAMILY).limit(1)
LOWEST = FREE.order_by(free_ranges.c.first)
FROM_BELOW = FREE.where(free_ranges.c.first <= bindparam("at_address")).order_by(free_ranges.c.first.desc())
ABOVE = LOWEST.where(free_ranges.c.first > bindparam("at_address"))
ADD_FREE = insert(free_ranges)
DROP_FREE = delete(free_ranges).where(*OF_FAMILY, free_ranges.c.first == bindparam("at_address"))
SHRINK_FREE = update(free_ranges).where(*OF_FAMILY, free_ranges.c.first == bindparam("at_address"))
DROP_ALL_FREE = delete(free_ranges).where(*OF_FAMILY)


class SqlHoldings:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def lowest_free(self, network_id: NetworkId, family: Family) -> Range | None:
        values = {"of_network": network_id, "of_family": family}
        return range_of(await self._statements.row(LOWEST, values))

    async def free_around(self, network_id: NetworkId, address: IPAddress) -> Range | None:
        below = range_of(await self._statements.row(FROM_BELOW, at(network_id, address)))
        return below if below is not None and address in below else None

    async def free_beside(self, network_id: NetworkId, address: IPAddress) -> tuple[Range | None, Range | None]:
        below = await self._statements.row(FROM_BELOW, at(network_id, address))
        above = await self._statements.row(ABOVE, at(network_id, address))
        return range_of(below), range_of(above)

    async def swap_free(self, network_id: NetworkId, old: Iterable[Range], new: Iterable[Range]) -> None:
        gone = [at(network_id, part.first) for part in old]
        come = [free_fields(network_id, part) for part in new]
        # The lowest address of a range was taken: what nearly every allocation does, in one statement for two.
        if len(gone) == len(come) == 1:
            await self._statements.write(SHRINK_FREE, {**gone[0], **come[0]})
            return
        if gone:
            await self._statements.write(DROP_FREE, gone)
        if come:
            await self._statements.write(ADD_FREE, come)

    async def reset_free(self, network_id: NetworkId, family: Family, ranges: Iterable[Range]) -> None:
        await self._statements.write(DROP_ALL_FREE, {"of_network": network_id, "of_family": family})
        come = [free_fields(network_id, part) for part in ranges]
        if come:
            await self._statements.write(ADD_FREE, come)

    async def hold(self, *held: Holding) -> None:
        if held:
            await self._statements.write(HOLD, [fields_of(holding) for holding in held])

    async def change(self, holding: Holding) -> None:
        values = {**fields_of(holding), "of_network": holding.network_id, "at_address": holding.address}
        if not await self._statements.write(CHANGE, values):
            raise NotFound("address that is held", str(holding.address))

    async def drop(self, network_id: NetworkId, addresses: Iterable[IPAddress]) -> None:
        gone = [{"of_network": network_id, "at_address": address} for address in addresses]
        if gone:
            await self._statements.write(DROP, gone)

    async def get(self, network_id: NetworkId, address: IPAddress) -> Holding | None:
        row = await self._statements.row(ONE, {"of_network": network_id, "at_address": address})
        return None if row is None else holding_of(row)

    async def of_network(self, network_id: NetworkId, held: Held | None = None) -> list[Holding]:
        if held is None:
            rows = await self._statements.rows(ALL, {"of_network": network_id})
        else:
            rows = await self._statements.rows(ALL_HELD_AS, {"of_network": network_id, "held_as": held.value})
        return [holding_of(row) for row in rows]

    async def expired(self, network_id: NetworkId, now: datetime) -> list[Holding]:
        rows = await self._statements.rows(EXPIRED, {"of_network": network_id, "now": now})
        return [holding_of(row) for row in rows]

    async def counts(self, network_id: NetworkId) -> dict[tuple[Family, Held], int]:
        rows = await self._statements.rows(COUNTS, {"of_network": network_id})
        return {(family, Held(held)): count for family, held, count in rows}


def at(network_id: NetworkId, address: IPAddress) -> dict[str, Any]:
    return {"of_network": network_id, "of_family": family_of(address), "at_address": address}


def free_fields(network_id: NetworkId, part: Range) -> dict[str, Any]:
    return {"network_id": network_id, "family": family_of(part.first), "first": part.first, "last": part.last}


def range_of(row: AnyRow | None) -> Range | None:
    return None if row is None else Range(*row)


def holding_of(row: AnyRow) -> Holding:
    return Holding(row.network_id, row.address, Held(row.held), row.peer_id, row.until, row.note)


def fields_of(holding: Holding) -> dict[str, Any]:
    return {**values_of(holding), "held": holding.held.value, "family": family_of(holding.address)}
