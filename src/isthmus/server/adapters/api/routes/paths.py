"""How a peer reaches the others of its network now."""

from uuid import UUID

from isthmus.domain.ids import PeerId
from isthmus.server.adapters.api.path_views import PathView
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import Listing, PeerName
from isthmus.server.adapters.http.deps import Calls, Paging
from isthmus.server.application.paths import Path

router = api_router("peers")


@router.get("/peers/{peer_id}/paths", operation_id="listPaths")
async def list_paths(peer_id: UUID, calls: Calls, page: Paging) -> Listing[PathView]:
    """For each peer that this one may reach: directly or through which jump peer, as the agents last said."""
    found = await calls.paths.page(PeerId(peer_id), page)
    return Listing(items=[_view(path) for path in found.paths], next=None if found.last is None else str(found.last))


def _view(path: Path) -> PathView:
    return PathView(
        other=PeerName(id=path.other.id, name=path.other.name),
        direct=path.direct,
        via=None if path.via is None else path.via.name,
        since=path.since,
        round_trip_us=path.round_trip,
        rx=path.rx,
        tx=path.tx,
        latest_handshake=path.latest_handshake,
    )
