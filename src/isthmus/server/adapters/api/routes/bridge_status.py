"""How bridges stand at this moment."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from isthmus.domain.ids import NetworkId
from isthmus.server.adapters.api.bridge_status_views import BridgeStatusView
from isthmus.server.adapters.api.routes.paging import cursor
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import Listing
from isthmus.server.adapters.http.deps import Calls, Paging

router = api_router("bridges")


@router.get("/bridge-status", operation_id="listBridgeStatus")
async def list_bridge_status(
    calls: Calls, page: Paging, network_id: Annotated[UUID | None, Query()] = None
) -> Listing[BridgeStatusView]:
    """Tunnel, lease and open ways of every bridge that is not revoked."""
    chosen = None if network_id is None else NetworkId(network_id)
    found = await calls.bridge_status.page(page, chosen)
    return Listing(
        items=[BridgeStatusView.of(each) for each in found], next=cursor([each.bridge for each in found], page)
    )


@router.get("/bridges/{bridge_id}/status", operation_id="getBridgeStatus")
async def get_bridge_status(bridge_id: UUID, calls: Calls) -> BridgeStatusView:
    """Tunnel, lease and open ways of one bridge."""
    return BridgeStatusView.of(await calls.bridge_status.of(bridge_id))
