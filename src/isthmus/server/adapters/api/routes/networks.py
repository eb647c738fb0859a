"""Networks, their capacity and their reservations."""

from ipaddress import IPv4Network
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response

from isthmus.domain.addresses import address_key, parse_address, parse_network
from isthmus.domain.errors import InvalidValue
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.limits import Limits
from isthmus.domain.mesh.network import Settings
from isthmus.domain.mesh.peer import Peer, parse_text
from isthmus.domain.mesh.template import Sources, Template
from isthmus.server.adapters.api.federation_views import OverlayIngressBody, OverlayIngressView
from isthmus.server.adapters.api.routes.paging import cursor
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.api.views import (
    CapacitiesView,
    LimitsView,
    Listing,
    NetworkBody,
    NetworkPatch,
    NetworkUpdatedView,
    NetworkView,
    PeerName,
    ReservationBody,
    ReservationView,
    SuggestionView,
)
from isthmus.server.adapters.http.deps import By, Calls, Paging, Services, Version, etag
from isthmus.server.application.networks import SUGGESTION_POOL, Draft, Sized, Update
from isthmus.server.application.overlays import Placed

router = api_router("networks")
NameFilter = Annotated[str | None, Query(pattern="^[a-z0-9-]{1,63}$")]


@router.get("/networks", operation_id="listNetworks")
async def list_networks(calls: Calls, by: By, page: Paging, name: NameFilter = None) -> Listing[NetworkView]:
    """Networks in the order in which they were made."""
    found = await calls.networks.page(page, name, by.networks)
    primaries = await calls.paths.primaries(sized.network.id for sized in found)
    items = [NetworkView(**_fields(sized, primaries.get(sized.network.id))) for sized in found]
    return Listing(items=items, next=cursor(items, page))


@router.post("/networks", operation_id="createNetwork", status_code=201)
async def create_network(body: NetworkBody, calls: Calls, by: By, response: Response) -> NetworkView:
    """Make a network; it gets an IPv6 /64 of the backend's own range by itself."""
    sources = Sources()
    if body.template is not None:
        template = await calls.templates.named(body.template)
        body, sources = _filled(body, template), template.sources
    settings = Settings(body.mtu, body.listen_port, body.keepalive, body.key_max_age)
    draft = Draft(
        name=body.name,
        cidr_v4=body.cidr_v4,
        cidr_v6=body.cidr_v6,
        domain=body.domain,
        settings=settings,
        direct_paths=body.direct_paths,
        dns_upstreams=body.dns_upstreams,
        limits=Limits.of(body.limits.given()),
        sources=sources,
    )
    sized = await calls.networks.create(by, draft)
    return await _shown(calls, sized, response)


@router.get("/networks/{network_id}", operation_id="getNetwork")
async def get_network(network_id: UUID, calls: Calls, response: Response) -> NetworkView:
    """One network."""
    return await _shown(calls, await calls.networks.get(NetworkId(network_id)), response)


