"""The federation's own facts, nonces, findings and invitations in the database."""

import base64
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, case, delete, insert, or_, select, update

from isthmus.domain.errors import NotFound
from isthmus.domain.federation.finding import Cause
from isthmus.domain.federation.invitation import Invitation
from isthmus.domain.federation.names import BackendDomain, InfraDomain
from isthmus.domain.federation.remote import Strategy
from isthmus.domain.ids import Digest
from isthmus.protocol.ingress import Listener
from isthmus.server.adapters.db.federation_tables import (
    federation,
    invitations,
    nonces,
    remote_findings,
    reported_rows,
)
from isthmus.server.adapters.db.often import Often
from isthmus.server.adapters.db.statements import AnyRow, Statements, in_parts, values_of
from isthmus.server.federation_records import Federation, RemoteFinding

FACTS = select(federation)
FACTS_LOCKED = FACTS.with_for_update()
ADD_FACTS = insert(federation)
SAVE_FACTS = update(federation)
GENERATION = select(federation.c.generation)
ADVANCE = update(federation).values(generation=federation.c.generation + 1).returning(federation.c.generation)

INVITATION = select(invitations).where(invitations.c.id == bindparam("invitation_id"))
INVITATION_LOCKED = INVITATION.with_for_update()
INVITATIONS = select(invitations).order_by(invitations.c.id)
ADD_INVITATION = insert(invitations)
SAVE_INVITATION = update(invitations).where(invitations.c.id == bindparam("invitation_id"))
PRUNE_INVITATIONS = delete(invitations).where(
    or_(
        invitations.c.expires_at < bindparam("ended_before"),
        invitations.c.used_at < bindparam("ended_before"),
        invitations.c.withdrawn_at < bindparam("ended_before"),
    )
)

REMEMBER = insert(nonces)
PRUNE_NONCES = delete(nonces).where(nonces.c.expires_at <= bindparam("now"))
REPORTED = select(reported_rows.c.id).where(reported_rows.c.id.in_(bindparam("ids", expanding=True)))
REPORT = insert(reported_rows)
PRUNE_REPORTED = delete(reported_rows).where(reported_rows.c.expires_at <= bindparam("now"))

SAME = (
    remote_findings.c.kind == bindparam("of_kind"),
    remote_findings.c.domain == bindparam("of_domain"),
    remote_findings.c.subject == bindparam("of_subject"),
)
WAS_CLEARED = remote_findings.c.cleared_at.is_not(None)
COUNT_FINDING = (
    update(remote_findings)
    .where(*SAME)
    .values(
        first_at=case((WAS_CLEARED, bindparam("seen_at")), else_=remote_findings.c.first_at),
        count=case((WAS_CLEARED, 1), else_=remote_findings.c.count + 1),
        last_at=bindparam("seen_at"),
        evidence=bindparam("shown"),
        cleared_at=None,
    )
)
CLEAR_FINDING = (
    update(remote_findings)
    .where(*SAME, remote_findings.c.cleared_at.is_(None), remote_findings.c.last_at <= bindparam("seen_until"))
    .values(cleared_at=bindparam("now"))
)
SHOW_FINDING = update(remote_findings).where(*SAME).values(evidence=bindparam("shown"))
ADD_FINDING = insert(remote_findings)
FINDINGS = select(remote_findings).order_by(remote_findings.c.id.desc()).limit(bindparam("most"))
OLDER = remote_findings.c.id < bindparam("before")
IS_OPEN = remote_findings.c.cleared_at.is_(None)


class SqlFederationFacts:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def get(self) -> Federation | None:
        found = await self._statements.records(PRESENT_FACTS, {})
        return found[0] if found else None

    async def lock(self) -> Federation:
        row = await self._statements.row(FACTS_LOCKED)
        if row is None:
            raise NotFound("federation", "of this backend: set it up with isthmus federation init")
        return federation_of(row)

    async def add(self, facts: Federation) -> None:
        await self._statements.write(ADD_FACTS, {"id": 1, "generation": facts.generation, **facts_fields(facts)})

    async def save(self, facts: Federation) -> None:
        await self._statements.write(SAVE_FACTS, facts_fields(facts))

    async def generation(self) -> int:
        row = await self._statements.row(GENERATION)
        return 0 if row is None else int(row.generation)

    async def advance(self) -> int:
        row = await self._statements.row(ADVANCE)
        return 0 if row is None else int(row.generation)


