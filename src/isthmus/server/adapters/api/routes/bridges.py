"""Bridges."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from isthmus.domain.ids import NetworkId
from isthmus.server.adapters.api.bridge_views import (
    AcceptanceBody,
    BridgeView,
    HoldBody,
    PrefixesBody,
    ProposalBody,
    ReasonBody,
)
from isthmus.server.adapters.api.routes.paging import cursor
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import Listing
from isthmus.server.adapters.http.deps import By, Calls, Paging, Version, etag
from isthmus.server.application.bridges import Acceptance, Proposal, Shown
from isthmus.server.application.remotes import remote_domain

router = api_router("bridges")


@router.get("/bridges", operation_id="listBridges")
async def list_bridges(
    calls: Calls,
    page: Paging,
    remote: Annotated[str | None, Query(max_length=253, description="only those with this remote")] = None,
) -> Listing[BridgeView]:
    """All bridges in the order in which they were proposed, revoked ones as well."""
    domain = None if remote is None else remote_domain(remote)
    items = [BridgeView.of(each) for each in await calls.federation.bridges.page(page, domain)]
    return Listing(items=items, next=cursor(items, page))


@router.post("/bridges", operation_id="proposeBridge", status_code=201)
async def propose(body: ProposalBody, calls: Calls, by: By, response: Response) -> BridgeView:
    """Propose to join a network of ours with one of a remote. Nothing passes before its operator has accepted."""
    proposal = Proposal(remote_domain(body.remote), NetworkId(body.network_id), body.prefixes, body.reason)
    return _shown(await calls.federation.bridges.propose(by, proposal), response)


@router.get("/bridges/{bridge_id}", operation_id="getBridge")
async def get_bridge(bridge_id: UUID, calls: Calls, response: Response) -> BridgeView:
    """One bridge: how both sides stand, what each brings in, and why nothing may pass."""
    return _shown(await calls.federation.bridges.get(bridge_id), response)


@router.post("/bridges/{bridge_id}/accept", operation_id="acceptBridge")
async def accept(
    bridge_id: UUID, body: AcceptanceBody, calls: Calls, by: By, version: Version, response: Response
) -> BridgeView:
    """Accept what a remote has proposed, and say which network of ours it joins."""
    network_id = None if body.network_id is None else NetworkId(body.network_id)
    accepting = Acceptance(network_id, body.prefixes, body.accepted, body.reason)
    return _shown(await calls.federation.bridges.accept(by, bridge_id, accepting, version), response)


@router.post("/bridges/{bridge_id}/suspend", operation_id="suspendBridge")
async def suspend(
    bridge_id: UUID, body: ReasonBody, calls: Calls, by: By, version: Version, response: Response
) -> BridgeView:
    """Let nothing pass until the bridge is resumed; all that it is stays."""
    return _shown(await calls.federation.bridges.suspend(by, bridge_id, body.reason, version), response)


@router.post("/bridges/{bridge_id}/resume", operation_id="resumeBridge")
async def resume(
    bridge_id: UUID, body: ReasonBody, calls: Calls, by: By, version: Version, response: Response
) -> BridgeView:
    """Lift our operator's own suspension. That of the other side, and of an incident, stays."""
    return _shown(await calls.federation.bridges.resume(by, bridge_id, body.reason, version), response)


@router.post("/bridges/{bridge_id}/hold", operation_id="holdBridge")
async def hold(
    bridge_id: UUID, body: HoldBody, calls: Calls, by: By, version: Version, response: Response
) -> BridgeView:
    """Let nothing pass while an incident is looked into. It holds beside our operator's suspension."""
    return _shown(await calls.federation.bridges.hold(by, bridge_id, body.reason, version), response)


@router.post("/bridges/{bridge_id}/release", operation_id="releaseBridge")
async def release(
    bridge_id: UUID, body: ReasonBody, calls: Calls, by: By, version: Version, response: Response
) -> BridgeView:
    """The incident is over: lift its hold. A suspension by our operator, and by the other side, stays."""
    return _shown(await calls.federation.bridges.release(by, bridge_id, body.reason, version), response)


@router.post("/bridges/{bridge_id}/revoke", operation_id="revokeBridge")
async def revoke(
    bridge_id: UUID, body: ReasonBody, calls: Calls, by: By, version: Version, response: Response
) -> BridgeView:
    """End a bridge for good, on both sides. To begin anew, propose another one."""
    return _shown(await calls.federation.bridges.revoke(by, bridge_id, body.reason, version), response)


@router.post("/bridges/{bridge_id}/accept-prefixes", operation_id="acceptBridgePrefixes")
async def accept_prefixes(
    bridge_id: UUID, body: PrefixesBody, calls: Calls, by: By, version: Version, response: Response
) -> BridgeView:
    """Choose which of the prefixes that the other side offers are let in."""
    return _shown(await calls.federation.bridges.accept_prefixes(by, bridge_id, body.prefixes, version), response)


def _shown(found: Shown, response: Response) -> BridgeView:
    response.headers.update(etag(found.bridge.version))
    return BridgeView.of(found)
