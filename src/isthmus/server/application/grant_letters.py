"""What a remote is told of a grant: how it is now, and what it opens, never its token."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from isthmus.domain.federation.axes import as_texts
from isthmus.domain.federation.grant import Axis, AxisMode, Grant, Scope
from isthmus.domain.federation.remote import Remote, State
from isthmus.domain.federation.service import Service
from isthmus.protocol import grants as wire
from isthmus.server.application.outbox import Letter, enqueue
from isthmus.server.federation_records import Lane
from isthmus.server.ports import Transaction
from isthmus.server.records import Page

SERVICE = "service"


async def tell(tx: Transaction, remote: Remote, grant: Grant, now: datetime) -> None:
    """Queue how `grant` is for `remote`, which this transaction has locked."""
    if remote.state is State.REVOKED or grant.remote_generation != remote.generation:
        return
    lane = Lane.TRUST if grant.revoked_at is None else Lane.TRUST_REVOCATION
    await enqueue(tx, remote, Letter(lane, "grants", "tell", await told_of(tx, grant), f"grant {grant.id}"), now)


async def told_of(tx: Transaction, grant: Grant) -> wire.Tell:
    return wire.Tell(
        id=str(grant.id),
        revision=grant.version,
        subject=grant.subject,
        kind=grant.kind,
        resource_id=grant.resource_id,
        scopes=sorted(each.value for each in grant.scopes),
        issued_at=grant.issued_at.timestamp(),
        expires_at=grant.expires_at.timestamp(),
        instances=listed(grant.instances),
        networks=listed(grant.networks),
        sources=listed(grant.sources),
        services=[] if grant.revoked_at else await offered(tx, await opened_by(tx, grant)),
        revoked=grant.revoked_at is not None,
    )


def listed(axis: Axis[Any]) -> list[str] | None:
    return None if axis.mode is AxisMode.ANY else as_texts(axis)


async def opened_by(tx: Transaction, grant: Grant) -> list[Service]:
    """The services that `grant` lets connect to."""
    if grant.kind != SERVICE or Scope.CONNECT not in grant.scopes:
        return []
    services = await tx.services.page(Page(wire.MOST_SERVICES))
    return [each for each in services if grant.resource_id in (None, str(each.id))]


async def offered(tx: Transaction, services: Iterable[Service]) -> list[wire.OfferedService]:
    names = {network.id: network.name for network in await tx.networks.all()}
    return [
        wire.OfferedService(each.name, names[each.network_id], each.protocol, str(each.address), list(each.ports))
        for each in services
    ]
