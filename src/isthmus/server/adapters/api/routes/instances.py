"""Instances of this backend: processes that call others in its name."""

from datetime import timedelta
from uuid import UUID

from isthmus.domain.federation.names import InstanceId
from isthmus.domain.ids import PeerId
from isthmus.server.adapters.api.instance_views import EndBody, HandedView, InstanceView, IssueBody, RenewBody
from isthmus.server.adapters.api.routes.paging import cursor
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import Listing
from isthmus.server.adapters.http.deps import By, Calls, Paging
from isthmus.server.application.instances import Request

router = api_router("instances")


@router.get("/instances", operation_id="listInstances")
async def list_instances(calls: Calls, page: Paging, revoked: bool = False) -> Listing[InstanceView]:
    """Federator and ingress first, then those that were asked for, oldest first; with `revoked` also those."""
    asked_for = await calls.federation.instances.page(page, revoked=revoked)
    own = await calls.federation.instances.own() if page.after is None else []
    return Listing(items=[InstanceView.of(each) for each in (*own, *asked_for)], next=cursor(asked_for, page))


@router.post("/instances", operation_id="issueInstance", status_code=201)
async def issue_instance(body: IssueBody, calls: Calls, by: By) -> HandedView:
    """A new instance. Of the request the public key counts, what the leaf says is decided here; the private key never
    comes to the server."""
    peer = None if body.peer is None else PeerId(body.peer)
    return HandedView.with_chain(await calls.federation.instances.issue(by, body.name, peer, _request(body)))


@router.get("/instances/{instance_id}", operation_id="getInstance")
async def get_instance(instance_id: UUID, calls: Calls) -> InstanceView:
    """One instance."""
    return InstanceView.of(await calls.federation.instances.get(InstanceId(instance_id)))


@router.post("/instances/{instance_id}/renew", operation_id="renewInstance")
async def renew_instance(instance_id: UUID, body: RenewBody, calls: Calls, by: By) -> HandedView:
    """Another leaf of an instance. Those before stay good until they end."""
    handed = await calls.federation.instances.renew(by, InstanceId(instance_id), _request(body))
    return HandedView.with_chain(handed)


@router.post("/instances/{instance_id}/revoke", operation_id="revokeInstance")
async def revoke_instance(instance_id: UUID, body: EndBody, calls: Calls, by: By) -> InstanceView:
    """End an instance for good. Remotes are told to refuse all its leaves."""
    return InstanceView.of(await calls.federation.instances.revoke(by, InstanceId(instance_id), body.reason))


def _request(body: RenewBody) -> Request:
    return Request(body.csr, timedelta(seconds=body.lifetime))
