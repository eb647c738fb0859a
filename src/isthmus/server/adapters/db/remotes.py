"""Remotes, their instances and what was revoked of them, in the database."""

import base64
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Insert, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from isthmus.domain.errors import NotFound
from isthmus.domain.federation.names import BackendDomain, InfraDomain, InstanceId
from isthmus.domain.federation.remote import Direction, Limits, Remote, Revocation, State, Trust
from isthmus.server.adapters.db.federation import ders_of, text_of
from isthmus.server.adapters.db.federation_tables import acceptances, remote_instances, remotes, revocations
from isthmus.server.adapters.db.often import Often
from isthmus.server.adapters.db.statements import AnyRow, Statements, upsert_into, values_of
from isthmus.server.federation_records import Acceptance, RemoteInstance

MOST_INSTANCES = 10_000
"""Of one domain."""

other = remotes.alias("other")
# A live entry is always the last one of its domain.
IS_LAST = remotes.c.generation == (
    select(func.max(other.c.generation)).where(other.c.domain == remotes.c.domain).scalar_subquery()
)
OF_DOMAIN = remotes.c.domain == bindparam("of_domain")
IS_IT = remotes.c.id == bindparam("remote_id")
LAST = select(remotes).where(OF_DOMAIN).order_by(remotes.c.generation.desc()).limit(1)
LAST_LOCKED = LAST.with_for_update()
GENERATIONS = select(remotes).where(OF_DOMAIN).order_by(remotes.c.generation.desc())
BY_ID = select(remotes).where(IS_IT)
ALL = select(remotes).where(IS_LAST).order_by(remotes.c.domain)
FIRST = ALL.where(remotes.c.removed_at.is_(None)).limit(bindparam("most"))
NEXT = FIRST.where(remotes.c.domain > bindparam("after"))
ADD = insert(remotes)
SAVE = update(remotes).where(IS_IT)

ACCEPTANCES = select(acceptances)
DROP_ACCEPTANCE = delete(acceptances).where(acceptances.c.remote_id == bindparam("of_remote"))

INSTANCES = select(remote_instances).where(remote_instances.c.domain == bindparam("of_domain"))
IN_ORDER = INSTANCES.order_by(remote_instances.c.instance)
INSTANCE = INSTANCES.where(remote_instances.c.instance == bindparam("of_instance"))
BLOCKED = (
    select(remote_instances)
    .where(remote_instances.c.blocked_at.is_not(None))
    .order_by(remote_instances.c.domain, remote_instances.c.instance)
)
KNOWN = select(remote_instances.c.instance).where(
    remote_instances.c.domain == bindparam("of_domain"),
    remote_instances.c.instance.in_(bindparam("instances", expanding=True)),
)
COUNT = select(func.count()).select_from(remote_instances).where(remote_instances.c.domain == bindparam("of_domain"))
PRUNE = delete(remote_instances).where(
    remote_instances.c.blocked_at.is_(None), remote_instances.c.last_seen < bindparam("not_since")
)
REVOCATIONS = select(revocations).order_by(revocations.c.id)
REVOCATIONS_OF = REVOCATIONS.where(revocations.c.domain == bindparam("of_domain"))
REVOKE = insert(revocations)


class SqlRemotes:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def get(self, domain: BackendDomain) -> Remote:
        last = await self._statements.records(LAST_OF, {"of_domain": domain})
        if not last:
            raise NotFound("remote", domain)
        return last[0]

    async def lock(self, domain: BackendDomain) -> Remote:
        return found(await self._statements.row(LAST_LOCKED, {"of_domain": domain}), domain)

    async def by_id(self, remote_id: UUID) -> Remote:
        return found(await self._statements.row(BY_ID, {"remote_id": remote_id}), str(remote_id))

    async def page(self, limit: int, after: str | None = None) -> list[Remote]:
        if after is None:
            rows = await self._statements.rows(FIRST, {"most": limit})
        else:
            rows = await self._statements.rows(NEXT, {"most": limit, "after": after})
        return [remote_of(row) for row in rows]

    async def all(self) -> list[Remote]:
        return [remote_of(row) for row in await self._statements.rows(ALL)]

    async def generations(self, domain: BackendDomain) -> list[Remote]:
        return [remote_of(row) for row in await self._statements.rows(GENERATIONS, {"of_domain": domain})]

    async def add(self, remote: Remote) -> None:
        await self._statements.write(ADD, fields_of(remote))

    async def save(self, remote: Remote) -> None:
        if not await self._statements.write(SAVE, {"remote_id": remote.id, **fields_of(remote)}):
            raise NotFound("remote", remote.domain)

    async def put_acceptance(self, acceptance: Acceptance) -> None:
        await self._statements.write(upsert_into(acceptances, self._statements.dialect), values_of(acceptance))

    async def acceptances(self) -> list[Acceptance]:
        return [Acceptance(**row._mapping) for row in await self._statements.rows(ACCEPTANCES)]

    async def drop_acceptance(self, remote_id: UUID) -> None:
        await self._statements.write(DROP_ACCEPTANCE, {"of_remote": remote_id})


