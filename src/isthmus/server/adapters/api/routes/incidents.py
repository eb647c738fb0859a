"""Incidents: what was detected, and its resolution."""

from dataclasses import asdict
from uuid import UUID

from isthmus.domain.ids import IncidentId, NetworkId, PeerId
from isthmus.domain.mesh.incident import Incident, State, Type
from isthmus.domain.mesh.network import Network
from isthmus.server.adapters.api.incident_views import EVIDENCE_VIEWS, IncidentView, ResolveBody
from isthmus.server.adapters.api.routes.paging import cursor
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import Listing, PeerName
from isthmus.server.adapters.http.deps import By, Calls, Paging
from isthmus.server.records import IncidentFilter

router = api_router("incidents")


@router.get("/incidents", operation_id="listIncidents")
async def list_incidents(
    calls: Calls,
    by: By,
    page: Paging,
    state: State | None = None,
    network: UUID | None = None,
    peer: UUID | None = None,
    type: Type | None = None,
) -> Listing[IncidentView]:
    """Incidents, newest first."""
    where = IncidentFilter(
        None if network is None else NetworkId(network),
        None if peer is None else PeerId(peer),
        state,
        type,
        by.networks,
    )
    items = [_view(*each) for each in await calls.incidents.page(page, where)]
    return Listing(items=items, next=cursor(items, page))


@router.get("/incidents/{incident_id}", operation_id="getIncident")
async def get_incident(incident_id: UUID, calls: Calls) -> IncidentView:
    """One incident with its evidence."""
    return _view(*await calls.incidents.get(IncidentId(incident_id)))


@router.post("/incidents/{incident_id}/resolve", operation_id="resolveIncident")
async def resolve_incident(incident_id: UUID, body: ResolveBody, calls: Calls, by: By) -> IncidentView:
    """Resolve an incident. Its peer returns to every config unless another incident blocks it."""
    await calls.incidents.resolve(by, IncidentId(incident_id), body.reason)
    return await get_incident(incident_id, calls)


def _view(incident: Incident, network: Network) -> IncidentView:
    return IncidentView(
        id=incident.id,
        network=PeerName(id=network.id, name=network.name),
        peer=PeerName(id=incident.peer_id, name=incident.peer_name),
        type=incident.type,
        state=incident.state,
        blocks=incident.blocks,
        detected_at=incident.detected_at,
        evidence=EVIDENCE_VIEWS[incident.type].model_validate(asdict(incident.evidence)),
        resolved_at=incident.resolved_at,
        resolved_by=incident.resolved_by,
        reason=incident.reason,
    )
