"""Services: addresses and ports of our networks that grants can open to remotes."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from isthmus.domain.federation.service import Service
from isthmus.domain.ids import NetworkId
from isthmus.server.adapters.api.grant_views import ServiceBody, ServicePatch, ServiceView
from isthmus.server.adapters.api.routes.paging import cursor
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import Listing
from isthmus.server.adapters.http.deps import By, Calls, Paging, Version, etag
from isthmus.server.application.services import Draft

router = api_router("services")
OfNetwork = Annotated[UUID | None, Query(description="only services of this network")]


@router.get("/services", operation_id="listServices")
async def list_services(calls: Calls, page: Paging, network: OfNetwork = None) -> Listing[ServiceView]:
    """Services in the order in which they were made."""
    found = await calls.federation.catalogue.page(page, None if network is None else NetworkId(network))
    return Listing(items=[ServiceView.of(each) for each in found], next=cursor(found, page))


@router.post("/services", operation_id="createService", status_code=201)
async def create_service(body: ServiceBody, calls: Calls, by: By, response: Response) -> ServiceView:
    """Name an address and ports of a network, so that they can be granted. By itself it opens nothing."""
    draft = Draft(body.name, NetworkId(body.network_id), body.protocol, body.address, body.ports, body.note)
    return _shown(await calls.federation.catalogue.create(by, draft), response)


@router.get("/services/{service_id}", operation_id="getService")
async def get_service(service_id: UUID, calls: Calls, response: Response) -> ServiceView:
    """One service."""
    return _shown(await calls.federation.catalogue.get(service_id), response)


@router.patch("/services/{service_id}", operation_id="updateService")
async def update_service(
    service_id: UUID, body: ServicePatch, calls: Calls, by: By, version: Version, response: Response
) -> ServiceView:
    """Change a service; the grants that name it follow."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    return _shown(await calls.federation.catalogue.update(by, service_id, changes, version), response)


@router.delete("/services/{service_id}", operation_id="deleteService", status_code=204)
async def delete_service(service_id: UUID, calls: Calls, by: By, version: Version) -> None:
    """Delete a service that no live grant names."""
    await calls.federation.catalogue.delete(by, service_id, version)


def _shown(service: Service, response: Response) -> ServiceView:
    response.headers.update(etag(service.version))
    return ServiceView.of(service)