class SqlRemoteInstances:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def seen(self, sightings: Sequence[tuple[BackendDomain, InstanceId, datetime]]) -> None:
        latest: dict[tuple[BackendDomain, InstanceId], datetime] = {}
        for domain, instance, at in sightings:
            latest[domain, instance] = max(at, latest.get((domain, instance), at))
        left_out = await self._without_room(latest)
        # In one order always, so that two servers wait for each other instead of deadlocking.
        values = [
            {
                "domain": domain,
                "instance": instance,
                "first_seen": at,
                "last_seen": at,
                "blocked_at": None,
                "reason": "",
            }
            for (domain, instance), at in sorted(latest.items())
            if (domain, instance) not in left_out
        ]
        if values:
            await self._statements.write(see_instance(self._statements.dialect), values)

    async def _without_room(
        self, named: Collection[tuple[BackendDomain, InstanceId]]
    ) -> set[tuple[BackendDomain, InstanceId]]:
        """Those that would be too many: a remote certifies as many instances as it likes."""
        left_out: set[tuple[BackendDomain, InstanceId]] = set()
        for domain in {domain for domain, _ in named}:
            wanted = sorted(instance for its_domain, instance in named if its_domain == domain)
            known = {row.instance for row in await self._statements.rows(KNOWN, among(domain, wanted))}
            new = [each for each in wanted if each not in known]
            if not new:
                continue
            row = await self._statements.row(COUNT, {"of_domain": domain})
            room = MOST_INSTANCES - (0 if row is None else row[0])
            left_out |= {(domain, instance) for instance in new[max(0, room) :]}
        return left_out

    async def prune(self, before: datetime) -> int:
        return await self._statements.write(PRUNE, {"not_since": before})

    async def of(self, domain: BackendDomain) -> list[RemoteInstance]:
        return [instance_of(row) for row in await self._statements.rows(IN_ORDER, {"of_domain": domain})]

    async def get(self, domain: BackendDomain, instance: InstanceId) -> RemoteInstance | None:
        found = await self._statements.records(ONE_INSTANCE, {"of_domain": domain, "of_instance": instance})
        return found[0] if found else None

    async def save(self, instance: RemoteInstance) -> None:
        await self._statements.write(upsert_into(remote_instances, self._statements.dialect), values_of(instance))

    async def blocked(self) -> list[RemoteInstance]:
        return [instance_of(row) for row in await self._statements.rows(BLOCKED)]


class SqlRevocations:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def add(self, revocation: Revocation, revocation_id: UUID) -> None:
        serial = None if revocation.serial is None else f"{revocation.serial:x}"
        await self._statements.write(REVOKE, {**values_of(revocation), "id": revocation_id, "serial": serial})

    async def all(self) -> list[Revocation]:
        return [revocation_of(row) for row in await self._statements.rows(REVOCATIONS)]

    async def of(self, domain: BackendDomain) -> list[Revocation]:
        return [revocation_of(row) for row in await self._statements.rows(REVOCATIONS_OF, {"of_domain": domain})]


def among(domain: BackendDomain, instances: Sequence[InstanceId]) -> dict[str, Any]:
    return {"of_domain": domain, "instances": list(instances)}


@cache
def see_instance(dialect: str) -> Insert:
    """Insert an instance, or give the one that is there the new time: both databases spell it alike."""
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = make(remote_instances)
    first = func.coalesce(remote_instances.c.first_seen, statement.excluded.first_seen)
    new = {"first_seen": first, "last_seen": statement.excluded.last_seen}
    key = remote_instances.primary_key.columns.keys()
    return statement.on_conflict_do_update(index_elements=key, set_=new)


def found(row: AnyRow | None, name: str) -> Remote:
    if row is None:
        raise NotFound("remote", name)
    return remote_of(row)


def remote_of(row: AnyRow) -> Remote:
    fields = dict(row._mapping)
    fields |= {
        "domain": BackendDomain(row.domain),
        "state": State(row.state),
        "infra_domains": tuple(InfraDomain(each) for each in row.infra_domains),
        "trust": Trust(row.trust),
        "authorities": ders_of(row.authorities),
        "message_keys": {name: base64.b64decode(key) for name, key in row.message_keys.items()},
        "direction": Direction(row.direction),
        "components": None if row.components is None else frozenset(row.components),
        "limits": Limits(**row.limits),
        "state_there": None if row.state_there is None else State(row.state_there),
    }
    return Remote(**fields)


def fields_of(remote: Remote) -> dict[str, Any]:
    return values_of(remote) | {
        "state": remote.state.value,
        "infra_domains": list(remote.infra_domains),
        "trust": remote.trust.value,
        "authorities": text_of(remote.authorities),
        "message_keys": {name: base64.b64encode(key).decode() for name, key in remote.message_keys.items()},
        "direction": remote.direction.value,
        "components": None if remote.components is None else sorted(remote.components),
        "limits": asdict(remote.limits),
        "state_there": None if remote.state_there is None else remote.state_there.value,
    }


def instance_of(row: AnyRow) -> RemoteInstance:
    return RemoteInstance(**{**row._mapping, "instance": InstanceId(row.instance)})


def revocation_of(row: AnyRow) -> Revocation:
    fields = dict(row._mapping)
    del fields["id"]
    fields["serial"] = None if row.serial is None else int(row.serial, 16)
    return Revocation(**fields)


LAST_OF = Often(LAST, remote_of)
ONE_INSTANCE = Often(INSTANCE, instance_of)
