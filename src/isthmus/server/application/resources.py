"""The component `resources`: what grants open. The gate has found the grant right before any of this is asked."""

from collections.abc import Mapping
from typing import Any

from isthmus.domain.federation.grant import Grant
from isthmus.domain.federation.names import BackendDomain
from isthmus.protocol import resources as wire
from isthmus.server.application.calls import Call, Component, Writing
from isthmus.server.application.kinds import Kinds
from isthmus.server.ports import Transaction


class ResourcesComponent:
    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds

    def endpoints(self) -> Component:
        return {
            "get": Writing(self._get),
            "list": Writing(self._list),
            "update": Writing(self._update),
            "export": Writing(self._export),
            "get-grants": Writing(self._grants),
        }

    async def _get(self, call: Call, tx: Transaction) -> wire.Resource:
        body: wire.GetResource = call.body
        fields = await self._kinds.of(body.kind).read(tx, body.id)
        call.did("resource.get", named(body.kind, body.id))
        return resource(call, body.kind, body.id, fields)

    async def _list(self, call: Call, tx: Transaction) -> wire.FoundResources:
        body: wire.ListResources = call.body
        found = await self._kinds.of(body.kind).page(tx, body.limit, body.after)
        call.did("resource.list", body.kind, found=len(found))
        return wire.FoundResources([resource(call, body.kind, each, fields) for each, fields in found])

    async def _update(self, call: Call, tx: Transaction) -> wire.Resource:
        body: wire.UpdateResource = call.body
        fields = await self._kinds.of(body.kind).update(tx, body.id, body.changes)
        call.did("resource.update", named(body.kind, body.id), fields=sorted(body.changes))
        return resource(call, body.kind, body.id, fields)

    async def _export(self, call: Call, tx: Transaction) -> wire.Exported:
        body: wire.ExportResource = call.body
        document = await self._kinds.of(body.kind).export(tx, body.id)
        call.did("resource.export", named(body.kind, body.id))
        return wire.Exported(body.kind, body.id, call.permit.own_domain, dict(document))

    async def _grants(self, call: Call, tx: Transaction) -> wire.FoundGrants:
        """Those of the caller's own backend: what others have been granted is none of its business."""
        body: wire.GetGrants = call.body
        own = await tx.grants.of_remote(BackendDomain(call.context.remote))
        found = [
            entry_of(each)
            for each in own
            if each.remote_generation == call.context.generation
            and each.kind == body.kind
            and (body.id is None or each.resource_id in (None, body.id))
        ]
        call.did("resource.get-grants", named(body.kind, body.id), found=len(found))
        return wire.FoundGrants(found[-wire.MOST_LISTED :])


def resource(call: Call, kind: str, resource_id: str, fields: Mapping[str, Any]) -> wire.Resource:
    return wire.Resource(kind, resource_id, call.permit.own_domain, dict(fields))


def named(kind: str, resource_id: str | None) -> str:
    return kind if resource_id is None else f"{kind} {resource_id}"


def entry_of(grant: Grant) -> wire.GrantEntry:
    return wire.GrantEntry(
        id=str(grant.id),
        subject=grant.subject,
        kind=grant.kind,
        resource_id=grant.resource_id,
        scopes=sorted(each.value for each in grant.scopes),
        expires_at=grant.expires_at.timestamp(),
        revoked=grant.revoked_at is not None,
    )