class SqlInvitations:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def get(self, invitation_id: UUID) -> Invitation | None:
        return invitation_of(await self._statements.row(INVITATION, {"invitation_id": invitation_id}))

    async def lock(self, invitation_id: UUID) -> Invitation | None:
        return invitation_of(await self._statements.row(INVITATION_LOCKED, {"invitation_id": invitation_id}))

    async def all(self) -> list[Invitation]:
        found = [invitation_of(row) for row in await self._statements.rows(INVITATIONS)]
        return [each for each in found if each is not None]

    async def add(self, invitation: Invitation) -> None:
        await self._statements.write(ADD_INVITATION, values_of(invitation))

    async def save(self, invitation: Invitation) -> None:
        await self._statements.write(SAVE_INVITATION, {"invitation_id": invitation.id, **values_of(invitation)})

    async def prune(self, before: datetime) -> int:
        return await self._statements.write(PRUNE_INVITATIONS, {"ended_before": before})


class SqlNonces:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def remember(self, domain: str, nonce: str, expires_at: datetime) -> None:
        await self._statements.write(REMEMBER, {"domain": domain, "nonce": nonce, "expires_at": expires_at})

    async def prune(self, now: datetime) -> int:
        await self._statements.write(PRUNE_REPORTED, {"now": now})
        return await self._statements.write(PRUNE_NONCES, {"now": now})

    async def unreported(self, row_ids: Sequence[str], until: datetime) -> set[str]:
        wanted = list(dict.fromkeys(row_ids))
        known: set[str] = set()
        for part in in_parts(wanted):
            known |= {row.id for row in await self._statements.rows(REPORTED, {"ids": list(part)})}
        new = [each for each in wanted if each not in known]
        if new:
            await self._statements.write(REPORT, [{"id": each, "expires_at": until} for each in new])
        return set(new)


class SqlFindings:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def put(self, finding: RemoteFinding) -> None:
        same = same_as(finding.kind, finding.domain, finding.subject)
        seen = {"seen_at": finding.last_at, "shown": finding.evidence}
        if not await self._statements.write(COUNT_FINDING, {**same, **seen}):
            await self._statements.write(ADD_FINDING, values_of(finding))

    async def show(self, cause: Cause) -> None:
        same = same_as(cause.kind, cause.domain, cause.subject)
        await self._statements.write(SHOW_FINDING, {**same, "shown": cause.evidence})

    async def clear(
        self, kind: str, domain: str, now: datetime, *, subject: str = "", seen_until: datetime | None = None
    ) -> bool:
        which = {**same_as(kind, domain, subject), "seen_until": seen_until or now, "now": now}
        return bool(await self._statements.write(CLEAR_FINDING, which))

    async def page(self, limit: int, after: UUID | None = None, *, cleared: bool = False) -> list[RemoteFinding]:
        query = FINDINGS if cleared else FINDINGS.where(IS_OPEN)
        if after is None:
            rows = await self._statements.rows(query, {"most": limit})
        else:
            rows = await self._statements.rows(query.where(OLDER), {"most": limit, "before": after})
        return [RemoteFinding(**row._mapping) for row in rows]


def same_as(kind: str, domain: str, subject: str) -> dict[str, str]:
    return {"of_kind": kind, "of_domain": domain, "of_subject": subject}


def text_of(ders: Iterable[bytes]) -> list[str]:
    return [base64.b64encode(der).decode() for der in ders]


def ders_of(texts: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(base64.b64decode(each) for each in texts)


def facts_fields(facts: Federation) -> dict[str, Any]:
    return {
        "domain": facts.domain,
        "infra_domains": list(facts.infra_domains),
        "strategy": facts.strategy.value,
        "service": facts.service,
        "ports": list(facts.ports),
        "shared_roots": text_of(facts.shared_roots),
        "listeners": msgspec.to_builtins(facts.listeners),
        "version": facts.version,
    }


def federation_of(row: AnyRow) -> Federation:
    return Federation(
        domain=BackendDomain(row.domain),
        infra_domains=tuple(InfraDomain(each) for each in row.infra_domains),
        strategy=Strategy(row.strategy),
        service=row.service,
        ports=tuple(row.ports),
        shared_roots=ders_of(row.shared_roots),
        listeners=tuple(msgspec.convert(row.listeners, list[Listener])),
        generation=row.generation,
        version=row.version,
    )


def invitation_of(row: AnyRow | None) -> Invitation | None:
    if row is None:
        return None
    return Invitation(**{**row._mapping, "domain": BackendDomain(row.domain), "digest": Digest(row.digest)})


PRESENT_FACTS = Often(FACTS, federation_of)
