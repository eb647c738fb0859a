"""A network as a map."""

from uuid import UUID

from isthmus.domain.ids import NetworkId
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.topology_views import TopologyView
from isthmus.server.adapters.http.deps import Calls

router = api_router("networks")


@router.get("/networks/{network_id}/topology", operation_id="getTopology")
async def get_topology(network_id: UUID, calls: Calls) -> TopologyView:
    """The peers of a network, the tunnels between them with the ways these take now, and its bridges to remotes."""
    return TopologyView.of(await calls.topology.of(NetworkId(network_id)))
