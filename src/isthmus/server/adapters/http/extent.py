"""How far a caller gets who means some networks only, or who may make peers but no powerful ones."""

from uuid import UUID

from starlette.requests import Request

from isthmus.domain.accounts import WRITE
from isthmus.domain.errors import Forbidden, NotFound
from isthmus.domain.ids import IncidentId, NetworkId, PeerId
from isthmus.server.adapters.http.access import OF_SOME_NETWORKS, Need
from isthmus.server.application.caller import Caller
from isthmus.server.application.incidents import IncidentService
from isthmus.server.application.peers import PeerService, check_power


async def check_extent(
    request: Request, need: Need, caller: Caller, peers: PeerService, incidents: IncidentService
) -> None:
    """Refuse what the path of `request` names and the caller may not touch.

    What is in the network of others is absent in the words in which it would be if it had never existed.
    Raises `NotFound` or `Forbidden`.
    """
    if caller.networks is None and (need is not Need.PEERS or WRITE in caller.scopes):
        return
    named = {name: _uuid(text) for name, text in request.path_params.items()}
    if "network_id" in named:
        _check(caller, named["network_id"], "network", named["network_id"])
    elif "peer_id" in named:
        if named["peer_id"] is not None:
            await _check_peer(caller, need, PeerId(named["peer_id"]), peers)
    elif "incident_id" in named:
        if named["incident_id"] is not None:
            incident, _ = await incidents.get(IncidentId(named["incident_id"]))
            _check(caller, incident.network_id, "incident", incident.id)
    elif (request.method, request.scope["route"].path) not in OF_SOME_NETWORKS and caller.networks is not None:
        raise Forbidden("your role is for some networks, and this is not about one of them")


async def _check_peer(caller: Caller, need: Need, peer_id: PeerId, peers: PeerService) -> None:
    peer, _, _ = await peers.get(peer_id)
    _check(caller, peer.network_id, "peer", peer_id)
    if need is Need.PEERS:
        check_power(caller, peer.kind, peer.additional_allowed_ips)


def _check(caller: Caller, network: UUID | None, kind: str, name: UUID | None) -> None:
    """What is no id at all is left to the route, which says so."""
    if network is not None and not caller.those_of({NetworkId(network)}):
        raise NotFound(kind, str(name))


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None
