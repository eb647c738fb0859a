"""The component `grants`: what remotes tell of the grants that they have given to ours, and what ours are asked for."""

from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any
from uuid import UUID

from isthmus.domain.errors import InvalidValue
from isthmus.domain.federation.axes import parse_instance, parse_network_id, parse_source
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.grant import HeldGrant, Offered, Scope
from isthmus.domain.federation.granting import reset
from isthmus.domain.federation.names import qualified
from isthmus.domain.federation.remote import Remote
from isthmus.protocol import grants as wire
from isthmus.server.application.calls import Call, Component, Reading, Writing
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.grant_letters import told_of
from isthmus.server.ports import Transaction
from isthmus.server.records import Page

MOST_HELD = 10_000
"""Of one remote."""


class GrantsComponent:
    def __init__(self, changes: FederationChanges) -> None:
        self._changes = changes

    def endpoints(self) -> Component:
        return {"tell": Writing(self._tell), "get": Reading(self._get)}

    async def _tell(self, call: Call, tx: Transaction) -> wire.Told:
        """What the owner of a grant says of it counts; what it has said before is acknowledged and ignored."""
        remote, body = caller_of(call), call.body
        said = held_of(body, remote, call.permit.own_domain, call.at)
        known = await tx.held_grants.get(remote.domain, said.id)
        facts = {"grant": body.id, "revision": body.revision, "revoked": body.revoked}
        call.did("grant.told", remote.domain, **facts)
        if known is not None and known.remote_generation == remote.generation:
            if said.revision <= known.revision:
                return wire.Told(known.revision)
        elif len(await tx.held_grants.of_remote(remote.domain)) >= MOST_HELD:
            raise Denied("rate_limited", "held_grants.many", f"{MOST_HELD} grants of one backend are kept here")
        await tx.held_grants.put(said)
        await self._changes.within(tx, call.afterwards, remote.domain)
        return wire.Told(said.revision)

    async def _get(self, call: Call, tx: Transaction) -> wire.Granted:
        """All grants that the caller has of us, ended ones included, in pages."""
        remote = caller_of(call)
        after = None if call.body.after is None else UUID(call.body.after)
        found = await tx.grants.page(Page(wire.MOST_LISTED, after), remote.domain)
        # Those of a former entry are nothing to this one.
        own = [each for each in found if each.remote_generation == remote.generation]
        is_full = len(found) == wire.MOST_LISTED
        return wire.Granted([await told_of(tx, each) for each in own], str(found[-1].id) if is_full else None)


def caller_of(call: Call) -> Remote:
    if call.permit.remote is None:
        raise Denied("federation_denied", "not_listed", "grants are for backends that are listed here")
    return call.permit.remote


def held_of(body: wire.Tell, remote: Remote, own_domain: str, now: datetime) -> HeldGrant:
    """Raises `InvalidValue`."""
    if qualified(body.subject, "/subject")[1] != own_domain:
        raise InvalidValue("/subject", "is nobody of this backend")
    return HeldGrant(
        id=UUID(body.id),
        remote=remote.domain,
        remote_generation=remote.generation,
        subject=body.subject,
        kind=body.kind,
        resource_id=body.resource_id,
        scopes=frozenset(map(Scope, body.scopes)),
        issued_at=datetime.fromtimestamp(body.issued_at, UTC),
        expires_at=datetime.fromtimestamp(body.expires_at, UTC),
        instances=reset(body.instances, "/instances", parse_instance),
        networks=reset(body.networks, "/networks", parse_network_id),
        sources=reset(body.sources, "/sources", parse_source),
        services=offered_of(body.services),
        ended_at=now if body.revoked else None,
        revision=body.revision,
    )


def offered_of(services: Sequence[wire.OfferedService]) -> tuple[Offered, ...]:
    found: list[Offered] = []
    for number, each in enumerate(services):
        pointer = f"/services/{number}"
        if any(first > last for first, last in each.ports):
            raise InvalidValue(f"{pointer}/ports", "has a range that ends before it begins")
        found.append(
            Offered(each.name, each.network, each.protocol, address_of(each.address, pointer), tuple(each.ports))
        )
    return tuple(found)


def address_of(text: str, pointer: str) -> Any:
    try:
        return ip_address(text)
    except ValueError:
        raise InvalidValue(f"{pointer}/address", "is not an IP address") from None