@router.patch("/networks/{network_id}", operation_id="updateNetwork")
async def update_network(
    network_id: UUID, body: NetworkPatch, calls: Calls, by: By, version: Version, response: Response
) -> NetworkUpdatedView:
    """Change a network. Another `cidr_v4` renumbers all peers in one step."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    if "limits" in given:
        given["limits"] = body.limits.given()
    update = Update(**given)
    updated = await calls.networks.update(by, NetworkId(network_id), update, version)
    response.headers.update(etag(updated.network.network.version))
    reissue = [PeerName(id=peer.id, name=peer.name) for peer in updated.reissue]
    fields = _fields(updated.network, await _primary(calls, updated.network))
    return NetworkUpdatedView(**fields, reissue=reissue)


@router.delete("/networks/{network_id}", operation_id="deleteNetwork", status_code=204)
async def delete_network(network_id: UUID, calls: Calls, by: By, version: Version, force: bool = False) -> None:
    """Delete a network; with `force` its peers too."""
    await calls.networks.delete(by, NetworkId(network_id), version, force=force)


@router.get("/networks/{network_id}/capacity", operation_id="getCapacity")
async def get_capacity(network_id: UUID, calls: Calls) -> CapacitiesView:
    """How many addresses there are, and what became of them."""
    return CapacitiesView.of((await calls.networks.get(NetworkId(network_id))).capacity)


@router.get("/network-suggestion", operation_id="suggestNetwork")
async def suggest(
    calls: Calls,
    peers: Annotated[int, Query(ge=1, le=16_777_214)],
    pool: Annotated[str | None, Query(max_length=18, examples=["10.0.0.0/8"])] = None,
) -> SuggestionView:
    """A free CIDR with room for so many peers."""
    parsed = SUGGESTION_POOL if pool is None else parse_network(pool, "/pool")
    if not isinstance(parsed, IPv4Network):
        raise InvalidValue("/pool", "is not IPv4", "IPv6 ranges need no planning: every network has its own /64")
    prefix, cidr = await calls.networks.suggest(peers, parsed)
    return SuggestionView(prefix=prefix, cidr_v4=None if cidr is None else str(cidr))


@router.get("/networks/{network_id}/reservations", operation_id="listReservations")
async def list_reservations(
    network_id: UUID,
    calls: Calls,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=45, description="the `next` of the page before")] = None,
) -> Listing[ReservationView]:
    """Addresses that no peer gets, IPv4 first, in their order."""
    holdings = await calls.networks.reservations(NetworkId(network_id))
    if after is not None:
        start = address_key(parse_address(after, "/after"))
        holdings = [holding for holding in holdings if address_key(holding.address) > start]
    items = [ReservationView(address=str(item.address), note=item.note) for item in holdings[:limit]]
    return Listing(items=items, next=items[-1].address if len(holdings) > limit else None)


@router.post("/networks/{network_id}/reservations", operation_id="reserveAddress", status_code=201)
async def reserve(network_id: UUID, body: ReservationBody, calls: Calls, by: By) -> ReservationView:
    """Keep an address from being handed out."""
    note = None if body.note is None else parse_text(body.note, "/note")
    address = parse_address(body.address, "/address")
    holding = await calls.networks.reserve(by, NetworkId(network_id), address, note)
    return ReservationView(address=str(holding.address), note=holding.note)


@router.delete("/networks/{network_id}/reservations/{address}", operation_id="unreserveAddress", status_code=204)
async def unreserve(network_id: UUID, address: str, calls: Calls, by: By) -> None:
    """Let a reserved address be handed out again."""
    await calls.networks.unreserve(by, NetworkId(network_id), parse_address(address, "/address"))


@router.get("/networks/{network_id}/ingress", operation_id="getOverlayIngress")
async def get_ingress(network_id: UUID, calls: Calls) -> OverlayIngressView:
    """Where our ingress listens inside a network."""
    return _placed(await calls.federation.overlays.get(NetworkId(network_id)))


@router.put("/networks/{network_id}/ingress", operation_id="placeOverlayIngress")
async def place_ingress(network_id: UUID, body: OverlayIngressBody, calls: Calls, by: By) -> OverlayIngressView:
    """Say which peer's host runs the ingress of a network."""
    placed = await calls.federation.overlays.place(by, NetworkId(network_id), PeerId(body.peer_id), body.port)
    return _placed(placed)


@router.delete("/networks/{network_id}/ingress", operation_id="withdrawOverlayIngress", status_code=204)
async def withdraw_ingress(network_id: UUID, calls: Calls, by: By) -> None:
    """From now on no ingress listens inside a network."""
    await calls.federation.overlays.withdraw(by, NetworkId(network_id))


def _placed(placed: Placed) -> OverlayIngressView:
    peer = PeerName(id=placed.peer.id, name=placed.peer.name)
    return OverlayIngressView(peer=peer, addresses=[str(each) for each in placed.addresses], port=placed.port)


def _filled(body: NetworkBody, template: Template) -> NetworkBody:
    """`body` with what it left out as the template has it."""
    given, kept = body.model_dump(mode="json", exclude_unset=True), template.of_network
    if "limits" in given and "limits" in kept:
        given["limits"] = kept["limits"] | given["limits"]
    return NetworkBody.model_validate(kept | given)


async def _shown(calls: Services, sized: Sized, response: Response) -> NetworkView:
    response.headers.update(etag(sized.network.version))
    return NetworkView(**_fields(sized, await _primary(calls, sized)))


async def _primary(calls: Services, sized: Sized) -> Peer | None:
    return (await calls.paths.primaries([sized.network.id])).get(sized.network.id)


def _fields(sized: Sized, primary: Peer | None) -> dict[str, Any]:
    network = sized.network
    return {
        "id": network.id,
        "name": network.name,
        "cidr_v4": None if network.cidr_v4 is None else str(network.cidr_v4),
        "cidr_v6": str(network.cidr_v6),
        "domain": network.domain,
        "mtu": network.mtu,
        "listen_port": network.listen_port,
        "keepalive": network.keepalive,
        "limits": LimitsView.model_validate(network.limits),
        "direct_paths": network.direct_paths,
        "has_direct_paths": network.has_direct_paths,
        "primary": None if primary is None else PeerName(id=primary.id, name=primary.name),
        "key_max_age": network.key_max_age,
        "dns_upstreams": [str(address) for address in network.dns_upstreams],
        "revision": network.revision,
        "created_at": network.created_at,
        "version": network.version,
        "capacity": CapacitiesView.of(sized.capacity),
    }
