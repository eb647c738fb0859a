"""Messages to remotes in the database: numbered within lanes, delivered in order."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, case, delete, func, insert, select, update

from isthmus.domain.errors import NotFound
from isthmus.domain.federation.names import BackendDomain
from isthmus.server.adapters.db.federation_tables import outbox, outbox_lanes, remotes
from isthmus.server.adapters.db.statements import AnyRow, Statements, upsert_into, values_of
from isthmus.server.federation_records import Lane, LaneState, Message

MOST_HEADS = 500

earlier = outbox.alias("earlier")
IN_LANE = (outbox.c.remote_id == bindparam("of_remote"), outbox.c.lane == bindparam("in_lane"))
IS_HEAD = outbox.c.number == (
    select(func.min(earlier.c.number))
    .where(earlier.c.remote_id == outbox.c.remote_id, earlier.c.lane == outbox.c.lane)
    .scalar_subquery()
)
URGENT = (Lane.REVOCATION.value, Lane.TRUST_REVOCATION.value)
URGENT_FIRST = case((outbox.c.lane.in_(URGENT), 0), else_=1)
HEADS = (
    select(outbox)
    .where(IS_HEAD, outbox.c.next_at <= bindparam("now"), outbox.c.parked == "")
    .order_by(URGENT_FIRST, outbox.c.next_at, outbox.c.remote_id, outbox.c.lane)
    .limit(MOST_HEADS)
)
OF_REMOTE = (
    select(outbox)
    .where(outbox.c.remote_id == bindparam("of_remote"))
    .order_by(URGENT_FIRST, outbox.c.lane, outbox.c.number)
    .limit(bindparam("most"))
)
OF_LANE = select(outbox).where(*IN_LANE).order_by(outbox.c.number)
ONE = OF_LANE.where(outbox.c.number == bindparam("of_number"))
ADD = insert(outbox)
SAVE = update(outbox).where(*IN_LANE, outbox.c.number == bindparam("of_number"))
DELETE = delete(outbox).where(*IN_LANE, outbox.c.number <= bindparam("up_to"))
CLEAR = delete(outbox).where(*IN_LANE)
REPLACE = delete(outbox).where(
    outbox.c.remote_id == bindparam("of_remote"), outbox.c.subject == bindparam("on_subject")
)
WAKE = (
    update(outbox)
    .where(
        outbox.c.remote_id.in_(select(remotes.c.id).where(remotes.c.domain == bindparam("of_domain"))),
        outbox.c.parked == "",
        outbox.c.next_at > bindparam("now"),
    )
    .values(next_at=bindparam("now"))
)
LANES = select(outbox_lanes).where(outbox_lanes.c.remote_id == bindparam("of_remote")).order_by(outbox_lanes.c.lane)
LANE = LANES.where(outbox_lanes.c.lane == bindparam("in_lane"))


class SqlOutbox:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def add(self, message: Message) -> None:
        await self._statements.write(ADD, fields_of(message))

    async def save(self, message: Message) -> None:
        where = {"of_remote": message.remote_id, "in_lane": message.lane.value, "of_number": message.number}
        if not await self._statements.write(SAVE, {**fields_of(message), **where}):
            raise NotFound("message", f"{message.lane}/{message.number}")

    async def delete(self, remote_id: UUID, lane: Lane, up_to: int) -> None:
        await self._statements.write(DELETE, {"of_remote": remote_id, "in_lane": lane.value, "up_to": up_to})

    async def get(self, remote_id: UUID, lane: Lane, number: int) -> Message | None:
        which = {"of_remote": remote_id, "in_lane": lane.value, "of_number": number}
        row = await self._statements.row(ONE, which)
        return None if row is None else message_of(row)

    async def of_lane(self, remote_id: UUID, lane: Lane) -> list[Message]:
        rows = await self._statements.rows(OF_LANE, {"of_remote": remote_id, "in_lane": lane.value})
        return [message_of(row) for row in rows]

    async def heads(self, now: datetime) -> list[Message]:
        return [message_of(row) for row in await self._statements.rows(HEADS, {"now": now})]

    async def of(self, remote_id: UUID, limit: int = 100) -> list[Message]:
        rows = await self._statements.rows(OF_REMOTE, {"of_remote": remote_id, "most": limit})
        return [message_of(row) for row in rows]

    async def wake(self, domain: BackendDomain, now: datetime) -> int:
        return await self._statements.write(WAKE, {"of_domain": domain, "now": now})

    async def clear(self, remote_id: UUID, lanes: Iterable[Lane]) -> None:
        for lane in lanes:
            await self._statements.write(CLEAR, {"of_remote": remote_id, "in_lane": lane.value})

    async def drop_subject(self, remote_id: UUID, subject: str) -> None:
        await self._statements.write(REPLACE, {"of_remote": remote_id, "on_subject": subject})

    async def lane(self, remote_id: UUID, lane: Lane) -> LaneState:
        row = await self._statements.row(LANE, {"of_remote": remote_id, "in_lane": lane.value})
        return LaneState(remote_id, lane) if row is None else lane_of(row)

    async def lanes(self, remote_id: UUID) -> list[LaneState]:
        return [lane_of(row) for row in await self._statements.rows(LANES, {"of_remote": remote_id})]

    async def save_lane(self, state: LaneState) -> None:
        values = {**values_of(state), "lane": state.lane.value}
        await self._statements.write(upsert_into(outbox_lanes, self._statements.dialect), values)


def message_of(row: AnyRow) -> Message:
    return Message(**{**row._mapping, "lane": Lane(row.lane)})


def lane_of(row: AnyRow) -> LaneState:
    return LaneState(**{**row._mapping, "lane": Lane(row.lane)})


def fields_of(message: Message) -> dict[str, Any]:
    return values_of(message) | {"lane": message.lane.value, "body": dict(message.body)}
