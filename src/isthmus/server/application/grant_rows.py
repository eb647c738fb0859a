"""Grants in the audit log, and their end with that of their remote."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from isthmus.domain.federation import granting
from isthmus.domain.federation.axes import as_texts
from isthmus.domain.federation.grant import Axis, AxisMode, Grant
from isthmus.domain.federation.remote import Remote
from isthmus.server.application.caller import Caller
from isthmus.server.ports import Transaction


async def revoke_all(tx: Transaction, remote: Remote, caller: Caller, now: datetime) -> None:
    """With a remote that ends, all that it was granted ends, and all that it granted; one audit row each."""
    rows = []
    for grant in await tx.grants.of_remote(remote.domain):
        if grant.revoked_at is None:
            after = granting.revoked(grant, caller.actor, "the remote was revoked", now)
            await tx.grants.save(after)
            rows.append(caller.did("grant.revoke", grant.id, now, reason=after.revoked_reason, **facts_of(after)))
    for held in await tx.held_grants.of_remote(remote.domain):
        if held.ended_at is None:
            await tx.held_grants.put(replace(held, ended_at=now))
    await tx.journal.audit(rows)


def facts_of(grant: Grant) -> dict[str, Any]:
    """For the audit log."""
    axes: dict[str, Axis[Any]] = {"instances": grant.instances, "networks": grant.networks, "sources": grant.sources}
    return {
        "remote": grant.remote,
        "grantee": grant.subject,
        "kind": grant.kind,
        "resource": grant.resource_id,
        "scopes": sorted(each.value for each in grant.scopes),
        "expires_at": grant.expires_at.isoformat(),
        "version": grant.version,
    } | {name: shown(axis) for name, axis in axes.items()}


def shown(axis: Axis[Any]) -> str | list[str]:
    return AxisMode.ANY.value if axis.mode is AxisMode.ANY else as_texts(axis)
